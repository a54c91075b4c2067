"""Rarer ways a call can go, for what the PBX records of them."""

from __future__ import annotations

import asyncio

from tests.real.office import Office, ended
from tests.real.scenarios import Measured, Play, dialled, first_of, trunk_call
from tests.real.sip import answers, only_rings, refuses
from tests.real.site import FREEPBX_QUEUE, MOBILE, ONE, VOICEMAIL, extension


async def freepbx_queue_answered(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), answers(2.0))
    call = await office.call_in(n, FREEPBX_QUEUE)
    agent = await first_of(office, n, 2)
    await asyncio.wait_for(agent.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(agent)
    return Measured("200", agent.talk, owner=2, legs=[2])


async def freepbx_queue_timed_out(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), only_rings())
    call = await office.call_in(n, FREEPBX_QUEUE)
    await ended(call)
    return Measured("304", owner=None, reason="no answer", recorded=False)


async def forwarded_to_a_mobile(office: Office, n: int) -> Measured:
    office.policies[f"89160009{n:02}0"] = answers(1.0)
    call = await office.call_in(n, MOBILE)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=0)


async def voicemail(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    call = await office.call_in(n, VOICEMAIL)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(4)
    await call.hang_up()
    return Measured("304", reason="voicemail", recorded=False)


async def attended_by_feature_code(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), answers(1.0))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    await first.dial(f"*2{extension(n, 2)}")
    second = await first_of(office, n, 2)
    first_talk = second.at["started"] - first.at["answered"]
    await asyncio.wait_for(second.answered.wait(), 20)
    await asyncio.sleep(2)
    await first.hang_up()
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(second)
    return Measured("200", first_talk + second.talk, owner=2, legs=[1, 2])


async def consultation_refused(office: Office, n: int) -> Measured:
    """The client is asked to wait, the colleague is busy, and the first one goes on talking."""
    await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), refuses(486, "Busy Here", after=1.0))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    await first.dial(f"*2{extension(n, 2)}")
    second = await first_of(office, n, 2)
    await ended(second)
    await asyncio.sleep(5)
    await call.hang_up()
    return Measured("200", call.talk, legs=[1, 1])


async def blind_transfer_unanswered(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), only_rings())
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(3)
    first.transfer(extension(n, 2))
    second = await first_of(office, n, 2)
    first_talk = second.at["started"] - first.at["answered"]
    await first.hang_up()
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("200", first_talk, legs=[1])


async def attended_to_an_older_call(office: Office, n: int) -> Measured:
    """The colleague was on the line before the client called."""
    phone = await office.phone(extension(n, 1), answers(1.0))
    await office.phone(extension(n, 2), answers(0.5))
    colleague = await phone.call(extension(n, 2))
    await asyncio.wait_for(colleague.answered.wait(), 20)
    await asyncio.sleep(1.2)
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    first.transfer(extension(n, 2), colleague)
    await asyncio.sleep(1)
    await first.hang_up()
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, legs=[1, 2])


async def outbound_declined(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = refuses(603, "Decline", after=1.0)
    await ended(await phone.call(dialled(n)))
    return Measured("603", reason="declined", recorded=False)


async def outbound_by_the_second_trunk(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = answers(1.0)
    call = await phone.call(f"0{dialled(n)}")
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await (await trunk_call(office, n)).hang_up()
    await ended(call)
    return Measured("200", call.talk, legs=[1])


async def outbound_without_a_trunk(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    await ended(await phone.call(f"0{dialled(n)}"))
    return Measured("OTHER", reason="not connected", recorded=False)


async def internal(office: Office, n: int) -> Measured:
    """None of the CRM's business."""
    phone = await office.phone(extension(n, 1))
    await office.phone(extension(n, 2), answers(0.5))
    call = await phone.call(extension(n, 2))
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(1)
    await call.hang_up()
    return Measured("")


_PLAYS: list[Play] = [
    freepbx_queue_answered, freepbx_queue_timed_out, forwarded_to_a_mobile, voicemail, attended_by_feature_code,
    consultation_refused, blind_transfer_unanswered, attended_to_an_older_call, outbound_declined,
    outbound_by_the_second_trunk, internal,
]  # fmt: skip
# The numbers after those of tests.real.scenarios; 0 is the one whose client's number ends in 0000.
MORE: dict[str, tuple[int, Play]] = {play.__name__: (n, play) for n, play in enumerate(_PLAYS, 22)}
MORE["outbound_without_a_trunk"] = (0, outbound_without_a_trunk)
