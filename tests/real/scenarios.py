"""Every way a call can go, played with real phones; each returns what the phones measured."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.real.office import Office, ended
from tests.real.sip import Call, answers, only_rings, refuses
from tests.real.site import GROUP, MENU, ONE, QUEUE, RESPONSIBLE, client, extension


@dataclass
class Measured:
    """What must come out, by the phones' clocks. `owner` and `shown`, `kept` are extensions 1 to 3."""

    code: str
    talk: float = 0.0
    owner: int | None = 1
    reason: str = ""
    shown: set[int] = field(default_factory=set)  # who must have seen the card
    hidden: set[int] = field(default_factory=set)  # whose card must have been taken away before the end
    legs: list[int] = field(default_factory=list)  # who talked, in order
    recorded: bool = True
    route: int | None = None


_AT_ONCE = 10
Play = Callable[[Office, int], Coroutine[Any, Any, Measured]]


async def play(office: Office, plays: Mapping[str, tuple[int, Play]]) -> dict[str, Measured]:
    """Play all of them, some at a time."""
    found = await attempt(office, plays)
    failed = {name: result for name, result in found.items() if isinstance(result, BaseException)}
    assert not failed, f"not played: {failed}; {office.asterisk.log} tells why"
    return {name: result for name, result in found.items() if isinstance(result, Measured)}


