"""A lasting link to Asterisk's manager: it comes back by itself, and no event is lost without a word.

Callbacks run one after another in a thread of their own, in the order in which things happened; while they work,
events wait in a queue of bounded length. When that is full, or the link was down, events are missing: `on_gap` and
`on_link` tell, and whoever needs the whole picture asks Asterisk for it then.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from itgrix_bx.config import Ami as Settings
from itgrix_bx.config import split_address
from itgrix_bx.pbx.link import Link, Manager, Reply, Timings
from itgrix_bx.pbx.messages import (
    AmiError,
    AmiLoginError,
    AmiRefusedError,
    AmiUnreachableError,
    Fields,
    Message,
)

log = logging.getLogger("itgrix_bx.ami")

ROOM = 20_000  # events that wait; some seconds of the worst storm, some tens of MiB

_Told = TypeVar("_Told")


class _Gap:
    """How many events were lost since it was put into the queue."""

    def __init__(self) -> None:
        self.count = 0


def manager_of(settings: Settings, *, mask: str = "off", events: tuple[str, ...] = ()) -> Manager:
    """The manager of `[ami]`. Raises ssl.SSLError when its `ca_file` holds no certificate."""
    tls = ssl.create_default_context(cadata=settings.ca or None) if settings.tls else None
    secret = settings.secret.get_secret_value()
    return Manager(split_address(settings.address), settings.username, secret, tls, mask, events)


class _Rate:
    """Events a second over the last minute."""

    def __init__(self) -> None:
        self._counts: deque[list[float]] = deque(maxlen=60)  # [second, events]

    def add(self, at: float) -> None:
        second = float(int(at))
        if not self._counts or self._counts[-1][0] != second:
            self._counts.append([second, 0])
        self._counts[-1][1] += 1

    def per_second(self, now: float) -> float:
        recent = [count for second, count in list(self._counts) if now - 60 < second <= now]
        return round(sum(recent) / 60, 1)


class _Answer:
    """An answer that has its place among the events; `future` is done."""

    def __init__(self, future: Future[Reply], tell: Callable[[Reply], None]) -> None:
        self.future = future
        self.tell = tell


class Ami:
    """Connects and stays connected from `start` to `stop`. Callbacks are named before `start`."""

    def __init__(self, manager: Manager, timings: Timings | None = None, *, room: int = ROOM) -> None:
        self._manager = manager
        self._timings = timings or Timings()
        self._room = room
        self._queue: SimpleQueue[Message | _Gap | _Answer | bool | None] = SimpleQueue()
        self._gap: _Gap | None = None
        self._lock = threading.Lock()
        self._callbacks: dict[str, list[Callable[[Message], None]]] = {}
        self._on_link: list[Callable[[bool], None]] = []
        self._on_gap: list[Callable[[int], None]] = []
        self._stopping = threading.Event()
        self._link: Link | None = None
        self._since: float | None = None
        self._trouble = "not connected yet"
        self.heard_at = 0.0  # when the last link that was lost last heard Asterisk, unix seconds
        self._told = 0
        self._rate = _Rate()
        self._links_lost = 0
        self._lost = 0
        self._keeper = threading.Thread(target=self._keep, name="ami-link", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="ami-events", daemon=True)

    def on(self, event: str, callback: Callable[[Message], None]) -> None:
        """Call `callback` with each event of that name; `*`: with every event."""
        self._callbacks.setdefault(event, []).append(callback)

    def on_link(self, callback: Callable[[bool], None]) -> None:
        """Call `callback` with True when the link is there (again), with False when it is lost."""
        self._on_link.append(callback)

    def on_gap(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with how many events were thrown away because too many waited."""
        self._on_gap.append(callback)

    def start(self) -> None:
        self._keeper.start()
        self._teller.start()

    def stop(self) -> None:
        """Log off; the callbacks hear of what came before, and of the end."""
        self._stopping.set()
        if (link := self._link) is not None:
            link.close()
        for thread in (self._keeper, self._teller):
            if thread.ident is not None:
                thread.join(self._timings.connect + self._timings.answer)

    def ask(self, action: str, fields: Fields = (), *, timeout_s: float | None = None) -> Reply:
        """As Link.ask. Raises AmiUnreachableError at once while there is no link."""
        link = self._link
        if link is None:
            raise AmiUnreachableError(f"{action} was not sent, there is no link to Asterisk: {self._trouble}")
        return link.ask(action, fields, timeout_s=timeout_s)

    def ask_in_order(self, action: str, callback: Callable[[Reply], None]) -> None:
        """Ask, and have `callback` called with the answer as if it were an event: after what Asterisk told before it,
        before what it told afterwards. Of an action that is refused, or whose link is lost, nothing more is heard."""
        link = self._link
        if link is None:
            return
        try:
            future = link.submit(action)
        except AmiError as error:
            log.debug("%s", error)
            return
        # It is done in the reader's thread, which puts the events into the queue.
        future.add_done_callback(lambda done: self._queue.put(_Answer(done, callback)))

    @property
    def connected(self) -> bool:
        return self._link is not None

    def health(self) -> dict[str, Any]:
        """The link for people who look whether all is well: it is no vital part."""
        found: dict[str, Any] = {
            "ok": self.connected,
            "vital": False,
            "address": "{}:{}".format(*self._manager.address),
        }
        if self._since is not None:
            found["connected_s"] = round(time.time() - self._since)
        else:
            found["error"] = self._trouble
        found |= {"events": self._told, "events_per_s": self._rate.per_second(time.time()), "events_lost": self._lost}
        return found | {"links_lost": self._links_lost}

    # --- the link --------------------------------------------------------------------------------

    def _keep(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            pause_s = 0.0
            try:
                self._hold()
            except AmiLoginError as error:
                self._say(error)
                pause_s = self._timings.refused
            except AmiError as error:
                self._say(error)
            except Exception:
                log.exception("the link to Asterisk's manager failed by our own fault; it is tried again")
            tries = 0 if time.monotonic() - began > self._timings.steady else tries + 1
            self._stopping.wait(max(pause_s, self._pause(tries)))
        self._queue.put(None)

    def _hold(self) -> None:
        """One link, from its beginning to its end. Raises AmiError when there was none."""
        with Link(self._manager, self._take, self._timings) as link:
            link.login()
            self._link, self._since = link, time.time()
            self._trouble = ""
            self._queue.put(True)
            log.info("connected to Asterisk's manager %s on %s:%d", link.version, *self._manager.address)
            if self._stopping.is_set():  # stop() may have looked before there was anything to close
                link.close()
            link.lost.wait()
            self._link = self._since = None
        self.heard_at = link.heard_at  # now that its reader has come to the end
        self._queue.put(False)
        if not self._stopping.is_set():
            self._links_lost += 1
            self._say(link.reason)

    def _pause(self, tries: int) -> float:
        """Seconds: many programs lose a restarted Asterisk at the same time and must not come back at the same time."""
        longest = min(self._timings.slowest, self._timings.again * 2.0 ** min(tries, 10))
        return random.uniform(0.5, 1.0) * longest

    def _say(self, error: AmiError | None) -> None:
        level = logging.DEBUG if str(error) == self._trouble else logging.WARNING
        self._trouble = str(error)
        log.log(level, "no link to Asterisk's manager, it is tried again: %s", error)

    # --- events ----------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """In the reader's thread."""
        if message.event not in self._callbacks and "*" not in self._callbacks:
            return
        if self._queue.qsize() < self._room:
            self._queue.put(message)
            return
        with self._lock:
            self._lost += 1
            if self._gap is None:
                self._gap = _Gap()
                self._queue.put(self._gap)
            self._gap.count += 1

    def _tell(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Message):
                self._told += 1
                self._rate.add(item.at)
                _tell_all((*self._callbacks.get(item.event, ()), *self._callbacks.get("*", ())), item)
            elif isinstance(item, _Answer):
                _tell_answer(item)
            elif isinstance(item, _Gap):
                with self._lock:  # what is lost from now on is another gap
                    self._gap = None
                log.warning("%d events of Asterisk were lost: they came faster than they were worked on", item.count)
                _tell_all(self._on_gap, item.count)
            else:
                _tell_all(self._on_link, item)


def _tell_answer(answer: _Answer) -> None:
    error = answer.future.exception()
    if error is None:
        _tell_all([answer.tell], answer.future.result())
    else:
        log.log(logging.WARNING if isinstance(error, AmiRefusedError) else logging.DEBUG, "%s", error)


def _tell_all(callbacks: Iterable[Callable[[_Told], None]], what: _Told) -> None:
    """A callback that fails takes nobody else's event away."""
    for callback in callbacks:
        try:
            callback(what)
        except Exception:
            log.exception("a callback failed on what Asterisk told; the others go on")
