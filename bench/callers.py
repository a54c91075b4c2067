"""The open-loop player: calls come when they come, ring, are answered, recorded and hung up, on whatever line."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from bench.arrivals import Arrival
from bench.office import Office
from bench.sound import Format, recording


@dataclass
class Made:
    """A call as it truly happened. Times in unix seconds, 0.0 for what did not happen.

    `wait_s`: how long the caller waited for the route; `hitches`: steps that failed, in words.
    """

    arrival: Arrival
    came_at: float = 0.0
    wait_s: float = 0.0
    route: str = ""
    state: str = ""
    ringing: list[str] = field(default_factory=list)
    first_ring_at: float = 0.0
    extension: str = ""
    answered_at: float = 0.0
    ended_at: float = 0.0
    recording: str = ""
    size: int = 0
    sha256: str = ""
    hitches: list[str] = field(default_factory=list)

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self.arrival.call_id

    @property
    def talked_s(self) -> float:
        """From the answer to the hangup."""
        return self.ended_at - self.answered_at


class Line(Protocol):
    """Who is told about calls: the product by its hooks, or a reference client. Every method is awaited by the call."""

    async def inbound(self, call: Made) -> None:
        """The caller waits. Sets `route` and `state`."""

    async def ring(self, call: Made) -> None:
        """The phones in `call.ringing` begin to ring."""

    async def answer(self, call: Made) -> None:
        """`call.extension` answered; the others rang in vain."""

    async def hangup(self, call: Made) -> None:
        """The call is over; its recording is on the disk."""

    async def settle(self, calls: Sequence[Made], patience_s: float) -> None:
        """Wait until the portal has everything, at most `patience_s`."""

    def pending(self) -> set[str]:
        """The ids of the calls whose delivery has not been given up. After `settle`; stops what still runs."""


class Player:
    """Plays arrivals on a line. `monitor`: where recordings are written; `group`: phones that ring without a route,
    or, unless the dialplan `obeys`, with one."""

    def __init__(
        self,
        line: Line,
        office: Office,
        monitor: Path,
        *,
        sound: Format = "mp3",
        group: int = 3,
        obeys: bool = True,
    ) -> None:
        self._line = line
        self._office = office
        self._monitor = monitor
        self._sound: Format = sound
        self._group = group
        self._obeys = obeys

    async def play(self, arrivals: Sequence[Arrival]) -> list[Made]:
        """Every call, in the order of their arrival, when the last has ended."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        calls = []
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals:
                await asyncio.sleep(begin + arrival.at_s - loop.time())
                calls.append(Made(arrival))
                group.create_task(self._call(calls[-1]))
        return calls

    async def _call(self, call: Made) -> None:
        call.came_at = time.time()
        began = time.perf_counter()
        await self._line.inbound(call)
        call.wait_s = time.perf_counter() - began
        group = self._office.group(call.arrival.number, self._group)
        call.ringing = [call.route] if call.route and self._obeys else group
        call.first_ring_at = time.time()
        await self._line.ring(call)
        await asyncio.sleep(call.first_ring_at + call.arrival.ring_s - time.time())
        call.extension, call.answered_at = call.ringing[0], time.time()
        await self._line.answer(call)
        await asyncio.sleep(call.answered_at + call.arrival.talk_s - time.time())
        self._record(call)
        call.ended_at = time.time()
        await self._line.hangup(call)

    def _record(self, call: Made) -> None:
        content = recording(self._sound, call.arrival.recording_bytes, Random(call.call_id))
        call.recording = f"in-{call.call_id}.{self._sound}"
        (self._monitor / call.recording).write_bytes(content)
        call.size, call.sha256 = len(content), hashlib.sha256(content).hexdigest()
