"""`itgrix-bx users list|sync|map|head|deputy|absent`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import click
from rich.table import Table

from bx24client import BitrixError
from itgrix_bx.calls.directory import ALWAYS, Directory, Employee, Period
from itgrix_bx.calls.numbers import e164
from itgrix_bx.cli.common import Context, Group, Problem, console, echo_json, parse_time, printable, safe
from itgrix_bx.config import ConfigError
from itgrix_bx.words import Phrase
from sql.staff import Staff

_SINCE = click.option(
    "--from", "since", metavar="TIME", help="2026-01-31 or 2026-01-31T18:00; from now on unless said."
)
_UNTIL = click.option("--to", "until", metavar="TIME", help="A bare date is its whole day; for good unless said.")
_USER = click.IntRange(min=1)
_EXTENSION = re.compile(r"[0-9A-Za-z_.+*#]{1,40}")


@click.group(cls=Group)
def users() -> None:
    """Whose extension is whose, and who stands for whom."""


@users.command("list")
@click.option("--all", "everybody", is_flag=True, help="Also the dismissed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_users(context: Context, everybody: bool, as_json: bool) -> None:
    """The portal's users as last read: the extensions, head and deputy used for each, and where each comes from."""
    with context.database() as database:
        directory = Staff(database).directory()
    people = sorted(directory.employees.values(), key=lambda e: e.user_id)
    rows = [_row(e, directory, time.time()) for e in people if e.active or everybody]
    if as_json:
        echo_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("user", "name", "phones", "head", "deputy", "note"):
        table.add_column(title)
    for row in rows:
        table.add_row(*map(safe, _told(row)))
    console().print(table)
    if not rows:
        click.echo("No users yet: run `itgrix-bx users sync`.")


@users.command()
@click.pass_obj
def sync(context: Context) -> None:
    """Read the users, the structure and the absences from the portal now."""
    from itgrix_bx.employees import sync as sync_users
    from itgrix_bx.service import portal_client

    try:
        client = portal_client(context.settings())
        with context.database() as database, context.progress(Phrase("Reading the portal's users…")):
            found = sync_users(Staff(database), client)
    except (BitrixError, ConfigError, ValueError) as error:
        raise Problem(f"the users could not be read, the last list stays in use: {error}") from None
    click.echo(f"{found.users} users read.")
    for gap in found.gaps:
        click.echo(f"{gap}.")


@users.command("map")
@click.argument("words", nargs=-1, metavar="[EXTENSION] [USER_ID]")
@click.option("--mobile", metavar="NUMBER", help="Map this mobile to USER_ID, in place of an extension.")
@click.option("--remove", is_flag=True, help="Take the mapping away.")
@click.pass_obj
def map_user(context: Context, words: Sequence[str], mobile: str | None, remove: bool) -> None:
    """Say that EXTENSION belongs to the portal's user USER_ID, where Bitrix24 has no inner number or another.

    A person may have several extensions and mobiles: map each. `users map 101 7`, `users map --mobile +79161234567 7`.
    """
    said = [*words] if mobile is None else [mobile, *words]
    if len(said) != (1 if remove else 2):
        raise click.UsageError("give an extension or --mobile, and the USER_ID or --remove")
    if not remove and not said[1].isdecimal():
        raise click.UsageError(f"{said[1]!r} is no user's id")
    user_id = None if remove else int(said[1])
    number = said[0] if mobile is None else _mobile(context, mobile)
    with context.database() as database:
        staff = Staff(database)
        known = staff.directory()
        if user_id is not None:
            _require_active(known, user_id)
            _require_extension(number)
        elif number not in (known.mapped if mobile is None else known.mobiles):
            raise Problem(f"{printable(number)} is not mapped; `itgrix-bx users list` shows what is")
        (staff.map_extension if mobile is None else staff.map_mobile)(number, user_id)
    click.echo(f"{number}: no longer mapped." if remove else f"{number} → user {user_id}.")


@users.command()
@click.argument("user_id", type=_USER)
@click.argument("head_id", type=_USER, required=False)
@click.option("--remove", is_flag=True, help="Leave it to Bitrix24's structure again.")
@click.pass_obj
def head(context: Context, user_id: int, head_id: int | None, remove: bool) -> None:
    """Say that HEAD_ID is the head of USER_ID, whatever Bitrix24's structure says."""
    if (head_id is None) != remove:
        raise click.UsageError("give the HEAD_ID, or --remove")
    with context.database() as database:
        staff = Staff(database)
        _require_two(staff.directory(), user_id, head_id)
        staff.set_head(user_id, head_id)
    click.echo(f"user {user_id}: head as in Bitrix24." if remove else f"user {user_id} → head {head_id}.")


@users.command()
@click.argument("user_id", type=_USER)
@click.argument("deputy_id", type=_USER, required=False)
@_SINCE
@_UNTIL
@click.option("--remove", is_flag=True, help="Nobody stands in for USER_ID any more.")
@click.pass_obj
def deputy(
    context: Context, user_id: int, deputy_id: int | None, since: str | None, until: str | None, remove: bool
) -> None:
    """Say that DEPUTY_ID stands in for USER_ID: always, or in a period, which goes before always."""
    if (deputy_id is None) != remove:
        raise click.UsageError("give the DEPUTY_ID, or --remove")
    period = _period(since, until)
    with context.database() as database:
        staff = Staff(database)
        _require_two(staff.directory(), user_id, deputy_id)
        if deputy_id is None:
            staff.remove_deputies(user_id)
        else:
            staff.set_deputy(user_id, deputy_id, period)
    said = "nobody stands in" if remove else f"deputy {deputy_id}, {_spoken(period)}"
    click.echo(f"user {user_id}: {said}.")


