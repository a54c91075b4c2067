"""The request budget: our mirror of the portal's leaky bucket, shared by all threads.

The portal counts requests per source address: each adds 1, and the count falls by `rate` a second;
above `burst` it refuses (QUERY_LIMIT_EXCEEDED). Asking here first costs nothing, being refused there
costs a round trip of a caller who waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from bx24client.errors import BudgetExhausted

# Most urgent first. The number is the share of the bucket that a lane leaves to the lanes before it.
LANES: Final[dict[str, float]] = {
    "caller": 0.0,  # somebody listens to the ringing tone while we ask
    "card": 0.05,  # an employee's screen
    "outcome": 0.10,  # register late, finish
    "recording": 0.20,
    "background": 0.30,  # users, lines, statistics
}
# After this long a waiting request competes as if it were a caller, so that no lane starves.
PATIENCE_S = 30.0
# Requests may arrive closer together than they left; one place is kept for that.
MARGIN = 1.0


class _Waiter:
    __slots__ = ("lane", "since", "ticket")

    def __init__(self, lane: str, since: float, ticket: int) -> None:
        self.lane, self.since, self.ticket = lane, since, ticket


class Budget:
    """A leaky bucket with lanes.

    `rate`: requests a second the portal forgets (2 on ordinary plans, 5 on Enterprise). `burst`: the
    count above which it refuses (50, 250). `clock` gives monotonic seconds and `wait` sleeps on a
    condition: both are there for tests.
    """

    def __init__(
        self,
        rate: float = 2.0,
        burst: float = 50.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        if not rate > 0 or not burst >= 1:
            raise ValueError("the budget needs a rate above 0 and a burst of at least 1")
        self.rate, self.burst = float(rate), float(burst)
        self._room = max(1.0, self.burst - MARGIN)
        self._clock, self._wait = clock, wait
        self._level, self._at = 0.0, clock()
        self._changed = threading.Condition()
        self._waiting: list[_Waiter] = []
        self._tickets = 0

    def level(self) -> float:
        """Requests the portal remembers now, by our count."""
        with self._changed:
            return self._drained()

    def fullness(self) -> float:
        """0.0 when the bucket is empty, 1.0 when a request would be refused."""
        return min(1.0, self.level() / self._room)

    def delay(self, lane: str) -> float:
        """Seconds until a request of this lane could leave, if nobody else wants to."""
        with self._changed:
            return self._delay(lane, 0.0)

    def take(self, lane: str = "outcome", timeout_s: float = 0.0) -> None:
        """Count one request, waiting up to `timeout_s` for a place. Raises BudgetExhausted.

        It gives up at once when the place cannot be free in time: the caller has better uses for its
        deadline than to sleep through it. Low lanes should allow PATIENCE_S, so that they are served
        even when callers never cease.
        """
        with self._changed:
            me = self._queue(lane)
            give_up_at = me.since + timeout_s
            try:
                while not self._may_go(me):
                    self._sleep(me, give_up_at)
                self._level = self._drained() + 1.0
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()

    def give_back(self) -> None:
        """Undo one `take`: the request never reached the portal."""
        with self._changed:
            self._level = max(0.0, self._drained() - 1.0)
            self._changed.notify_all()

    def refused(self) -> None:
        """The portal said QUERY_LIMIT_EXCEEDED: others drink from the same bucket, and it is full."""
        with self._changed:
            self._level, self._at = max(self.burst, self._drained()), self._clock()

    def _queue(self, lane: str) -> _Waiter:
        if lane not in LANES:
            raise ValueError(f"no such lane: {lane!r}; there are {', '.join(LANES)}")
        self._tickets += 1
        me = _Waiter(lane, self._clock(), self._tickets)
        self._waiting.append(me)
        return me

    def _sleep(self, me: _Waiter, give_up_at: float) -> None:
        now = self._clock()
        needed = self._delay(me.lane, now - me.since)
        if now + needed > give_up_at or now >= give_up_at:
            raise BudgetExhausted(me.lane, needed)
        # A millisecond at least: behind a waiter of a better lane the delay may be 0. A second at most:
        # the longer it waits, the less it leaves to better lanes.
        self._wait(self._changed, min(max(needed, 0.001), 1.0, give_up_at - now))

    def _may_go(self, me: _Waiter) -> bool:
        now = self._clock()
        ready = [w for w in self._waiting if self._delay(w.lane, now - w.since) <= 0.0]
        order = list(LANES)
        return bool(ready) and me is min(ready, key=lambda w: (order.index(w.lane), w.ticket))

    def _delay(self, lane: str, waited: float) -> float:
        kept = LANES[lane] * self._room * max(0.0, 1.0 - waited / PATIENCE_S)
        over = self._drained() + 1.0 - max(1.0, self._room - kept)
        return max(0.0, over) / self.rate

    def _drained(self) -> float:
        now = self._clock()
        if now > self._at:
            self._level = max(0.0, self._level - (now - self._at) * self.rate)
            self._at = now
        return self._level
