"""One trial: a fresh office, one client (the product or a reference), one load, one score."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from bench.arrivals import Habits, plan, poisson
from bench.callers import Line, Made, Player
from bench.dialplan import Dialplan
from bench.office import Office
from bench.portal import Portal
from bench.product import UNLIMITED, Product
from bench.reference import Connector, GoLike, PhpLike
from bench.sound import Format
from bench.theory import Billing
from bench.verdict import Asked, Fates, Judge, Waits, kept_up_at, share_of

PRODUCT: Final = "product"
REFERENCES: Final[dict[str, type[Connector]]] = {"go-like": GoLike, "php-like": PhpLike}
CLIENTS: Final = (PRODUCT, *REFERENCES)
# From the hangup until the portal has all of a call, when nobody waits in a queue.
_DELIVERY_S = 6.0
_GREETINGS_S = 240.0

Meanwhile = Callable[[Portal], Awaitable[None]]


@dataclass(frozen=True)
class Conditions:
    """What a trial is run under. Rates a minute, times in seconds, `cold` from 0 to 1; `deadline_s` is the product's,
    `caller_s` how long a reference client lets its caller wait, `known_s` what the product takes the limit of working
    time for at first (None: what it is)."""

    client: str = PRODUCT
    per_min: float = 60.0
    seconds: float = 60.0
    cold: float = 1.0
    regulars: int = 60
    employees: int = 60
    group: int = 3
    seed: int = 1
    habits: Habits = field(default_factory=Habits)
    sound: Format = "mp3"
    rate: float = 2.0
    burst: int = 50
    full_bucket: bool = True
    billing: Billing = "off"
    limit_s: float = 480.0
    window_s: float = 600.0
    known_s: float | None = None
    deadline_s: float = 1.5
    caller_s: float = 30.0
    patience_s: float = 60.0
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def portal_settings(self) -> dict[str, Any]:
        """The double's switches."""
        limited = self.billing != "off"
        return {
            "rate_per_s": self.rate,
            "rate_burst": float(self.burst),
            "operating_limit_s": self.limit_s if limited else 0.0,
            "operating_window_s": self.window_s,
            "operating_billing": self.billing if limited else "method",
        }

    @property
    def configuration(self) -> dict[str, dict[str, Any]]:
        """The product's configuration."""
        portal = {"requests_per_second": self.rate, "burst": self.burst} if self.rate else dict(UNLIMITED)
        portal["working_time"] = self.known_s or self.limit_s
        made: dict[str, dict[str, Any]] = {"portal": portal, "inbound": {"deadline": self.deadline_s}}
        for section, keys in self.changes.items():
            made[section] = made.get(section, {}) | keys
        return made


@dataclass
class Score:
    """What came of a trial. `per_min`: calls delivered a minute; `by_window`: the same, in each whole window of the
    working-time limit; `behind_s`: how long after the last call's own delivery nearly everything was delivered;
    `player_late_s`: how late the bench itself was at worst; memory in MiB and processor time a call are the product's.
    """

    per_min: float
    by_window: list[float]
    behind_s: float
    fates: Fates
    waits: Waits
    cards_p95_s: float
    asked: Asked
    player_late_s: float
    memory_mib: float = 0.0
    peak_mib: float = 0.0
    cpu_ms: float = 0.0

    @property
    def requests_per_call(self) -> float:
        """HTTP requests of the load and its delivery, over the calls offered."""
        return self.asked.requests / max(1, self.fates.offered)

    def is_sustained(self, deadline_s: float, carried: float, behind_s: float) -> bool:
        """All delivered once, 95 % of the callers served in time, a share `carried` carried, and no queue growing."""
        fates = self.fates
        whole, routed = fates.delivered == fates.offered, fates.carried >= carried * fates.offered
        return whole and routed and self.waits.p95 <= deadline_s and self.behind_s <= behind_s


