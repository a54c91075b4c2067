"""`itgrix-bx calls list|show|retry`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.numbers import e164
from itgrix_bx.cli.common import Context, Group, Problem, console, echo_json, parse_time, printable, safe
from itgrix_bx.delivery.schedule import ATTACH, due, next_step
from itgrix_bx.report import details, summary
from itgrix_bx.times import unix
from itgrix_bx.words import LANGUAGES, preferred
from sql.journal import Journal
from sql.staff import Staff

STATES = ["open", "registered", "ended", "finished", "complete", "skipped", "failed"]


@click.group(cls=Group)
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
            number=_number(number, settings.numbers.country),
        )
        directory = Staff(database).directory()
    rows = [summary(call, directory, settings) for call in found]
    echo_json(rows) if as_json else _print_table(rows)


@calls.command()
@click.argument("call_id", metavar="ID")
@click.option(
    "--lang", type=click.Choice(LANGUAGES), help="Language of why it went where it went.  [default: by the locale]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(context: Context, call_id: str, lang: str | None, as_json: bool) -> None:
    """Everything about one call: ID is the hook's id, a linkedid or the portal's CALL_ID."""
    settings = context.settings()
    with context.database() as database:
        journal = Journal(database, due)
        found = journal.resolve(call_id)
        call = journal.call(found) if found else None
        if found is None or call is None:
            raise Problem(f"no call {call_id!r} in the journal; `itgrix-bx calls list` shows what is there")
        result = details(call, journal.events(found), Staff(database).directory(), settings, lang or preferred())
    echo_json(result) if as_json else _print_call(result)


@calls.command()
@click.argument("call_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All calls in the state `failed`.")
@click.option("--from", "since", metavar="TIME", help="With --failed: started at or after, ISO 8601.")
@click.option("--to", "until", metavar="TIME", help="With --failed: started before, ISO 8601.")
@click.option("--dry-run", is_flag=True, help="Only say what would be tried.")
@click.pass_obj
def retry(
    context: Context, call_ids: tuple[str, ...], failed: bool, since: str | None, until: str | None, dry_run: bool
) -> None:
    """Try the delivery of calls again at once, after the cause is put right.

    For calls that failed, that wait for their next try, or whose recording was missing or refused.
    """
    if not call_ids and not failed:
        raise click.UsageError("name the calls, or give --failed for all that failed")
    with context.database() as database:
        journal = Journal(database, due)
        wanted = [_retryable(journal, call_id) for call_id in call_ids]
        if failed:
            wanted += journal.find(limit=0, state="failed", since=parse_time(since), until=parse_time(until))
        for call in wanted if not dry_run else ():
            journal.append([Event(call.call_id, Kind.RETRY, time.time(), {})])
    for reason, count in Counter(
        f"{_open_step(call)}: {call.last_error or 'waiting'}" for call in wanted
    ).most_common():
        click.echo(f"{count:>6} × {printable(reason)}")
    click.echo(f"{len(wanted)} call(s) {'would' if dry_run else 'will'} be tried again at once.")


def _retryable(journal: Journal, call_id: str) -> Call:
    found = journal.resolve(call_id)
    call = journal.call(found) if found else None
    if call is None:
        raise Problem(f"no call {call_id!r} in the journal")
    if not _open_step(call):
        why = f"skipped ({call.skipped})" if call.skipped else f"{call.state} and has nothing to try again"
        raise Problem(f"call {call.call_id} is {why}; `itgrix-bx calls show {call.call_id}` tells its story")
    return call


def _open_step(call: Call) -> str:
    """What another try would do; empty when there is nothing to do."""
    if call.recording.state in ("missing", "refused") or call.recording.left_out:
        return ATTACH
    return call.failed_step or next_step(call) or ""


def _number(said: str | None, country: str) -> str | None:
    found = e164(said, country) if said is not None else None
    if found == "":
        raise Problem(f"{said!r} holds no telephone number; write it as +79161234567 or as it is dialled")
    return found


_ROW = "{:<19}  {:<20} {} {:<16} {:<6} {:>7}  {:<5} {}"


def _print_table(rows: list[dict[str, Any]]) -> None:
    click.secho(_ROW.format("started", "id", " ", "client", "ext.", "talk", "code", "state"), bold=True)
    for row in rows:
        arrow = {"in": "←", "out": "→"}.get(row["direction"], "·")
        talk = "" if row["talk_seconds"] is None else f"{row['talk_seconds']:,} s"
        started = row["started_at"][:19].replace("T", " ")
        cells = (started, row["id"], arrow, row["client_number"], row["extension"], talk, row["status_code"])
        click.echo(_ROW.format(*(printable(cell) for cell in (*cells, row["state"]))).rstrip())
        if row["last_error"]:  # a sentence needs the whole width
            click.echo(f"    {printable(row['last_error'])}")
    if not rows:
        click.echo("No calls.")


def _print_call(result: dict[str, Any]) -> None:
    output = console()
    steps = result.pop("steps")
    del result["route_steps"]  # for machines; `route` says it
    for key, value in result.items():
        if value not in (None, [], ""):
            output.print(f"[bold]{key:>15}[/bold]  {safe(_told(value))}")
    output.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for at, after, step in _with_times(steps):
        table.add_row(at, after, safe(step.pop("step")), safe(_told(step)))
    output.print(table)


def _with_times(steps: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(time of day, with the date where it is another one; since the first step; the step)."""
    began, day = (unix(steps[0]["at"]) if steps else 0.0), ""
    for step in steps:
        at = step.pop("at")
        yield at[11:23] if at[:10] == day else f"{at[:10]} {at[11:23]}", f"{unix(at) - began:+,.1f} s", step
        day = at[:10]


def _told(value: Any) -> str:
    """Nested data as people read it."""
    if isinstance(value, dict):
        return "  ".join(f"{key}={_told(part)}" for key, part in value.items() if part not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(f"({_told(part)})" if isinstance(part, dict) else _told(part) for part in value)
    return str(value)
