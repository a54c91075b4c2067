"""`itgrix-bx emulator portal|asterisk`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from itgrix_bx.cli.common import Context, Group, Problem, printable
from itgrix_bx.config import split_address


@click.group(cls=Group)
def emulator() -> None:
    """Doubles of Bitrix24 and Asterisk, to try things out."""


@emulator.command()
@click.option("--listen", default="127.0.0.1:8099", show_default=True, metavar="HOST:PORT")
@click.option("--latency", default="none", show_default=True, type=click.Choice(["none", "quick", "documented"]),
              help="How slow the portal answers.")  # fmt: skip
@click.option(
    "--seed", type=click.Path(exists=True, dir_okay=False), help="JSON with users, contacts, leads, companies."
)
def portal(listen: str, latency: str, seed: str | None) -> None:
    """A strict Bitrix24 portal on this machine; its page shows what it knows."""
    from itgrix_bx.emulator.portal import run

    try:
        run(listen, latency, seed)
    except OSError as error:
        raise Problem(f"cannot listen on {listen}: {error.strerror}; choose another with --listen") from None
    except ValueError as error:
        raise Problem(str(error)) from None


@emulator.command()
@click.option("--caller", default="89161234567", show_default=True, help="The client's number.")
@click.option("--did", default="74950000001", show_default=True, help="The number dialled.")
@click.option("--answered-by", metavar="EXTENSION", help="Who answers; `route` for the responsible; nobody: missed.")
@click.option(
    "--talk",
    "talk_s",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    help="Seconds of talk.",
)
@click.pass_obj
def asterisk(context: Context, caller: str, did: str, answered_by: str | None, talk_s: float) -> None:
    """Play one inbound call to the running service, as the dialplan would."""
    from itgrix_bx.emulator.asterisk import AsteriskDouble, Moment, Played

    def tell(_: Played, moment: Moment) -> None:
        click.echo(f"{moment.what:9} {moment.who:30} {moment.took_ms:6.1f} ms  {_told(moment.told)}")

    settings = context.settings()
    double = AsteriskDouble(split_address(settings.fastagi.listen), Path(settings.recordings.directory), tell)
    try:
        played = double.inbound("", caller, did, answered_by=answered_by, talk_s=talk_s)
    except OSError as error:
        raise Problem(
            f"the call could not be played: {error.strerror or error}; is `itgrix-bx serve` running?"
        ) from None
    click.echo(f"see: itgrix-bx calls show {played.call_id}")


def _told(variables: Mapping[str, str]) -> str:
    return "  ".join(f"{name}={printable(value)}" for name, value in variables.items() if value)
