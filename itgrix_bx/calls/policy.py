"""The rules of routing as data: a policy for all lines and what single lines have otherwise, a VIP list, a black list.

Every rule is set with words and shown with the same words: what a table holds, a person can read.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

from itgrix_bx.calls.lines import TRUNK

ROLES = ("talker", "deal", "responsible", "deputy", "head", "line")
STATES = ("busy", "dnd", "ringing", "unreachable")  # of a device that is not rung
ENTITIES = ("contact", "company", "lead")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_SECONDS, MOST_DAYS, _MOST_STEPS = 120, 365, 20
ALL_LINES = ""

_PERSON = re.compile(r"user:[1-9][0-9]{0,17}|ext:[0-9]{1,40}")
_ENTITY = re.compile(rf"({'|'.join(ENTITIES)}):([1-9][0-9]{{0,17}})")
_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_ANY_YEAR = 4  # the first that has a 29th of February
_DAY_MIN = 24 * 60
_LONGEST_QUOTE = 40


class WrongRuleError(ValueError):
    """A rule that cannot be; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Hours of a line: days (0 is Monday) and minutes of the day; one that ends before it begins goes past midnight."""

    days: tuple[int, ...]
    since: int
    until: int

    def holds(self, local: datetime) -> bool:
        day, minute = local.weekday(), local.hour * 60 + local.minute
        if self.since < self.until:
            return day in self.days and self.since <= minute < self.until
        return (day in self.days and minute >= self.since) or ((day - 1) % 7 in self.days and minute < self.until)


@dataclass(frozen=True, slots=True)
class Holiday:
    """Days from `first` to `last`; `yearly`: in every year, and then over New Year too."""

    first: date
    last: date
    yearly: bool

    def holds(self, day: date) -> bool:
        if not self.yearly:
            return self.first <= day <= self.last
        of_any_year = day.replace(year=_ANY_YEAR)
        if self.first <= self.last:
            return self.first <= of_any_year <= self.last
        return of_any_year >= self.first or of_any_year <= self.last


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls to a line are routed. The defaults are the contract: the known client's responsible, unless off duty.

    `order`: whom to try (ROLES, `user:12`, `ext:104`), the first who can take the call is rung. `device`: the states in
    which an extension is not rung. `clients`: of several clients with one number the `first` alone, or `all` of them.
    """

    on: bool = True
    seconds: int = 15
    order: tuple[str, ...] = ("responsible",)
    device: tuple[str, ...] = ()
    workday: bool = True
    absence: bool = False
    hours: tuple[Opening, ...] = ()
    timezone: str = ""
    holidays: tuple[Holiday, ...] = ()
    talker_days: int = 30
    clients: str = "first"
    prefer: tuple[str, ...] = ()

    def local(self, at: float) -> datetime:
        """The line's own time; without a time zone this machine's."""
        zone = zoneinfo.ZoneInfo(self.timezone) if self.timezone else None
        return datetime.fromtimestamp(at, zone)

    def holiday(self, local: datetime) -> bool:
        return any(holiday.holds(local.date()) for holiday in self.holidays)

    def open(self, local: datetime) -> bool:
        return not self.hours or any(opening.holds(local) for opening in self.hours)

    def ended(self, local: datetime) -> str:
        """When the hours of this day were over before `local`, as HH:MM; empty when none were."""
        minute = local.hour * 60 + local.minute
        return max((_clock(end) for end in self._ends(local.weekday()) if end <= minute), default="")

    def begins(self, local: datetime) -> tuple[str, str]:
        """(day, HH:MM) of the next hours after `local`, within a week; holidays are not looked at."""
        minute = local.hour * 60 + local.minute
        for later in range(8):
            day = (local.weekday() + later) % 7
            since = [opening.since for opening in self.hours if day in opening.days]
            if coming := [begin for begin in since if later or begin > minute]:
                return DAYS[day], _clock(min(coming))
        return "", ""

    def _ends(self, day: int) -> Iterator[int]:
        for opening in self.hours:
            past_midnight = opening.until <= opening.since
            if ((day - 1) % 7 if past_midnight else day) in opening.days:
                yield opening.until


