"""Notices when calls may have gone by unheard, and has them taken from the PBX's records.

A mark in the database says until when this machine surely heard every call. It moves on twice a minute; where it has
not (a restart, a crash, a frozen machine), the calls since then are looked up. So are those that stay open.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence

from itgrix_bx.config import Settings
from itgrix_bx.employees import Employees
from itgrix_bx.logbook import Logbook
from itgrix_bx.numbers import Numbers
from itgrix_bx.pbx.catch_up import COMPLETED, NEW, TURN, TURN_S, CatchUp, Finding
from itgrix_bx.pbx.cdr import Records, RecordsAwayError
from itgrix_bx.pbx.reconcile import House
from sql.database import DatabaseAwayError
from sql.marks import Marks

log = logging.getLogger("itgrix_bx.catch_up")

_BEAT_S = 30.0
_ABSENT_S = 4 * _BEAT_S  # so long without moving the mark counts as not having been there
_MARGIN_S = 120.0  # before the mark: calls that were in the doorway
_LONGEST_S = 30 * 86400.0  # what is older is left to `itgrix-bx catch-up`
_AGAIN_S = 600.0  # a second look, for a PBX that writes its records in batches (Asterisk: 300 s)
_OPEN_S = 120.0  # a call that is open for so long is looked up
_HOOK_S = 30.0  # the hangup hook of a call that has ended comes within this
_MARK = "heard until, "

Span = tuple[float, float]


class Watcher:
    """Its thread begins with `start`. Hooks never wait for it: it writes one call at a time."""

    def __init__(
        self, settings: Settings, logbook: Logbook, employees: Employees, numbers: Numbers, marks: Marks
    ) -> None:
        self._settings = settings
        self._url = settings.cdr.url.get_secret_value()
        self._logbook = logbook
        self._employees = employees
        self._numbers = numbers
        self._marks = marks
        self._mark = f"{_MARK}{socket.gethostname()[:60]}"
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._began_at = time.time()
        self._beat_at: float | None = None
        self._unheard: Span | None = None
        self._again: tuple[float, Span] | None = None
        self.away = ""  # why the records cannot be read
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catch-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Say until when calls were heard, unless some are still to be looked up."""
        if self._thread.ident is None or self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join(10)
        try:
            self._beat(time.time())
        except DatabaseAwayError as error:
            log.debug("the mark was not moved: %s", error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn(time.time())
            except DatabaseAwayError as error:
                log.debug("catching up waits for the database: %s", error)
            except Exception:
                log.exception("catching up failed; it is tried again")
            self._stopping.wait(_BEAT_S if self._unheard is None else _BEAT_S / 6)

    def _turn(self, now: float) -> None:
        if self._beat_at is None or now - self._beat_at > _ABSENT_S:
            self._unheard = self._span_since_the_mark(now)
            self._beat_at = now
        if self._may_look():
            self._look(now)
        self._beat(now)

    def _span_since_the_mark(self, now: float) -> Span | None:
        """What was not heard; None where nothing can be: a machine that has never been here has missed nothing."""
        at = self._marks.at(self._mark) or self._marks.newest(_MARK)
        if at is None or not self._url:
            return None
        longest_s = min(_LONGEST_S, self._settings.journal.keep_days * 86400.0)
        return max(min(at, now) - _MARGIN_S, now - longest_s), now

    def _beat(self, now: float) -> None:
        if self._beat_at is not None and self._unheard is None:
            self._marks.set(self._mark, now)
            self._beat_at = now

    def _may_look(self) -> bool:
        """Who has which extension must be known, and nothing may wait in the spool that the journal will be told."""
        in_spool = self._logbook.away_since is not None or self._logbook.spool.size() > 0
        return bool(self._url) and self._employees.known and not in_spool

    # --- looking ---------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        opened = self._open_calls(now)
        due = self._unheard or (self._again[1] if self._again is not None and self._again[0] <= now else None)
        if not (opened or due) or not self._marks.take(TURN, self._owner, now=now, for_s=TURN_S):
            return
        try:
            if due is not None and self._look_up(due, now):
                self._again = None if self._unheard is None else (now + _AGAIN_S, due)
                self._unheard = None
            self._put_in(opened, (now, now), now)
        except RecordsAwayError as error:
            if not self.away:
                log.warning("calls that went unheard cannot be looked up yet: %s", error)
            self.away = str(error)
        else:
            if self.away:
                log.info("the records of the PBX can be read again")
            self.away = ""
        finally:
            self._marks.give_back(TURN, self._owner)

    def _open_calls(self, now: float) -> list[str]:
        """Where to look for the end of calls that nobody told; most of them simply go on."""
        find = self._logbook.journal.find
        since, until = now - _LONGEST_S, now - _OPEN_S
        found = [
            call for state in ("open", "registered") for call in find(limit=0, state=state, since=since, until=until)
        ]
        return [call.linkedid or call.call_id for call in found]

    def _look_up(self, span: Span, now: float) -> bool:
        return self._put_in(self._catch_up.linkedids(*span), span, now)

    def _put_in(self, linkedids: Sequence[str], span: Span, now: float) -> bool:
        """Whether all of them were gone through."""
        ours = House(self._employees.directory, self._numbers.current, self._employees.lines)
        for _, findings in self._catch_up.look(linkedids, ours, since=span[0], until=span[1], now=now):
            self._marks.take(TURN, self._owner, now=time.time(), for_s=TURN_S)
            for finding in findings:
                if self._stopping.is_set():
                    return False
                if self._is_ripe(finding, now) and self._catch_up.put_in(finding):
                    lost = "was not heard of" if finding.change == NEW else "was not heard to its end"
                    log.info("call %s %s: taken from %s", finding.told.call_id, lost, finding.told.source.upper())
        return True

    def _is_ripe(self, finding: Finding, now: float) -> bool:
        """Whether no hook can be under way any more that tells the same."""
        settled = finding.told.ended_at < max(now - _HOOK_S, self._began_at)
        return finding.change == NEW or (finding.change == COMPLETED and settled)

    @functools.cached_property
    def _catch_up(self) -> CatchUp:
        return CatchUp(self._logbook.journal, Records(self._url))
