"""How long callers wait, by what the portal is like: `python -m bench.waits [SCENARIO…]`.

The product runs as in life, each scenario with a fresh one. What is measured is the `inbound` hook from connect to
close, as Asterisk sees it. Scenarios about the portal's speed are played on one without a request limit, so that the
limit plays no part; those about crowds have the ordinary limit and begin with an empty bucket.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from bench.arrivals import Arrival, Habits, plan, poisson
from bench.callers import Made, Player
from bench.dialplan import Dialplan
from bench.office import Office
from bench.portal import Portal
from bench.product import UNLIMITED, Product
from bench.report import Table, command, seconds
from bench.verdict import Waits
from itgrix_bx.emulator.portal.latency import MODELS

_EMPLOYEES = 60
_GREETINGS_S = 60.0
_SHORT = Habits(ring_s=(0.5, 1.0), talk_s=(1.0, 2.0))
_HEAD = ("scenario", "calls", "p50", "p95", "p99", "longest", "past deadline", "routed", "hooks failed", "memory")

Beside = Callable[[Portal, float], Coroutine[Any, Any, None]]


async def _well(_portal: Portal, _lasts_s: float) -> None:
    """Nothing happens."""


async def _slow(portal: Portal, _lasts_s: float) -> None:
    """Every request takes a second longer."""
    await asyncio.to_thread(portal.faults, [{"method": "*", "kind": "slow", "delay_s": 1.0, "times": -1}])


async def _dead(portal: Portal, _lasts_s: float) -> None:
    """It takes connections and says nothing any more."""
    portal.freeze()


async def _storms(portal: Portal, lasts_s: float) -> None:
    """503 for half of the time: once as the request limit sends it, once as a web server does."""
    for kind in ("limit", "html503"):
        await asyncio.to_thread(portal.faults, [{"method": "*", "kind": kind, "times": -1}])
        await asyncio.sleep(lasts_s / 4)
        await asyncio.to_thread(portal.faults, [])
        await asyncio.sleep(lasts_s / 4)


@dataclass(frozen=True)
class Scenario:
    """Calls for `seconds`, while `beside` happens to the portal.

    crowd: so many calls, whatever the rate; known: every client has called before; limited: the portal has its request
    limit; split_s: the figures up to here and from here on, apart.
    """

    seconds: float = 30.0
    crowd: int = 0
    known: bool = False
    answer: str = "portal"
    limited: bool = False
    habits: Habits = _SHORT
    beside: Beside = _well
    split_s: float | None = None

    def shortened(self, share: float) -> Scenario:
        """The same in a share of the time, though not in less than a second."""
        shortest, longest = self.habits.talk_s
        talk_s = (share * shortest, share * longest) if self.crowd else self.habits.talk_s
        split_s = None if self.split_s is None else share * self.split_s
        habits = replace(self.habits, talk_s=talk_s)
        return replace(self, seconds=max(1.0, share * self.seconds), habits=habits, split_s=split_s)


SCENARIOS: Final[dict[str, Scenario]] = {
    "cold": Scenario(),
    "known-portal": Scenario(known=True),
    "known-cache": Scenario(known=True, answer="cache"),
    "slow": Scenario(beside=_slow),
    "dead": Scenario(seconds=90.0, beside=_dead, split_s=60.0),
    "storms": Scenario(seconds=40.0, beside=_storms),
    "hundred": Scenario(seconds=1.0, crowd=100, limited=True),
    "in-progress": Scenario(seconds=120.0, crowd=500, limited=True, habits=Habits((1.0, 3.0), (120.0, 150.0))),
}
_TITLES: Final = {
    "cold": "cold client",
    "known-portal": 'known client, answer = "portal"',
    "known-cache": 'known client, answer = "cache"',
    "slow": "portal 1 s slow",
    "dead": "portal dead",
    "storms": "503 storms",
    "hundred": "100 calls in one second",
    "in-progress": "500 calls in progress",
}


class Stage:
    """A scenario with everything it needs. `play` gives the calls and the product's memory at its highest, in MiB."""

    def __init__(self, scenario: Scenario, portal: Portal, *, deadline_s: float, per_min: float, seed: int) -> None:
        self._scenario = scenario
        self._portal = portal
        self._deadline_s = deadline_s
        self._chance = Random(seed)
        self._moments = self._when(per_min)
        self._office = Office(_EMPLOYEES, len(self._moments))

    def _when(self, per_min: float) -> list[float]:
        scenario = self._scenario
        if scenario.crowd:
            return sorted(self._chance.uniform(0, scenario.seconds) for _ in range(scenario.crowd))
        return poisson(per_min, scenario.seconds, self._chance)

    def play(self) -> tuple[list[Made], float]:
        limit = {"rate_per_s": 2.0 if self._scenario.limited else 0.0}
        self._portal.reset(self._office.seed() | {"settings": limit})
        with (
            tempfile.TemporaryDirectory(prefix="itgrix-bx-bench-") as directory,
            Product(Path(directory), self._portal.webhook, self._configuration()) as product,
        ):
            line = Dialplan(product, self._portal)
            if self._scenario.known:
                asyncio.run(line.greet([Made(arrival) for arrival in self._plan()], _GREETINGS_S))
            try:
                return asyncio.run(self._calls(line, product.monitor)), product.memory_mib()[1]
            finally:
                self._portal.thaw()

    def _configuration(self) -> dict[str, dict[str, Any]]:
        inbound = {"deadline": self._deadline_s, "answer": self._scenario.answer}
        return {"inbound": inbound, "portal": {} if self._scenario.limited else UNLIMITED}

    def _plan(self) -> list[Arrival]:
        return plan(self._moments, self._office, self._scenario.habits, self._chance)

    async def _calls(self, line: Dialplan, monitor: Path) -> list[Made]:
        player = Player(line, self._office, monitor)
        beside = asyncio.create_task(self._scenario.beside(self._portal, self._scenario.seconds))
        calls = await player.play(self._plan())
        await beside
        return calls


