"""The employees as the portal and the administrator's own tables know them: who has which extensions, who is whose
head and deputy, who is away. A snapshot, asked without any I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# The dialplan dials nothing but digits: of anything else it would make another number, which may be somebody else's.
_DIALLED = re.compile(r"[0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class Employee:
    """`extension` is Bitrix24's inner number, `departments` those of the portal's structure, the main one first."""

    user_id: int
    name: str = ""
    active: bool = True
    extension: str = ""
    phones: tuple[str, ...] = ()
    departments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Department:
    """A node of the portal's structure; `head` is a user id."""

    id: int
    parent: int | None = None
    head: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until before `until`, unix seconds; None: always."""

    since: float | None = None
    until: float | None = None

    def holds(self, at: float) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


ALWAYS = Period()


@dataclass(frozen=True, slots=True)
class Deputy:
    user_id: int
    deputy_id: int
    period: Period = ALWAYS


@dataclass(frozen=True, slots=True)
class Absence:
    """`by_portal`: read from Bitrix24's calendar, not written by the administrator."""

    user_id: int
    period: Period = ALWAYS
    by_portal: bool = False


EMPLOYEES, HEADS, ABSENCES = "employees", "heads", "absences"


@dataclass(frozen=True, slots=True)
class Structure:
    """Who stands for whom: the portal's departments, and the administrator's own word, which beats them."""

    departments: tuple[Department, ...] = ()
    heads: Mapping[int, int] = field(default_factory=dict)  # user id -> the head set by hand
    deputies: tuple[Deputy, ...] = ()
    absences: tuple[Absence, ...] = ()
    untold: frozenset[str] = frozenset()  # of HEADS and ABSENCES, what the portal did not tell when it was asked last


