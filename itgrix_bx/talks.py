"""Who talked to a number last, in memory.

A query while the caller waits would take less than a millisecond, but the database may be away or busy just then; so
the journal is read behind the calls' back: its last days once, newest first, and then the ends it hears of, whichever
process or machine was told. Nothing is read as long as no rule asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.routing import Talk
from sql.database import DatabaseAwayError
from sql.journal import Journal
from sql.talks import Ends

log = logging.getLogger("itgrix_bx.routing")

_MOST = 50_000  # numbers
_MOST_CALLS = 100_000  # of the past that are read
_PAGE = 200
_PAUSE_S = 0.1  # between pages: the past is in no hurry
_LOOK_S = 1.0
_EVENTS = 5_000
# Numbers are given out before a transaction commits: a lower one may appear after a higher one.
_OVERLAP = 200


class Talks:
    """Safe to share. `days` tells how far back it must be known, 0 for not at all."""

    def __init__(
        self, journal: Journal, ends: Ends, directory: Callable[[], Directory], finisher: str, days: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._ends = ends
        self._directory = directory
        self._finisher = finisher
        self._days = days
        self._lock = threading.Lock()
        self._last: OrderedDict[str, Talk] = OrderedDict()
        self._loaded_days = 0
        self._at: int | None = None  # the journal's event up to which ends are known
        self._seen: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow_for_ever, name="talks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def last(self, number: str) -> Talk | None:
        """The last talk with this number (E.164) that is known here."""
        with self._lock:
            return self._last.get(number)

    def learn(self, call: Call, *, newest: bool = True) -> None:
        """Take a call that is over into account. What is not `newest` is the first to be forgotten."""
        talk = talk_of(call, self._directory(), self._finisher)
        if talk is None:
            return
        with self._lock:
            known = self._last.get(call.client_number)
            if known is None or known.at <= talk.at:
                self._last[call.client_number] = talk
                self._last.move_to_end(call.client_number, last=newest)
            if len(self._last) > _MOST:
                self._last.popitem(last=False)

    def look(self) -> None:
        """Read what is new, and the past as far as it is wanted and not known yet. Raises DatabaseAwayError."""
        days = self._days()
        if not days:
            return
        if self._at is None:
            self._at = self._ends.newest()
        self._look_at_ends()
        if days > self._loaded_days:
            self._load(days)

    def _look_at_ends(self) -> None:
        assert self._at is not None
        last, ends = self._ends.after(max(0, self._at - _OVERLAP), _EVENTS)
        for call_id in {ends[event] for event in ends.keys() - self._seen}:
            if call := self._journal.call(call_id):
                self.learn(call)
        self._at, self._seen = max(last, self._at), set(ends)

    def _load(self, days: int) -> None:
        now = time.time()
        until, read = now + 1.0, 0
        while not self._stop.is_set() and read < _MOST_CALLS and len(self._last) < _MOST:
            page = self._journal.find(since=now - days * 86400, until=until, limit=_PAGE)
            for call in page:
                self.learn(call, newest=False)
            if len(page) < _PAGE:
                break
            until, read = page[-1].started_at, read + len(page)
            self._stop.wait(_PAUSE_S)
        self._loaded_days = days
        log.info("the last %d days were read: %d numbers and who talked to them", days, len(self._last))

    def _follow_for_ever(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self.look()
            except DatabaseAwayError as error:
                log.debug("talks: %s", error)
            except Exception:
                log.exception("who talked to whom could not be read; it is tried again")


def talk_of(call: Call, directory: Directory, finisher: str) -> Talk | None:
    """Who talked to the client of a call that is over; None when nobody did, or nobody knows who."""
    if call.skipped or not call.over or not call.answered or not call.client_number:
        return None
    user_id = outcome.of(call, directory, finisher=finisher, default_user=0).user_id
    return Talk(user_id, call.ended_at or call.started_at) if user_id else None
