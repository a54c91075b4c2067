"""`itgrix-bx routing show|set|test|vip|black`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from itgrix_bx.calls import policy
from itgrix_bx.calls.call import IN
from itgrix_bx.calls.lines import EVERY_OTHER, NAMED, TRUNK
from itgrix_bx.calls.number_rules import Where
from itgrix_bx.calls.numbers import e164
from itgrix_bx.calls.policy import ALL_LINES, BLACK, RULES, VIP, Entry, Policy, Rules, WrongRuleError
from itgrix_bx.cli.common import Context, Group, Problem, console, echo_json, printable, safe
from itgrix_bx.config import ConfigError
from itgrix_bx.times import iso
from itgrix_bx.words import LANGUAGES, Phrase, preferred
from itgrix_bx.words.routing import say
from sql.database import Database
from sql.lines import LineRules
from sql.routing import Routing
from sql.staff import Staff

if TYPE_CHECKING:
    from itgrix_bx.rehearsal import Rehearsal

_DID = click.option("--did", default=ALL_LINES, metavar="DID", help="The line: a dialled number, or trunk/NAME.")
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON for machines.")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")
_NOTE = Phrase("note")
_YEARS = range(1971, 2200)  # in which no time zone leads out of the calendar
_RULES = "\n".join(f"{name:12} {rule.form}" for name, rule in RULES.items())


@click.group(cls=Group)
def routing() -> None:
    """Who is rung first for a known client, and why."""


@routing.command()
@_DID
@_JSON
@click.pass_obj
def show(context: Context, did: str, as_json: bool) -> None:
    """The rules in force: of all lines, or with --did of one; and who is on the lists."""
    did = did.lstrip("+")
    with context.database() as database:
        stored = Routing(database)
        told, rules = stored.told(), stored.rules()
    found = _shown(did, told, rules)
    if as_json:
        echo_json(found)
        return
    _print_rules(found)
    if rules.policy(did).device and not context.settings().ami.username:
        click.echo("note: the rule device has no effect as long as [ami] is not configured", err=True)


@routing.command(
    "set",
    context_settings={"ignore_unknown_options": True},  # the rule itself says what is wrong with -4
    epilog=f"""\b
Rules and what they take:
{_RULES}

\b
order is the chain of people who are tried: the first who can take the call is rung.
  talker       who talked to this number last, within talker_days
  deal         the responsible of the client's open deal
  responsible  the responsible of the client
  deputy, head of the one before; of an absent one theirs, and so on
  line         the line's default user
""",
)
@click.argument("rule")
@click.argument("words", nargs=-1, metavar="VALUE...")
@_DID
@click.option("--reset", is_flag=True, help="Take the rule back: all lines' rule is in force, or the usual one.")
@click.pass_obj
def set_rule(context: Context, rule: str, words: tuple[str, ...], did: str, reset: bool) -> None:
    """Set RULE for all lines, or with --did for one. It works on the next call.

    Example: itgrix-bx routing set order talker responsible deputy head
    """
    if mistyped := next((word for word in (rule, *words) if word.startswith("--")), None):
        raise click.NoSuchOption(mistyped, possibilities=get_close_matches(mistyped, ["--did", "--reset"]))
    if bool(words) == reset:
        raise click.UsageError("give the VALUE, or --reset")
    did = did.lstrip("+") if reset else _line_named(did)
    value = _understood(rule, words)
    line = f"line {did}" if did else "all lines"
    with context.database() as database:
        if reset and rule not in Routing(database).told().get(did, {}):
            raise Problem(f"{rule} is not set for {line}; `itgrix-bx routing show` shows what is")
        if not reset:
            _require_line(database, did)
        if rule == "order" and value:
            _require_users(database, value.split())
        Routing(database).set(did, rule, value)
    click.echo(f"{rule} of {line}: taken back." if reset else f"{rule} of {line}: {value}.")


def _line_named(did: str) -> str:
    """The line as its rules are kept: a DID without +. Raises Problem."""
    if did and (did == EVERY_OTHER or not NAMED.fullmatch(did)):
        raise Problem(f"{did!r} is no line: give a DID or {TRUNK}NAME, or no --did for all lines")
    return did.lstrip("+")


def _require_line(database: Database, did: str) -> None:
    """Raises Problem for an external line's own number: no call comes in on that."""
    lines = LineRules(database).lines().by_did.values()
    mapped = [line.did for line in lines if did and line.number == did]
    if mapped and did not in [line.did.lstrip("+") for line in lines]:
        raise Problem(f"{did} is Bitrix24's line, rules go by what calls come in on: give --did {mapped[0]}")


