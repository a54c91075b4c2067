"""Writing the journal from a hook: bounded in time, and to the spool when the database is away."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event
from itgrix_bx.spool import Spool, SpoolError
from sql.database import DatabaseAwayError
from sql.journal import Appended, Journal

log = logging.getLogger("itgrix_bx.journal")

PATIENCE_S = 0.25  # what a hook waits for its write; normal writes take a few milliseconds
_TRY_AGAIN_S = 1.0
_STORE_S = 60.0
_UNSAVED = 20_000  # events


class _Behind:
    """The calls of which something is not in the database yet: what comes later of them must not get there first.

    A hangup before the answer it follows would be delivered as a call nobody answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._joining: Counter[str] = Counter()
        self._joined_at: dict[str, float] = {}

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._joined_at

    @contextlib.contextmanager
    def joining(self, call_id: str) -> Iterator[None]:
        """Around the writing of something elsewhere."""
        with self._lock:
            self._joining[call_id] += 1
            self._joined_at[call_id] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._joining[call_id] -= 1
                if not self._joining[call_id]:  # an outage may be long: of half a million calls each byte counts
                    del self._joining[call_id]
                self._joined_at[call_id] = time.monotonic()

    def caught_up(self, at: float) -> None:
        """All that was written elsewhere before `at` (monotonic) is in the database."""
        with self._lock:
            for call_id in [c for c, joined_at in self._joined_at.items() if joined_at < at and c not in self._joining]:
                del self._joined_at[call_id]


Listener = Callable[[Call, Sequence[Event]], None]


class Logbook:
    """Journal and spool as one. After one write that failed everything goes to the spool at once, so that no
    hook waits for a database that is away; `recover` brings it back."""

    def __init__(self, journal: Journal, spool: Spool) -> None:
        self.journal = journal
        self.spool = spool
        self.away_since: float | None = None
        self._unsaved: deque[Event] = deque(maxlen=_UNSAVED)
        self._behind = _Behind()
        self._listeners: list[Listener] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="spool", daemon=True)

    @property
    def caught_up(self) -> bool:
        """Whether the database knows all that is known here."""
        return self.away_since is None and not self._unsaved and not self.spool.size()

    def start(self) -> None:
        """Look after the spool until stopped. What an earlier process left there goes first."""
        if self.spool.size():
            self.away_since = time.time()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    @property
    def unsaved(self) -> int:
        """Events that neither database nor disk took; they live as long as this process."""
        return len(self._unsaved)

    def on_change(self, listener: Listener) -> None:
        """Call `listener` after each write of this process with the call and the events that made it so."""
        self._listeners.append(listener)

    def record(
        self,
        events: Sequence[Event],
        *,
        if_new: Sequence[Event] = (),
        release: str = "",
        patience_s: float = PATIENCE_S,
    ) -> Appended | None:
        """Store events of one call (`if_new` only with the events that make it); None when they went to the spool.

        `release`: whose lease of the call is given back with it. Raises SpoolError when nothing took them.
        """
        lost: Exception | None = None
        if self.away_since is None and events[0].call_id not in self._behind:
            try:
                appended = self.journal.append(events, if_new=if_new, timeout_s=patience_s, release=release)
            except DatabaseAwayError as error:
                lost = error
            else:
                self._tell(appended.call, events)
                return appended
        self._to_spool([*events, *if_new], lost)
        return None

    def beside(self, call: Call, since: float) -> list[Call]:
        """As Journal.beside, for a hook. Raises DatabaseAwayError."""
        if self.away_since is not None:
            raise DatabaseAwayError("the database is away")
        return self.journal.beside(call, since, timeout_s=PATIENCE_S)

    def record_soon(self, events: Sequence[Event]) -> None:
        """Like record, for those who need not know that it is stored. Never raises."""
        if self.away_since is not None or events[0].call_id in self._behind:
            self._keep(events)
            return

        def done(appended: Appended | None, error: Exception | None) -> None:
            if appended is None:
                self._keep(events, error)
            else:
                self._tell(appended.call, events)

        self.journal.append_soon(events, done)

    def complete(self, call_id: str, missing: Callable[[Sequence[Event]], Sequence[Event]]) -> Appended | None:
        """As Journal.complete, and told to who listens. Raises DatabaseAwayError; nothing goes to the spool."""
        added: Sequence[Event] = ()

        def look(known: Sequence[Event]) -> Sequence[Event]:
            nonlocal added
            added = missing(known)
            return added

        appended = self.journal.complete(call_id, look)
        if appended is not None:
            self._tell(appended.call, added)
        return appended

    def _lose(self, error: Exception) -> None:
        self.away_since = time.time()
        log.error("the database is away (%s): calls go to %s until it is back", error, self.spool.path)

    def _to_spool(self, events: Sequence[Event], lost: Exception | None = None) -> None:
        """`lost`: why the database did not take them."""
        with self._behind.joining(events[0].call_id):
            if lost is not None:
                self._lose(lost)
            try:
                self.spool.append(events)
            except SpoolError:
                # Neither database nor disk: as long as this process lives it still knows.
                self._unsaved.extend(events)
                raise

    def _keep(self, events: Sequence[Event], lost: Exception | None = None) -> None:
        try:
            self._to_spool(events, lost)
        except SpoolError:
            log.exception("call %s: neither database nor spool took %s", events[0].call_id, [e.kind for e in events])

    def recover(self) -> None:
        """Try the database again and replay what waits; quiet while it is still away."""
        began = time.monotonic()
        if self.caught_up:
            self._behind.caught_up(began)
            return
        try:
            replayed = self.spool.replay(self._store)
            count = (replayed or 0) + self._store_unsaved()
            if self.away_since is not None:
                log.warning("the database is back; %d events replayed from the spool", count)
                self.away_since = self.spool.refused = None
            again = self.spool.replay(self._store)  # what came meanwhile; what comes now goes to the database
        except DatabaseAwayError as error:
            log.debug("the database is still away: %s", error)
        else:
            if replayed is not None and again is not None:
                self._behind.caught_up(began)

    def _store_unsaved(self) -> int:
        events = list(self._unsaved)
        self._store(events)
        for event in events:
            self._unsaved.remove(event)
        return len(events)

    def _store(self, events: Sequence[Event]) -> None:
        """All of them, whatever calls they belong to, with few commits; of a call all or nothing. Raises
        DatabaseAwayError."""
        by_call: dict[str, list[Event]] = {}
        for event in events:
            by_call.setdefault(event.call_id, []).append(event)
        outcomes: SimpleQueue[tuple[list[Event], Appended | None, Exception | None]] = SimpleQueue()
        for of_call in by_call.values():
            self.journal.append_soon(of_call, lambda *outcome, of=of_call: outcomes.put((of, *outcome)))
        errors = []
        for _ in by_call:
            try:
                of_call, appended, error = outcomes.get(timeout=_STORE_S)
            except Empty:
                raise DatabaseAwayError("the database does not answer") from None
            if appended is not None:
                self._tell(appended.call, of_call)
            elif error is not None:
                errors.append(error)
        if errors:
            raise errors[0]

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.recover()
            except Exception:
                log.exception("the spool could not be replayed; it is tried again")
            self._stop.wait(_TRY_AGAIN_S)

    def _tell(self, call: Call, events: Sequence[Event]) -> None:
        for listener in self._listeners:
            listener(call, events)
