"""The employees and lines in memory, refreshed behind the calls' back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping

from bx24client import Bitrix24, BitrixError, PortalUser
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.numbers import e164
from sql.database import DatabaseAwayError
from sql.staff import Staff

log = logging.getLogger("itgrix_bx.employees")

_REREAD_S = 2.0  # so that `users map` and `lines set` work on the next calls
_RESYNC_S = 6 * 3600.0
_RETRY_S = 30.0
_PATIENCE_S = 300.0
_UNKNOWN_AGAIN_S = 600.0  # an extension nobody has may be a new employee's; or nobody's, for ever


class Employees:
    """What hooks ask about people, answered without any I/O."""

    def __init__(self, staff: Staff, portal: Bitrix24, country: str = "RU") -> None:
        self._staff = staff
        self._portal = portal
        self._country = country
        self._own_numbers: frozenset[str] = frozenset()
        self.directory = Directory()
        self.lines: Mapping[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh_for_ever, name="employees", daemon=True)
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
        known = self.directory.knows
        if time.monotonic() > self._synced_at + _UNKNOWN_AGAIN_S and not all(map(known, extensions)):
            self._next_sync = 0.0

    def reread(self) -> None:
        """Take the stored snapshot; keep what we have when the database is away."""
        try:
            directory, self.lines = self._staff.directory(), self._staff.lines()
        except DatabaseAwayError as error:
            log.debug("employees: %s", error)
            return
        if directory.employees != self.directory.employees:
            phones = (phone for e in directory.employees.values() if e.active for phone in e.phones)
            self._own_numbers = frozenset(filter(None, (e164(phone, self._country) for phone in phones)))
        self.directory = directory

    def sync(self) -> int:
        """Read all users from the portal and store them; how many. Raises BitrixError, DatabaseAwayError."""
        return sync(self._staff, self._portal)

    def _refresh_for_ever(self) -> None:
        while not self._stop.is_set():
            if time.monotonic() >= self._next_sync:
                self._synced_at = time.monotonic()
                self._next_sync = time.monotonic() + (_RESYNC_S if self._try_sync() else _RETRY_S)
            self.reread()
            self._stop.wait(_REREAD_S)

    def _try_sync(self) -> bool:
        try:
            log.info("%d users read from the portal", self.sync())
        except (BitrixError, DatabaseAwayError, ValueError) as error:
            log.warning("users could not be read, the last list stays in use: %s", error)
            return False
        return True


def sync(staff: Staff, portal: Bitrix24) -> int:
    """Replace the stored users by the portal's complete list; how many. Raises BitrixError, DatabaseAwayError."""
    people = portal.users()
    staff.replace_users(_employee(person) for person in people)
    return len(people)


def _employee(person: PortalUser) -> Employee:
    return Employee(person.id, person.name, person.active, person.extension, person.phones)