async def attempt(office: Office, plays: Mapping[str, tuple[int, Play]]) -> dict[str, Measured | BaseException]:
    """The same, with what kept a call from being played in its place."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, what: Play) -> Measured:
        async with places:
            return await what(office, number)

    async with office.people():
        results = await asyncio.gather(*(one(*how) for how in plays.values()), return_exceptions=True)
    return dict(zip(plays, results, strict=True))


async def first_of(office: Office, scenario: int, which: int) -> Call:
    """The next call that reaches extension `which`; opens its phone."""
    phone = next(a for a in office._agents if a.user == extension(scenario, which))
    return await asyncio.wait_for(phone.incoming.get(), 30)


async def answered_caller_ends(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, ONE)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, shown={1}, legs=[1])


async def answered_callee_ends(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0, hangs_up_after=3))
    call = await office.call_in(n, ONE)
    await ended(call)
    return Measured("200", call.talk, shown={1}, legs=[1])


async def busy(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), refuses(486, "Busy Here"))
    call = await office.call_in(n, ONE)
    await ended(call)
    return Measured("304", reason="busy", recorded=False)


async def declined(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), refuses(603, "Decline", after=1.0))
    call = await office.call_in(n, ONE)
    await ended(call)
    return Measured("304", reason="declined", recorded=False, shown={1})


async def no_answer(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    call = await office.call_in(n, ONE)
    await ended(call)
    return Measured("304", reason="no answer", recorded=False, shown={1}, hidden=set())


async def abandoned(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    call = await office.call_in(n, ONE)
    await first_of(office, n, 1)
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("304", reason="abandoned", recorded=False, shown={1})


async def group_won_by_one(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), answers(1.5))
    call = await office.call_in(n, GROUP)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, shown={1, 2}, hidden={1}, legs=[2])


async def queue_answered(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), answers(2.0))
    call = await office.call_in(n, QUEUE)
    agent = await first_of(office, n, 2)
    await asyncio.wait_for(agent.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(agent)
    return Measured("200", agent.talk, owner=2, shown={1, 2}, hidden={1}, legs=[2])


async def queue_abandoned(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), only_rings())
    call = await office.call_in(n, QUEUE)
    await first_of(office, n, 2)
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("304", owner=None, reason="abandoned in queue", recorded=False, shown={1, 2})


async def menu_then_answered(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, MENU)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    call.press("1")
    phone = await first_of(office, n, 1)
    await asyncio.wait_for(phone.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(phone)
    return Measured("200", phone.talk, shown={1}, legs=[1])


async def menu_abandoned(office: Office, n: int) -> Measured:
    call = await office.call_in(n, MENU)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("304", owner=0, reason="abandoned in menu", recorded=False)


async def blind_transfer(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), answers(2.0))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(3)
    first.transfer(extension(n, 2))
    second = await first_of(office, n, 2)
    first_talk = second.at["started"] - first.at["answered"]
    await asyncio.wait_for(second.answered.wait(), 20)
    await first.hang_up()
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(second)
    return Measured("200", first_talk + second.talk, owner=2, shown={1, 2}, legs=[1, 2])


async def attended_transfer(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), answers(0.5))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    first.hold()
    consultation = await phone.call(extension(n, 2))
    await asyncio.wait_for(consultation.answered.wait(), 20)
    await asyncio.sleep(1.5)
    first.transfer(extension(n, 2), consultation)
    await asyncio.sleep(1)
    await first.hang_up()
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, shown={1}, legs=[1, 2])


async def outbound_answered(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = answers(1.5)
    call = await phone.call(dialled(n))
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, legs=[1])


async def outbound_busy(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = refuses(486, "Busy Here", after=1.0)
    call = await phone.call(dialled(n))
    await ended(call)
    return Measured("486", reason="busy", recorded=False)


async def outbound_abandoned(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = only_rings()
    call = await phone.call(dialled(n))
    await asyncio.wait_for(call.ringing.wait(), 20)
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("603-S", reason="cancelled by us", recorded=False)


async def outbound_blind_transfer(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    await office.phone(extension(n, 2), answers(2.0))
    office.policies[dialled(n)] = answers(1.0)
    call = await phone.call(dialled(n))
    client_side = await trunk_call(office, n)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    call.transfer(extension(n, 2))
    second = await first_of(office, n, 2)
    first_talk = second.at["started"] - call.at["answered"]
    await asyncio.wait_for(second.answered.wait(), 20)
    await call.hang_up()
    await asyncio.sleep(3)
    await client_side.hang_up()
    await ended(second)
    return Measured("200", first_talk + second.talk, legs=[1, 2])


async def outbound_attended_transfer(office: Office, n: int, prefix: str = "") -> Measured:
    phone = await office.phone(extension(n, 1))
    await office.phone(extension(n, 2), answers(0.5))
    office.policies[dialled(n)] = answers(1.0)
    call = await phone.call(f"{prefix}{dialled(n)}")
    client_side = await trunk_call(office, n)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    call.hold()
    consultation = await phone.call(extension(n, 2))
    await asyncio.wait_for(consultation.answered.wait(), 20)
    await asyncio.sleep(1.5)
    call.transfer(extension(n, 2), consultation)
    await asyncio.sleep(1)
    await call.hang_up()
    await asyncio.sleep(3)
    await client_side.hang_up()
    return Measured("200", client_side.talk, legs=[1, 2])


async def responsible_answers(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, RESPONSIBLE)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, shown={1}, legs=[1], route=1)


async def responsible_does_not_answer(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), only_rings())
    await office.phone(extension(n, 3), answers(1.5))
    call = await office.call_in(n, RESPONSIBLE)
    await asyncio.wait_for(call.answered.wait(), 40)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=3, shown={1, 2, 3}, hidden={1, 2}, legs=[3], route=1)


async def trunk_call(office: Office, n: int) -> Call:
    """The client's side of an outbound call."""
    while True:
        for call in office.trunk.calls.values():
            if call.invite is not None and dialled(n) in call.invite.first:
                return call
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.sleep(0.05)


def dialled(n: int) -> str:
    return f"8{client(n)[2:]}"


# name -> (scenario number, play). From 20 on the client is known to the portal.
ALL: dict[str, tuple[int, Play]] = {
    play.__name__: (number, play)
    for number, play in enumerate(
        [
            answered_caller_ends,
            answered_callee_ends,
            busy,
            declined,
            no_answer,
            abandoned,
            group_won_by_one,
            queue_answered,
            queue_abandoned,
            menu_then_answered,
            menu_abandoned,
            blind_transfer,
            attended_transfer,
            outbound_answered,
            outbound_busy,
            outbound_abandoned,
            outbound_blind_transfer,
            outbound_attended_transfer,
        ],
        1,
    )
}
ALL |= {
    "responsible_answers": (20, responsible_answers),
    "responsible_does_not_answer": (21, responsible_does_not_answer),
}
OUTBOUND = {name for name in ALL if name.startswith("outbound")}
# A third of them, of every kind, proves that MySQL is no different.
ON_MARIADB = [
    "answered_caller_ends", "abandoned", "queue_answered", "blind_transfer", "outbound_attended_transfer",
    "responsible_answers", "menu_abandoned",
]  # fmt: skip
