"""`itgrix-bx doctor`."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from itgrix_bx.cli.common import Context, Problem, console, echo_json, safe
from itgrix_bx.config import ConfigError, locate
from itgrix_bx.setup import checks

_MARKS = {
    checks.OK: "[green]✓[/green]", checks.WARNING: "[yellow]![/yellow]", checks.BAD: "[red]✗[/red]",
    checks.OFF: "[dim]–[/dim]",
}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Check every part: what was checked, the result, the cure. Exit code 1 when something is wrong."""
    from itgrix_bx.service import portal_client

    settings = context.settings()
    try:
        client = portal_client(settings)
    except ConfigError:
        client = None
    except ValueError as error:
        raise Problem(str(error)) from None
    with Console(stderr=True, quiet=as_json or not sys.stderr.isatty()).status("Checking…"):
        found = list(checks.everything(settings, locate(context.config), client))
    echo_json([check.as_json() for check in found]) if as_json else _print(found)
    if any(check.result == checks.BAD for check in found):
        sys.exit(1)


def _print(found: list[checks.Check]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        cure = f"\n[dim]→ {safe(check.cure)}[/dim]" if check.cure and check.result != checks.OK else ""
        table.add_row(_MARKS[check.result], f"[bold]{safe(check.part)}[/bold]", safe(check.found) + cure)
    console().print(table)
