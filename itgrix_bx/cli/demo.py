"""`itgrix-bx demo`."""

from __future__ import annotations

import click

from itgrix_bx.cli.common import Problem, echo_json
from itgrix_bx.words import preferred


@click.command()
@click.option("--lang", type=click.Choice(["en", "ru"]), help="Language of the story.  [default: by the locale]")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON array.")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look at the portal's page.")
def demo(lang: str | None, as_json: bool, keep: bool) -> None:
    """Show three calls going through the program, without a PBX or a portal.

    Starts the real program on a temporary directory, between a double of Bitrix24 and one that plays Asterisk, and
    shows what happened to each call on both sides. Exit code 1 when a call did not come out as it must.
    """
    from itgrix_bx.demo import Demo

    shown = Demo(lang or preferred(), quiet=as_json)
    with shown:
        results = shown.play()
        if as_json:
            echo_json([result.summary() for result in results])
        if keep:
            shown.wait()
    wrong = [fault for result in results for fault in result.faults]
    if wrong:
        raise Problem("not as it must be: " + "; ".join(wrong))
