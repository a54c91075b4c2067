"""`itgrix-bx numbers test|rules|lists`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from itgrix_bx.calls.call import IN, OUT, Call
from itgrix_bx.calls.number_lists import KINDS, SUBJECTS, Entry, EntryError, entry
from itgrix_bx.calls.number_rules import Rule, RuleError, Where
from itgrix_bx.calls.numbering import Reading, Skip
from itgrix_bx.cli.common import Context, Problem, echo_json, printable
from itgrix_bx.numbers import numbering
from itgrix_bx.words import LANGUAGES, Phrase, preferred
from sql.numbers import BLOCKED
from sql.numbers import Numbers as Store
from sql.staff import Staff

_lang = click.option("--lang", type=click.Choice(LANGUAGES), help="Language of the words.  [default: by the locale]")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group()
def numbers() -> None:
    """What telephone numbers mean, and which are for the CRM.

    Rules rewrite numbers as trunks send and take them, in their order; what they leave becomes E.164 by the numbering
    plan of [numbers] country. Lists say which calls are for the CRM. Changes count from the next call on, without a
    restart.
    """


@numbers.command()
@click.argument("number")
@click.option("--direction", type=click.Choice([IN, OUT]), default=IN, show_default=True, help="Of the call.")
@click.option("--trunk", default="", help="The trunk, as the PBX names it: mts of PJSIP/mts-0000001a.")
@click.option("--did", default="", help="The number a client has dialled.")
@click.option("--extension", default="", help="Who dials, for an outbound call.")
@_lang
@_json
@click.pass_obj
def test(
    context: Context, number: str, direction: str, trunk: str, did: str, extension: str, lang: str | None, as_json: bool
) -> None:
    """Explain step by step what becomes of NUMBER, as a call would bring it."""
    settings = context.settings()
    if did and direction == OUT:
        raise click.UsageError("only inbound calls have a --did")
    way = Where(direction, trunk, did)
    with context.database() as database:
        known, directory = numbering(Store(database), settings.numbers), Staff(database).directory()
    reading = known.read(number, way, directory)
    caller = extension if direction == OUT else ""
    call = Call("test", direction, client_number=reading.number, trunk=trunk, did=did, caller_extension=caller)
    skip = known.skip(call, directory)
    lang = lang or preferred()
    if as_json:
        echo_json(_result(number, way, reading, skip, lang))
        return
    click.echo(printable(number))
    for step in reading.steps:
        click.echo(f"→ {printable(step.said.said(lang))}")
    click.echo(printable(_verdict(reading, skip).said(lang)))


def _verdict(reading: Reading, skip: Skip | None) -> Phrase:
    if skip is None:
        return Phrase("the call goes to the CRM with the number {number}", {"number": reading.number})
    return Phrase("the call does not go to the CRM: {reason}", {"reason": skip.reason})


def _result(number: str, way: Where, reading: Reading, skip: Skip | None, lang: str) -> dict[str, Any]:
    return {
        "number": number,
        "direction": way.direction,
        "trunk": way.trunk or None,
        "did": way.did or None,
        "result": reading.number or None,
        "internal": reading.internal,
        "crm": skip is None,
        "reason": skip.reason.said(lang) if skip else None,
        "steps": [
            {"step": step.name, "rule": step.rule_id or None, "number": step.number, "text": step.said.said(lang)}
            for step in reading.steps
        ],
    }


# --- rules ---------------------------------------------------------------------------------------


@numbers.group()
def rules() -> None:
    """How numbers are rewritten before they become E.164."""


@rules.command("list")
@_lang
@_json
@click.pass_obj
def list_rules(context: Context, lang: str | None, as_json: bool) -> None:
    """The rules in their order."""
    with context.database() as database:
        found = Store(database).read().rules
    rows = [_row(rule, position, lang or preferred()) for position, rule in enumerate(found, 1)]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(f"{row['position']:>3}. rule {row['id']}: {printable(row['sentence'])}")
    if not rows:
        click.echo("No rules: numbers are read by the numbering plan of [numbers] country alone.")


def _row(rule: Rule, position: int, lang: str) -> dict[str, Any]:
    return {
        "position": position,
        "id": rule.rule_id,
        "direction": rule.direction or None,
        "trunk": rule.trunk or None,
        "did": rule.did or None,
        "prefix": rule.prefix or None,
        "shortest": rule.shortest or None,
        "longest": rule.longest or None,
        "to": None if rule.extension else rule.to,
        "extension": rule.extension,
        "sentence": rule.sentence.said(lang),
    }


@rules.command("add")
@click.option("--prefix", default="", help="Only numbers that begin so; this is what --to replaces.")
@click.option("--length", default="", metavar="N", help="Only numbers of so many digits: 11, 7-10 or 5+.")
@click.option("--to", default=None, help="What stands in the prefix's place; '' takes the prefix away.")
@click.option("--extension", is_flag=True, help="These numbers are extensions: their calls are internal.")
@click.option("--direction", type=click.Choice([IN, OUT]), help="Only calls of this direction.")
@click.option("--trunk", default="", help="Only calls of this trunk.")
@click.option("--did", default="", help="Only calls to this DID.")
@click.option("--at", "position", type=click.IntRange(min=1), help="Its position, from 1.  [default: the last]")
@click.pass_obj
def add_rule(
    context: Context, prefix: str, length: str, to: str | None, extension: bool, direction: str | None, trunk: str,
    did: str, position: int | None,
) -> None:  # fmt: skip
    """Add a rule.

    \b
    8 and ten digits more from every trunk:  --prefix 8 --length 11 --to +7
    a dial prefix for outside lines:         --direction out --prefix 9 --length 8+ --to ''
    a trunk that leaves the plus out:        --trunk mts --direction in --length 10+ --to +
    local numbers of a city:                 --direction in --length 7 --to +7495
    extensions of another office:            --trunk office2 --length 4 --extension
    """
    if to is None and not extension:
        raise click.UsageError("say what becomes of the numbers: --to TEXT, or --extension")
    shortest, longest = _lengths(length)
    rule = Rule(prefix.strip(), (to or "").strip(), shortest, longest, extension, direction or "", trunk, did)
    with context.database() as database:
        try:
            rule_id = Store(database).add_rule(rule, position)
        except RuleError as error:
            raise Problem(str(error)) from None
    click.echo(f"Rule {rule_id}: {printable(rule.sentence)}.")


def _lengths(text: str) -> tuple[int, int]:
    first, dash, last = text.strip().replace("–", "-").partition("-")
    if not text.strip():
        return 0, 0
    at_least = first.endswith("+") and not dash
    bounds = [first.removesuffix("+"), last if dash else first.removesuffix("+")]
    if not all(bound.isascii() and bound.isdecimal() and len(bound) < 4 and int(bound) for bound in bounds):
        raise Problem(f"{text!r} is no length: give the number of digits as 11, 7-10 or 5+")
    return int(bounds[0]), 0 if at_least else int(bounds[1])


@rules.command("remove")
@click.argument("rule_id", type=int)
@click.pass_obj
def remove_rule(context: Context, rule_id: int) -> None:
    """Take rule RULE_ID away."""
    with context.database() as database:
        if not Store(database).remove_rule(rule_id):
            raise _no_rule(rule_id)
    click.echo(f"Rule {rule_id} is no more.")


@rules.command("move")
@click.argument("rule_id", type=int)
@click.argument("position", type=click.IntRange(min=1))
@click.pass_obj
def move_rule(context: Context, rule_id: int, position: int) -> None:
    """Put rule RULE_ID at POSITION, from 1: the first is tried first."""
    with context.database() as database:
        if not Store(database).move_rule(rule_id, position):
            raise _no_rule(rule_id)
        found = [rule.rule_id for rule in Store(database).read().rules]
    click.echo(f"Rule {rule_id} is number {found.index(rule_id) + 1} of {len(found)}.")


def _no_rule(rule_id: int) -> Problem:
    return Problem(f"there is no rule {rule_id}; `itgrix-bx numbers rules list` shows them")


# --- lists ---------------------------------------------------------------------------------------


@numbers.group()
def lists() -> None:
    """Which calls are for the CRM.

    Calls on a black list are skipped. Where a white list names numbers (DIDs, trunks, extensions), only calls with one
    of them go to the CRM. What is not known of a call is not asked: inbound calls have no extension yet, outbound
    calls no DID.
    """


@lists.command("show")
@_json
@click.pass_obj
def show_lists(context: Context, as_json: bool) -> None:
    """All lists; the PBX's own black list too, as last read from it."""
    with context.database() as database:
        stored = Store(database).read()
    rows = list(_entries(stored.entries, stored.blocked))
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(f"{row['list']:6} {row['what']:10} {printable(row['value'] or 'without a number')}{_from(row)}")
    if not rows:
        click.echo("No lists: all calls but internal ones go to the CRM.")


