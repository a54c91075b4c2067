"""`itgrix-bx users list|sync|map`."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bx24client import BitrixError
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.cli.common import Context, Problem, echo_json
from itgrix_bx.config import ConfigError
from sql.staff import Staff


@click.group()
def users() -> None:
    """Whose extension is whose."""


@users.command("list")
@click.option("--all", "everybody", is_flag=True, help="Also the dismissed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_users(context: Context, everybody: bool, as_json: bool) -> None:
    """The portal's users as last read, and the extension used for each."""
    with context.database() as database:
        directory = Staff(database).directory()
    people = sorted(directory.employees.values(), key=lambda e: e.user_id)
    rows = [_row(e, directory) for e in people if e.active or everybody]
    if as_json:
        echo_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("user", "name", "extension", "from", "note"):
        table.add_column(title)
    for row in rows:
        table.add_row(str(row["user_id"]), row["name"], row["extension"] or "—", row["source"] or "", row["note"] or "")
    Console().print(table)
    if not rows:
        click.echo("No users yet: run `itgrix-bx users sync`.")


@users.command()
@click.pass_obj
def sync(context: Context) -> None:
    """Read the users from the portal now."""
    from itgrix_bx.employees import sync as sync_users
    from itgrix_bx.service import portal_client

    try:
        client = portal_client(context.settings())
        with context.database() as database, Console(stderr=True).status("Reading the portal's users…"):
            count = sync_users(Staff(database), client)
    except (BitrixError, ConfigError, ValueError) as error:
        raise Problem(f"the users could not be read, the last list stays in use: {error}") from None
    click.echo(f"{count} users read.")


@users.command("map")
@click.argument("extension")
@click.argument("user_id", type=click.IntRange(min=1), required=False)
@click.option("--remove", is_flag=True, help="Take the mapping away.")
@click.pass_obj
def map_user(context: Context, extension: str, user_id: int | None, remove: bool) -> None:
    """Say that EXTENSION belongs to the portal's user USER_ID, where Bitrix24 has no inner number or another."""
    if (user_id is None) != remove:
        raise click.UsageError("give the USER_ID, or --remove")
    with context.database() as database:
        staff = Staff(database)
        known = staff.directory().employees
        if user_id is not None and known and user_id not in known:
            raise Problem(f"the portal has no user {user_id}; `itgrix-bx users list --all` shows them")
        staff.map_extension(extension, user_id)
    click.echo(f"{extension}: no longer mapped." if remove else f"{extension} → user {user_id}.")


def _row(employee: Employee, directory: Directory) -> dict[str, Any]:
    mapped = [ext for ext, user in directory.mapped.items() if user == employee.user_id]
    own = directory.user_of(employee.extension) == employee.user_id if employee.extension else False
    extension = mapped[0] if mapped else employee.extension
    note = "" if mapped or own or not employee.extension else f"user {directory.user_of(employee.extension)} has it too"
    return {
        "user_id": employee.user_id,
        "name": employee.name,
        "active": employee.active,
        "extension": extension or None,
        "source": "map" if mapped else "portal" if employee.extension else None,
        "note": note or ("dismissed" if not employee.active else None),
    }