@dataclass(frozen=True, slots=True)
class Entry:
    """A client on the VIP or the black list. An `order` of its own goes before the policy's; `off_duty`: rung although
    the workday, the line's hours or an absence say otherwise."""

    whom: str
    order: tuple[str, ...] = ()
    off_duty: bool = False
    note: str = ""


VIP, BLACK = "vip", "black"


@dataclass(frozen=True)
class Rules:
    """All that was set. Lists are keyed by number (E.164) or entity (`contact:7`); `own` tells which rules were set for
    a line or trunk itself, or for all lines (ALL_LINES).
    """

    default: Policy = Policy()
    by_did: Mapping[str, Policy] = field(default_factory=dict)
    vip: Mapping[str, Entry] = field(default_factory=dict)
    black: Mapping[str, Entry] = field(default_factory=dict)
    own: Mapping[str, Collection[str]] = field(default_factory=dict)

    def policy(self, did: str, trunk: str = "") -> Policy:
        """The DID's (with or without +), else the trunk's, else that of all lines."""
        return self.by_did.get(self._line(did, trunk), self.default)

    def whose(self, name: str, did: str, trunk: str = "") -> str | None:
        """Where the rule in force was set: a DID, trunk/NAME or ALL_LINES; None: nowhere, it is the usual one."""
        if not self.own:
            return None
        places = (self._line(did, trunk), ALL_LINES)
        return next((place for place in places if name in self.own.get(place, ())), None)

    def _line(self, did: str, trunk: str) -> str:
        """Under what the rules of a call's line are kept; ALL_LINES when it has none."""
        return next((key for key in keys(did, trunk) if key in self.by_did), ALL_LINES)

    def wants_deals(self, did: str, trunk: str = "") -> bool:
        """Whether a call to this line must know its client's open deals."""
        policy = self.policy(did, trunk)
        orders = [policy.order, *(entry.order for entry in self.vip.values())]
        return policy.on and any("deal" in order for order in orders)

    @property
    def talker_days(self) -> int:
        """For how many days back it must be known who talked to whom; 0: nobody asks."""
        policies = [self.default, *self.by_did.values()]
        by_vip = any("talker" in entry.order for entry in self.vip.values())
        return max((p.talker_days for p in policies if by_vip or "talker" in p.order), default=0)


def keys(did: str, trunk: str = "") -> tuple[str, ...]:
    """What rules of a line may be kept under, the first found holds."""
    return did, did.lstrip("+"), "+" + did.lstrip("+"), TRUNK + trunk


def find(entries: Mapping[str, Entry], number: str, entities: Iterable[Mapping[str, Any]]) -> Entry | None:
    """The entry for a caller: by number, else by one of the clients found."""
    names = [number, *(f"{str(entity['type']).lower()}:{entity['id']}" for entity in entities)]
    return next((entries[name] for name in names if name in entries), None)


# --- words and values ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """How a rule is read from words and written as words; `form` teaches the words, those in `alone` stand alone."""

    parse: Callable[[Sequence[str]], Any]
    text: Callable[[Any], str]
    form: str
    alone: Collection[str] = ()


def parse(name: str, words: Sequence[str]) -> Any:
    """The value of rule `name`. Raises WrongRuleError with a sentence that names the rule."""
    rule = RULES.get(name)
    if rule is None:
        raise WrongRuleError(f"there is no rule {_quoted(name)}; there are {', '.join(RULES)}")
    single = [part for word in words for part in re.split(r"[\s,]+", word) if part]
    if not single:
        raise WrongRuleError(f"{name}: give a value: {rule.form}")
    try:
        if len(single) > 1 and (alone := next((word for word in single if word.lower() in rule.alone), "")):
            raise ValueError(f"{_quoted(alone)} stands alone")
        return rule.parse(single)
    except ValueError as error:
        raise WrongRuleError(f"{name}: {error}; it is set as {rule.form}") from None