def _entries(entries: frozenset[Entry], blocked: frozenset[str]) -> Iterator[dict[str, str]]:
    for one in sorted(entries):
        yield {"list": one.kind, "what": one.what, "value": one.value, "source": "administrator"}
    for number in sorted(blocked):
        yield {"list": "black", "what": "number", "value": number, "source": "pbx"}


def _from(row: dict[str, str]) -> str:
    return "  (the PBX's own)" if row["source"] == "pbx" else ""


@lists.command("add")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", type=click.Choice(SUBJECTS))
@click.argument("value")
@click.pass_obj
def add_entry(context: Context, kind: str, what: str, value: str) -> None:
    """Put VALUE on a list; in it a * stands for anything and a ? for one character.

    \b
    numbers lists add black number 84951234567
    numbers lists add black number '+7800*'
    numbers lists add white did '7495*'
    """
    one = _entry(context, kind, what, value)
    with context.database() as database:
        new = Store(database).add_entry(one)
    click.echo(f"{printable(one.value)} is {'now' if new else 'already'} on the {kind} list of {what}s.")


@lists.command("remove")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", type=click.Choice(SUBJECTS))
@click.argument("value")
@click.pass_obj
def remove_entry(context: Context, kind: str, what: str, value: str) -> None:
    """Take VALUE from a list, written as `numbers lists show` shows it."""
    one = _entry(context, kind, what, value)
    with context.database() as database:
        store = Store(database)
        if not store.remove_entry(one):
            its_own = what == "number" and value in store.pbx(BLOCKED)
            cure = "take it away there" if its_own else "`itgrix-bx numbers lists show` shows what is"
            where = "is on the PBX's own list" if its_own else f"is not on the {kind} list of {what}s"
            raise Problem(f"{one.value} {where}; {cure}")
    click.echo(f"{printable(one.value)} is no longer on the {kind} list of {what}s.")


def _entry(context: Context, kind: str, what: str, value: str) -> Entry:
    try:
        return entry(kind, what, value, context.settings().numbers.country)
    except EntryError as error:
        raise Problem(str(error)) from None