def parts(calls: Sequence[Made], split_s: float | None) -> Iterator[tuple[str, list[Made]]]:
    """The calls whose figures belong together, each with what to add to the title."""
    if split_s is None:
        yield "", list(calls)
        return
    yield f", first {split_s:.0f} s", [call for call in calls if call.arrival.at_s < split_s]
    yield ", then", [call for call in calls if call.arrival.at_s >= split_s]


def _row(title: str, calls: Sequence[Made], deadline_s: float, peak_mib: float) -> list[str]:
    waits = Waits.of([call.wait_s for call in calls], deadline_s)
    routed = sum(call.route == call.arrival.client.extension for call in calls)
    hitches = sum(len(call.hitches) for call in calls)
    times = (seconds(value) for value in (waits.p50, waits.p95, waits.p99, waits.longest))
    return [title, str(len(calls)), *times, str(waits.late), str(routed), str(hitches), f"{peak_mib:.0f} MiB"]


def main() -> None:
    """Play the scenarios asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.waits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--latency", choices=list(MODELS), default="quick")
    parser.add_argument("--deadline", type=float, default=1.5, help="[inbound] deadline")
    parser.add_argument("--per-min", type=float, default=60.0, help="calls a minute, where there is no crowd")
    parser.add_argument("--shorten", type=float, default=1.0, metavar="SHARE", help="of every scenario's length")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    print(command("bench.waits"))
    print(f"\n{given.latency}, deadline {given.deadline:g} s, {given.per_min:g} calls/min where there is no crowd")
    table = Table(_HEAD, first=32)
    with Portal(given.latency) as portal:
        for name in given.scenario or SCENARIOS:
            scenario = SCENARIOS[name].shortened(given.shorten)
            stage = Stage(scenario, portal, deadline_s=given.deadline, per_min=given.per_min, seed=given.seed)
            calls, peak_mib = stage.play()
            for note, some in parts(calls, scenario.split_s):
                table.row(_row(_TITLES[name] + note, some, given.deadline, peak_mib))


if __name__ == "__main__":
    main()
