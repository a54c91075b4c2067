"""`itgrix-bx lines list|set`."""

from __future__ import annotations

import click

from itgrix_bx.cli.common import Context, Problem, echo_json
from sql.staff import Staff


@click.group()
def lines() -> None:
    """Which DID is which external line of the portal."""


@lines.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_lines(context: Context, as_json: bool) -> None:
    """The mapped DIDs."""
    with context.database() as database:
        found = Staff(database).lines()
    if as_json:
        echo_json([{"did": did, "line": line} for did, line in sorted(found.items())])
        return
    for did, line in sorted(found.items()):
        click.echo(f"{did:20} {line}")
    if not found:
        click.echo("No DID is mapped: calls are registered without a line.")


@lines.command("set")
@click.argument("did")
@click.argument("line", required=False)
@click.option("--remove", is_flag=True, help="Take the mapping away.")
@click.pass_obj
def set_line(context: Context, did: str, line: str | None, remove: bool) -> None:
    """Register the calls to DID on the portal's external LINE (its number)."""
    if (line is None) != remove:
        raise click.UsageError("give the LINE, or --remove")
    if line is not None and not 0 < len(line.strip()) <= 50:
        raise Problem("a line's number has 1 to 50 characters")
    with context.database() as database:
        Staff(database).set_line(did, line.strip() if line else None)
    click.echo(f"{did}: no longer mapped." if remove else f"{did} → line {line}.")
