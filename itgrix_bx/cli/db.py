"""`itgrix-bx db upgrade|check`."""

from __future__ import annotations

import click

from itgrix_bx.cli.common import Context, Group, private
from itgrix_bx.words import Phrase
from sql.schema import check as check_schema
from sql.schema import upgrade as upgrade_schema


@click.group(cls=Group)
def db() -> None:
    """The database schema."""


@db.command()
@click.pass_obj
def upgrade(context: Context) -> None:
    """Create the tables or bring them to this version; nothing is lost, safe to repeat."""
    with (
        private(),
        context.database(checked=False) as database,
        context.progress(Phrase("Bringing the tables up to date…")),
    ):
        before, now = upgrade_schema(database)
    click.echo("The schema was up to date." if before == now else f"The schema is at {now} (was {before or 'empty'}).")


@db.command()
@click.pass_obj
def check(context: Context) -> None:
    """Tell whether the database fits this version."""
    with context.database(checked=False) as database:
        reason = check_schema(database)
    if reason:
        raise context.problem(reason)
    click.echo("The database fits this version.")
