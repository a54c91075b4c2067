"""What a real Asterisk 22 tells of its phones, to a user with the least rights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.ami_user import READ
from itgrix_bx.pbx.devices import EVENTS, Devices, DeviceState
from itgrix_bx.pbx.link import Manager, Timings
from tests.real.asterisk import AMI_SECRET
from tests.real.office import Office, ended, office
from tests.real.sip import Policy, answers, only_rings
from tests.real.site import HINTED, ONE, extension

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

DESK, SECOND, ALONE = extension(HINTED, 1), extension(HINTED, 2), extension(HINTED, 3)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("devices")) as running:
        yield running


@pytest.fixture
def watch(where: Office) -> Iterator[Callable[[], Devices]]:
    started: list[tuple[Ami, Devices]] = []

    def watch() -> Devices:
        manager = Manager(where.asterisk.ami, "itgrix-bx", AMI_SECRET, mask=READ, events=EVENTS)
        ami = Ami(manager, Timings(again=0.2))
        started.append((ami, Devices(ami)))
        ami.start()
        end = time.monotonic() + 20
        while not started[-1][1].known():
            assert time.monotonic() < end
            time.sleep(0.05)
        return started[-1][1]

    yield watch
    for ami, devices in started:
        devices.stop()
        ami.stop()


async def becomes(devices: Devices, one: str, state: DeviceState) -> None:
    end = time.monotonic() + 10
    while devices.state(one) is not state:
        assert time.monotonic() < end, f"{one} is {devices.state(one)}"
        await asyncio.sleep(0.02)


def test_phones_that_nobody_registered_cannot_be_reached_and_one_of_two_is_enough(
    where: Office, watch: Callable[[], Devices]
) -> None:
    devices = watch()

    async def play() -> None:
        for one in (DESK, ALONE):
            await becomes(devices, one, DeviceState.UNREACHABLE)
        assert devices.state("9999") is DeviceState.UNKNOWN
        async with where.people():
            phone = await where.phone(SECOND)
            await becomes(devices, DESK, DeviceState.FREE)
            await phone.register(expires=0)
            await becomes(devices, DESK, DeviceState.UNREACHABLE)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("policy", "state"), [(only_rings(), DeviceState.RINGING), (answers(0.3), DeviceState.BUSY)], ids=["rings", "talks"]
)
def test_a_phone_is_followed_through_a_call(
    where: Office, watch: Callable[[], Devices], policy: Policy, state: DeviceState
) -> None:
    devices = watch()

    async def play() -> None:
        async with where.people():
            await where.phone(DESK, policy)
            await becomes(devices, DESK, DeviceState.FREE)
            made = await where.call_in(HINTED, ONE)
            if state is DeviceState.BUSY:
                await asyncio.wait_for(made.answered.wait(), 10)
            await becomes(devices, DESK, state)
            await becomes(watch(), DESK, state)  # who comes later is told the same
            await made.hang_up()
            await ended(made)
            await becomes(devices, DESK, DeviceState.FREE)

    asyncio.run(play())


def test_do_not_disturb_by_device_and_by_the_database(where: Office, watch: Callable[[], Devices]) -> None:
    async def play() -> None:
        async with where.people():
            await where.phone(DESK)
            await where.phone(ALONE)
            devices = watch()
            await becomes(devices, DESK, DeviceState.FREE)
            where.asterisk.cli(f"devstate change Custom:DND{DESK} BUSY")
            await becomes(devices, DESK, DeviceState.DND)
            where.asterisk.cli(f"devstate change Custom:DND{DESK} NOT_INUSE")
            await becomes(devices, DESK, DeviceState.FREE)
            await becomes(devices, ALONE, DeviceState.FREE)
            where.asterisk.cli(f"database put DND {ALONE} YES")
            await becomes(watch(), ALONE, DeviceState.DND)
            where.asterisk.cli(f"database del DND {ALONE}")

    asyncio.run(play())
