"""How long the portal works on each method, learnt from its own answers."""

from __future__ import annotations

import math
import statistics
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PORTAL_LIMIT_S = 60.0  # the portal ends a request after so long
# Enough to outvote a hiccup, few enough to notice within a minute that the portal became slow.
SAMPLES = 25


@dataclass(frozen=True)
class Operating:
    """Working time of a method in the portal's books. `spent_s` of the last ten minutes;
    `reset_at` the Unix time when the oldest minute drops out, None if the portal does not tell; `at` when it was so,
    by the portal's clock."""

    spent_s: float
    reset_at: float | None
    at: float | None = None

    def is_before(self, other: Operating | None) -> bool:
        """Whether it was so before `other`, though heard of after it: a batch answers when it has come to its end."""
        if other is None or self.at is None or other.at is None:
            return False
        return 0 < other.at - self.at <= PORTAL_LIMIT_S  # more, and the portal's clock was set


class Durations:
    """Measured seconds per method. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, deque[float]] = {}
        self._typical: dict[str, float] = {}
        self._operating: dict[str, Operating] = {}
        self._overhead: deque[float] = deque(maxlen=SAMPLES)

    def typical(self, method: str) -> float | None:
        """Median seconds the portal takes for a method, None while nothing is measured."""
        return self._typical.get(method.casefold())

    def round_trip(self) -> float | None:
        """Median seconds a request takes beyond the portal's own work: network, web server, us."""
        with self._lock:
            return statistics.median(self._overhead) if self._overhead else None

    def operating(self, method: str) -> Operating | None:
        """The method's working time as last told by the portal, None if it never did."""
        with self._lock:
            return self._operating.get(method.casefold())

    def record(self, method: str, seconds: float) -> None:
        """Note that the portal took (at least) `seconds` for a method."""
        with self._lock:
            key = method.casefold()
            samples = self._samples.setdefault(key, deque(maxlen=SAMPLES))
            samples.append(seconds)
            self._typical[key] = statistics.median(samples)

    def learn(self, method: str, time: object) -> float | None:
        """Read the `time` block of an answer. Returns the portal's duration, None if it has none."""
        if not isinstance(time, dict):
            return None
        duration = number(time.get("duration"))
        if duration is None:
            start, finish = number(time.get("start")), number(time.get("finish"))
            duration = finish - start if start is not None and finish is not None else None
        if duration is not None and 0 <= duration < 3600:
            self.record(method, duration)
        self._learn_operating(method, time)
        return duration

    def learn_overhead(self, wall_s: float, portal_s: float | None) -> None:
        """Note the difference between what we waited and what the portal worked."""
        if portal_s is not None and 0 <= portal_s <= wall_s:
            with self._lock:
                self._overhead.append(wall_s - portal_s)

    def _learn_operating(self, method: str, time: Mapping[Any, Any]) -> None:
        spent = number(time.get("operating"))
        if spent is None:
            return
        told = Operating(spent, number(time.get("operating_reset_at")), number(time.get("finish")))
        with self._lock:
            if not told.is_before(self._operating.get(method.casefold())):
                self._operating[method.casefold()] = told


def number(value: object) -> float | None:
    """A finite number of an answer, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None
