"""`itgrix-bx status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table

from itgrix_bx.cli.common import Context, Problem, console, echo_json, safe
from itgrix_bx.standing import standing
from itgrix_bx.times import ago, span, unix
from itgrix_bx.words import Phrase

_FAILED = "`itgrix-bx calls list --state failed`, then `calls retry`"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """How things stand: calls, what delivery owes the portal, lag, leases, the spool, the last error.

    The service, the portal and the request line are asked of the running service at [web] listen; everything else is
    read from the journal and the spool, so it is told without the service too. Exit code 1 when the database is away.
    """
    with (
        context.database(checked=False) as database,
        context.progress(Phrase("Asking the service and the database…")),
    ):
        found = standing(context.settings(), database)
    echo_json(found) if as_json else _print(found)
    if problem := _problem(found):
        raise Problem(problem)


def _problem(found: dict[str, Any]) -> str | None:
    """What keeps calls out of the journal."""
    journal, database = found["service"]["parts"].get("journal", {}), found["database"]
    if not journal.get("ok", True):
        return f"neither the database nor the spool takes calls: {journal.get('error')}"
    if database["ok"]:
        return None
    meanwhile = "; calls go to the spool meanwhile" if found["service"]["answers"] else ""
    return f"{database['error']}{meanwhile}"


def _print(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in _lines(found):
        table.add_row(title, text)
    console().print(table)


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    parts = found["service"]["parts"]
    yield "service", _service(found["service"])
    yield "portal", _portal(parts.get("portal"))
    for name, part in sorted(parts.items()):
        if name not in ("portal", "journal") and not part.get("ok", True):
            yield name, f"[yellow]not well[/yellow] {safe(part.get('error', ''))}".rstrip()
    if parts.get("ami", {}).get("ok"):
        yield "asterisk", _asterisk(parts["ami"])
    yield "database", _database(found["database"], parts.get("journal", {}))
    if "calls" in found:
        yield "calls", _counted(found["calls"]) or "none under way"
        yield "last 24 h", _counted(found["last_day"]) or "none"
        yield from _backlog(found["backlog"])
        yield "lag", _lag(found["lag"])
        yield "leases", "\n".join(map(_lease, found["leases"])) or "none"
    yield "spool", _spool(found["spool"], parts.get("journal", {}))
    if "calls" in found:
        yield "users", f"read {_ago(found['users_synced_at'])}" if found["users_synced_at"] else _NO_USERS
        oldest = found["oldest_call"]
        yield "kept", f"{found['keep_days']} days" + (f", the oldest call is of {oldest[:10]}" if oldest else "")
        if found["fetching"]:
            yield "recordings", f"[yellow]{safe(found['fetching'])}[/yellow]"
        yield "last error", _error(found["last_error"])
    if failed := found.get("calls", {}).get("failed"):
        yield "failed", f"[red]{failed}[/red]: {_FAILED}"


_NO_USERS = "never read: run `itgrix-bx users sync`"


def _service(service: dict[str, Any]) -> str:
    if not service["runs"]:
        return f"[red]does not run[/red]: nothing answers on {safe(service['address'])} ([dim]web[/dim] part)"
    if not service["answers"]:
        cure = "frozen, or without processor time; if it stays so, `systemctl restart itgrix-bx`"
        return f"[red]does not answer[/red] on {safe(service['address'])}: {cure}"
    agi = service["parts"].get("fastagi")
    if agi is None:
        return "runs, without the hooks"
    busy = f"{agi.get('in_hand', 0)} hooks in hand, {agi.get('queued', 0)} in line, {agi.get('sessions', 0)} done"
    return safe(f"runs: {busy}, {agi.get('refused', 0)} refused, {agi.get('errors', 0)} failed")


def _portal(portal: dict[str, Any] | None) -> str:
    if portal is None:
        return "not known, the service does not tell: `itgrix-bx doctor` asks it"
    if portal.get("ok") and not portal.get("requests"):
        return "was not asked yet"
    if portal.get("ok"):
        return safe(f"answers; {portal.get('requests', 0)} requests since the start")
    since = span(float(portal.get("ill_for_s", 0)))
    return f"[red]ill for {since}[/red]: {safe(portal.get('error'))}"


def _asterisk(ami: dict[str, Any]) -> str:
    """Whether events are heard; a link that is down stands among what is not well."""
    since = span(float(ami.get("connected_s", 0)))
    told = f"events heard for {since}, {ami.get('events_per_s', 0):g} a second, {ami.get('events_lost', 0):,} lost"
    return safe(f"{told}, {ami.get('links_lost', 0):,} links lost since the start")


def _database(database: dict[str, Any], journal: dict[str, Any]) -> str:
    if not database["ok"]:
        return f"[red]away[/red]: {safe(database['error'])}"
    since = journal.get("database_away_since")
    if not since:
        return "answers"
    held = "can be read, but the service cannot write to it and uses the spool"
    return f"[yellow]{held} for {ago(unix(since))}[/yellow]: does another program hold it?"


def _counted(states: dict[str, int]) -> str:
    order = ("open", "registered", "ended", "finished", "complete", "skipped", "failed")
    return " · ".join(f"{states[state]:,} {state}" for state in order if states.get(state))


def _backlog(backlog: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not backlog["total"]:
        yield "backlog", "nothing is owed to the portal"
    for step, owed in backlog["steps"].items():
        if owed["now"] or owed["later"]:
            waits = f"{owed['now']:,} now, {owed['later']:,} later, the oldest since {_ago(owed['oldest'])}"
            yield f"  {step}", waits if owed["now"] else f"{waits}, next try {_clock(owed['next_try'])}"


def _lag(lag: dict[str, Any]) -> str:
    told = []
    if lag["median_s"] is not None:
        told.append(
            f"the last {lag['calls']} calls were in the portal {span(lag['median_s'])} after their end"
            f" (median; 95 %: {span(lag['p95_s'])})"
        )
    if lag["oldest_s"] is not None:
        told.append(f"the oldest that is not waits {span(lag['oldest_s'])}")
    return "; ".join(told) or "no call was delivered yet"


def _lease(lease: dict[str, Any]) -> str:
    return safe(f"{lease['owner']}: {lease['calls']} since {_clock(lease['since'])}, until {_clock(lease['until'])}")


def _spool(spool: dict[str, Any], journal: dict[str, Any]) -> str:
    told = "empty"
    if spool["bytes"]:
        oldest = f", the oldest {_ago(spool['oldest'])}" if spool["oldest"] else ""
        told = f"[yellow]{spool['events']:,} events, {spool['bytes']:,} bytes[/yellow]{oldest}"
    if unsaved := journal.get("unsaved_events"):
        told += f"; [red]{unsaved:,} more in the service's memory alone[/red]: it must not be stopped"
    if not journal.get("ok", True):
        told += f"\n[red]takes no more[/red]: {safe(journal.get('error'))}"
    return told


def _error(error: dict[str, Any] | None) -> str:
    if error is None:
        return "none among the calls that are not delivered"
    return f"{_ago(error['at'])}, call {safe(error['id'])}: {safe(error['error'])}"


def _ago(at: str) -> str:
    return f"{ago(unix(at))} ago"


def _clock(at: str) -> str:
    return at[11:19]
