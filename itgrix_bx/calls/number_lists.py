"""White and black lists: which calls are for the CRM, by number, DID, trunk and extension."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from itgrix_bx.calls.numbers import e164
from itgrix_bx.words import Phrase, SpokenError

WHITE, BLACK = "white", "black"
NUMBER, DID, TRUNK, EXTENSION = "number", "did", "trunk", "extension"
KINDS, SUBJECTS = (WHITE, BLACK), (NUMBER, DID, TRUNK, EXTENSION)
LONGEST_VALUE = 80
_MOST_STARS = 2  # each makes looking at what callers send slower by a factor of its length

_SHORT = re.compile(r"[0-9?]{1,6}")
_NUMBER_PATTERN = re.compile(r"\+?[0-9*?]+")

_SUBJECT_NAMES = {
    NUMBER: Phrase("the number"),
    DID: Phrase("the DID"),
    TRUNK: Phrase("the trunk"),
    EXTENSION: Phrase("the extension"),
}
_KINDS_OF_VALUE = {
    NUMBER: Phrase("telephone number"),
    DID: Phrase("DID"),
    TRUNK: Phrase("trunk"),
    EXTENSION: Phrase("extension"),
}
_LISTS = {WHITE: Phrase("white list of {whom}"), BLACK: Phrase("black list of {whom}")}
_WHOM = {
    NUMBER: Phrase("numbers"),
    DID: Phrase("DIDs"),
    TRUNK: Phrase("trunks"),
    EXTENSION: Phrase("extensions"),
}


class EntryError(SpokenError, ValueError):
    """An entry that cannot be: one sentence that names it and the cure."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A line of a list. `kind`: white | black; `what`: number | did | trunk | extension; in `value` a `*` stands for
    any characters, a `?` for one."""

    kind: str
    what: str
    value: str

    @property
    def list_name(self) -> Phrase:
        """The name of its list."""
        return replace(_LISTS[self.kind], values={"whom": _WHOM[self.what]})


def entry(kind: str, what: str, value: str, country: str) -> Entry:
    """The entry a person wrote, a number in the spelling in which numbers are compared. Raises EntryError."""
    value = value.strip()
    if not value or len(value) > LONGEST_VALUE or not value.isprintable():
        wrong = {"value": value[:LONGEST_VALUE], "what": _KINDS_OF_VALUE[what], "most": LONGEST_VALUE}
        raise EntryError(Phrase("{value!r} is no {what}: give 1 to {most} characters", wrong))
    if value.count("*") > _MOST_STARS:
        many = {"value": value, "most": _MOST_STARS}
        raise EntryError(Phrase("{value!r} has more than {most} stars: say what matters and leave the rest to ?", many))
    if what == NUMBER:
        value = _number(value, country)
    return Entry(kind, what, value)


def _number(value: str, country: str) -> str:
    is_pattern = "*" in value or "?" in value
    number = re.sub(r"[\s()-]", "", value) if is_pattern else e164(value, country)
    if not number or (is_pattern and not _NUMBER_PATTERN.fullmatch(number)):
        none = Phrase("{value!r} is no telephone number: give one, or its beginning and a *", {"value": value})
        raise EntryError(none)
    if is_pattern and number[0] not in "+*?" and not _SHORT.fullmatch(number):
        # 8495* would never name anybody: a caller from there is +7495….
        nobody = Phrase(
            "{value!r} would name nobody: numbers are compared in E.164, so write a pattern as +7495* "
            "(`itgrix-bx numbers test NUMBER` shows how a number comes out)",
            {"value": value},
        )
        raise EntryError(nobody)
    return number


class _Names:
    """The values of one list, quickly looked up; letters without case, and no matter whether a + is before a number.

    In patterns for callers' numbers it matters: +7* is the country, not the service number 707.
    """

    def __init__(self, what: str, values: Iterable[str]) -> None:
        known = list(values)
        self._spelled: Callable[[str], str] = str if what == NUMBER else _key
        self._exact = {_key(value): value for value in known if not _is_pattern(value)}
        self._patterns = [(_compiled(self._spelled(value)), value) for value in known if _is_pattern(value)]

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def find(self, value: str) -> str:
        """The entry that names the value, "" when none does."""
        key = _key(value)
        if key in self._exact:
            return self._exact[key]
        spelled = self._spelled(value)
        return next((told for pattern, told in self._patterns if pattern.fullmatch(spelled)), "")


def _key(value: str) -> str:
    return value.removeprefix("+").casefold()


def _is_pattern(value: str) -> bool:
    return "*" in value or "?" in value


def _compiled(value: str) -> re.Pattern[str]:
    # Stars in a row would make matching slow, and mean the same.
    parts = re.split(r"(\*|\?)", re.sub(r"\*+", "*", value))
    return re.compile("".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts), re.IGNORECASE)


@dataclass(frozen=True)
class Lists:
    """All lists. `blocked`: numbers (E.164 or digits) the PBX itself turns away; `no_anonymous`: it turns away callers
    without a number too."""

    entries: frozenset[Entry] = frozenset()
    blocked: frozenset[str] = frozenset()
    no_anonymous: bool = False
    _all: dict[tuple[str, str], _Names] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            for what in SUBJECTS:
                names = _Names(what, sorted(e.value for e in self.entries if (e.kind, e.what) == (kind, what)))
                if names:
                    self._all[kind, what] = names

    def against(self, known: dict[str, str]) -> Phrase | None:
        """Why a call is not for the CRM, None when it is. `known`: what is known of it by subject; of what is not known
        nothing is asked."""
        if not self._all:
            return None
        subjects = [(what, value) for what, value in known.items() if value]
        for what, value in subjects:
            if (names := self._all.get((BLACK, what))) and (told := names.find(value)):
                return _on_the_black_list(what, value, told)
        for what, value in subjects:
            if (names := self._all.get((WHITE, what))) and not names.find(value):
                values = {"subject": _SUBJECT_NAMES[what], "value": value}
                return Phrase("{subject} {value} is not on the white list", values)
        return None


def _on_the_black_list(what: str, value: str, told: str) -> Phrase:
    values = {"subject": _SUBJECT_NAMES[what], "value": value, "entry": told}
    if told == value:
        return Phrase("{subject} {value} is on the black list", values)
    return Phrase("{subject} {value} is on the black list as {entry}", values)
