"""Rarer ways a call can go, for what the PBX records of them."""

from __future__ import annotations

import asyncio
import re

from tests.real.office import Office, ended
from tests.real.scenarios import ALL, Measured, Play, dialled, first_of, outbound_attended_transfer, trunk_call
from tests.real.sip import Call, answers, by_device, only_rings, refuses
from tests.real.site import (
    BY_TRUNK,
    CLOSED,
    DEVICES,
    FOLLOW_ME,
    FREEPBX_QUEUE,
    GROUP,
    HUNT,
    MOBILE,
    ONE,
    OPEN,
    VOICEMAIL,
    extension,
    mobile,
)  # fmt: skip


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


async def queue_with_a_busy_agent(office: Office, n: int) -> Measured:
    """Who talks already is not rung (ringinuse=no); here it is in a conference."""
    phone = await office.phone(extension(n, 1), answers(0.5))
    await office.phone(extension(n, 2), answers(1.0))
    talks = await phone.call(f"3{n:02}")
    await asyncio.wait_for(talks.answered.wait(), 20)
    await asyncio.sleep(1)
    call = await office.call_in(n, FREEPBX_QUEUE)
    agent = await first_of(office, n, 2)
    await asyncio.wait_for(agent.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(agent)
    await talks.hang_up()
    assert phone.incoming.empty(), "the agent who talks was rung"
    return Measured("200", agent.talk, owner=2, legs=[2])


async def follow_me_to_a_mobile(office: Office, n: int) -> Measured:
    """The second extension's calls ring at its employee's mobile too, which is answered."""
    await office.phone(extension(n, 2), only_rings())
    office.policies[mobile(n)] = answers(1.0)
    call = await office.call_in(n, FOLLOW_ME)
    await asyncio.wait_for(call.answered.wait(), 30)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, shown={2}, legs=[2])


async def forwarded_to_a_mobile(office: Office, n: int) -> Measured:
    """The mobile of the third extension's employee."""
    office.policies[mobile(n)] = answers(1.0)
    call = await office.call_in(n, MOBILE)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=3, legs=[3])


async def trunk_as_destination(office: Office, n: int) -> Measured:
    """No hook runs before it: nobody knows whose number that is."""
    office.policies[mobile(n)] = answers(1.0)
    call = await office.call_in(n, BY_TRUNK)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=0, legs=[])


async def several_devices(office: Office, n: int) -> Measured:
    """Both phones of the extension ring, the second is answered."""
    await office.phone(extension(n, 1), only_rings())
    second = await office.phone(extension(n, 1), answers(1.5))
    office.policies[extension(n, 1)] = by_device({second: answers(1.5)})
    call = await office.call_in(n, DEVICES)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, shown={1}, legs=[1])


async def hunt_answered_by_the_second(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), answers(1.0))
    call = await office.call_in(n, HUNT)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, shown={1, 2}, hidden={1}, legs=[2])


async def group_unanswered(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    await office.phone(extension(n, 2), only_rings())
    await ended(await office.call_in(n, GROUP))
    return Measured("304", reason="no answer", recorded=False, shown={1, 2})


async def follow_me(office: Office, n: int) -> Measured:
    """The second extension's calls ring at the third too."""
    await office.phone(extension(n, 2), only_rings())
    await office.phone(extension(n, 3), answers(1.0))
    call = await office.call_in(n, FOLLOW_ME)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=3, shown={2, 3}, hidden={2}, legs=[3])


async def within_office_hours(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, OPEN)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    await call.hang_up()
    return Measured("200", call.talk, shown={1}, legs=[1])


async def after_office_hours(office: Office, n: int) -> Measured:
    await ended(await office.call_in(n, CLOSED))
    return Measured("304", reason="no route", recorded=False)


async def parked_at(office: Office, n: int) -> str:
    """The place where the first extension of `n` has parked its client: others park at the same time."""
    lot = await asyncio.to_thread(office.asterisk.cli, "parking show default")
    found = re.search(rf"Space\s*:\s*(\d+)\n.*\n.*PJSIP/{extension(n, 1)}\b", lot)
    assert found is not None, lot
    return found[1]