def _quoted(said: str) -> str:
    return repr(said if len(said) <= _LONGEST_QUOTE else said[:_LONGEST_QUOTE] + "…")


def text(name: str, value: Any) -> str:
    """A rule's value in the words that set it."""
    return RULES[name].text(value)


def with_rules(policy: Policy, told: Mapping[str, str]) -> Policy:
    """`policy` with the rules that `told` has in words. Raises WrongRuleError."""
    return replace(policy, **{name: parse(name, [words]) for name, words in told.items()})


def whom(said: str, normal: Callable[[str], str]) -> str:
    """The key of a client on a list: an entity, or a number as `normal` writes it. Raises WrongRuleError."""
    word = said.strip().lower()
    if _ENTITY.fullmatch(word):
        return word
    number = normal(said) if not re.search(r"[A-Za-z:]", said) else ""
    if not number:
        raise WrongRuleError(f"{_quoted(said)} is no client: give a telephone number, or contact:7, company:3, lead:9")
    return number


def _one_of(words: Sequence[str], choices: Sequence[str]) -> str:
    if len(words) != 1 or words[0].lower() not in choices:
        raise ValueError(f"{_quoted(' '.join(words))} is not one of {', '.join(choices)}")
    return words[0].lower()


def _switch(words: Sequence[str]) -> bool:
    return _one_of(words, ("on", "off")) == "on"


def _number(most: int) -> Callable[[Sequence[str]], int]:
    def read(words: Sequence[str]) -> int:
        if len(words) != 1 or not re.fullmatch(r"[0-9]{1,4}", words[0]) or not 1 <= int(words[0]) <= most:
            raise ValueError(f"{_quoted(' '.join(words))} is no number from 1 to {most}")
        return int(words[0])

    return read


def _order(words: Sequence[str]) -> tuple[str, ...]:
    steps = [word if word.startswith("ext:") else word.lower() for word in words]
    if steps == ["nobody"]:
        return ()
    for step in steps:
        if step not in ROLES and not _PERSON.fullmatch(step):
            raise ValueError(f"{_quoted(step)} is nobody who can be tried")
    if len(set(steps)) < len(steps):
        raise ValueError("somebody is in the order twice")
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"an order has at most {_MOST_STEPS} steps")
    return tuple(steps)


def _device(words: Sequence[str]) -> tuple[str, ...]:
    if [word.lower() for word in words] in (["any"], ["free"]):
        return () if words[0].lower() == "any" else STATES
    return tuple(state for state in STATES if state in {_one_of([word], STATES) for word in words})


def _prefer(words: Sequence[str]) -> tuple[str, ...]:
    if [word.lower() for word in words] == ["found"]:
        return ()
    kinds = tuple(_one_of([word], ENTITIES) for word in words)
    if len(set(kinds)) < len(kinds):
        raise ValueError("a kind of client is named twice")
    return kinds


def _hours(words: Sequence[str]) -> tuple[Opening, ...]:
    if [word.lower() for word in words] == ["always"]:
        return ()
    openings: list[Opening] = []
    days: tuple[int, ...] = ()
    used = True
    for word in words:
        if ":" in word:
            if not days:
                raise ValueError(f"{_quoted(word)} has no days before it")
            openings.append(Opening(days, *_span(word)))
            used = True
        else:
            days = _days(word) if used else tuple(sorted({*days, *_days(word)}))
            used = False
    if not used:
        raise ValueError(f"{_quoted(words[-1])} has no hours behind it")
    return tuple(openings)


def _days(word: str) -> tuple[int, ...]:
    first, dash, last = word.lower().partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(f"{_quoted(word)} is no day of the week")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    length = (end - begin) % 7
    return tuple(sorted((begin + n) % 7 for n in range(length + 1)))


