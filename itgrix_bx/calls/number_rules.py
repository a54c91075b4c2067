"""Rules for rewriting numbers, in the order of the administrator: 8 → +7, a dial prefix away, a plus more or less.

Each is tried once, from the first to the last, on what the one before has left; then the numbering plan of the country
makes E.164 of it. A number that comes with its `+` is touched only by rules whose prefix begins with one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from itgrix_bx.calls.call import IN, OUT
from itgrix_bx.calls.numbers import LONGEST
from itgrix_bx.words import Phrase, SpokenError

MOST_RULES = 200
LONGEST_NAME = 80  # of a trunk or a DID
_DIGITS = re.compile(r"\+?[0-9]*")


class RuleError(SpokenError, ValueError):
    """A rule that cannot be: one sentence that names it and the cure."""


@dataclass(frozen=True, slots=True)
class Where:
    """The way a number takes: what a rule may ask about. `direction`: in | out; empty: not known."""

    direction: str
    trunk: str = ""
    did: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to numbers that begin with `prefix` and have so many digits (0: any number of them).

    `to` replaces the prefix; with `extension` they are extensions of ours instead. Empty `direction`, `trunk` and
    `did` ask for nothing.
    """

    prefix: str = ""
    to: str = ""
    shortest: int = 0
    longest: int = 0
    extension: bool = False
    direction: str = ""
    trunk: str = ""
    did: str = ""
    rule_id: int = 0

    def is_for(self, where: Where) -> bool:
        """Whether calls of this way are meant."""
        return (
            self.direction in ("", where.direction)
            and (not self.trunk or self.trunk.casefold() == where.trunk.casefold())
            and (not self.did or self.did.removeprefix("+") == where.did.removeprefix("+"))
        )

    def fits(self, number: str) -> bool:
        """Whether it does something to a number, which is digits after at most one `+`."""
        if number.startswith("+") != self.prefix.startswith("+") or not number.startswith(self.prefix):
            return False
        count = len(number.removeprefix("+"))
        in_length = self.shortest <= count and (not self.longest or count <= self.longest)
        return in_length and (self.extension or any(c != "+" for c in self.rewritten(number)))

    def rewritten(self, number: str) -> str:
        """A number that fits, after the rule."""
        return number if self.extension else self.to + number[len(self.prefix) :]

    @property
    def sentence(self) -> Phrase:
        """The rule for people."""
        return Phrase(
            "{calls}: {numbers}: {then}", {"calls": self._calls, "numbers": self._numbers, "then": self._then}
        )

    @property
    def _calls(self) -> Phrase:
        calls = {IN: Phrase("inbound calls"), OUT: Phrase("outbound calls")}.get(self.direction, Phrase("all calls"))
        if self.trunk:
            calls = Phrase("{calls} of trunk {trunk}", {"calls": calls, "trunk": self.trunk})
        return Phrase("{calls} to {did}", {"calls": calls, "did": self.did}) if self.did else calls

    @property
    def _numbers(self) -> Phrase:
        numbers = Phrase("numbers")
        if self.shortest or self.longest:
            numbers = Phrase("{length}-digit numbers", {"length": length(self.shortest, self.longest)})
        if not self.prefix:
            return numbers
        return Phrase("{numbers} that begin with {prefix}", {"numbers": numbers, "prefix": self.prefix})

    @property
    def _then(self) -> Phrase:
        if self.extension:
            return Phrase("they are extensions")
        if not self.prefix:
            return Phrase("{to} is put before them", {"to": self.to})
        if not self.to:
            return Phrase("{prefix} is taken away", {"prefix": self.prefix})
        return Phrase("{prefix} becomes {to}", {"prefix": self.prefix, "to": self.to})


def length(shortest: int, longest: int) -> str:
    """A range of lengths as it is written: 11, 7–10, 5+ or nothing."""
    if shortest == longest:
        return str(shortest or "")
    return f"{shortest}–{longest}" if longest else f"{shortest}+"


def check(rule: Rule, others: Sequence[Rule] = ()) -> None:
    """Whether the rule may stand beside the others. Raises RuleError."""
    for wrong, cure in (*_wrong_text(rule), *_wrong_sense(rule)):
        if wrong:
            raise RuleError(Phrase("the rule “{rule}” cannot be: {cure}", {"rule": rule.sentence, "cure": cure}))
    if len(others) >= MOST_RULES:
        most = {"rule": rule.sentence, "most": MOST_RULES}
        raise RuleError(Phrase("the rule “{rule}” is one too many: remove one of the {most} there are", most))
    for other in others:
        if str(other.sentence) == str(rule.sentence):
            same = {"rule": rule.sentence, "id": other.rule_id}
            raise RuleError(Phrase("the rule “{rule}” is there already: it is rule {id}", same))


def _wrong_text(rule: Rule) -> list[tuple[bool, Phrase]]:
    names = (rule.trunk, rule.did)
    digits, signs = {"most": LONGEST}, {"most": LONGEST_NAME}
    return [
        (not _is_number(rule.prefix), Phrase("a prefix is up to {most} digits, after a + if need be", digits)),
        (
            not _is_number(rule.to),
            Phrase("what stands for the prefix is up to {most} digits, after a + if need be", digits),
        ),
        (
            any(len(name) > LONGEST_NAME for name in names),
            Phrase("a trunk or DID has at most {most} characters", signs),
        ),
        (
            not all(name.isprintable() for name in names),
            Phrase("write the trunk and the DID without control characters"),
        ),
        (rule.direction not in ("", IN, OUT), Phrase("the direction is in or out")),
    ]


def _wrong_sense(rule: Rule) -> list[tuple[bool, Phrase]]:
    backwards = bool(rule.longest) and rule.shortest > rule.longest
    every = not rule.prefix and not rule.shortest and not rule.longest
    return [
        (rule.shortest < 0 or rule.longest < 0 or backwards, Phrase("give the length as 11, 7-10 or 5+")),
        (rule.shortest > 64 or rule.longest > 64, Phrase("no number has so many digits, give a length up to 64")),
        (bool(rule.did) and rule.direction == OUT, Phrase("only inbound calls have a DID, leave it out or say `in`")),
        (rule.extension and bool(rule.to), Phrase("an extension is not rewritten, give either --to or --extension")),
        (rule.extension and every, Phrase("it would make an extension of every number, give a --prefix or a --length")),
        (
            not rule.extension and rule.prefix == rule.to,
            Phrase("it changes nothing, give a --to that differs from the prefix"),
        ),
        (
            every and not rule.extension and rule.to != "+",
            Phrase("it is for every number, give a --prefix or a --length"),
        ),
    ]


def _is_number(text: str) -> bool:
    return len(text) <= LONGEST and text.isascii() and _DIGITS.fullmatch(text) is not None
