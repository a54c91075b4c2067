"""`itgrix-bx dialplan show`."""

from __future__ import annotations

from importlib import resources

import click

from itgrix_bx.cli.common import Context
from itgrix_bx.config import split_address

_FILES = {"plain": "itgrix-bx.conf", "site": "extensions.conf", "freepbx": "extensions_custom.conf"}


@click.group()
def dialplan() -> None:
    """The dialplan hooks."""


@dialplan.command()
@click.argument("kind", type=click.Choice(list(_FILES)), default="plain")
@click.pass_obj
def show(context: Context, kind: str) -> None:
    """Print the hooks, ready to paste, with this configuration's address.

    \b
    plain    the subroutines for plain Asterisk 13-22 (include it from extensions.conf)
    site     a small plain site that uses them
    freepbx  for FreePBX 13-17 and Issabel 4/5 (extensions_custom.conf)
    """
    host, port = split_address(context.settings().fastagi.listen)
    host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    text = resources.files("itgrix_bx.dialplan").joinpath(_FILES[kind]).read_text(encoding="utf-8")
    click.echo(text.replace("agi://127.0.0.1:4575", f"agi://{host}:{port}"), nl=False)
