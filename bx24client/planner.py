"""What leaves for the portal next, and when: the pure part of the gate, without threads.

While places in the portal's bucket are plenty, each command leaves at once. When they are scarce, what
waits is gathered and leaves together, at a steady pace a little below the portal's rate:

- a batch is answered as a whole, so callers share one with nothing but cards (and the registrations these
  need): nobody's ringing tone waits for an outcome or a recording;
- a caller's load holds as many commands as the portal can work through before its most urgent member must
  be answered, by the measured time of each method; it leaves early when the callers who wait would
  otherwise be late or fill more than one batch;
- cards that found no room there, and what is for later (outcome, recording, background), leave in loads of
  their own, each kind with its share of the pace, so that none starves. What a method's working time holds back sends
  nobody else early.

Where the portal bills batches as a whole, their working time is as scarce as places, and callers need it most. Then
what is for later also leaves alone, what works longest first, billed to its own method: whenever more of the batches'
time is taken than of the bucket. The rest leaves in batches, what is shortest first, as far as callers will leave room.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from bx24client.commands import MAX_COMMANDS, BatchResult, Command
from bx24client.limits import LANES, Budget
from bx24client.worktime import BATCH, UNKNOWN_S, Departure, Worktime

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
_MORE_CALLERS = 1.3  # than lately: they come at random
_EARLIER_S = 0.05  # than the last moment: who looks a little late would find no room for the last of them
_LOOK_S = 0.1
_BUSY_S = 5.0  # a kind counts as busy this long after its last departure
_DEMAND_S = 10.0
_LIVE_WORK_S = 30.0  # over which is measured what callers and cards want of the batches' working time
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
    def is_batch(self) -> bool:
        """Whether it is a batch even when nothing else leaves with it."""
        return self.chain or len(self.commands) > 1

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
        self._departures: dict[int, Departure] = {}  # of loads, by their first parcel's number
        self._left_at = dict.fromkeys(_SHARES, -math.inf)
        self._asked: deque[float] = deque()
        self._live_work: deque[tuple[float, float]] = deque()  # when, seconds: batches of callers and cards

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

    def came_back(self, load: Load, *, counted: bool, let_in: bool = False) -> None:
        """A load is answered or given up; not `counted` when the portal never saw its request. `let_in`: it answered,
        and refused nothing of it for its working time."""
        self._worktime.came_back(self._departures.pop(load[0].number), let_in=let_in)
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
            for load, wait in self._ways(waiting, kind):
                if wait <= 0:
                    self._leave(load, kind)
                    return load
                soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    def _ways(self, waiting: Sequence[Parcel], kind: str) -> Iterator[tuple[Load, float]]:
        """What could leave next of a kind, and in how many seconds."""
        spread = kind == LATER and self._worktime.bills_batches
        load = self._load(sorted(waiting, key=self._cost) if spread else waiting, kind)
        if not load:
            yield load, self._opens_in(waiting)
        elif not spread or is_batch(load):
            yield load, self._wait_of(load, waiting, kind)
        elif load[0].wanted_by <= self._clock():  # with nobody to share a batch with, and late
            yield load, self._budget.delay(load[0].lane, self._clock() - load[0].since)
        if spread and (longest := self._longest(waiting)):
            yield [longest], self._spare_in(longest)

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
            and not (parcel.is_batch and self._exceeds(self._cost(parcel), self._batch_room_s(parcel.kind)))
        )

    # --- which ----------------------------------------------------------------------------------

    def _in_order(self, kind: str) -> list[Parcel]:
        """Who may be in a load of this kind, the first for it first; none where there is nothing of its own."""
        free = [p for p in self._waiting if p.behind is None or p.behind.future.done() or p.behind in self._waiting]
        mine = [p for p in free if p.kind == kind]
        if kind == CALLER and mine:
            mine += [p for p in free if p.kind == CARD]
        return sorted(mine, key=lambda p: (_RANK[p.lane] if kind != LATER else 0, p.wanted_by, p.number))

    def _load(self, waiting: Sequence[Parcel], kind: str) -> Load:
        load: Load = []
        counts: Counter[str] = Counter()
        work, most, size = 0.0, math.inf, 0
        batch_room_s = self._batch_room_s(kind)
        rooms = {kind: self._room_of(kind, waiting) for kind in _ROOM_S}
        for parcel in waiting:
            cost = self._cost(parcel)
            limit = self._room_for(parcel, cost, rooms)
            if not self._open(parcel, counts) or _overtakes(parcel, load):
                continue
            if parcel.is_batch and cost > batch_room_s and (load or self._exceeds(cost, batch_room_s)):
                continue
            if not load and (parcel.alone or cost > batch_room_s):
                return [parcel]
            full = (
                sum(len(p.commands) for p in load) + len(parcel.commands) > MAX_COMMANDS
                or work + cost > min(most, limit, batch_room_s)
                or size + parcel.size > _MAX_BYTES
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

    def _exceeds(self, cost: float, batch_room_s: float) -> bool:
        """Whether a batch that costs so much must not leave: it does not fit, and another asks what does."""
        return cost > batch_room_s and not self._worktime.asks(BATCH)

    def _batch_room_s(self, kind: str) -> float:
        return self._worktime.batch_room_s(None if kind in LIVE else self._live_work_a_second())

    def _live_work_a_second(self) -> float:
        now = self._clock()
        while self._live_work and self._live_work[0][0] < now - _LIVE_WORK_S:
            self._live_work.popleft()
        if not self._live_work:
            return 0.0
        lately = sum(seconds for _, seconds in self._live_work) / max(_BUSY_S, now - self._live_work[0][0])
        return lately * _MORE_CALLERS

    def _longest(self, waiting: Sequence[Parcel]) -> Parcel | None:
        """Which of those who may leave spares batches most by leaving alone."""
        may = [p for p in waiting if not p.is_batch and self._open(p, Counter()) and not _overtakes(p, [])]
        return max(may, key=self._cost, default=None)

    def _cost(self, parcel: Parcel) -> float:
        unknown = UNKNOWN_S if parcel.kind in LIVE else _UNKNOWN_LATER_S
        return sum(self._worktime.cost(method, unknown) for method in parcel.methods)

    # --- when -----------------------------------------------------------------------------------

    def _wait_of(self, load: Load, waiting: Sequence[Parcel], kind: str) -> float:
        now = self._clock()
        head = load[0]
        room = self._budget.delay(head.lane, now - head.since)
        spread = kind == LATER and self._worktime.bills_batches
        if self._plenty(kind) and not spread:
            return room
        leaves_at = self._paced_at(kind)
        if kind == CALLER:
            # Where others make use of every place, callers leave as late as they may.
            need = self._callers_need(load, waiting)
            leaves_at = need if self._worktime.bills_batches and need < math.inf else min(leaves_at, need)
        elif kind == CARD:
            leaves_at = self._cards_need(load)
        elif not spread and (self._is_full(load, waiting) or self._asks_for(load, waiting)):
            leaves_at = now  # there is nothing to gather
        return max(room, leaves_at - now)

    def _is_full(self, load: Load, waiting: Sequence[Parcel]) -> bool:
        """Whether somebody stays behind who could leave: what the working time holds back does not count."""
        going, counts = set(load), Counter(map(str.casefold, _methods(load)))
        return any(p not in going and self._open(p, counts) and not _overtakes(p, load) for p in waiting)

    def _asks_for(self, load: Load, waiting: Sequence[Parcel]) -> bool:
        """Whether what can wait stays behind, and the load's answer tells how much working time is free again."""
        return load[0].kind == LATER and len(load) < len(waiting) and any(map(self._worktime.asks, _methods(load)))

    def _spare_in(self, parcel: Parcel) -> float:
        """Seconds until a place is worth less than the time in a batch: less of the bucket is taken than of that."""
        room_s = self._batch_room_s(LATER)
        taken = 1.0 - min(1.0, room_s / self._worktime.limit_s)
        over = self._budget.level() + 1.0 - taken * self._budget.room
        room = self._budget.delay(parcel.lane, self._clock() - parcel.since)
        # What is taken of the time changes too: who looked again at the very moment would look for ever.
        return max(room, _LOOK_S, over / self._budget.rate) if over > 0 else room

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
        counts = LIVE if self._cards_fit(waiting) else {CALLER}
        if any(p.kind in counts for p in waiting if p not in load):
            return -math.inf
        needed = sum(self._cost(p) for p in load if p.kind in counts) + self._overhead()
        # For whom it is too late already there is no need to hurry.
        in_time = [p.wanted_by for p in load if p.kind in counts and p.wanted_by > self._clock()]
        return min(in_time, default=math.inf) - needed - _EARLIER_S

    def _cards_fit(self, waiting: Sequence[Parcel]) -> bool:
        """Whether cards are work that a caller's load can take along at all."""
        return all(self._cost(p) < _ROOM_S[CARD][0] / 2 for p in waiting if p.kind == CARD)

    def _opens_in(self, waiting: Sequence[Parcel]) -> float:
        closed = [max((self._worktime.opens_in(m) for m in p.methods), default=0.0) for p in waiting]
        return max(0.05, min(closed, default=0.05))

    def _leave(self, load: Load, kind: str) -> None:
        batch = is_batch(load)
        # What goes alone beside batches, and a question, are no load of the kind's pace.
        paced = batch if self._worktime.bills_batches else not self._asks_for(load, self._in_order(kind))
        if paced:
            self._left_at[kind] = self._clock()
        self._waiting = [p for p in self._waiting if p not in load]
        self._budget.take()
        self._departures[load[0].number] = self._worktime.left(_methods(load), batch=batch)
        if batch and kind in LIVE:
            self._live_work.append((self._clock(), sum(map(self._cost, load))))


def _methods(load: Load) -> Iterator[str]:
    return (method for parcel in load for method in parcel.methods)


def is_batch(load: Load) -> bool:
    """Whether a load is sent as a batch."""
    return len(load) > 1 or load[0].is_batch


def _overtakes(parcel: Parcel, load: Load) -> bool:
    return parcel.behind is not None and parcel.behind not in load and not parcel.behind.future.done()
