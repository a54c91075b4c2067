"""The employees and lines in memory, refreshed behind the calls' back."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bx24client import AccessDenied, Bitrix24, BitrixError, MethodNotFound, PortalUser, ScopeMissing
from itgrix_bx.calls.directory import ABSENCES, HEADS, Absence, Department, Directory, Employee, Period
from itgrix_bx.calls.lines import Lines
from itgrix_bx.calls.numbers import e164
from sql.database import DatabaseAwayError
from sql.lines import LineRules
from sql.staff import Staff

T = TypeVar("T")

log = logging.getLogger("itgrix_bx.employees")

_LOOK_S = 0.2  # one row by its key, so that `users map` and `lines set` work on the next call
_REREAD_S = 2.0  # what the PBX tells of its extensions has no version
_RESYNC_S = 3600.0  # an absence entered in the calendar is heeded within this time
_RETRY_S = 30.0
_AHEAD_DAYS = 14  # of absences that are known beforehand
_PATIENCE_S = 300.0
_UNKNOWN_AGAIN_S = 600.0  # an extension nobody has may be a new employee's; or nobody's, for ever


class Employees:
    """What hooks ask about people, answered without any I/O."""

    def __init__(self, staff: Staff, line_rules: LineRules, portal: Bitrix24, country: str = "RU") -> None:
        self._staff = staff
        self._line_rules = line_rules
        self._portal = portal
        self._country = country
        self._own_numbers: frozenset[str] = frozenset()
        self.directory = Directory()
        self.lines = Lines()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh_for_ever, name="employees", daemon=True)
        self._gaps: tuple[str, ...] = ()
        self._version = ""
        self._next_sync = 0.0
        self._synced_at = -_UNKNOWN_AGAIN_S
        self._give_up_at = time.monotonic() + _PATIENCE_S

    @property
    def known(self) -> bool:
        """Whether calls may be given to their owners: the list was read, or is not to be had (a missing right)."""
        return self.directory.synced or time.monotonic() > self._give_up_at

    def start(self) -> None:
        self.reread()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def is_own_number(self, number: str) -> bool:
        """Whether a telephone number (E.164) is an employee's: no client is behind it."""
        return number in self._own_numbers

    def met(self, extensions: Iterable[str]) -> None:
        """Calls mention these extensions: one that nobody has makes the list be read again soon."""
        directory = self.directory
        unknown = (e for e in extensions if not directory.knows(e) and directory.user_of(e) is None)
        if time.monotonic() > self._synced_at + _UNKNOWN_AGAIN_S and any(unknown):
            self._next_sync = 0.0

    def reread(self) -> None:
        """Take the stored snapshot; keep what we have when the database is away."""
        try:
            self._version = self._staff.version()
            directory, self.lines = self._staff.directory(), self._line_rules.lines()
        except DatabaseAwayError as error:
            log.debug("employees: %s", error)
            return
        if (directory.employees, directory.mobiles) != (self.directory.employees, self.directory.mobiles):
            self._own_numbers = own_numbers(directory, self._country)
        self.directory = directory

    def sync(self) -> Synced:
        """Read all users from the portal and store them. Raises BitrixError, DatabaseAwayError."""
        return sync(self._staff, self._portal)

    def _refresh_for_ever(self) -> None:
        while not self._stop.is_set():
            if time.monotonic() >= self._next_sync:
                self._synced_at = time.monotonic()
                self._next_sync = time.monotonic() + (_RESYNC_S if self._try_sync() else _RETRY_S)
            self.reread()
            self._await_change(time.monotonic() + _REREAD_S)

    def _await_change(self, until: float) -> None:
        while time.monotonic() < until and not self._stop.wait(_LOOK_S):
            with contextlib.suppress(DatabaseAwayError):
                if self._staff.version() != self._version:
                    return

    def _try_sync(self) -> bool:
        try:
            found = self.sync()
        except (BitrixError, DatabaseAwayError, ValueError) as error:
            log.warning("users could not be read, the last list stays in use: %s", error)
            return False
        log.info("%d users read from the portal", found.users)
        for gap in found.gaps if found.gaps != self._gaps else ():  # said once, not every hour
            log.info("%s", gap)
        self._gaps = found.gaps
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Synced:
    """What was read: how many users, and a sentence for everything else that could not be."""

    users: int
    gaps: tuple[str, ...] = ()


def own_numbers(directory: Directory, country: str) -> frozenset[str]:
    """The telephone numbers (E.164) of the employees' own phones."""
    phones = (phone for e in directory.employees.values() if e.active for phone in e.phones)
    in_profiles = filter(None, (e164(phone, country) for phone in phones))
    mapped = (number for number, user_id in directory.mobiles.items() if directory.is_active(user_id))
    return frozenset(in_profiles) | frozenset(mapped)


def sync(staff: Staff, portal: Bitrix24) -> Synced:
    """Replace the stored users by the portal's complete list, and with it what it tells of heads and absences.

    Raises BitrixError or DatabaseAwayError, and all stays as it was. A structure or calendar that cannot be read is
    only told of: the last one stays in use, and our own tables do.
    """
    people, gaps = portal.users(), []
    today = datetime.now(UTC).date()
    span = today - timedelta(days=1), today + timedelta(days=_AHEAD_DAYS)
    untold: list[str] = []
    nodes, gap = _if_told(portal.departments, HEADS, "users head", untold)
    gaps.append(gap)
    at_work = [person.id for person in people if person.active]
    gone, gap = _if_told(lambda: portal.away(at_work, *span), ABSENCES, "users absent", untold)
    gaps.append(gap)
    staff.replace_users(
        (_employee(person) for person in people),
        structure=None if nodes is None else [Department(n.id, n.parent, n.head, n.name) for n in nodes],
        away=None if gone is None else [Absence(a.user_id, Period(a.since, a.until), by_portal=True) for a in gone],
        untold=untold,
    )
    return Synced(len(people), tuple(filter(None, gaps)))


def _if_told(ask: Callable[[], list[T]], what: str, command: str, untold: list[str]) -> tuple[list[T] | None, str]:
    """(what the portal says, ""), or (None, why it does not). `untold` gets what it should have told: a right that the
    webhook was not given is the administrator's choice, and our own tables are all there is."""
    try:
        return ask(), ""
    except (ScopeMissing, MethodNotFound, AccessDenied) as error:
        return None, f"Bitrix24 does not tell us {what}, they are what `{command}` says: {error}"
    except BitrixError as error:
        untold.append(what)
        return None, f"{what} could not be read, the last known stay in use: {error}"


def _employee(person: PortalUser) -> Employee:
    return Employee(person.id, person.name, person.active, person.extension, person.phones, person.departments)