async def parked_and_retrieved(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), answers(1.0))
    colleague = await office.phone(extension(n, 2))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    first.transfer("700")
    await asyncio.sleep(3)
    await first.hang_up()
    second = await colleague.call(await parked_at(office, n))
    await asyncio.wait_for(second.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    await ended(second)
    return Measured("200", 2 + second.talk, owner=2, shown={1}, legs=[1, 2])


async def parked_and_fetched_by_the_same(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(3.5)
    first.transfer("700")
    await asyncio.sleep(3)
    await first.hang_up()
    again = await phone.call(await parked_at(office, n))
    await asyncio.wait_for(again.answered.wait(), 20)
    await asyncio.sleep(2)
    await call.hang_up()
    await ended(again)
    return Measured("200", 3.5 + again.talk, shown={1}, legs=[1])


async def parked_and_given_up(office: Office, n: int) -> Measured:
    """The client waits in vain; what was said before is the talk."""
    await office.phone(extension(n, 1), answers(1.0))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    first.transfer("700")
    await asyncio.sleep(1)
    await first.hang_up()
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", 2, shown={1}, legs=[1])


async def picked_up_by_a_colleague(office: Office, n: int) -> Measured:
    await office.phone(extension(n, 1), only_rings())
    colleague = await office.phone(extension(n, 2))
    call = await office.call_in(n, ONE)
    await first_of(office, n, 1)
    await asyncio.sleep(1)
    await colleague.call("*8")
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    return Measured("200", call.talk, owner=2, shown={1}, legs=[2])


async def conference(office: Office, n: int) -> Measured:
    """The client is sent into a room, the first one joins and then a colleague, who is the last to talk with them."""
    phone = await office.phone(extension(n, 1), answers(1.0))
    colleague = await office.phone(extension(n, 2))
    call = await office.call_in(n, ONE)
    first = await first_of(office, n, 1)
    await asyncio.wait_for(first.answered.wait(), 20)
    await asyncio.sleep(2)
    first.transfer(f"3{n:02}")
    await asyncio.sleep(0.5)
    await first.hang_up()
    joined: list[Call] = []
    for agent in (phone, colleague):
        joined.append(await agent.call(f"3{n:02}"))
        await asyncio.wait_for(joined[-1].answered.wait(), 20)
    await asyncio.sleep(3)
    await call.hang_up()
    for one in joined:
        await one.hang_up()
    return Measured("200", call.talk, owner=2, shown={1}, legs=[1, 2])


async def outbound_no_answer(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = refuses(480, "Temporarily Unavailable", after=1.0)
    await ended(await phone.call(dialled(n)))
    return Measured("480", reason="no answer", recorded=False)


async def outbound_wrong_number(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    office.policies[dialled(n)] = refuses(404, "Not Found", after=0.5)
    await ended(await phone.call(dialled(n)))
    return Measured("404", reason="wrong number", recorded=False)


async def outbound_attended_by_feature_code(office: Office, n: int) -> Measured:
    phone = await office.phone(extension(n, 1))
    await office.phone(extension(n, 2), answers(1.0))
    office.policies[dialled(n)] = answers(1.0)
    call = await phone.call(dialled(n))
    client_side = await trunk_call(office, n)
    await asyncio.wait_for(call.answered.wait(), 20)
    await asyncio.sleep(2)
    await call.dial(f"*2{extension(n, 2)}")
    second = await first_of(office, n, 2)
    first_talk = second.at["started"] - call.at["answered"]
    await asyncio.wait_for(second.answered.wait(), 20)
    await asyncio.sleep(2)
    await call.hang_up()
    await asyncio.sleep(3)
    await client_side.hang_up()
    await ended(second)
    return Measured("200", first_talk + second.talk, legs=[1, 2])


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


async def outbound_attended_transfer_on_a_route_with_mail(office: Office, n: int) -> Measured:
    """No dialplan of ours runs on the trunk's leg: FreePBX sends an e-mail about the route's calls from there."""
    return await outbound_attended_transfer(office, n, prefix="9")


_PLAYS: list[Play] = [
    freepbx_queue_answered, freepbx_queue_timed_out, forwarded_to_a_mobile, voicemail, attended_by_feature_code,
    consultation_refused, blind_transfer_unanswered, attended_to_an_older_call, outbound_declined,
    outbound_by_the_second_trunk, internal,
]  # fmt: skip
_RARER: list[Play] = [
    several_devices, hunt_answered_by_the_second, group_unanswered, follow_me, within_office_hours, after_office_hours,
    parked_and_retrieved, picked_up_by_a_colleague, conference, trunk_as_destination, outbound_no_answer,
    outbound_wrong_number, outbound_attended_by_feature_code, outbound_attended_transfer_on_a_route_with_mail,
    parked_and_fetched_by_the_same, parked_and_given_up,
]  # fmt: skip
# The numbers after those of tests.real.scenarios; 0 is the one whose client's number ends in 0000.
MORE: dict[str, tuple[int, Play]] = {play.__name__: (n, play) for n, play in enumerate(_PLAYS, 22)}
MORE["outbound_without_a_trunk"] = (0, outbound_without_a_trunk)
RARER: dict[str, tuple[int, Play]] = {play.__name__: (n, play) for n, play in enumerate(_RARER, 22 + len(_PLAYS))}
# 50 to 54 are played by tests/real/test_matrix.py without a server of ours.
RARER |= {
    "queue_with_a_busy_agent": (55, queue_with_a_busy_agent),
    "follow_me_to_a_mobile": (56, follow_me_to_a_mobile),
}
SCENARIOS: dict[str, tuple[int, Play]] = ALL | MORE | RARER
