"""`itgrix-bx status`."""

from __future__ import annotations

import click

from itgrix_bx.cli.common import Context, echo_json
from itgrix_bx.delivery.schedule import due
from itgrix_bx.spool import Spool
from itgrix_bx.times import ago, iso
from sql.journal import Journal
from sql.staff import Staff


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """What is going on: calls by state, what delivery owes the portal, the spool."""
    spool = Spool(context.settings().journal.directory)
    with context.database() as database:
        journal = Journal(database, due)
        backlog, oldest = journal.backlog()
        synced_at = Staff(database).synced_at()
        states = journal.counts()
        errors = [call for call in journal.find(limit=1, state="failed") if call.last_error]
    found = {
        "calls": states,
        "backlog": backlog,
        "oldest": iso(oldest),
        "spool_bytes": spool.size(),
        "users_synced_at": iso(synced_at),
        "last_failure": {"id": errors[0].call_id, "error": errors[0].last_error} if errors else None,
    }
    if as_json:
        echo_json(found)
        return
    click.echo("calls     " + (", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none yet"))
    click.echo(f"backlog   {backlog}" + (f", the oldest began {ago(oldest)} ago" if oldest else ""))
    click.echo(f"spool     {spool.size()} bytes")
    click.echo("users     " + (f"read {ago(synced_at)} ago" if synced_at else "never read: run `itgrix-bx users sync`"))
    if errors:
        click.echo(f"failed    {errors[0].call_id}: {errors[0].last_error} (`itgrix-bx calls list --state failed`)")
