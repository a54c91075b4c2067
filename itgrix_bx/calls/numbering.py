"""What a number is and whether its call is for the CRM: rules, extensions, numbering plan and lists, in this order.

A `Numbering` is one snapshot of everything that decides; each decision says its steps in words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from itgrix_bx.calls.call import IN, INTERNAL, OUT, Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import CHECK_ID
from itgrix_bx.calls.number_lists import DID, EXTENSION, NUMBER, TRUNK, Lists
from itgrix_bx.calls.number_rules import Rule, Where
from itgrix_bx.calls.numbers import e164, spelling
from itgrix_bx.words import Phrase


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision. `rule_id`: the rule that took it, 0 for any other step."""

    name: str  # anonymous | digits | extension | rule | plan
    number: str  # afterwards
    said: Phrase
    rule_id: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A number as the CRM gets it: E.164, or bare digits of what is no telephone number; "" when there is none."""

    number: str
    internal: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a call is not for the CRM."""

    reason: Phrase
    internal: bool = False


@dataclass(frozen=True)
class Numbering:
    """`country` and `anonymous` as in [numbers]; rules in their order; `internal`: calls among our own phones are for
    the CRM too."""

    country: str
    anonymous: str = ""
    rules: tuple[Rule, ...] = ()
    lists: Lists = field(default_factory=Lists)
    internal: bool = False

    def read(self, raw: str, where: Where, directory: Directory) -> Reading:
        """What the number means that a call brought on this way."""
        number = spelling(raw)
        if not number:
            return self._nobody(where)
        steps = []
        if number != raw:
            steps.append(Step("digits", number, Phrase("only its digits count: {number}", {"number": number})))
        for rule in (None, *self.rules):
            if rule is not None:
                if not (rule.is_for(where) and rule.fits(number)):
                    continue
                number = rule.rewritten(number)
                steps.append(_by_rule(rule, number))
                if rule.extension:
                    return Reading(number, True, tuple(steps))
            if directory.is_extension(number.removeprefix("+")):
                return self._extension(number.removeprefix("+"), directory, steps)
        final = e164(number, self.country)
        return Reading(final, False, (*steps, _by_plan(final, self.country)))

    def _nobody(self, where: Where) -> Reading:
        stand_in = e164(self.anonymous, self.country) if where.direction == IN else ""
        if not stand_in:
            return Reading("", False, (Step("anonymous", "", Phrase("there is no telephone number")),))
        said = Phrase("there is no telephone number; [numbers] anonymous gives {number}", {"number": stand_in})
        return Reading(stand_in, False, (Step("anonymous", stand_in, said),))

    def _extension(self, number: str, directory: Directory, steps: list[Step]) -> Reading:
        whose = directory.user_of(number)
        values = {"number": number, "user": whose}
        said = Phrase("{number} is the extension of user {user}", values)
        if whose is None:
            said = Phrase("{number} is an extension of the PBX", values)
        return Reading(number, True, (*steps, Step("extension", number, said)))

    def skip(self, call: Call, directory: Directory) -> Skip | None:
        """Why a call is not for the CRM; None when it is. Its `client_number` has been read."""
        if call.call_id.startswith(CHECK_ID):
            return Skip(Phrase("a test call of `dialplan check`"))
        number, where = call.client_number, Where(call.direction, call.trunk, call.did)
        if not number:
            return Skip(Phrase("no telephone number; for anonymous callers see [numbers] anonymous"))
        if call.direction != INTERNAL and self.is_extension(number, where, directory):
            return Skip(Phrase("an internal call"), internal=True)
        reason = self._blocked(number, where) or self.lists.against(
            {
                NUMBER: number,
                DID: where.did if where.direction == IN else "",
                TRUNK: where.trunk,
                EXTENSION: call.caller_extension if where.direction != IN else "",
            }
        )
        return None if reason is None else Skip(reason)

    def direction_to(self, number: str, trunk: str, directory: Directory) -> str:
        """What a call of one of ours to a number that has been read is: INTERNAL where that is wanted, else OUT."""
        return INTERNAL if self.internal and self.is_extension(number, Where(OUT, trunk), directory) else OUT

    def is_extension(self, number: str, where: Where, directory: Directory) -> bool:
        """Whether a number that has been read is one of ours."""
        if number.startswith("+"):
            return directory.is_extension(number[1:])
        by_rule = (rule for rule in self.rules if rule.extension and rule.is_for(where) and rule.fits(number))
        return directory.is_extension(number) or next(by_rule, None) is not None

    def _blocked(self, number: str, where: Where) -> Phrase | None:
        """The PBX's own black list, which is about callers."""
        if where.direction != IN:
            return None
        if number in self.lists.blocked:
            return Phrase("the number {number} is on the black list of the PBX", {"number": number})
        if self.lists.no_anonymous and number == e164(self.anonymous, self.country):
            return Phrase("the PBX turns away callers without a number")
        return None

    def with_blocked(self, keys: frozenset[str], *, no_anonymous: bool) -> Numbering:
        """With the PBX's own black list, its numbers as people typed them there."""
        numbers = frozenset(filter(None, (e164(key, self.country) for key in keys)))
        return replace(self, lists=Lists(self.lists.entries, numbers, no_anonymous))


def _by_rule(rule: Rule, number: str) -> Step:
    values = {"id": rule.rule_id, "rule": rule.sentence, "number": number}
    return Step("rule", number, Phrase("rule {id} ({rule}) makes it {number}", values), rule.rule_id)


def _by_plan(number: str, country: str) -> Step:
    values = {"number": number, "country": country}
    if number.startswith("+"):
        return Step("plan", number, Phrase("the numbering plan of {country} makes it {number}", values))
    return Step("plan", number, Phrase("in the numbering plan of {country} it is no number: its digits stay", values))
