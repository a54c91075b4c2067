"""`itgrix-bx calls list|show|retry`."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.numbers import e164
from itgrix_bx.cli.common import Context, Problem, echo_json, parse_time
from itgrix_bx.delivery.schedule import due
from itgrix_bx.report import details, summary
from sql.journal import Journal
from sql.staff import Staff

STATES = ["open", "registered", "ended", "finished", "complete", "skipped", "failed"]


@click.group()
def calls() -> None:
    """What happened to calls."""


@calls.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="How many; 0 = all.")
@click.option("--state", type=click.Choice(STATES), help="Only calls in this state.")
@click.option("--from", "since", metavar="TIME", help="Started at or after, ISO 8601.")
@click.option("--to", "until", metavar="TIME", help="Started before, ISO 8601.")
@click.option("--number", help="Only this client's calls, however the number is spelt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_calls(
    context: Context,
    limit: int,
    state: str | None,
    since: str | None,
    until: str | None,
    number: str | None,
    as_json: bool,
) -> None:
    """Calls, newest first."""
    settings = context.settings()
    with context.database() as database:
        found = Journal(database, due).find(
            limit=limit,
            state=state,
            since=parse_time(since),
            until=parse_time(until),
            number=(e164(number, settings.numbers.country) or number) if number else None,
        )
        directory = Staff(database).directory()
    rows = [summary(call, directory, settings) for call in found]
    echo_json(rows) if as_json else _print_table(rows)


@calls.command()
@click.argument("call_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(context: Context, call_id: str, as_json: bool) -> None:
    """Everything about one call: ID is the hook's id, a linkedid or the portal's CALL_ID."""
    settings = context.settings()
    with context.database() as database:
        journal = Journal(database, due)
        found = journal.resolve(call_id)
        call = journal.call(found) if found else None
        if found is None or call is None:
            raise Problem(f"no call {call_id!r} in the journal; `itgrix-bx calls list` shows what is there")
        result = details(call, journal.events(found), Staff(database).directory(), settings)
    echo_json(result) if as_json else _print_call(result)


@calls.command()
@click.argument("call_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All calls in the state `failed`.")
@click.pass_obj
def retry(context: Context, call_ids: tuple[str, ...], failed: bool) -> None:
    """Try the delivery of calls again, after the cause is put right; a recording that was given up too."""
    if not call_ids and not failed:
        raise click.UsageError("name the calls, or give --failed for all that failed")
    with context.database() as database:
        journal = Journal(database, due)
        wanted = [journal.resolve(call_id) for call_id in call_ids]
        if None in wanted:
            raise Problem(f"no call {call_ids[wanted.index(None)]!r} in the journal")
        if failed:
            wanted += [call.call_id for call in journal.find(limit=0, state="failed")]
        for found in wanted:
            journal.append([Event(str(found), Kind.RETRY, time.time(), {})])
    click.echo(f"{len(wanted)} call(s) will be tried again at once.")


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("started", "id", "", "client", "ext.", "talk", "code", "state", "last error"):
        table.add_column(title, overflow="fold")
    for row in rows:
        arrow = {"in": "←", "out": "→"}.get(row["direction"], "·")
        talk = "" if row["talk_seconds"] is None else f"{row['talk_seconds']} s"
        started = row["started_at"][:19].replace("T", " ")
        cells = (started, row["id"], arrow, row["client_number"], row["extension"], talk, row["status_code"])
        table.add_row(*(_safe(cell) for cell in (*cells, row["state"], row["last_error"])))
    Console().print(table)
    if not rows:
        click.echo("No calls.")


def _print_call(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    steps = result.pop("steps")
    for key, value in result.items():
        if value not in (None, [], ""):
            console.print(f"[bold]{key:>15}[/bold]  {_safe(value)}")
    console.print()
    for step in steps:
        at, name = step.pop("at"), step.pop("step")
        told = "  ".join(f"{key}={value}" for key, value in step.items())
        console.print(f"[dim]{at[11:23]}[/dim]  [bold]{name:<15}[/bold] {_safe(told)}")


def _safe(value: object) -> str:
    """Names and numbers come from outside: no markup, no terminal control."""
    from rich.markup import escape

    text = "" if value is None else str(value)
    return escape("".join(c if c.isprintable() else "�" for c in text))
