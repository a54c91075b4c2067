"""When who calls: an open loop, so that a slow system does not make its callers fewer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bench.office import Client, Office

_SHORTEST_TALK_S = 0.5


@dataclass(frozen=True)
class Habits:
    """How long phones ring and people talk, and how large a recording is: from, to; evenly spread."""

    ring_s: tuple[float, float] = (1.0, 3.0)
    talk_s: tuple[float, float] = (3.0, 8.0)
    recording_bytes: tuple[int, int] = (20_000, 60_000)

    @property
    def longest_s(self) -> float:
        """From the first ring to the hangup."""
        return self.ring_s[1] + self.talk_s[1]


@dataclass(frozen=True)
class Arrival:
    """A call to come, `at_s` after the start of the load."""

    number: int
    at_s: float
    call_id: str
    client: Client
    ring_s: float
    talk_s: float
    recording_bytes: int


def poisson(per_min: float, seconds: float, chance: Random) -> list[float]:
    """Moments of a Poisson process, in seconds from 0."""
    moments, at = [], chance.expovariate(per_min / 60)
    while at < seconds:
        moments.append(at)
        at += chance.expovariate(per_min / 60)
    return moments


def plan(
    moments: list[float], office: Office, habits: Habits, chance: Random, *, regulars: int = 0, cold: float = 1.0
) -> list[Arrival]:
    """A call for each moment. A share `cold` comes from clients who call for the first time, the others from the
    first `regulars` clients of the office, each in turn. Call ids are unique as long as plans are a millisecond apart.
    """
    prefix = int(time.time() * 1000)
    strangers, known = iter(range(regulars, office.clients)), _in_turn(regulars)
    return [
        Arrival(
            number,
            at,
            f"{prefix}.{number}",
            office.client(next(strangers if chance.random() < cold else known)),
            chance.uniform(*habits.ring_s),
            max(_SHORTEST_TALK_S, chance.uniform(*habits.talk_s)),
            chance.randint(*habits.recording_bytes),
        )
        for number, at in enumerate(moments)
    ]


def _in_turn(count: int) -> Iterator[int]:
    while True:
        yield from range(count)
