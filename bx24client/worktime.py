"""The portal's second limit: seconds of work in ten minutes (`operating`), of each method, or of all batches together.

What has passed it is refused (OPERATION_TIME_LIMIT) until its oldest minute drops out of the window. What is spent
the portal tells in each answer, and so whether it bills a batch to its commands' methods or as a whole, to `batch`.
The limit itself, the same for all, it does not tell: it is learnt from what was let in and from the first refusal.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bx24client.durations import Durations, Operating

# The server's default is 420 s, the documents speak of 480. What somebody waits for is held back before the lower one,
# so that it is never refused; the rest may find the true limit out.
CAUTIOUS_S = 420.0
BATCH = "batch"
_CAREFUL = frozenset({"telephony.externalcall.register", "telephony.externalcall.searchcrmentities", BATCH})
_KEPT_FREE = 0.02  # share of the limit for what was billed to us without an answer
UNKNOWN_S = 0.2  # what a method is taken to cost before it was measured
_OPENS_SOON_S = 1.0  # a batch refused so shortly before something drops out delays nobody
_A_TRY = 0.02  # share of the limit by which such a batch may pass it


@dataclass
class _Account:
    in_flight: int = 0
    in_flight_s: float = 0.0
    closed_until: float = 0.0


class Worktime:
    """How much work of each method, and of batches, may leave now. Not thread-safe: the gate asks it under its lock.

    `cautious_s`: what the limit is taken for before it is known. `clock` gives unix seconds, as the portal does.
    """

    def __init__(
        self, durations: Durations, clock: Callable[[], float] = time.time, *, cautious_s: float = CAUTIOUS_S
    ) -> None:
        self._durations = durations
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self.limit_s = cautious_s  # as far as it is known
        self._found_out = False

    @property
    def bills_batches(self) -> bool:
        """Whether the portal bills a batch as a whole, by its own word."""
        told = self._durations.operating(BATCH)
        return told is not None and told.spent_s > 0

    def room(self, method: str) -> int:
        """Commands of `method` that fit into its limit now; many where the portal tells nothing."""
        if self._clock() < self._of(method).closed_until:
            return 0
        told = self._durations.operating(method)
        if told is None or not (self._found_out or method.casefold() in _CAREFUL):
            return 1_000_000
        fits = max(0, int(self._free(method, told) / max(self.cost(method), 0.001)))
        return max(1, fits) if self._has_dropped(method, told) else fits  # one asks how much dropped out

    def batch_room_s(self, kept_a_second: float | None = None) -> float:
        """Seconds of work that batches may still do; without end where they are not billed as a whole.

        `kept_a_second`: work that others will want in batches, and have first, until something drops out. Whoever
        leaves them that may find out, when this is near, whether the limit is higher than it was taken for.
        """
        if self._clock() < self._of(BATCH).closed_until:
            return 0.0
        told, opens_in = self._durations.operating(BATCH), self.opens_in(BATCH)
        if told is None or not self.bills_batches or self._has_dropped(BATCH, told):
            return math.inf
        if kept_a_second is None:  # something has dropped out: what is on its way will tell how much
            return math.inf if not opens_in else max(0.0, self._free(BATCH, told))
        may_try = not self._found_out and opens_in < _OPENS_SOON_S
        free = self._free(BATCH, told) - kept_a_second * opens_in
        return max(0.0, free, self.limit_s * _A_TRY if may_try else 0.0)

    def opens_in(self, method: str) -> float:
        """Seconds until `method` may be tried again, when it has no room now."""
        told, now = self._durations.operating(method), self._clock()
        reset_at = told.reset_at if told is not None and told.reset_at is not None else now
        return max(0.0, self._of(method).closed_until - now, reset_at - now)

    def left(self, methods: Iterable[str], *, batch: bool = False) -> None:
        """Commands of these methods have left for the portal, in one `batch` or not."""
        self._count([*methods], 1, batch=batch)

    def came_back(self, methods: Iterable[str], *, batch: bool = False) -> None:
        """They were answered, or never will be."""
        counted = [*methods]
        self._count(counted, -1, batch=batch)
        for name in {BATCH} if batch and self.bills_batches else {*map(str.casefold, counted)}:
            if told := self._durations.operating(name):
                cost = sum(map(self.cost, counted)) if batch else self.cost(name)
                self.limit_s = max(self.limit_s, told.spent_s - cost)  # so much was spent, and it was let in

    def blocked(self, method: str, until: float) -> None:
        """The portal refused `method` for its working time, until then (unix seconds)."""
        told = self._durations.operating(method)
        if told is not None and told.spent_s > 0:
            self.limit_s = told.spent_s - self.cost(method)
            self._found_out = True
        self._of(method).closed_until = until

    def cost(self, method: str, unknown: float = UNKNOWN_S) -> float:
        """Seconds a command of `method` takes the portal, typically; `unknown` before it was measured."""
        typical = self._durations.typical(method)
        return unknown if typical is None else typical

    def _count(self, methods: list[str], sign: int, *, batch: bool) -> None:
        counts = Counter(map(str.casefold, methods))
        for method, count in counts.items():
            self._add(method, sign * count, sign * count * self.cost(method))
        if batch:
            self._add(BATCH, sign, sign * sum(count * self.cost(method) for method, count in counts.items()))

    def _add(self, name: str, count: int, seconds: float) -> None:
        account = self._of(name)
        account.in_flight = max(0, account.in_flight + count)
        # Costs are learnt between the two times: what is left over from that ends with the last of them.
        account.in_flight_s = max(0.0, account.in_flight_s + seconds) if account.in_flight else 0.0

    def _free(self, name: str, told: Operating) -> float:
        return self.limit_s * (1 - _KEPT_FREE) - told.spent_s - self._of(name).in_flight_s

    def _has_dropped(self, name: str, told: Operating) -> bool:
        """Whether something dropped out since we were told, and nothing on its way will tell how much."""
        return told.reset_at is not None and told.reset_at <= self._clock() and not self._of(name).in_flight

    def _of(self, name: str) -> _Account:
        key = name.casefold()
        return self._accounts.get(key) or self._accounts.setdefault(key, _Account())
