"""`itgrix-bx numbers test|rules|lists`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from itgrix_bx.calls.call import IN, INTERNAL, OUT, Call
from itgrix_bx.calls.number_lists import KINDS, SUBJECTS, Entry, EntryError, entry
from itgrix_bx.calls.number_rules import Rule, RuleError, Where
from itgrix_bx.calls.numbering import Reading, Skip
from itgrix_bx.cli.common import LANG, Context, Group, Problem, echo_json, printable
from itgrix_bx.numbers import numbering
from itgrix_bx.words import Phrase, as_is
from sql.numbers import BLOCKED
from sql.numbers import Numbers as Store
from sql.staff import Staff

_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(cls=Group)
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
@LANG
@_json
@click.pass_obj
def test(context: Context, number: str, direction: str, trunk: str, did: str, extension: str, as_json: bool) -> None:
    """Explain step by step what becomes of NUMBER, as a call would bring it."""
    settings = context.settings()
    if did and direction == OUT:
        raise click.UsageError(context.words(Phrase("only inbound calls have a --did")))
    way = Where(direction, trunk, did)
    with context.database() as database:
        known, directory = numbering(Store(database), settings.numbers), Staff(database).directory()
    reading = known.read(number, way, directory)
    caller = extension if direction == OUT else ""
    meant = direction if direction == IN else known.direction_to(reading.number, trunk, directory)
    call = Call("test", meant, client_number=reading.number, trunk=trunk, did=did, caller_extension=caller)
    skip = known.skip(call, directory)
    if as_json:
        echo_json(_result(number, way, reading, skip, context.lang))
        return
    click.echo(printable(number))
    for step in reading.steps:
        click.echo(f"→ {context.words(step.said)}")
    context.say(_verdict(call, skip))


def _verdict(call: Call, skip: Skip | None) -> Phrase:
    values = {"number": call.client_number}
    if skip is None and call.direction == INTERNAL:
        return Phrase("the call goes to the CRM as an internal one, with the number {number}", values)
    if skip is None:
        return Phrase("the call goes to the CRM with the number {number}", values)
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


# --- internal calls ------------------------------------------------------------------------------


@numbers.command()
@click.argument("switch", type=click.Choice(["on", "off"]), required=False)
@LANG
@click.pass_obj
def internal(context: Context, switch: str | None) -> None:
    """Whether calls among your own extensions are for the CRM; `on` or `off` changes it.

    They are off by default. The dialplan must report them too: `itgrix-bx dialplan install --internal`.
    """
    with context.database() as database:
        store = Store(database)
        if switch is not None:
            store.set_internal(switch == "on")
        on = store.read().internal
    for_it = Phrase("Calls between extensions are for the CRM.")
    context.say(for_it if on else Phrase("Calls between extensions are not for the CRM."))
    if switch == "on":
        context.say(Phrase("The dialplan must report them too: `itgrix-bx dialplan install --internal`"))


# --- rules ---------------------------------------------------------------------------------------


@numbers.group(cls=Group)
def rules() -> None:
    """How numbers are rewritten before they become E.164."""


@rules.command("list")
@LANG
@_json
@click.pass_obj
def list_rules(context: Context, as_json: bool) -> None:
    """The rules in their order."""
    with context.database() as database:
        found = Store(database).read().rules
    rows = [_row(rule, position, context.lang) for position, rule in enumerate(found, 1)]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        context.say(Phrase("{position:>3}. rule {id}: {sentence}", row))
    if not rows:
        context.say(Phrase("No rules: numbers are read by the numbering plan of [numbers] country alone."))


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
@LANG
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
        missing = Phrase("say what becomes of the numbers: --to TEXT, or --extension")
        raise click.UsageError(context.words(missing))
    shortest, longest = _lengths(context, length)
    rule = Rule(prefix.strip(), (to or "").strip(), shortest, longest, extension, direction or "", trunk, did)
    with context.database() as database:
        try:
            rule_id = Store(database).add_rule(rule, position)
        except RuleError as error:
            raise context.problem(error.said) from None
    context.say(Phrase("Rule {id}: {rule}.", {"id": rule_id, "rule": rule.sentence}))


def _lengths(context: Context, text: str) -> tuple[int, int]:
    first, dash, last = text.strip().replace("–", "-").partition("-")
    if not text.strip():
        return 0, 0
    at_least = first.endswith("+") and not dash
    bounds = [first.removesuffix("+"), last if dash else first.removesuffix("+")]
    if not all(bound.isascii() and bound.isdecimal() and len(bound) < 4 and int(bound) for bound in bounds):
        wrong = Phrase("{text!r} is no length: give the number of digits as 11, 7-10 or 5+", {"text": text})
        raise context.problem(wrong)
    return int(bounds[0]), 0 if at_least else int(bounds[1])


@rules.command("remove")
@click.argument("rule_id", type=int)
@LANG
@click.pass_obj
def remove_rule(context: Context, rule_id: int) -> None:
    """Take rule RULE_ID away."""
    with context.database() as database:
        if not Store(database).remove_rule(rule_id):
            raise _no_rule(context, rule_id)
    context.say(Phrase("Rule {id} is no more.", {"id": rule_id}))


@rules.command("move")
@click.argument("rule_id", type=int)
@click.argument("position", type=click.IntRange(min=1))
@LANG
@click.pass_obj
def move_rule(context: Context, rule_id: int, position: int) -> None:
    """Put rule RULE_ID at POSITION, from 1: the first is tried first."""
    with context.database() as database:
        if not Store(database).move_rule(rule_id, position):
            raise _no_rule(context, rule_id)
        found = [rule.rule_id for rule in Store(database).read().rules]
    place = {"id": rule_id, "place": found.index(rule_id) + 1, "count": len(found)}
    context.say(Phrase("Rule {id} is number {place} of {count}.", place))


def _no_rule(context: Context, rule_id: int) -> Problem:
    return context.problem(Phrase("there is no rule {id}; `itgrix-bx numbers rules list` shows them", {"id": rule_id}))


# --- lists ---------------------------------------------------------------------------------------


@numbers.group(cls=Group)
def lists() -> None:
    """Which calls are for the CRM.

    Calls on a black list are skipped. Where a white list names numbers (DIDs, trunks, extensions), only calls with one
    of them go to the CRM. What is not known of a call is not asked: inbound calls have no extension yet, outbound
    calls no DID.
    """


@lists.command("show")
@_json
@LANG
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
        value = as_is(row["value"]) if row["value"] else Phrase("without a number")
        said = Phrase("{value}  (the PBX's own)", {"value": value}) if row["source"] == "pbx" else value
        click.echo(f"{row['list']:6} {row['what']:10} {context.words(said)}")
    if not rows:
        all_calls = Phrase("No lists: all calls go to the CRM.")
        context.say(all_calls if stored.internal else Phrase("No lists: all calls but internal ones go to the CRM."))


def _entries(entries: frozenset[Entry], blocked: frozenset[str]) -> Iterator[dict[str, str]]:
    for one in sorted(entries):
        yield {"list": one.kind, "what": one.what, "value": one.value, "source": "administrator"}
    for number in sorted(blocked):
        yield {"list": "black", "what": "number", "value": number, "source": "pbx"}


@lists.command("add")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", type=click.Choice(SUBJECTS))
@click.argument("value")
@LANG
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
    where = {"value": one.value, "list": one.list_name}
    now, already = Phrase("{value} is now on the {list}.", where), Phrase("{value} is already on the {list}.", where)
    context.say(now if new else already)


@lists.command("remove")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", type=click.Choice(SUBJECTS))
@click.argument("value")
@LANG
@click.pass_obj
def remove_entry(context: Context, kind: str, what: str, value: str) -> None:
    """Take VALUE from a list, written as `numbers lists show` shows it."""
    one = _entry(context, kind, what, value)
    with context.database() as database:
        store = Store(database)
        if not store.remove_entry(one):
            where = {"value": one.value, "list": one.list_name}
            its_own = Phrase("{value} is on the PBX's own list; take it away there", where)
            missing = Phrase("{value} is not on the {list}; `itgrix-bx numbers lists show` shows what is", where)
            raise context.problem(its_own if what == "number" and value in store.pbx(BLOCKED) else missing)
    context.say(Phrase("{value} is no longer on the {list}.", {"value": one.value, "list": one.list_name}))


def _entry(context: Context, kind: str, what: str, value: str) -> Entry:
    try:
        return entry(kind, what, value, context.settings().numbers.country)
    except EntryError as error:
        raise context.problem(error.said) from None
