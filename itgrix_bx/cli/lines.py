"""`itgrix-bx lines list|sync|set`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import click
from rich.table import Table

from bx24client import BitrixError, ScopeMissing, WrongAuthType
from bx24client import lines as external_lines
from itgrix_bx import line_sync
from itgrix_bx.calls import caller_name
from itgrix_bx.calls.lines import EVERY_OTHER, NAMED, TRUNK, Leads, Line
from itgrix_bx.cli.common import Context, Group, Problem, console, echo_json, printable, safe
from itgrix_bx.config import ConfigError
from itgrix_bx.line_sync import Difference
from sql.database import Database
from sql.lines import LineRules
from sql.staff import Staff

_SOURCE = re.compile(r"[0-9A-Za-z_|-]{1,50}")
_CHECK_S = 10.0
_TITLES = ("did", "line", "name", "source", "default user", "leads", "caller name")
_WORDS = {
    line_sync.ADD: "is missing in the portal",
    line_sync.RENAME: "has another name in the portal",
    line_sync.SAME: "is the same",
    line_sync.FOREIGN: "is only in the portal: no DID is mapped to it",
}


@click.group(cls=Group)
def lines() -> None:
    """Which DID or trunk is which external line, and what becomes of its calls."""


@lines.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def list_lines(context: Context, as_json: bool) -> None:
    """The rules of every DID and trunk that has some."""
    with context.database() as database:
        found = list(LineRules(database).lines().by_did.values())
    if as_json:
        echo_json([_row(line) for line in found])
        return
    table = Table(box=None, pad_edge=False)
    for title in _TITLES:
        table.add_column(title)
    for line in found:
        table.add_row(*map(safe, _told(line)))
    if found:
        console().print(table)
    else:
        click.echo("No DID is mapped: calls are registered without a line.")


@lines.command("set")
@click.argument("did")
@click.argument("line", required=False)
@click.option("--name", help="What the line is called, here and in the portal.")
@click.option("--source", help="CRM source of the clients it brings (STATUS_ID, such as CALL); '' for the portal's.")
@click.option("--default-user", type=click.IntRange(min=0), help="User who gets what nobody took; 0 for the usual one.")
@click.option("--leads", type=click.Choice([policy.value for policy in Leads]), help="What an unknown client becomes.")
@click.option("--caller-name", help="What phones show, such as '{client} / {line}'; '' leaves the caller's own name.")
@click.option("--latin/--no-latin", default=None, help="Transliterate that name, for phones without Cyrillic.")
@click.option(
    "--longest", type=click.IntRange(8, caller_name.MOST_LENGTH), help="Characters of that name, 40 unless said."
)
@click.option("--remove", is_flag=True, help="Take all rules of the DID away.")
@click.pass_obj
def set_line(context: Context, /, did: str, line: str | None, remove: bool, **said: Any) -> None:
    """Register the calls to DID on the portal's external LINE (its number), and say what becomes of them.

    DID is the dialled number as the trunk sends it; `trunk/NAME` where calls come without one (the trunk's name in
    Asterisk); `*` for every other call. What is not named stays as it is. Takes effect with the next call.
    """
    told = {key: value for key, value in said.items() if value is not None}
    if remove == bool(line is not None or told):
        raise click.UsageError("give the LINE or an option, or --remove alone")
    if not NAMED.fullmatch(did):
        raise Problem(f"{did!r} is no DID: write a number, {TRUNK}NAME or {EVERY_OTHER}")
    with context.database() as database:
        rules = LineRules(database)
        there = rules.lines().by_did
        did = next((known for known in (did, did.lstrip("+"), "+" + did.lstrip("+")) if known in there), did)
        if remove:
            if did not in there:
                raise Problem(f"{did} has no rules; `itgrix-bx lines list` shows which have")
            rules.remove(did)
            click.echo(f"{did}: no rules any more.")
            return
        wanted = _changed(there.get(did, Line(did)), line, told)
        _check_user(database, wanted)
        _check_source(context, wanted.source if "source" in told else "")
        rules.set(wanted)
    words = (f"{title} {value}" for title, value in zip(_TITLES, _told(wanted), strict=True) if value not in ("", "—"))
    click.echo(printable(" · ".join(words)))


@lines.command("sync")
@click.option("--dry-run", is_flag=True, help="Only show what differs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def sync(context: Context, dry_run: bool, as_json: bool) -> None:
    """Add the lines that are missing in the portal, give the others our names, and tell what differs.

    Lines that only the portal has are told of and left alone.
    """
    from itgrix_bx.service import portal_client

    try:
        client = portal_client(context.settings())
        with context.database() as database:
            ours = LineRules(database).lines()
        theirs = client.execute(external_lines.get(), timeout_s=30)
        found = line_sync.compare(ours, theirs)
        for difference in () if dry_run else found:
            line_sync.apply(client, difference)
    except WrongAuthType:
        raise Problem(
            "this portal lets applications manage lines, not webhooks; nothing is lost by it: the portal makes a line "
            "by itself when the first call comes in on it, and you can name it there"
        ) from None
    except (BitrixError, ConfigError) as error:
        raise Problem(f"the lines are not in step yet, run it again: {error}") from None
    _tell(found, as_json=as_json, done=not dry_run)


def _tell(found: list[Difference], *, as_json: bool, done: bool) -> None:
    if as_json:
        echo_json([_compared(difference, done=done) for difference in found])
        return
    for difference in found:
        put_right = difference.change in (line_sync.ADD, line_sync.RENAME)
        then = (" → done" if done else " → to do") if put_right else ""
        click.echo(f"{difference.number:20} {_WORDS[difference.change]}{then}")
    if not found:
        click.echo("There are no lines, neither here nor in the portal.")


def _compared(difference: Difference, *, done: bool) -> dict[str, Any]:
    return {
        "line": difference.number,
        "change": difference.change,
        "done": done or difference.change in (line_sync.SAME, line_sync.FOREIGN),
        "name": difference.name or None,
        "portal_name": difference.portal_name,
        "dids": list(difference.dids),
    }


def _changed(line: Line, number: str | None, told: Mapping[str, Any]) -> Line:
    """The rules with what was said put in. Raises Problem."""
    wanted = dict(told)
    if number is not None:
        wanted["number"] = number.strip()
        if not 1 <= len(wanted["number"]) <= external_lines.MAX_NUMBER or not wanted["number"].isprintable():
            raise Problem(f"a line's number has 1 to {external_lines.MAX_NUMBER} characters, all of which can be seen")
    if "leads" in told:
        wanted["leads"] = Leads(told["leads"])
    if "default_user" in told:
        wanted["default_user"] = told["default_user"] or None
    if told.get("source") and not _SOURCE.fullmatch(told["source"]):
        raise Problem("a source is named by its STATUS_ID in Bitrix24, such as CALL or UC_ABC123")
    if "name" in told:
        wanted["name"] = caller_name.clean(told["name"])[:255]
    try:
        wanted["caller_name"] = caller_name.check(told.get("caller_name", line.caller_name))
    except caller_name.TemplateError as error:
        raise Problem(str(error)) from None
    return replace(line, **wanted)


def _check_user(database: Database, line: Line) -> None:
    directory = Staff(database).directory()
    if line.default_user is None or not directory.synced:
        return
    if line.default_user not in directory.employees:
        raise Problem(f"the portal has no user {line.default_user}; `itgrix-bx users list --all` shows them")
    if not directory.is_active(line.default_user):
        raise Problem(f"user {line.default_user} is dismissed: calls cannot be given to him")


def _check_source(context: Context, source: str) -> None:
    """Ask the portal whether it has the source; where it cannot be asked, say so and take the administrator's word."""
    from itgrix_bx.service import portal_client

    if not source:
        return
    try:
        known = {found.id: found.name for found in portal_client(context.settings()).sources(timeout_s=_CHECK_S)}
    except ScopeMissing:
        click.echo(f"{source} was not checked: the webhook lacks the right crm.", err=True)
    except (BitrixError, ConfigError) as error:
        click.echo(f"{source} was not checked: {error}", err=True)
    else:
        if source not in known:
            there = ", ".join(f"{key} ({name})" for key, name in known.items())
            raise Problem(f"Bitrix24 has no source {source}: there are {there}")


def _row(line: Line) -> dict[str, Any]:
    row = asdict(line) | {"leads": line.leads.value}
    return {"did": row.pop("did"), "line": row.pop("number") or None} | {
        key: None if value == "" else value for key, value in row.items()
    }


def _told(line: Line) -> tuple[str, ...]:
    shown = line.caller_name + (f" (latin, {line.longest})" if line.latin else f" ({line.longest})")
    return (
        line.did, line.number or "—", line.name, line.source, str(line.default_user or ""), line.leads.value,
        shown if line.caller_name else "as sent",
    )  # fmt: skip
