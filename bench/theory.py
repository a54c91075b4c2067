"""How many calls a minute the portal's limits allow at best, to whoever is cleverest with them.

A call is a handful of commands, each with its working time. Three limits:

- `R` requests a second. A batch of up to 50 commands is one request. Callers come at random and wait `D` seconds at
  most, so a request for them is held back as long as its first caller allows and serves those who came meanwhile:
  `1 / (T + 1 / n)` requests a second, where `T + (1 + n * T) * work` is `D` without the network. Search, registration
  and card go in one such request, or search in one and the rest in another that may end `CARD_S` later.
- Working time, billed to methods: a method may work `L = limit / window` seconds a second, so calls a second
  `n <= L / c` for each method's `c`. Commands of 0.1 s and less are free.
- Working time, batches billed whole: a command that goes alone is billed to its method as above and costs a request;
  all that goes in batches shares one `L`. With `x_m` the share of method m's commands that go alone:
  `n * sum((1 - x_m) * c_m) <= L`, `n * x_m * c_m <= L`, and `n * sum(x_m + (1 - x_m) / 50) <= R`.
  Requests are best spent on the commands that work longest, so taking those first is the optimum.

`n` is the largest rate that fits, the best over the ways to send a recording: its content; a first step and an upload
(which cannot be batched and is not billed); an address the portal fetches. Outcomes and recordings have no deadline,
and ride with callers for nothing: it is a bound, not a promise. Without `D` callers may wait for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.verdict import CARD_S
from itgrix_bx.emulator.portal.latency import Latency

Billing = Literal["off", "method", "batch"]
BATCH = 50
_FREE_S = 0.1
_STEPS = 60
_CALL = "telephony.externalCall."


@dataclass(frozen=True)
class Limits:
    """`rate_per_s` 0: requests are not limited."""

    rate_per_s: float
    limit_s: float
    window_s: float
    billing: Billing
    deadline_s: float = math.inf

    @property
    def share(self) -> float:
        """Seconds a second that one method, or batches, may work."""
        return math.inf if self.billing == "off" else self.limit_s / self.window_s


@dataclass(frozen=True)
class Step:
    """A command of a call. `alone`: cannot go in a batch, and is not billed."""

    seconds: float
    alone: bool = False


def calls_per_min(latency: Latency, limits: Limits) -> float:
    """What the limits allow for a recorded call that its responsible answers."""
    return max(_most(way, limits, latency) for way in ways(latency))


def in_batches_per_min(latency: Latency, limits: Limits) -> float:
    """The same, with batches billed whole, when nothing goes alone that could go in a batch."""
    working = min(sum(step.seconds for step in way if not step.alone) for way in ways(latency))
    return 60 * limits.share / working


def ways(latency: Latency) -> list[list[Step]]:
    """The commands of a call, once for each way to send a recording."""
    methods = ("searchCrmEntities", "register", "show", "finish")
    common = [Step(latency.of(_CALL + method)) for method in methods]
    in_two = [Step(latency.of("attach_first_step")), Step(latency.of("upload"), alone=True)]
    recording = [[Step(latency.of("attach_content"))], in_two, [Step(latency.of("attach_url"))]]
    return [common + way for way in recording]


def callers_requests(n: float, latency: Latency, deadline_s: float) -> float:
    """The fewest requests a second that answer `n` callers a second in time, with their cards."""
    search, register, show = (latency.of(_CALL + method) for method in ("searchCrmEntities", "register", "show"))
    ends_s = deadline_s - latency.network_s
    together = _requests(n, ends_s, search + register + show)
    return min(together, _requests(n, ends_s, search) + _requests(n, ends_s + CARD_S, register + show))


def _requests(n: float, ends_s: float, work_s: float) -> float:
    held_s = (ends_s - work_s) / (1 + n * work_s)
    return 1 / (held_s + 1 / n) if held_s > 0 else math.inf


def _most(steps: Sequence[Step], limits: Limits, latency: Latency) -> float:
    low, high = 0.0, 1000.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _fits(middle, steps, limits, latency) else (low, middle)
    return 60 * low


def _fits(n: float, steps: Sequence[Step], limits: Limits, latency: Latency) -> bool:
    rate = limits.rate_per_s or math.inf
    batched = [step.seconds for step in steps if not step.alone]
    batches = max(n * len(batched) / BATCH, callers_requests(n, latency, limits.deadline_s))
    spare = rate - n * (len(steps) - len(batched)) - batches
    if spare < 0:
        return False
    if limits.billing != "batch":
        return all(n * seconds <= limits.share for seconds in batched if seconds > _FREE_S)
    in_batches = n * sum(batched)
    for seconds in sorted(batched, reverse=True):
        billed_alone = limits.share / seconds if seconds > _FREE_S else math.inf
        moved = min(n, billed_alone, spare / (1 - 1 / BATCH))
        spare -= moved * (1 - 1 / BATCH)
        in_batches -= moved * seconds
    return in_batches <= limits.share