def _require_users(database: Database, order: Sequence[str]) -> None:
    """Raises Problem for a user whom no call would reach; before the portal's list was read, anybody is believed."""
    directory = Staff(database).directory()
    named = [int(word.removeprefix("user:")) for word in order if word.startswith("user:")]
    for user_id in named if directory.synced else ():
        if user_id not in directory.employees:
            raise Problem(f"order: the portal has no user {user_id}; `itgrix-bx users list` shows them")
        if not directory.is_active(user_id):
            raise Problem(f"order: user {user_id} is dismissed; `itgrix-bx users list` shows who is there")


def _understood(rule: str, words: tuple[str, ...]) -> str | None:
    """The rule's value as it is kept; None without words."""
    if rule not in RULES:
        raise Problem(f"there is no rule {rule!r}; there are {', '.join(RULES)}")
    try:
        return policy.text(rule, policy.parse(rule, words)) if words else None
    except WrongRuleError as error:
        raise Problem(str(error)) from None


@routing.command("test")
@click.argument("number")
@click.option("--did", default="", help="The number the client has dialled.")
@click.option("--trunk", default="", help="The trunk, as the PBX names it: mts of PJSIP/mts-0000001a.")
@click.option("--at", metavar="TIME", help="As if it were then, by the line's clock: '2026-11-26 19:00', or 19:00.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Language of the words.  [default: by the locale]")
@_JSON
@click.pass_obj
def test_number(
    context: Context, number: str, did: str, trunk: str, at: str | None, lang: str | None, as_json: bool
) -> None:
    """Say where a call from NUMBER would go, and why.

    The portal is asked for the client as in a real call; nothing is registered and nobody rung.
    """
    from itgrix_bx.rehearsal import rehearse
    from itgrix_bx.service import portal_client

    settings = context.settings()
    with context.database() as database:
        moment = None if at is None else _moment(at, Routing(database).rules().policy(did, trunk))
        try:
            with portal_client(settings) as portal:
                made = rehearse(settings, database, portal, number, Where(IN, trunk, did), moment)
        except ConfigError as error:
            raise Problem(str(error)) from None
    language = lang or preferred()
    told = _told(made, did, moment, language)
    if as_json:
        echo_json(told)
        return
    click.echo(printable(told["why"]))
    for note in told["notes"]:
        click.echo(f"{_NOTE.said(language)}: {printable(note)}", err=True)


def _told(made: Rehearsal, did: str, moment: float | None, lang: str) -> dict[str, Any]:
    route = made.route
    why = say(route.steps, lang)
    if made.skipped is not None:
        why = Phrase("the call does not go to the CRM: {reason}", {"reason": made.skipped}).said(lang)
    return {
        "number": made.number or None, "did": did or None, "at": iso(moment), "crm": made.skipped is None,
        "extension": route.extension or None, "seconds": route.seconds if route.extension else None,
        "client_name": route.client_name or None, "why": why, "steps": route.steps,
        "notes": [note.said(lang) for note in made.notes],
    }  # fmt: skip


def _moment(text: str, rules: Policy) -> float:
    """Unix seconds; a time without its own zone is the line's, one without a day is today's. Raises Problem."""
    today = f"{rules.local(time.time()):%Y-%m-%d} " if _CLOCK.fullmatch(text) else ""
    try:
        when = datetime.fromisoformat(today + text)
    except ValueError:
        when = datetime.min
    if when.year not in _YEARS:
        raise Problem(f"{text!r} is no time; write it as '2026-11-26 19:00', or 19:00 for today")
    if when.tzinfo is None and rules.timezone:
        when = when.replace(tzinfo=rules.local(0.0).tzinfo)
    return when.timestamp()


# --- lists ---------------------------------------------------------------------------------------


@routing.group(cls=Group)
def vip() -> None:
    """Clients with an order of their own, or who ring off duty too."""


