"""Every way a call can go while our server stops at the worst moment: the phones must not notice.

What they saw is compared with the same calls on a telephone system that never had a server of ours.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.real.more_scenarios import SCENARIOS
from tests.real.office import Office
from tests.real.scenarios import Measured, Play, dialled
from tests.real.sip import Call, answers
from tests.real.site import RESPONSIBLE, client, extension, mobile

_AT_ONCE = 10
_IN_THE_FIRST_HOOK_S = 0.7  # the calls have begun, and the portal keeps their callers waiting
_IN_THE_MIDDLE_S = 3.2  # some ring, some talk, some are being transferred, some end
_WATCHDOG_S = 2.0  # a frozen server is ended; the service's unit takes ten seconds for it
_LATER_S = 1.5  # by then the other side has heard of the end
_SLOW = {"method": "*", "kind": "slow", "times": 1000, "delay_s": 20.0}

Moment = Callable[[Office], Awaitable[None]]


async def _killed(where: Office) -> None:
    await asyncio.sleep(_IN_THE_FIRST_HOOK_S)
    waiting = where.program.health()["parts"]["fastagi"]["in_hand"]
    where.program.stop(signal.SIGKILL)
    assert waiting, "no call was in a hook when the server was killed"


async def _frozen(where: Office) -> None:
    await asyncio.sleep(_IN_THE_MIDDLE_S)
    where.program.send(signal.SIGSTOP)
    await asyncio.sleep(_WATCHDOG_S)
    where.program.stop(signal.SIGKILL)


async def _nothing(where: Office) -> None:
    del where


@dataclass(frozen=True)
class Stop:
    """A way to stop; `patience_s` is how much longer or shorter a talk may be by the phones' clocks."""

    moment: Moment
    patience_s: float
    portal: tuple[Mapping[str, object], ...] = ()


STOPS = {
    "killed": Stop(_killed, 1.0, (_SLOW,)),
    "frozen": Stop(_frozen, 1.0 + _WATCHDOG_S),
}


@dataclass(frozen=True)
class Seen:
    """What the phones of one scenario saw: `client` how each of the client's calls ended (answered, SIP status),
    `talks` who talked for how many seconds, 0 being the client."""

    client: tuple[tuple[bool, int], ...]
    talks: tuple[tuple[int, float], ...]


async def _normal_route_answers(office: Office, n: int) -> Measured:
    """Nobody tells the dialplan of a responsible: those it rings otherwise are rung."""
    await office.phone(extension(n, 2), answers(1.0))
    call = await office.call_in(n, RESPONSIBLE)
    await asyncio.wait_for(call.answered.wait(), 40)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, legs=[2])


PLAYS: dict[str, tuple[int, Play]] = SCENARIOS | {
    "responsible_answers": (SCENARIOS["responsible_answers"][0], _normal_route_answers)
}


def without_us(where: Office, names: Iterable[str]) -> dict[str, Seen | BaseException]:
    """The scenarios of `names` while there is no server of ours."""
    where.program.stop()
    seen: dict[str, Seen | BaseException] = {}
    for batch in _batches(names):
        seen |= asyncio.run(_play(where, batch, _nothing))
    return seen


def differences(
    where: Office, stop: Stop, names: Iterable[str], normal: Mapping[str, Seen | BaseException]
) -> dict[str, list[str]]:
    """What the phones noticed of it, in words; an empty list for a call that went as in `normal`."""
    found: dict[str, list[str]] = {}
    for batch in _batches(names):
        where.portal.faults([])
        where.program.start()
        where.portal.faults([dict(fault) for fault in stop.portal])
        seen = asyncio.run(_play(where, batch, stop.moment))
        found |= {name: _differences(seen[name], normal[name], stop.patience_s) for name in batch}
        if left := where.asterisk.channels():
            found[batch[-1]].append(f"{left} channels of this and the {len(batch) - 1} before it are left")
    where.portal.faults([])
    return found


def _batches(names: Iterable[str]) -> list[list[str]]:
    listed = list(names)
    return [listed[at : at + _AT_ONCE] for at in range(0, len(listed), _AT_ONCE)]


async def _play(where: Office, names: list[str], moment: Moment) -> dict[str, Seen | BaseException]:
    async with where.people():
        playing = asyncio.gather(*(what(where, n) for n, what in map(PLAYS.__getitem__, names)), return_exceptions=True)
        await moment(where)
        results = await playing
        await asyncio.sleep(_LATER_S)
        return {
            name: result if isinstance(result, BaseException) else _seen(where, PLAYS[name][0])
            for name, result in zip(names, results, strict=True)
        }


def _seen(where: Office, n: int) -> Seen:
    outside = [call for call in where.trunk.calls.values() if _is_of(call, n)]
    talks = [(0, call.talk) for call in outside if call.answered.is_set()]
    for which in (1, 2, 3):
        phones = [agent for agent in where._agents if agent.user == extension(n, which)]
        talks += [(which, c.talk) for agent in phones for c in agent.calls.values() if c.answered.is_set()]
    return Seen(tuple(sorted((c.answered.is_set(), c.status) for c in outside)), tuple(sorted(talks)))


def _is_of(call: Call, n: int) -> bool:
    """Whether a call of the trunk's is scenario `n`'s: from its client, to it, or to its third extension's mobile."""
    if call.invite is None:
        return f"8{client(n)[2:]}@" in call.local
    return f":{dialled(n)}@" in call.invite.first or f":{mobile(n)}@" in call.invite.first


def _differences(seen: Seen | BaseException, normal: Seen | BaseException, patience_s: float) -> list[str]:
    if isinstance(seen, BaseException) or isinstance(normal, BaseException):
        return [f"not played: {seen!r}; without us: {normal!r}"]
    found = [] if seen.client == normal.client else [f"the client's calls ended {seen.client}, not {normal.client}"]
    if [who for who, _ in seen.talks] != [who for who, _ in normal.talks]:
        return [*found, f"talked {seen.talks} instead of {normal.talks}"]
    return found + [
        f"{'the client' if who == 0 else f'extension {who}'} talked {talk:.1f} s instead of {usual:.1f} s"
        for (who, talk), (_, usual) in zip(seen.talks, normal.talks, strict=True)
        if abs(talk - usual) > patience_s
    ]
