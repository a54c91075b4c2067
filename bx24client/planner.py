"""What leaves for the portal next, and when: the pure part of the gate, without threads.

While places in the portal's bucket are plenty, each command leaves at once. When they are scarce, what
waits is gathered and leaves together, at a steady pace a little below the portal's rate:

- a batch is answered as a whole, so callers share one with nothing but cards (and the registrations these
  need): nobody's ringing tone waits for an outcome or a recording;
- a caller's load holds as many commands as the portal can work through before its most urgent member must
  be answered, by the measured time of each method; it leaves early when the callers who wait would
  otherwise be late or fill more than one batch;
- cards that found no room there, and what is for later (outcome, recording, background), leave in loads of
  their own, each kind with its share of the pace, so that none starves.
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
from bx24client.worktime import UNKNOWN_S, Worktime

CALLER, CARD, LATER = "caller", "card", "later"
LIVE: Final = frozenset({CALLER, CARD})
# Seconds after which a result is of less use, by lane; who knows better says so.
WANTED_WITHIN_S: Final[dict[str, float]] = {
    "caller": 1.5, "card": 1.5, "outcome": 10.0, "recording": 30.0, "background": 60.0,
}  # fmt: skip
# Of the rate, for what can wait: callers and cards that would be late leave earlier, and what is not used lets the
# bucket run empty, for the next rush.
PACE: Final = 0.5
_SHARES: Final = {CALLER: 7, CARD: 2, LATER: 1}  # of the pace, among the kinds of load that are busy
_BUSY_S = 5.0  # a kind counts as busy this long after its last departure
_DEMAND_S = 10.0
# Places are plenty while no more than this share of the bucket is taken, by who would leave at once.
_PLENTY: Final = {CALLER: 0.5, CARD: 0.5, LATER: 0.2}
# Seconds of work in a batch without a caller who can be answered in time: so much, or up to the second number when more
# has piled up (late together rather than one after the other). The portal ends a request after 60 s.
_ROOM_S: Final = {CALLER: (1.5, 1.5), CARD: (1.5, 10.0), LATER: (30.0, 30.0)}
# Seconds that what is for later is taken to cost before it was measured: a large batch must not be cut off.
_UNKNOWN_LATER_S = 3.0
_MAX_BYTES = 4 * 1024 * 1024
_RANK = {lane: rank for rank, lane in enumerate(LANES)}


@dataclass(eq=False, slots=True)
class Parcel:
    """Commands that travel together, in their order. Times are monotonic seconds.

    `wanted_by`: an answer after this is of less use. `ends_by`: not sent after this, and given up then.
    `chain`: they stop at the first that fails and may refer to each other; such a parcel travels alone,
    as does one with an `errand`, a request that is no command. `on_leaving` is called just before the
    parcel leaves; when it raises, the parcel stays and its future gets that exception. `behind` another
    parcel it never overtakes: it leaves in the same load after it, or when that one has been answered.
    Its commands may refer to that one's; `apart` makes those it has when it leaves without it, of the same methods or
    fewer.
    """

    commands: Mapping[str, Command[Any]]
    lane: str
    wanted_by: float
    ends_by: float
    chain: bool = False
    errand: Callable[[float], Any] | None = None  # gets the seconds it may take
    on_leaving: Callable[[], object] | None = None
    behind: Parcel | None = None
    apart: Callable[[], Mapping[str, Command[Any]]] | None = None
    future: Future[BatchResult] = field(default_factory=Future)
    since: float = 0.0
    number: int = 0
    tries: int = 0
    methods: list[str] = field(init=False)
    size: int = field(init=False)  # bytes, as far as they matter: recordings

    def __post_init__(self) -> None:
        self.methods = [command.method for command in self.commands.values()]
        self.size = sum(len(command.params.get("FILE_CONTENT") or "") for command in self.commands.values())

    def left_in(self, load: Sequence[Parcel]) -> None:
        """It leaves with these: from here on its commands are those it is sent with."""
        if self.apart is not None and self.behind not in load:
            self.commands, self.apart = self.apart(), None

    @property
    def kind(self) -> str:
        return self.lane if self.lane in LIVE else LATER

    @property
    def alone(self) -> bool:
        return self.chain or self.errand is not None

    @property
    def idempotent(self) -> bool:
        return self.errand is None and all(command.idempotent for command in self.commands.values())


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
        self._left_at = dict.fromkeys(_SHARES, -math.inf)
        self._asked: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def plenty(self) -> bool:
        """Whether a caller's command may leave at once on its own."""
        return self._plenty(CALLER)

    def _plenty(self, kind: str) -> bool:
        now = self._clock()
        while self._asked and self._asked[0] < now - _DEMAND_S:
            self._asked.popleft()
        calm = len(self._asked) <= self._budget.pace() * _DEMAND_S
        return calm and self._budget.level() + 1.0 <= self._budget.room * _PLENTY[kind]

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
        if not self._waiting:
            return None
        if len(self._waiting) == 1 and self._may_leave_alone(self._waiting[0]):
            load = [*self._waiting]
            self._leave(load, load[0].kind)
            return load
        soonest: float | None = None
        for kind in _SHARES:
            waiting = self._in_order(kind)
            if not waiting:
                continue
            load = self._load(waiting)
            wait = self._wait_of(load, waiting, kind) if load else self._opens_in(waiting)
            if wait <= 0:
                self._leave(load, kind)
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

    def _may_leave_alone(self, parcel: Parcel) -> bool:
        """What the long way round finds too, for most parcels of a portal that is not busy."""
        return (
            (parcel.behind is None or parcel.behind.future.done())
            and self._plenty(parcel.kind)
            and self._budget.delay(parcel.lane) <= 0
            and self._open(parcel, Counter())
        )

    # --- which ----------------------------------------------------------------------------------

    def _in_order(self, kind: str) -> list[Parcel]:
        """Who may be in a load of this kind, the first for it first; none where there is nothing of its own."""
        free = [p for p in self._waiting if p.behind is None or p.behind.future.done() or p.behind in self._waiting]
        mine = [p for p in free if p.kind == kind]
        if kind == CALLER and mine:
            mine += [p for p in free if p.kind == CARD]
        return sorted(mine, key=lambda p: (_RANK[p.lane] if kind != LATER else 0, p.wanted_by, p.number))

    def _load(self, waiting: Sequence[Parcel]) -> Load:
        load: Load = []
        counts: Counter[str] = Counter()
        work, most, size = 0.0, math.inf, 0
        rooms = {kind: self._room_of(kind, waiting) for kind in _ROOM_S}
        for parcel in waiting:
            cost = self._cost(parcel)
            limit = self._room_for(parcel, cost, rooms)
            if not self._open(parcel, counts) or _overtakes(parcel, load):
                continue
            if not load and (parcel.alone or not self._batches_have_room(cost)):
                return [parcel]
            full = (
                sum(len(p.commands) for p in load) + len(parcel.commands) > MAX_COMMANDS
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

    def _room_for(self, parcel: Parcel, cost: float, rooms: Mapping[str, float]) -> float:
        """Seconds of work that a batch with `parcel` in it may hold."""
        if parcel.kind != CALLER:
            return rooms[parcel.kind]
        left = parcel.wanted_by - self._clock() - self._overhead()
        return left if left >= cost else rooms[CALLER]

    def _room_of(self, kind: str, waiting: Sequence[Parcel]) -> float:
        usual, most = _ROOM_S[kind]
        return max(usual, min(most, sum(self._cost(p) for p in waiting if p.kind == kind) / 2))

    def _open(self, parcel: Parcel, counts: Counter[str]) -> bool:
        wanted = Counter(map(str.casefold, parcel.methods))
        return all(counts[method] + count <= self._worktime.room(method) for method, count in wanted.items())

    def _batches_have_room(self, work: float) -> bool:
        return work <= self._worktime.batch_room_s()

    def _cost(self, parcel: Parcel) -> float:
        unknown = UNKNOWN_S if parcel.kind in LIVE else _UNKNOWN_LATER_S
        return sum(self._worktime.cost(method, unknown) for method in parcel.methods)

    # --- when -----------------------------------------------------------------------------------

    def _wait_of(self, load: Load, waiting: Sequence[Parcel], kind: str) -> float:
        now = self._clock()
        head = load[0]
        room = self._budget.delay(head.lane, now - head.since)
        if self._plenty(kind):
            return room
        leaves_at = self._paced_at(kind)
        if kind == CALLER:
            leaves_at = min(leaves_at, self._callers_need(load, waiting))
        elif kind == CARD:
            leaves_at = self._cards_need(load)
        elif len(load) < len(waiting):  # more than one batch can take: there is nothing to gather
            leaves_at = now
        return max(room, leaves_at - now)

    def _paced_at(self, kind: str) -> float:
        now = self._clock()
        waiting = {p.kind for p in self._waiting}
        busy = [k for k in _SHARES if k in waiting or now - self._left_at[k] < _BUSY_S]
        share = _SHARES[kind] / sum(_SHARES[k] for k in {*busy, kind})
        return self._left_at[kind] + 1.0 / (self._budget.pace() * PACE * share)

    def _cards_need(self, load: Load) -> float:
        """When a load of cards leaves that found no place in a caller's: at once where they never find one, else in
        time for its first; the next of callers' loads is never far."""
        if not self._cards_fit(load):
            return -math.inf
        return load[0].wanted_by - sum(map(self._cost, load)) - self._overhead()

    def _callers_need(self, load: Load, waiting: Sequence[Parcel]) -> float:
        """When a load must leave for its callers' sake: it holds all of them, and they would be late if it left later.

        The cards that fit count too: one that misses its caller's batch comes two batches later.
        """
        callers = [p for p in load if p.kind == CALLER]
        counts = LIVE if self._cards_fit(waiting) else {CALLER}
        if any(p.kind in counts for p in waiting if p not in load):
            return -math.inf
        needed = sum(self._cost(p) for p in load if p.kind in counts) + self._overhead()
        latest = min(p.wanted_by for p in callers) - needed
        return latest if latest > self._clock() - needed else math.inf  # too late already: no need to hurry

    def _cards_fit(self, waiting: Sequence[Parcel]) -> bool:
        """Whether cards are work that a caller's load can take along at all."""
        return all(self._cost(p) < _ROOM_S[CARD][0] / 2 for p in waiting if p.kind == CARD)

    def _opens_in(self, waiting: Sequence[Parcel]) -> float:
        closed = [max((self._worktime.opens_in(m) for m in p.methods), default=0.0) for p in waiting]
        return max(0.05, min(closed, default=0.05))

    def _leave(self, load: Load, kind: str) -> None:
        self._waiting = [p for p in self._waiting if p not in load]
        self._left_at[kind] = self._clock()
        self._budget.take()
        self._worktime.left(method for parcel in load for method in parcel.methods)


def _overtakes(parcel: Parcel, load: Load) -> bool:
    return parcel.behind is not None and parcel.behind not in load and not parcel.behind.future.done()
