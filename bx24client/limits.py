"""The request budget: our mirror of the portal's leaky bucket.

The portal counts requests per source address: each adds 1, and the count falls by `rate` a second;
above `burst` it refuses (QUERY_LIMIT_EXCEEDED). Asking here first costs nothing, being refused there
costs a round trip of a caller who waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

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
# Each refusal says that somebody else drinks from the same bucket: we take a third less for a while.
_EASED_BY = 0.67
_LEAST_SHARE = 0.25
_RECOVERS_IN_S = 60.0


class Budget:
    """A leaky bucket. Not thread-safe by itself: the gate asks it under its lock.

    `rate`: requests a second the portal forgets (2 on ordinary plans, 5 on Enterprise). `burst`: the
    count above which it refuses (50, 250). `clock` gives monotonic seconds.
    """

    def __init__(self, rate: float = 2.0, burst: float = 50.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not rate > 0 or not burst >= 1:
            raise ValueError("the budget needs a rate above 0 and a burst of at least 1")
        self.rate, self.burst = float(rate), float(burst)
        self.room = max(1.0, self.burst - MARGIN)
        self.clock = clock
        self._level, self._at = 0.0, clock()
        self._share, self._eased_at = 1.0, clock()

    def level(self) -> float:
        """Requests the portal remembers now, by our count."""
        now = self.clock()
        if now > self._at:
            self._level = max(0.0, self._level - (now - self._at) * self.rate)
            self._at = now
        return self._level

    def fullness(self) -> float:
        """0.0 when the bucket is empty, 1.0 when a request would be refused."""
        return min(1.0, self.level() / self.room)

    def pace(self) -> float:
        """Requests a second that are ours to use: less than `rate` while others drink too."""
        recovered = (self.clock() - self._eased_at) / _RECOVERS_IN_S * (1.0 - _LEAST_SHARE)
        return self.rate * min(1.0, self._share + max(0.0, recovered))

    def delay(self, lane: str, waited_s: float = 0.0) -> float:
        """Seconds until a request of this lane may leave, if nobody else wants to."""
        kept = LANES[lane] * self.room * max(0.0, 1.0 - waited_s / PATIENCE_S)
        over = self.level() + 1.0 - max(1.0, self.room - kept)
        return max(0.0, over) / self.rate

    def take(self) -> None:
        """Count one request."""
        self._level = self.level() + 1.0

    def claim(self) -> tuple[float | None, float]:
        """Ask whoever else drinks from the bucket for the place just taken: (the level they know, seconds to wait; 0.0:
        it is ours). Called without any lock. A budget of our own has nobody to ask."""
        return None, 0.0

    def announce_refusal(self) -> None:
        """Tell them that the portal refused. Called without any lock."""

    def learn(self, level: float) -> None:
        """Take over the level that all who share the bucket have filled it to."""
        self._level, self._at = level, self.clock()

    def give_back(self) -> None:
        """Undo one `take`: the request never reached the portal."""
        self._level = max(0.0, self.level() - 1.0)

    def refused(self) -> None:
        """The portal said QUERY_LIMIT_EXCEEDED: others drink from the same bucket, and it is full."""
        self._share = max(_LEAST_SHARE, self.pace() / self.rate * _EASED_BY)
        self._eased_at = self.clock()
        self._level, self._at = max(self.burst, self.level()), self.clock()