@dataclass(frozen=True)
class Directory:
    """A snapshot. `synced` is False until the portal's list has been read once: then nothing is known of
    who is active, and the portal's own word about a responsible is taken."""

    employees: Mapping[int, Employee] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)  # extension -> user id, set by hand
    synced: bool = False
    on_pbx: frozenset[str] = frozenset()  # the extensions the PBX itself names, whoever's they are
    mobiles: Mapping[str, int] = field(default_factory=dict)  # E.164 -> user id, set by hand
    structure: Structure = field(default_factory=Structure)
    _by_extension: dict[str, int] = field(default_factory=dict, repr=False)
    _departments: dict[int, Department] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        employees: Iterable[Employee],
        mapped: Mapping[str, int],
        *,
        synced: bool,
        on_pbx: frozenset[str] = frozenset(),
        mobiles: Mapping[str, int] | None = None,
        structure: Structure | None = None,
    ) -> Directory:
        known = {e.user_id: e for e in employees}
        by_extension: dict[str, int] = {}
        for employee in sorted(known.values(), key=lambda e: e.user_id):
            if employee.active and employee.extension:
                by_extension.setdefault(employee.extension, employee.user_id)
        for extension, user_id in mapped.items():
            employed = known[user_id].active if user_id in known else not synced
            if employed or extension not in by_extension:  # who took over a dismissed user's extension has it
                by_extension[extension] = user_id
        structure = structure or Structure()
        departments = {department.id: department for department in structure.departments}
        return cls(known, dict(mapped), synced, on_pbx, dict(mobiles or {}), structure, by_extension, departments)

    # --- extensions and devices ------------------------------------------------------------------

    def user_of(self, extension: str) -> int | None:
        """The active user who has this extension or mobile."""
        holder = self.holder_of(extension)
        if holder is not None or not self.mobiles:
            return holder
        user_id = self.mobiles.get("+" + extension.lstrip("+"))
        return user_id if user_id is not None and self.is_active(user_id) else None

    def knows(self, extension: str) -> bool:
        return extension in self._by_extension

    def is_extension(self, number: str) -> bool:
        """Whether a number is one of ours, somebody's or only the PBX's."""
        return number in self._by_extension or number in self.on_pbx

    def is_active(self, user_id: int) -> bool:
        employee = self.employees.get(user_id)
        return employee.active if employee is not None else not self.synced

    def holder_of(self, extension: str) -> int | None:
        """Whose an extension is, for what is done on it: whom it was mapped to, unless he is dismissed; of those the
        portal gives it to the active one with the lowest id."""
        user_id = self._by_extension.get(extension)
        return user_id if user_id is not None and self.is_active(user_id) else None

    def shared(self) -> dict[str, tuple[int, ...]]:
        """The extensions that the portal gives to several active people, and to whom; the administrator's map ends it.

        Each of them is rung on it, and what is done on it is the first one's.
        """
        found: dict[str, tuple[int, ...]] = {}
        for employee in sorted(self.employees.values(), key=lambda e: e.user_id):
            if employee.active and employee.extension and self._by_hand(employee.extension) is None:
                found[employee.extension] = (*found.get(employee.extension, ()), employee.user_id)
        return {extension: people for extension, people in found.items() if len(people) > 1}

    def _by_hand(self, extension: str) -> int | None:
        """Whom an extension was mapped to, if he is there."""
        user_id = self.mapped.get(extension)
        return user_id if user_id is not None and self.is_active(user_id) else None

    def extension_of(self, user_id: int, said_by_portal: str = "") -> str:
        """The extension to ring first for a user: the map's, else the portal's, unless that is mapped to another."""
        return next(iter(self.rung_on(user_id, said_by_portal)), "")

    def rung_on(self, user_id: int, said_by_portal: str = "") -> tuple[str, ...]:
        """The extensions to ring for a user, the first first. What is not digits alone is not rung."""
        own = tuple(filter(_DIALLED.fullmatch, self.extensions_of(user_id)))
        if (own and own[0] in self.mapped) or not _DIALLED.fullmatch(said_by_portal):
            return own
        if self._by_hand(said_by_portal) in (None, user_id):
            return tuple(dict.fromkeys((said_by_portal, *own)))
        return own

    def extensions_of(self, user_id: int) -> tuple[str, ...]:
        """All extensions of a user, those set by hand first, in the order in which they are to be tried."""
        mapped = tuple(sorted((e for e, user in self.mapped.items() if user == user_id), key=_by_number))
        employee = self.employees.get(user_id)
        by_portal = employee.extension if employee is not None else ""
        if by_portal and by_portal not in mapped and self._by_hand(by_portal) in (None, user_id):
            return (*mapped, by_portal)
        return mapped

    def mobiles_of(self, user_id: int) -> tuple[str, ...]:
        """The mobiles (E.164) the administrator gave a user; what people wrote into their profiles is not rung."""
        return tuple(sorted(number for number, user in self.mobiles.items() if user == user_id))

    def devices_of(self, user_id: int) -> tuple[str, ...]:
        """Everything a user may be rung on: extensions, then mobiles."""
        return self.extensions_of(user_id) + self.mobiles_of(user_id)

    # --- who stands for whom ---------------------------------------------------------------------

    def head_of(self, user_id: int) -> int | None:
        """The active head: the one set by hand, else of the nearest department that has another than the user."""
        return self.head_and_why(user_id)[0]

    def head_and_why(self, user_id: int) -> tuple[int | None, str]:
        """(head, where that comes from in words), (None, "") when there is none."""
        by_hand = self.structure.heads.get(user_id)
        if by_hand is not None and by_hand != user_id and self.is_active(by_hand):
            return by_hand, "set by hand"
        for department in self._departments_above(user_id):
            head = department.head
            if head is not None and head != user_id and self.is_active(head):
                return head, f"department {department.name or department.id}"
        return None, ""

    def deputy_of(self, user_id: int, at: float | None = None) -> int | None:
        """The active deputy at `at` (unix seconds); without it only one who is the deputy always.

        A deputy for a period goes before one for always.
        """
        fitting = [d for d in self.structure.deputies if d.user_id == user_id and self._may_stand_in(d, at)]
        return min(fitting, key=lambda d: d.period == ALWAYS).deputy_id if fitting else None

    def absence(self, user_id: int, at: float) -> Absence | None:
        """By which the user is away at `at` (unix seconds), by our own table or the portal's calendar: the longest."""
        holding = [a for a in self.structure.absences if a.user_id == user_id and a.period.holds(at)]
        return max(holding, key=lambda a: math.inf if a.period.until is None else a.period.until, default=None)

    def untold(self, what: str) -> bool:
        """Whether the portal did not tell of its EMPLOYEES, HEADS or ABSENCES: what is known is older, or our own."""
        return not self.synced if what == EMPLOYEES else what in self.structure.untold

    def _may_stand_in(self, deputy: Deputy, at: float | None) -> bool:
        holds = deputy.period == ALWAYS if at is None else deputy.period.holds(at)
        return holds and deputy.deputy_id != deputy.user_id and self.is_active(deputy.deputy_id)

    def _departments_above(self, user_id: int) -> Iterator[Department]:
        """The user's departments, each followed by those above it; in a structure with a cycle each comes once."""
        employee = self.employees.get(user_id)
        seen: set[int] = set()
        for number in employee.departments if employee is not None else ():
            above: int | None = number
            while above is not None and above not in seen and above in self._departments:
                seen.add(above)
                yield self._departments[above]
                above = self._departments[above].parent


def _by_number(extension: str) -> tuple[int, str]:
    return len(extension), extension
