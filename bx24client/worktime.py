"""The portal's second limit: seconds of one method's work in ten minutes (`operating`).

A method that passed it is refused (OPERATION_TIME_LIMIT) until its oldest minute drops out of the
window. What is spent the portal tells in each answer; the limit itself it does not tell, so it is
learnt from the first refusal.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bx24client.durations import Durations

# The server's default is 420 s, the documents speak of 480. What somebody waits for is held back before
# the lower one, so that it is never refused; the rest may find the true limit out.
CAUTIOUS_S = 420.0
_CAREFUL = frozenset({"telephony.externalcall.register", "telephony.externalcall.searchcrmentities"})
_KEPT_FREE = 0.02  # share of the limit for what was billed to us without an answer
BATCH = "batch"
UNKNOWN_S = 0.2  # what a method is taken to cost before it was measured


@dataclass
class _Method:
    in_flight: int = 0
    in_flight_s: float = 0.0
    closed_until: float = 0.0


class Worktime:
    """How many commands of each method may leave now. Not thread-safe: the gate asks it under its lock.

    `clock` gives unix seconds, which the portal speaks in.
    """

    def __init__(self, durations: Durations, clock: Callable[[], float] = time.time) -> None:
        self._durations = durations
        self._clock = clock
        self._methods: dict[str, _Method] = {}
        self.limit_s: float | None = None  # learnt

    def room(self, method: str) -> int:
        """Commands of `method` that fit into its limit now; many where the portal tells nothing."""
        state = self._of(method)
        now = self._clock()
        if now < state.closed_until:
            return 0
        told = self._durations.operating(method)
        limit = self._limit(method)
        if told is None or limit is None:
            return 1_000_000
        if told.reset_at is not None and told.reset_at <= now and state.in_flight == 0:
            return max(1, self._fits(method, limit, told.spent_s, state))  # something dropped out: one asks how much
        return self._fits(method, limit, told.spent_s, state)

    def batch_room_s(self) -> float:
        """Seconds of work that batches may still do where the portal bills them as a whole."""
        state, told, limit = self._of(BATCH), self._durations.operating(BATCH), self._limit(BATCH)
        now = self._clock()
        if now < state.closed_until:
            return 0.0
        if told is None or limit is None or not told.spent_s:
            return math.inf
        if told.reset_at is not None and told.reset_at <= now and state.in_flight == 0:
            return math.inf
        return limit * (1 - _KEPT_FREE) - told.spent_s - state.in_flight_s

    def opens_in(self, method: str) -> float:
        """Seconds until `method` may be tried again, when it has no room now."""
        told, now = self._durations.operating(method), self._clock()
        reset_at = told.reset_at if told is not None and told.reset_at is not None else now
        return max(0.0, self._of(method).closed_until - now, reset_at - now)

    def left(self, methods: Iterable[str]) -> None:
        """Commands of these methods have left for the portal."""
        for method, count in Counter(map(str.casefold, methods)).items():
            state = self._of(method)
            state.in_flight += count
            state.in_flight_s += count * self.cost(method)

    def came_back(self, methods: Iterable[str]) -> None:
        """They were answered, or never will be."""
        for method, count in Counter(map(str.casefold, methods)).items():
            state = self._of(method)
            state.in_flight = max(0, state.in_flight - count)
            state.in_flight_s = state.in_flight * self.cost(method)

    def blocked(self, method: str, until: float) -> None:
        """The portal refused `method` for its working time, until then (unix seconds)."""
        told = self._durations.operating(method)
        if told is not None and told.spent_s > 0:
            reached = told.spent_s - self.cost(method)
            self.limit_s = reached if self.limit_s is None else min(self.limit_s, reached)
        self._of(method).closed_until = until

    def cost(self, method: str, unknown: float = UNKNOWN_S) -> float:
        """Seconds a command of `method` takes the portal, typically; `unknown` before it was measured."""
        typical = self._durations.typical(method)
        return unknown if typical is None else typical

    def _fits(self, method: str, limit: float, spent: float, state: _Method) -> int:
        free = limit * (1 - _KEPT_FREE) - spent - state.in_flight_s
        return max(0, int(free / max(self.cost(method), 0.001)))

    def _limit(self, method: str) -> float | None:
        if self.limit_s is not None:
            return self.limit_s
        return CAUTIOUS_S if method.casefold() in _CAREFUL else None

    def _of(self, method: str) -> _Method:
        name = method.casefold()
        return self._methods.get(name) or self._methods.setdefault(name, _Method())
