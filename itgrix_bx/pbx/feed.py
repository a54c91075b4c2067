"""What Asterisk's manager tells of calls, merged into the journal: rings, answers and ends that no hook told.

Events are followed in the thread that hears them; another one writes, a call at a time, so that a slow database makes
nobody wait. The manager opens no call: what no hook announced is not for the CRM, or is found in the records later.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.clock import stamp
from itgrix_bx.logbook import Logbook
from itgrix_bx.pbx import scene
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.channels import Channels
from itgrix_bx.pbx.devices import Devices
from itgrix_bx.pbx.reconcile import House, news, told_by
from itgrix_bx.pbx.scene import Live, Scene
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.pbx")

EVENTS = scene.EVENTS
HOOKS_FIRST_S = 3.0  # within this time the hangup hook tells of the same end, and knows more of it
_AGAIN_S = 1.0
_REMEMBERED = 5000  # calls whose direction the hooks of this process told
_MOST = 20_000  # calls that wait for the database: hours of it; the hooks' own words are safe in the spool


class Feed:
    """Merges from `start` to `stop`; to be made before `ami` is started. `house`: by what calls are read now;
    `records`: the PBX's are read too (pbx/watcher.py); of a call whose hangup hook was lost they know the recording."""

    def __init__(
        self, house: Callable[[], House], logbook: Logbook, ami: Ami, devices: Devices, *, records: bool = False
    ) -> None:
        self._house = house
        self._records = records
        self._logbook = logbook
        self._ami = ami
        self._scene = Scene(lambda: Channels(house().directory, devices.extension_of), self._direction, self._note)
        self._known: OrderedDict[str, str] = OrderedDict()
        self._due: dict[Live, float] = {}
        self._queue: list[tuple[float, int, Live]] = []  # a heap of what is due; what `_due` says otherwise of is old
        self._count = itertools.count()
        self._had_room = True
        self._in_hand: Live | None = None  # may have to wait again
        self._wake = threading.Condition()
        self._stopping = False
        self.stored = 0  # times the journal got something
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        for event in EVENTS:
            ami.on(event, self._scene.hear)
        ami.on_link(self._on_link)
        ami.on_gap(lambda _: self._look())
        logbook.on_change(self._remember)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was heard is written, as far as the database takes it."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(10)

    def waiting(self) -> int:
        """How many calls have something to be written."""
        return len(self._due)

    # --- hearing, in the thread of the events ----------------------------------------------------

    def _on_link(self, there: bool) -> None:
        if there:
            self._look()

    def _look(self) -> None:
        """See what was missed. Without the right to ask, what is heard from now on must do."""
        self._ami.ask_in_order("CoreShowChannels", lambda reply: self._scene.look(reply.items))

    def _note(self, live: Live) -> None:
        now = time.monotonic()
        with self._wake:
            if self._due.get(live, now + 1) > now and self._has_room(live):
                self._put(live, now)
                self._wake.notify()

    def _has_room(self, live: Live) -> bool:
        """A call that finds none is told of whole with what happens next of it."""
        waiting = len(self._due) + (self._in_hand is not None and self._in_hand not in self._due)
        has_room = live in self._due or live is self._in_hand or waiting < _MOST
        if self._had_room and not has_room:
            log.warning("%d calls wait for the database: what the manager tells of others is left out", _MOST)
        self._had_room = has_room
        return has_room

    def _put(self, live: Live, at: float) -> None:
        self._due[live] = at
        heapq.heappush(self._queue, (at, next(self._count), live))

    # --- what the hooks said, in their threads ---------------------------------------------------

    def _remember(self, call: Call, _: Sequence[Event]) -> None:
        with self._wake:
            self._known[call.call_id] = "" if call.skipped else call.direction
            self._known.move_to_end(call.call_id)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _direction(self, call_id: str) -> str:
        with self._wake:
            return self._known.get(call_id, "")

    # --- writing ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while (live := self._next()) is not None:
            try:
                self._write(live)
            except DatabaseAwayError as error:
                log.debug("what the manager told is written later: %s", error)
                self._again(live, time.monotonic() + _AGAIN_S)
                self._pause()
            except Exception:
                log.exception("call %s: what the manager told of it could not be used", live.story.call_id)

    def _next(self) -> Live | None:
        """The next call something is to be written of; None at the end."""
        with self._wake:
            self._in_hand = None
            while True:
                while self._queue and self._due.get(self._queue[0][2]) != self._queue[0][0]:
                    heapq.heappop(self._queue)
                wait = self._queue[0][0] - time.monotonic() if self._queue else None
                if wait is not None and (wait <= 0 or self._stopping):
                    _, _, live = heapq.heappop(self._queue)
                    del self._due[live]
                    self._in_hand = live
                    return live
                if self._stopping:
                    return None
                self._wake.wait(wait)

    def _pause(self) -> None:
        """What one call found of the database, the others need not try."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, _AGAIN_S)

    def _again(self, live: Live, at: float) -> None:
        with self._wake:
            if not self._stopping and live not in self._due:
                self._put(live, at)

    def _write(self, live: Live) -> None:
        """Raises DatabaseAwayError."""
        if not self._logbook.caught_up:
            raise DatabaseAwayError("the hooks' own events wait in the spool")
        last_at = None if live.over_at is None else live.over_at + HOOKS_FIRST_S
        ends = last_at is not None and last_at <= time.monotonic()
        self._store([event for event in self._told(live) if ends or event.kind is not Kind.HANGUP])
        if last_at is not None and not ends:
            self._again(live, last_at)

    def _store(self, told: Sequence[Event]) -> None:
        """Most of it the hooks have told: looking costs no transaction."""
        if not told or not self._news(told, self._logbook.journal.events(told[0].call_id)):
            return
        appended = self._logbook.complete(told[0].call_id, lambda known: self._news(told, known))
        if appended is not None:
            self.stored += 1
            log.info("call %s: told of by the manager", appended.call.call_id)

    def _news(self, told: Sequence[Event], known: Sequence[Event]) -> list[Event]:
        if self._records and not any(event.kind is Kind.HANGUP for event in known):
            told = [event for event in told if event.kind is not Kind.HANGUP]
        return news(told, known)

    def _told(self, live: Live) -> list[Event]:
        story = replace(live.story, moments=list(live.story.moments))
        told = told_by(story, self._house())
        if told is None:
            return []
        call_id = self._id_of(live)
        return [replace(event, call_id=call_id, data=event.data | stamp(event.at)) for event in told.events]

    def _id_of(self, live: Live) -> str:
        """The journal's id of the call: of whichever of its channels the dialplan took for the first."""
        with self._wake:
            known = (one for one in (live.story.call_id, *live.ids) if one in self._known)
            return next(known, live.story.call_id)
