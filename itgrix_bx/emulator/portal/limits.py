"""The two limits of a cloud portal: requests by source address, and working time by method."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from itgrix_bx.emulator.portal.clock import Clock
from itgrix_bx.emulator.portal.settings import Settings

# Shorter hits are not counted as working time.
_FREE_HIT_S = 0.1
_BUCKETS = 10


class RequestLimit:
    """A leaky bucket per source address: +1 a request, drained steadily, refused above the threshold."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}
        self._unknown = (0.0, 0.0)

    def admits(self, address: str) -> bool:
        """Count a request; False when it has to be refused."""
        if not self._settings.rate_per_s:
            return True
        with self._lock:
            now = self._clock.now()
            level, at = self._levels.get(address, self._unknown)
            level = max(0.0, level - max(0.0, now - at) * self._settings.rate_per_s) + 1
            admitted = level <= self._settings.rate_burst
            # A refused request does not fill the bucket further: it would never open for a client that retries.
            self._levels[address] = (level if admitted else level - 1, now)
            return admitted

    def fill(self, level: float) -> None:
        """Every bucket stands at `level` now, those of addresses not seen yet too: others have drunk from it."""
        with self._lock:
            self._levels.clear()
            self._unknown = (level, self._clock.now())

    def clear(self) -> None:
        """Empty every bucket."""
        self.fill(0.0)


@dataclass
class _Bucket:
    begin: float
    seconds: float


class OperatingLimit:
    """Working time of each (webhook, method) in a sliding window of ten buckets."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], deque[_Bucket]] = {}

    @property
    def is_on(self) -> bool:
        """Whether this portal limits working time at all."""
        return self._settings.operating_limit_s > 0

    def is_blocked(self, webhook: str, method: str) -> bool:
        """Whether the method has used up its time."""
        if not self.is_on:
            return False
        with self._lock:
            return self._sum((webhook, method)) > self._settings.operating_limit_s

    def bill(self, webhook: str, method: str, seconds: float) -> None:
        """Add a hit's time."""
        seconds = self._settings.operating_cost_s.get(method, seconds)
        if not self.is_on or seconds <= _FREE_HIT_S:
            return
        with self._lock:
            buckets = self._used.setdefault((webhook, method), deque())
            width = self._settings.operating_window_s / _BUCKETS
            begin = self._clock.now() // width * width
            if buckets and buckets[-1].begin == begin:
                buckets[-1].seconds += seconds
            else:
                buckets.append(_Bucket(begin, seconds))

    def report(self, webhook: str, method: str) -> dict[str, float]:
        """`operating` and `operating_reset_at` of an answer; nothing where the limit is off.

        The second is when the oldest bucket drops out, not when all is free again.
        """
        if not self.is_on:
            return {}
        with self._lock:
            used = self._sum((webhook, method))
            buckets = self._used.get((webhook, method))
            oldest = buckets[0].begin if buckets else self._clock.now()
        return {"operating_reset_at": int(oldest + self._settings.operating_window_s), "operating": round(used, 6)}

    def clear(self) -> None:
        """Forget all working time."""
        with self._lock:
            self._used.clear()

    def _sum(self, key: tuple[str, str]) -> float:
        buckets = self._used.get(key)
        if not buckets:
            return 0.0
        gone = self._clock.now() - self._settings.operating_window_s
        while buckets and buckets[0].begin <= gone:
            buckets.popleft()
        return sum(bucket.seconds for bucket in buckets)