@users.command()
@click.argument("user_id", type=_USER)
@_SINCE
@_UNTIL
@click.option("--remove", is_flag=True, help="Take back what was said of USER_ID's absences here.")
@click.pass_obj
def absent(context: Context, user_id: int, since: str | None, until: str | None, remove: bool) -> None:
    """Say that USER_ID is away, beside what Bitrix24's calendar says."""
    if remove and (since or until):
        raise click.UsageError("--remove takes all of them back: give no times with it")
    period = _period(since or date.today().isoformat(), until)
    with context.database() as database:
        staff = Staff(database)
        _require(staff.directory(), user_id)
        if remove:
            staff.remove_absences(user_id)
        else:
            staff.add_absence(user_id, period)
    taken_back = "what was said here of absences is taken back"
    click.echo(f"user {user_id}: {taken_back if remove else f'away, {_spoken(period)}'}.")


# --- what is said -----------------------------------------------------------------------------------


def _require_two(directory: Directory, user_id: int, other_id: int | None) -> None:
    _require(directory, user_id)
    if other_id is None:
        return
    if other_id == user_id:
        raise Problem("nobody can stand in for himself: name another user")
    _require_active(directory, other_id)


def _require_active(directory: Directory, user_id: int) -> None:
    _require(directory, user_id)
    if not directory.is_active(user_id):
        raise Problem(f"user {user_id} is dismissed: name another one")


def _require(directory: Directory, user_id: int) -> None:
    """Raises Problem for a user the portal does not have; before its list was read, anybody is believed."""
    if directory.synced and user_id not in directory.employees:
        raise Problem(f"the portal has no user {user_id}; `itgrix-bx users list --all` shows them")


def _require_extension(said: str) -> None:
    """Raises Problem for what no hook tells of (agi/channel.py)."""
    if not _EXTENSION.fullmatch(said):
        raise Problem(f"{said!r} is no extension: write it as the phone system has it, such as 101")


def _mobile(context: Context, said: str) -> str:
    number = e164(said, context.settings().numbers.country)
    if len(number) < 8:
        raise Problem(f"{said!r} is no mobile's number: write it as +79161234567")
    return number


def _period(since: str | None, until: str | None) -> Period:
    period = Period(parse_time(since), parse_time(_next_day(until)))
    if period.since is not None and period.until is not None and period.since >= period.until:
        raise Problem(f"{since} to {until} is no period: it ends before it begins")
    return period


def _next_day(until: str | None) -> str | None:
    try:
        return until if until is None else (date.fromisoformat(until) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return until  # it has a time of day


def _spoken(period: Period) -> str:
    if period == ALWAYS:
        return "always"
    return " ".join(
        f"{word} {datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
        for word, at in (("from", period.since), ("to", period.until))
        if at is not None
    )


# --- what is listed ---------------------------------------------------------------------------------


def _row(employee: Employee, directory: Directory, now: float) -> dict[str, Any]:
    user_id = employee.user_id
    extensions = directory.extensions_of(user_id)
    head_id, why = directory.head_and_why(user_id)
    return {
        "user_id": user_id,
        "name": employee.name,
        "active": employee.active,
        "extension": extensions[0] if extensions else None,
        "source": _source(extensions[0], directory) if extensions else None,
        "extensions": list(extensions),
        "sources": {extension: _source(extension, directory) for extension in extensions},
        "mobiles": list(directory.mobiles_of(user_id)),
        "head": None if head_id is None else {"user_id": head_id, "why": why},
        "deputy": directory.deputy_of(user_id, now),
        "absent": directory.absence(user_id, now) is not None,
        "note": _note(employee, extensions, directory),
    }


def _source(extension: str, directory: Directory) -> str:
    return "map" if extension in directory.mapped else "portal"


def _note(employee: Employee, extensions: Sequence[str], directory: Directory) -> str | None:
    if not employee.active:
        return "dismissed"
    extension, holder = employee.extension, directory.holder_of(employee.extension)
    if others := set(directory.shared().get(extension, ())) - {employee.user_id}:
        whose = "theirs" if holder == employee.user_id else f"user {holder}'s"
        return f"{extension} is also user {', '.join(map(str, sorted(others)))}'s: calls on it are {whose}"
    if extension and holder not in (None, employee.user_id) and not extensions:
        return f"{extension} is mapped to user {holder}: rung for nobody; use `users map`"
    if not extensions:
        return "no extension: rung for nobody; use `users map`"
    rung = directory.extension_of(employee.user_id)
    return None if rung else f"{extensions[0]} is not digits alone: rung for nobody; use `users map`"


def _told(row: dict[str, Any]) -> tuple[str, ...]:
    phones = [f"{extension} ({source})" for extension, source in row["sources"].items()]
    rung = ", ".join((*phones, *(f"{mobile} (map)" for mobile in row["mobiles"]))) or "—"
    boss = f"{row['head']['user_id']} ({row['head']['why']})" if row["head"] else ""
    notes = [*(["away now"] if row["absent"] else []), *([row["note"]] if row["note"] else [])]
    return str(row["user_id"]), row["name"], rung, boss, str(row["deputy"] or ""), "; ".join(notes)