class Trial:
    """A trial on a portal that runs. `meanwhile` is awaited beside the load, from its start."""

    def __init__(self, portal: Portal, conditions: Conditions, meanwhile: Meanwhile | None = None) -> None:
        self._portal = portal
        self._conditions = conditions
        self._meanwhile = meanwhile
        self._chance = Random(conditions.seed)
        self._moments = poisson(conditions.per_min, conditions.seconds, self._chance)
        self._office = Office(conditions.employees, conditions.regulars + len(self._moments))

    def run(self) -> Score:
        """Play it. Raises RuntimeError when the product does not start or dies."""
        conditions = self._conditions
        self._portal.reset(self._office.seed() | {"settings": conditions.portal_settings})
        with tempfile.TemporaryDirectory(prefix="itgrix-bx-bench-") as directory:
            if conditions.client in REFERENCES:
                kind = REFERENCES[conditions.client]
                client = kind(self._portal.webhook, self._office, Path(directory), conditions.caller_s)
                return asyncio.run(self._measure(client, Path(directory)))
            with Product(Path(directory), self._portal.webhook, conditions.configuration) as product:
                return self._of_product(product)

    def _of_product(self, product: Product) -> Score:
        line = Dialplan(product, self._portal)
        if self._conditions.cold < 1:
            asyncio.run(line.greet(self._regulars(), _GREETINGS_S))
        cpu_before = product.cpu_s()
        score = asyncio.run(self._measure(line, product.monitor))
        score.cpu_ms = (product.cpu_s() - cpu_before) * 1000 / max(1, score.fates.offered)
        score.memory_mib, score.peak_mib = product.memory_mib()
        return score

    def _regulars(self) -> list[Made]:
        """A call of each regular client. The reference clients remember nobody and need none."""
        count = self._conditions.regulars
        moments = [0.0] * count
        return [Made(arrival) for arrival in plan(moments, self._office, Habits(), Random(0), regulars=count, cold=0.0)]

    async def _measure(self, line: Line, monitor: Path) -> Score:
        conditions = self._conditions
        player = Player(line, self._office, monitor, sound=conditions.sound, group=conditions.group)
        arrivals = plan(
            self._moments, self._office, conditions.habits, self._chance,
            regulars=conditions.regulars, cold=conditions.cold,
        )  # fmt: skip
        if conditions.full_bucket:
            self._portal.fill_bucket(conditions.burst)
        before, began = self._portal.counts(), time.time()
        calls, _ = await asyncio.gather(player.play(arrivals), self._beside())
        await line.settle(calls, conditions.patience_s)
        pending = line.pending()
        return self._score(calls, began, before, pending)

    async def _beside(self) -> None:
        if self._meanwhile is not None:
            await self._meanwhile(self._portal)

    def _score(self, calls: list[Made], began: float, before: dict[str, Any], pending: set[str]) -> Score:
        conditions = self._conditions
        asked = Asked.between(before, self._portal.counts())
        fates = Judge(self._office, self._portal.state(), pending).judge(calls)
        # A call's own time does not count against whoever delivers it.
        end = kept_up_at(fates.delivered_at) - began - conditions.habits.longest_s - _DELIVERY_S
        return Score(
            per_min=fates.delivered * 60 / max(conditions.seconds, end),
            by_window=_by_window([at - began for at in fates.delivered_at], conditions.window_s, conditions.seconds),
            behind_s=max(0.0, end - conditions.seconds),
            fates=fates,
            waits=Waits.of([call.wait_s for call in calls], conditions.deadline_s),
            cards_p95_s=share_of(fates.cards_s, 0.95),
            asked=asked,
            player_late_s=max((call.came_at - began - call.arrival.at_s for call in calls), default=0.0),
        )


def _by_window(delivered_s: Sequence[float], window_s: float, until_s: float) -> list[float]:
    """Of what was delivered when (seconds since the start), how many a minute in each whole window."""
    windows = [int(at // window_s) for at in delivered_s]
    return [windows.count(n) * 60 / window_s for n in range(int(until_s // window_s))]