def _span(word: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(word)
    if match is None:
        raise ValueError(f"{_quoted(word)} is no interval of the day")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    since, until = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or since >= _DAY_MIN or until > _DAY_MIN or since == until:
        raise ValueError(f"{_quoted(word)} is no interval of the day")
    return since, until


def _timezone(words: Sequence[str]) -> str:
    if [word.lower() for word in words] == ["local"]:
        return ""
    try:
        return zoneinfo.ZoneInfo(" ".join(words)).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{_quoted(' '.join(words))} is no time zone known here") from None


def _holidays(words: Sequence[str]) -> tuple[Holiday, ...]:
    return () if [word.lower() for word in words] == ["none"] else tuple(map(_holiday, words))


def _holiday(word: str) -> Holiday:
    first, _, last = word.partition("..")
    yearly = len(first) == len("01-31")
    days = [_date(part, yearly, word) for part in (first, last or first)]
    if not yearly and days[1] < days[0]:
        raise ValueError(f"{_quoted(word)} ends before it begins")
    return Holiday(days[0], days[1], yearly)


def _date(part: str, yearly: bool, word: str) -> date:
    if not re.fullmatch(r"[0-9]{2}-[0-9]{2}" if yearly else r"[0-9]{4}-[0-9]{2}-[0-9]{2}", part):
        raise ValueError(f"{_quoted(word)} is no day")
    try:
        return date.fromisoformat(f"{_ANY_YEAR:04}-{part}" if yearly else part)
    except ValueError:
        raise ValueError(f"{_quoted(word)} is no day of the calendar") from None


def _text_of_hours(openings: Sequence[Opening]) -> str:
    return ", ".join(f"{_text_of_days(o.days)} {_clock(o.since)}-{_clock(o.until)}" for o in openings) or "always"


def _text_of_days(days: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return " ".join(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _text_of_holidays(holidays: Sequence[Holiday]) -> str:
    def day(value: date, yearly: bool) -> str:
        return value.isoformat()[5:] if yearly else value.isoformat()

    spans = ((day(h.first, h.yearly), day(h.last, h.yearly)) for h in holidays)
    return " ".join(first if first == last else f"{first}..{last}" for first, last in spans) or "none"


def _text_of_device(states: Sequence[str]) -> str:
    return "any" if not states else "free" if set(states) == set(STATES) else " ".join(states)


def _on_off(value: bool) -> str:
    return "on" if value else "off"


_ORDER_FORM = f"any of {' '.join(ROLES)} user:12 ext:104 in the order wanted | nobody"
RULES: dict[str, Rule] = {
    "on": Rule(_switch, _on_off, "on | off"),
    "seconds": Rule(_number(MOST_SECONDS), str, f"a number of seconds, 1 to {MOST_SECONDS}"),
    "order": Rule(
        _order, lambda value: " ".join(value) or "nobody", _ORDER_FORM, ("nobody",)
    ),
    "device": Rule(_device, _text_of_device, f"free | any | the states that stop: {' '.join(STATES)}", ("free", "any")),
    "workday": Rule(_switch, _on_off, "on | off"),
    "absence": Rule(_switch, _on_off, "on | off"),
    "hours": Rule(_hours, _text_of_hours, "mon-fri 09:00-18:00 sat 10:00-14:00 | always", ("always",)),
    "timezone": Rule(_timezone, lambda value: value or "local", "Europe/Moscow | local"),
    "holidays": Rule(_holidays, _text_of_holidays, "2027-01-01..2027-01-08 05-09 | none", ("none",)),
    "talker_days": Rule(_number(MOST_DAYS), str, f"a number of days, 1 to {MOST_DAYS}"),
    "clients": Rule(lambda words: _one_of(words, ("first", "all")), str, "first | all"),
    "prefer": Rule(
        _prefer, lambda value: " ".join(value) or "found", f"{' '.join(ENTITIES)} as wanted | found", ("found",)
    ),
}  # fmt: skip
assert set(RULES) == {each.name for each in fields(Policy)}
