"""The worker: takes due calls from the journal under a lease, does their next step, journals what came of it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bx24client import Bitrix24
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.clock import WallClock
from itgrix_bx.config import Settings
from itgrix_bx.delivery import schedule
from itgrix_bx.delivery.asking import Begin
from itgrix_bx.delivery.attach import Attach
from itgrix_bx.delivery.cards import Cards
from itgrix_bx.delivery.fetching import Fetching
from itgrix_bx.delivery.finishing import Finish
from itgrix_bx.delivery.leads import Lead
from itgrix_bx.delivery.registering import Register
from itgrix_bx.delivery.schedule import ATTACH, FINISH, LEAD, REGISTER, due
from itgrix_bx.delivery.turns import Turns
from itgrix_bx.employees import Employees
from itgrix_bx.logbook import Logbook
from itgrix_bx.numbers import Numbers
from itgrix_bx.spool import SpoolError
from sql.database import DatabaseAwayError
from sql.journal import CLOCK_WAS_WRONG_S, LeaseLostError
from sql.marks import Marks

log = logging.getLogger("itgrix_bx.delivery")

_LEASE_S = schedule.LEASE_S
_IDLE_S = 1.0
_LIVE_S = 120.0  # a call that ended this recently goes before the backlog
_SLOWEST_PROBE_S = 60.0
_PATIENCE_S = 10.0  # nobody waits for delivery: a busy database is no reason for the spool

Step = Callable[[Call, Begin], list[Event]]


class _Crew:
    """Threads for some of the steps: a queue of large recordings must not keep outcomes waiting."""

    def __init__(self, steps: Sequence[str], threads: int) -> None:
        self.steps = steps
        self._free = threads
        self._lock = threading.Lock()
        self._turn = 0
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=f"delivery-{steps[0]}")

    @property
    def free(self) -> int:
        return self._free

    def take(self, count: int) -> None:
        with self._lock:
            self._free -= count

    def give_back(self) -> None:
        with self._lock:
            self._free += 1

    def for_backlog(self, room: int) -> int:
        """How many of `room` places go to the oldest call whatever its age: a quarter, so that neither starves."""
        self._turn += room
        share, self._turn = divmod(self._turn, 4)
        return share


class Worker:
    """Delivers calls until stopped. Any number of workers, on any number of machines, share one journal."""

    def __init__(
        self,
        settings: Settings,
        logbook: Logbook,
        client: Bitrix24,
        cards: Cards,
        employees: Employees,
        fetching: Fetching,
        numbers: Numbers,
        marks: Marks,
        turns: Turns,
    ) -> None:
        def directory() -> Directory:
            return employees.directory

        self._employees = employees
        self._numbers = numbers
        self._logbook = logbook
        self._client = client
        attach = Attach(settings, client, fetching)
        self._steps: dict[str, Step] = {
            REGISTER: Register(
                settings,
                client,
                directory,
                lambda: numbers.current,
                lambda: employees.lines,
                turns,
                logbook.journal.beside,
            ).step,
            FINISH: Finish(settings, client, cards, directory, attach.beside_finish).step,
            LEAD: Lead(settings, client, marks).step,
            ATTACH: attach.step,
        }
        self._owner = f"{_host()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # Enough that a batch finds its commands waiting: a thread that waits for its turn costs next to nothing.
        self._crews = (_Crew((REGISTER, FINISH, LEAD), 128), _Crew((ATTACH,), 128))
        self._probe_at = 0.0
        self._held: set[str] = set()  # calls whose lease could not be given back
        self._clock = WallClock()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests in hand; leases of what was not begun end by themselves."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(10)
        for crew in self._crews:
            crew.pool.shutdown(wait=True, cancel_futures=True)

    def notice(self, call: Call) -> None:
        """`call` changed: wake up when it is due."""
        found = due(call)
        if found is not None and found[1] <= time.time() + _IDLE_S:
            self._wake.set()

    # --- taking work -----------------------------------------------------------------------------

    def _run(self) -> None:
        self._bury_the_dead()
        while not self._stopping.is_set():
            self._wake.wait(_IDLE_S)
            self._wake.clear()
            try:
                self._give_back()
                for crew in self._crews:
                    self._take_due(crew)
            except DatabaseAwayError as error:
                log.debug("delivery waits for the database: %s", error)
            except Exception:
                log.exception("delivery stumbled; it goes on in a moment")

    def _bury_the_dead(self) -> None:
        """What a killed process of this machine had in hand need not wait for the lease to end."""
        try:
            freed = self._logbook.journal.release_all(_is_dead)
        except DatabaseAwayError:
            return
        if freed:
            log.info("%d calls of a process that died are taken over", freed)

    def _give_back(self) -> None:
        """What the database, being away, was not told: these calls need not wait for their leases to end."""
        while self._held and self._logbook.away_since is None:
            call_id = next(iter(self._held))
            self._logbook.journal.release(call_id, self._owner)
            self._held.discard(call_id)

    def _take_due(self, crew: _Crew) -> None:
        # A clock that was set ends leases before their time: what is in flight is let come to its own end first.
        if self._clock.quiet(schedule.IN_FLIGHT_S):
            return
        # What waits in the spool may be about the very calls that are due.
        if not self._logbook.caught_up or not self._employees.known or not self._numbers.known:
            return
        while not self._stopping.is_set() and (room := self._room(crew)):
            oldest = crew.for_backlog(room)
            live_since = time.time() - _LIVE_S
            mine = self._claim(crew, oldest, None) + self._claim(crew, room - oldest, live_since)
            crew.take(len(mine))
            for call_id in mine:
                crew.pool.submit(self._work_on, crew, call_id)
            if len(mine) < room - oldest:
                return

    def _claim(self, crew: _Crew, limit: int, live_since: float | None) -> list[str]:
        return self._logbook.journal.claim(
            self._owner, crew.steps, now=time.time(), lease_s=_LEASE_S, limit=limit, live_since=live_since
        )

    def _room(self, crew: _Crew) -> int:
        """How many calls may be begun. A portal that is ill is asked with one call now and then, not with all."""
        health = self._client.health
        if health.well:
            return crew.free
        now = time.monotonic()
        if now < self._probe_at or not crew.free:
            return 0
        self._probe_at = now + min(_SLOWEST_PROBE_S, max(1.0, health.ill_for_s / 4))
        return 1

    def _work_on(self, crew: _Crew, call_id: str) -> None:
        try:
            if not self._do_next_step(call_id):
                self._held.add(call_id)
        except (DatabaseAwayError, SpoolError) as error:
            self._held.add(call_id)
            log.warning("call %s: left for later, %s", call_id, error)
        except LeaseLostError as error:
            log.warning("%s; nothing was sent", error)
        except Exception:
            log.exception("call %s: delivery failed by our own fault; it is tried again when its lease ends", call_id)
        finally:
            crew.give_back()
            self._wake.set()

    def _do_next_step(self, call_id: str) -> bool:
        """Whether the lease was given back."""
        journal = self._logbook.journal
        call, found = self._look_at(call_id)
        if call is None or found is None or found[1] > time.time():
            journal.correct(call_id, self._owner)
            return True

        def begin(event: Event) -> None:
            # Into the database, not the spool: whoever takes the call over must see that a request has left.
            journal.append([event], lease=self._owner)

        events = self._steps[found[0]](call, begin)
        stored = self._logbook.record(events, release=self._owner, patience_s=_PATIENCE_S)
        log.info("call %s: %s", call_id, ", ".join(_told(event) for event in events))
        return stored is not None

    def _look_at(self, call_id: str) -> tuple[Call | None, tuple[str, float] | None]:
        """The call, and what is due when."""
        journal = self._logbook.journal
        call = journal.call(call_id)
        found = due(call) if call is not None else None
        now = time.time()
        if found is None or found[1] <= now + CLOCK_WAS_WRONG_S:
            return call, found
        call = journal.append([Event(call_id, Kind.CLOCK, now, {"now": now})]).call
        return call, due(call)


def _told(event: Event) -> str:
    """An event for the log: its kind, and what went wrong."""
    detail = event.data.get("error") or event.data.get("detail") or event.data.get("state", "")
    return f"{event.kind} ({detail})" if detail else str(event.kind)


def _host() -> str:
    return socket.gethostname()[:32]


def _is_dead(owner: str) -> bool:
    """Whether a lease's owner was a process of this machine that is no more."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != _host() or not rest.isdigit():
        return False
    if int(rest) == os.getpid():
        return True  # our number, and we have only begun
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