@vip.command("add")
@click.argument("whom")
@click.argument("order", nargs=-1, metavar="[WHO]...")
@click.option("--off-duty", is_flag=True, help="Ring although workday, hours or absence say otherwise.")
@click.option("--note", default="", help="Why, for people.")
@click.pass_obj
def add_vip(context: Context, whom: str, order: tuple[str, ...], off_duty: bool, note: str) -> None:
    """Put WHOM (a number, contact:7, company:3, lead:9) on the list.

    WHO is tried before the line's own order: ext:104, user:12, or a word of `routing set order`.
    """
    try:
        own = policy.parse("order", order) if order else ()
    except WrongRuleError as error:
        raise Problem(str(error)) from None
    if not own and not off_duty:
        raise click.UsageError("say what is different: WHO is tried first, or --off-duty")
    with context.database() as database:
        _require_users(database, own)
    _put(context, VIP, Entry(_key(context, whom), own, off_duty, note[:255]))


@routing.group(cls=Group)
def black() -> None:
    """Clients who are never led to their manager."""


@black.command("add")
@click.argument("whom")
@click.option("--note", default="", help="Why, for people.")
@click.pass_obj
def add_black(context: Context, whom: str, note: str) -> None:
    """Put WHOM (a number, contact:7, company:3, lead:9) on the list: the normal route, whatever the rules say."""
    _put(context, BLACK, Entry(_key(context, whom), note=note[:255]))


def _listing(group: click.Group, name: str) -> None:
    @group.command("list")
    @_JSON
    @click.pass_obj
    def list_entries(context: Context, as_json: bool) -> None:
        """Who is on the list."""
        with context.database() as database:
            rows = _entries(Routing(database).rules(), name)
        if as_json:
            echo_json(rows)
            return
        for row in rows:
            click.echo(printable(_line(row)))
        if not rows:
            click.echo("Nobody is on the list.")

    @group.command("remove")
    @click.argument("whom")
    @click.pass_obj
    def remove(context: Context, whom: str) -> None:
        """Take WHOM off the list."""
        key = _key(context, whom)
        with context.database() as database:
            if not Routing(database).remove(name, key):
                raise Problem(f"{key} is not on the list; `itgrix-bx routing {name} list` shows who is")
        click.echo(f"{key} is off the list.")


_listing(vip, VIP)
_listing(black, BLACK)


def _key(context: Context, whom: str) -> str:
    country = context.settings().numbers.country
    try:
        return policy.whom(whom, lambda number: e164(number, country))
    except WrongRuleError as error:
        raise Problem(str(error)) from None


def _put(context: Context, name: str, entry: Entry) -> None:
    with context.database() as database:
        Routing(database).put(name, entry)
    click.echo(printable(_line(_row(entry))))


def _entries(rules: Rules, name: str) -> list[dict[str, Any]]:
    entries = rules.vip if name == VIP else rules.black
    return [_row(entry) for _, entry in sorted(entries.items())]


def _row(entry: Entry) -> dict[str, Any]:
    return {"whom": entry.whom, "order": list(entry.order), "off_duty": entry.off_duty, "note": entry.note or None}


def _line(row: dict[str, Any]) -> str:
    parts = [row["whom"], " ".join(row["order"]), "off duty too" if row["off_duty"] else "", row["note"] or ""]
    return "  ".join(part for part in parts if part)


# --- showing -------------------------------------------------------------------------------------


def _shown(did: str, told: dict[str, dict[str, str]], rules: Rules) -> dict[str, Any]:
    in_force = rules.policy(did)

    def place(name: str) -> str:
        whose = rules.whose(name, did)
        return "usual" if whose is None else "line" if whose else "all lines"

    return {
        "did": did or None,
        "rules": {name: {"value": policy.text(name, getattr(in_force, name)), "set": place(name)} for name in RULES},
        "lines": {line: words for line, words in told.items() if line != ALL_LINES and did in (ALL_LINES, line)},
        "vip": _entries(rules, VIP),
        "black": _entries(rules, BLACK),
    }


def _print_rules(found: dict[str, Any]) -> None:
    output = console()
    table = Table(box=None, pad_edge=False)
    for title in ("rule", "value", "set for"):
        table.add_column(title, overflow="fold")
    for name, rule in found["rules"].items():
        place = {"usual": "—", "line": f"line {found['did']}"}.get(rule["set"], rule["set"])
        table.add_row(name, safe(rule["value"]), safe(place))
    output.print(table)
    if found["did"] is None:
        for line, words in sorted(found["lines"].items()):
            output.print(f"[bold]line {safe(line)}[/bold]  " + "; ".join(f"{k} {safe(v)}" for k, v in words.items()))
    for name in (VIP, BLACK):
        for row in found[name]:
            output.print(f"[bold]{name}[/bold]  {safe(_line(row))}")
