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
from dataclasses import dataclass, field

from bx24client.durations import Durations, Operating

# The server's default is 420 s, the documents speak of 480. What somebody waits for, and batches, in which it travels,
# are held back before the lower one, so that it is never refused; the rest may find the true limit out.
CAUTIOUS_S = 420.0
BATCH = "batch"
_CAREFUL = frozenset({"telephony.externalcall.register", "telephony.externalcall.searchcrmentities", BATCH})
_KEPT_FREE = 0.02  # share of the limit for what was billed to us without an answer
_QUESTION_S = 1.0  # of work, in a batch by which we ask what batches may do
UNKNOWN_S = 0.2  # what a method is taken to cost before it was measured


@dataclass
class _Account:
    """Seconds by what a command typically takes."""

    in_flight: int = 0
    in_flight_s: float = 0.0
    left_s: float = 0.0  # all that ever left: what came back since is known by the difference
    closed_until: float = 0.0


@dataclass
class Departure:
    """Commands on their way, by whose account they are on: how many, seconds, and what had come back before."""

    counts: Counter[str]
    seconds: dict[str, float] = field(default_factory=dict)
    back_s: dict[str, float] = field(default_factory=dict)


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
        self._let_in_s = 0.0  # the most that was spent when something was let in
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
        return max(1, fits) if self.asks(method) else fits

    def batch_room_s(self, kept_a_second: float | None = None) -> float:
        """Seconds of work that batches may still do; without end where they are not billed as a whole.

        `kept_a_second`: work that others will want in batches, and have first, until something drops out.
        """
        if self._clock() < self._of(BATCH).closed_until:
            return 0.0
        told, opens_in = self._durations.operating(BATCH), self.opens_in(BATCH)
        if told is None or not self.bills_batches:
            return math.inf
        if opens_in:
            return max(0.0, self._free(BATCH, told) - (kept_a_second or 0.0) * opens_in)
        # Something has dropped out, and the next answer tells how much: what is kept free pays for the question.
        free = max(0.0, self._free(BATCH, told, kept=0.0))
        return free if kept_a_second is None else min(free, _QUESTION_S)

    def asks(self, name: str) -> bool:
        """Whether one of `name` may leave whatever it costs: something dropped out since we were told what was spent,
        and nothing on its way will tell how much."""
        told, account = self._durations.operating(name), self._of(name)
        is_open = not account.in_flight and account.closed_until <= self._clock()
        return told is not None and not self._is_new(told) and is_open

    def opens_in(self, method: str) -> float:
        """Seconds until `method` may be tried again, when it has no room now."""
        told, now = self._durations.operating(method), self._clock()
        reset_at = told.reset_at if told is not None and told.reset_at is not None else now
        return max(0.0, self._of(method).closed_until - now, reset_at - now)

    def left(self, methods: Iterable[str], *, batch: bool = False) -> Departure:
        """Commands of these methods leave for the portal, in one `batch` or not. To be told when they came back."""
        departure = Departure(Counter(map(str.casefold, methods)))
        for method, count in departure.counts.items():
            departure.seconds[method] = count * self.cost(method)
        if batch:
            departure.seconds[BATCH] = sum(departure.seconds.values())
            departure.counts[BATCH] = 1
        for name, seconds in departure.seconds.items():
            account = self._of(name)
            departure.back_s[name] = account.left_s - account.in_flight_s
            account.in_flight += departure.counts[name]
            account.in_flight_s += seconds
            account.left_s += seconds
        return departure

    def came_back(self, departure: Departure, *, let_in: bool) -> None:
        """They were answered, or never will be. `let_in`: the portal refused none of them for its working time."""
        batch = BATCH in departure.counts
        for name in departure.counts:
            account = self._of(name)
            told = self._durations.operating(name)
            if told is not None and let_in and (name == BATCH or not (batch and self.bills_batches)):
                # So much was spent when the last of them was let in, less what the portal worked on beside it at most.
                beside_s = account.left_s - departure.back_s[name] - departure.seconds[name]
                last_s = departure.seconds[name] / departure.counts[name]
                self._let_in_s = max(self._let_in_s, told.spent_s - last_s - beside_s)
            account.in_flight -= departure.counts[name]
            account.in_flight_s -= departure.seconds[name]
        self.limit_s = max(self.limit_s, self._let_in_s)

    def blocked(self, method: str, until: float, *, just_told: bool = False) -> None:
        """The portal refused `method` for its working time, until then (unix seconds). `just_told`: the same answer
        told what was spent before."""
        self._of(method).closed_until = until
        told = self._durations.operating(method)
        if told is None or told.spent_s <= 0:
            return
        if self._let_in_s > told.spent_s + self._of(method).in_flight_s:
            self._let_in_s = 0.0  # the limit is lower than it was
        # The last that was let in passed the limit, and what it was: one command, but of a batch all that is in it.
        limit_s = told.spent_s - self.cost(method)
        first = not self._found_out and method.casefold() != BATCH and self._is_new(told)
        if limit_s < self.limit_s or just_told or first:
            self.limit_s = max(self._let_in_s, limit_s)
            self._found_out = True

    def cost(self, method: str, unknown: float = UNKNOWN_S) -> float:
        """Seconds a command of `method` takes the portal, typically; `unknown` before it was measured."""
        typical = self._durations.typical(method)
        return unknown if typical is None else typical

    def _free(self, name: str, told: Operating, kept: float = _KEPT_FREE) -> float:
        return self.limit_s * (1 - kept) - told.spent_s - self._of(name).in_flight_s

    def _is_new(self, told: Operating) -> bool:
        """Whether nothing can have dropped out since we were told."""
        return told.reset_at is None or self._clock() < told.reset_at

    def _of(self, name: str) -> _Account:
        key = name.casefold()
        return self._accounts.get(key) or self._accounts.setdefault(key, _Account())
