"""What one call alone costs: the portal's requests before the hangup and in all, `python -m bench.requests_per_call`.

A call of a known client, answered and recorded, with nothing else going on. Goals: where the responsible answers, 1
request before the hangup and 3 in all with the file; any other ringing adds one.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from bench import options
from bench.arrivals import Habits, plan
from bench.callers import Line, Made, Player
from bench.dialplan import Dialplan
from bench.office import Office
from bench.portal import Portal
from bench.product import Changes, Product
from bench.report import Table, command, seconds
from bench.trial import CLIENTS, PRODUCT, REFERENCES
from bench.verdict import short
from itgrix_bx.emulator.portal.latency import MODELS

_PATIENCE_S = 30.0
_LAST_S = 1.0  # what comes after the file
_TALK = Habits(ring_s=(2.0, 2.0), talk_s=(4.0, 4.0))
_EMPLOYEES = 10
_HEAD = ("client and call", "wait", "before hangup", "in all", "requests, | is the hangup…")


@dataclass(frozen=True)
class Kind:
    """A call to a known client's responsible alone (`obeys` the route), or with two others ringing."""

    title: str
    client: int
    obeys: bool = True


KINDS = (
    Kind("the responsible alone", 0),
    Kind("the same client again", 0),
    Kind("two others ring too", 1, obeys=False),
)


@dataclass(frozen=True)
class Cost:
    """What a call asked of the portal: methods of each HTTP request, before the hangup and after."""

    call: Made
    before: list[str]
    after: list[str]


class Desk:
    """One client of the portal, called again and again, one call at a time."""

    def __init__(self, portal: Portal, line: Line, office: Office, monitor: Path) -> None:
        self._portal = portal
        self._line = line
        self._office = office
        self._monitor = monitor
        self._calls: list[Made] = []

    async def costs(self) -> list[Cost]:
        """What each kind of call costs."""
        found = [await self._cost(kind) for kind in KINDS]
        self._line.pending()
        return found

    async def _cost(self, kind: Kind) -> Cost:
        began = time.time()
        arrival = replace(plan([0.0], self._office, _TALK, Random(0))[0], client=self._office.client(kind.client))
        arrival = replace(arrival, number=kind.client)
        player = Player(self._line, self._office, self._monitor, obeys=kind.obeys)
        [call] = await player.play([arrival])
        self._calls.append(call)
        await self._line.settle(self._calls, _PATIENCE_S)
        await asyncio.sleep(_LAST_S)
        asked = [request for request in self._portal.state()["requests"] if request["at"] >= began]
        https = [request for request in asked if request["method"] == "batch" or request["batch_id"] is None]
        before = [_named(request, asked) for request in https if request["at"] < call.ended_at]
        return Cost(call, before, [_named(request, asked) for request in https[len(before) :]])


def _named(request: dict[str, Any], asked: Sequence[dict[str, Any]]) -> str:
    """A request by what it does: `finish`, or `[search show]` for a batch."""
    if request["method"] != "batch":
        return _name(request)
    inside = (one for one in asked if one["batch_id"] == request["batch_id"] and one["method"] != "batch")
    return f"[{' '.join(_name(one) for one in inside)}]"


def _name(request: dict[str, Any]) -> str:
    return short(request["method"]).replace("searchcrmentities", "search").replace("attachrecord", "attach")


def costs(portal: Portal, client: str, changes: Changes) -> list[Cost]:
    """Play each kind of call for `client` on a fresh portal."""
    office = Office(_EMPLOYEES, len(KINDS))
    portal.reset(office.seed() | {"settings": {"rate_per_s": 2.0}})
    with tempfile.TemporaryDirectory(prefix="itgrix-bx-bench-") as name:
        directory = Path(name)
        if client in REFERENCES:
            line = REFERENCES[client](portal.webhook, office, directory)
            return asyncio.run(Desk(portal, line, office, directory).costs())
        with Product(directory, portal.webhook, changes) as product:
            return asyncio.run(Desk(portal, Dialplan(product, portal), office, product.monitor).costs())


def main() -> None:
    """Print a line for each client and kind of call."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.requests_per_call", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=[PRODUCT])
    parser.add_argument("--latency", choices=list(MODELS), default="quick")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="the product's configuration")
    given = parser.parse_args()
    print(command("bench.requests_per_call"))
    print()
    table = Table(_HEAD, first=32)
    with Portal(given.latency) as portal:
        for client in given.clients:
            for kind, cost in zip(KINDS, costs(portal, client, options.changes(given.set)), strict=True):
                table.row(_row(client, kind, cost))


def _row(client: str, kind: Kind, cost: Cost) -> list[str]:
    requests = " ".join([*cost.before, "|", *cost.after])
    counts = [str(len(cost.before)), str(len(cost.before) + len(cost.after))]
    return [f"{client}: {kind.title}", seconds(cost.call.wait_s), *counts, requests]


if __name__ == "__main__":
    main()
