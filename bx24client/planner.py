"""What leaves for the portal next, and when: the pure part of the gate, without threads.

While places in the portal's bucket are plenty, each command leaves at once. When they are scarce, what
waits is gathered and leaves together, at a steady pace a little below the portal's rate:

- *live* loads (lanes caller and card) and *later* loads (outcome, recording, background) never share a
  batch: a batch is answered as a whole, and nobody's ringing tone waits for a recording;
- a live load holds as many commands as the portal can work through before its most urgent member must
  be answered, by the measured time of each method; it leaves early when the callers who wait would
  otherwise be late or fill more than one batch;
- later loads have a share of the pace of their own, so that they do not starve.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from bx24client.commands import MAX_COMMANDS, BatchResult, Command
from bx24client.limits import LANES, Budget
from bx24client.worktime import Worktime

LIVE: Final = frozenset({"caller", "card"})
# Seconds after which a result is of less use, by lane; who knows better says so.
WANTED_WITHIN_S: Final[dict[str, float]] = {
    "caller": 1.5, "card": 2.0, "outcome": 10.0, "recording": 30.0, "background": 60.0,
}  # fmt: skip
# A little below the rate: what is not used lets the bucket run empty, for the next rush.
PACE: Final = 0.8
LIVE_SHARE: Final = 0.9  # of the pace, while later loads wait too
_BUSY_S = 5.0  # the other kind of load counts as busy this long after its last departure
_DEMAND_S = 10.0
_LATER_ROOM_S = 30.0  # work in one later batch; the portal ends a request after 60 s
_CARDS_ROOM_S = 1.5  # work in a live batch without a caller who can be answered in time
_MAX_BYTES = 4 * 1024 * 1024
_RANK = {lane: rank for rank, lane in enumerate(LANES)}


@dataclass(eq=False, slots=True)
class Parcel:
    """Commands that travel together, in their order. Times are monotonic seconds.

    `wanted_by`: an answer after this is of less use. `ends_by`: not sent after this, and given up then.
    `chain`: they stop at the first that fails and may refer to each other; such a parcel travels alone,
    as does one with an `errand`, a request that is no command. `on_leaving` is called just before the
    parcel leaves; when it raises, the parcel stays and its future gets that exception.
    """

    commands: Mapping[str, Command[Any]]
    lane: str
    wanted_by: float
    ends_by: float
    chain: bool = False
    errand: Callable[[float], Any] | None = None  # gets the seconds it may take
    on_leaving: Callable[[], object] | None = None
    future: Future[BatchResult] = field(default_factory=Future)
    since: float = 0.0
    number: int = 0
    tries: int = 0

    @property
    def live(self) -> bool:
        return self.lane in LIVE

    @property
    def alone(self) -> bool:
        return self.chain or self.errand is not None

    @property
    def idempotent(self) -> bool:
        return self.errand is None and all(command.idempotent for command in self.commands.values())

    @property
    def methods(self) -> list[str]:
        return [command.method for command in self.commands.values()]

    @property
    def size(self) -> int:
        """Bytes, as far as they matter: recordings."""
        return sum(len(str(c.params.get("FILE_CONTENT", ""))) for c in self.commands.values())


Load = list[Parcel]


class Planner:
    """Parcels that wait, and the rule by which they leave. Not thread-safe: the gate asks under its lock."""

    def __init__(self, budget: Budget, worktime: Worktime, overhead: Callable[[], float]) -> None:
        self._budget = budget
        self._worktime = worktime
        self._overhead = overhead  # seconds a request takes beyond the portal's own work
        self._clock = budget.clock
        self._waiting: list[Parcel] = []
        self._number = 0
        self._left_at = {True: -math.inf, False: -math.inf}  # live, later
        self._asked: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def plenty(self) -> bool:
        """Whether a command may leave at once on its own."""
        now = self._clock()
        while self._asked and self._asked[0] < now - _DEMAND_S:
            self._asked.popleft()
        calm = len(self._asked) <= self._budget.pace() * _DEMAND_S
        return calm and self._budget.level() + 1.0 <= self._budget.room / 2

    def add(self, parcels: Iterable[Parcel]) -> None:
        """Let parcels wait that were handed in together, so would leave in one request."""
        now = self._clock()
        self._asked.append(now)
        for parcel in parcels:
            self._number += 1
            parcel.since, parcel.number = now, self._number
            self._waiting.append(parcel)

    def came_back(self, load: Load, *, counted: bool) -> None:
        """A load is answered or given up; not `counted` when the portal never saw its request."""
        self._worktime.came_back(method for parcel in load for method in parcel.methods)
        if not counted:
            self._budget.give_back()

    def put_back(self, parcels: Iterable[Parcel]) -> None:
        """Parcels that left and were not executed: they keep their place."""
        self._waiting.extend(parcels)

    def next(self) -> Load | float | None:
        """The load that leaves now, or the seconds until one may, or None when nothing waits."""
        soonest: float | None = None
        for live in (True, False):
            waiting = self._in_order(live)
            if not waiting:
                continue
            load = self._load(waiting)
            wait = self._wait_of(load, waiting, live) if load else self._opens_in(waiting)
            if wait <= 0:
                self._leave(load, live)
                return load
            soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    def given_up(self) -> Load:
        """Take out the parcels whose time is over, or whose place cannot be free in time."""
        gone = {p for p in self._waiting if self._clock() + self.earliest_in(p) >= p.ends_by}
        self._waiting = [p for p in self._waiting if p not in gone]
        return sorted(gone, key=lambda p: p.number)

    def clear(self) -> Load:
        """Take out whatever waits."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def earliest_in(self, parcel: Parcel) -> float:
        """Seconds until `parcel` could leave at best, were it alone and its lane the first."""
        open_in = 0.0 if self._open(parcel, Counter()) else self._opens_in([parcel])
        return max(self._budget.delay("caller"), open_in)

    # --- which ----------------------------------------------------------------------------------

    def _in_order(self, live: bool) -> list[Parcel]:
        mine = [p for p in self._waiting if p.live is live]
        if live:
            return sorted(mine, key=lambda p: (_RANK[p.lane], p.wanted_by, p.number))
        return sorted(mine, key=lambda p: (p.wanted_by, p.number))

    def _load(self, waiting: Sequence[Parcel]) -> Load:
        load: Load = []
        counts: Counter[str] = Counter()
        work, most, size = 0.0, math.inf, 0
        for parcel in waiting:
            cost = self._cost(parcel)
            limit = self._room_for(parcel, cost)
            if not self._open(parcel, counts):
                continue
            if not load and (parcel.alone or not self._batches_have_room(cost)):
                return [parcel]
            full = (
                len(load) + len(parcel.commands) > MAX_COMMANDS
                or work + cost > min(most, limit)
                or size + parcel.size > _MAX_BYTES
                or not self._batches_have_room(work + cost)
            )
            if load and (full or parcel.alone):
                continue
            load.append(parcel)
            counts.update(map(str.casefold, parcel.methods))
            work, most, size = work + cost, min(most, limit), size + parcel.size
        return load

    def _room_for(self, parcel: Parcel, cost: float) -> float:
        """Seconds of work that a batch with `parcel` in it may hold."""
        if parcel.lane != "caller":
            return _CARDS_ROOM_S if parcel.live else _LATER_ROOM_S
        left = parcel.wanted_by - self._clock() - self._overhead()
        return left if left >= cost else _CARDS_ROOM_S

    def _open(self, parcel: Parcel, counts: Counter[str]) -> bool:
        wanted = Counter(map(str.casefold, parcel.methods))
        return all(counts[method] + count <= self._worktime.room(method) for method, count in wanted.items())

    def _batches_have_room(self, work: float) -> bool:
        return work <= self._worktime.batch_room_s()

    def _cost(self, parcel: Parcel) -> float:
        return sum(map(self._worktime.cost, parcel.methods))

    # --- when -----------------------------------------------------------------------------------

    def _wait_of(self, load: Load, waiting: Sequence[Parcel], live: bool) -> float:
        now = self._clock()
        head = load[0]
        room = self._budget.delay(head.lane, now - head.since)
        if self.plenty:
            return room
        return max(room, min(self._paced_at(live), self._urgent_at(load, waiting)) - now)

    def _paced_at(self, live: bool) -> float:
        other_busy = any(p.live is not live for p in self._waiting) or self._clock() - self._left_at[not live] < _BUSY_S
        share = (LIVE_SHARE if live else 1.0 - LIVE_SHARE) if other_busy else 1.0
        return self._left_at[live] + 1.0 / (self._budget.pace() * PACE * share)

    def _urgent_at(self, load: Load, waiting: Sequence[Parcel]) -> float:
        """When a load must leave for its callers' sake: it holds all of them, and they would be late if it left later.

        While there are many places the cards count too: one that misses its caller's batch comes two batches later.
        """
        counts = LIVE if self._budget.level() < self._budget.room * 0.75 else {"caller"}
        if any(p.lane in counts for p in waiting if p not in load):
            return -math.inf
        callers = [p for p in load if p.lane == "caller"]
        if not callers:
            return math.inf
        needed = sum(self._cost(p) for p in load if p.lane in counts) + self._overhead()
        latest = min(p.wanted_by for p in callers) - needed
        return latest if latest > self._clock() - needed else math.inf  # too late already: no need to hurry

    def _opens_in(self, waiting: Sequence[Parcel]) -> float:
        closed = [max((self._worktime.opens_in(m) for m in p.methods), default=0.0) for p in waiting]
        return max(0.05, min(closed, default=0.05))

    def _leave(self, load: Load, live: bool) -> None:
        self._waiting = [p for p in self._waiting if p not in load]
        self._left_at[live] = self._clock()
        self._budget.take()
        self._worktime.left(method for parcel in load for method in parcel.methods)
