"""The phone call comes first, on a real Asterisk: whatever breaks, the caller is connected, and nothing is lost.

The delays are read from Asterisk's own log: from the call's first dialplan step to the moment a phone is called.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mariadb_server import server as mariadb_server
from tests.real.office import Office, office
from tests.real.sip import Call, answers
from tests.real.site import ONE, client, did, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

DEADLINE = 1.5  # [inbound] deadline, the default
SPARE = 0.6  # what a loaded test machine may add


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("first")) as running:
        yield running


@pytest.fixture
def healthy(where: Office) -> Iterator[Office]:
    yield where
    where.portal.faults([])


async def _call(where: Office, n: int, *, talk: float = 1.0, **how: str) -> Call:
    """One answered inbound call."""
    async with where.people():
        await where.phone(extension(n, 1), answers(0.5))
        call = await where.call_in(n, ONE, **how)
        await asyncio.wait_for(call.answered.wait(), 30)
        await asyncio.sleep(talk)
        await call.hang_up()
        await asyncio.sleep(0.3)
        return call


def _delay(where: Office, n: int) -> float:
    """Seconds from the first step of scenario n's last call to its phone being called, by Asterisk's log."""
    log = where.asterisk.log.read_text(errors="replace")
    began = re.findall(rf"^\[([\d.]+)\].*Executing \[{did(ONE, n)}\S*@from-trunk:1\]", log, re.M)
    called = re.findall(rf"^\[([\d.]+)\].*Called PJSIP/{extension(n, 1)}", log, re.M)
    assert began, "the call never reached the dialplan"
    assert called, "the phone was never called"
    return float(called[-1]) - float(began[-1])


def _arrives(where: Office, n: int, *, within: float = 60) -> None:
    """The call ends in the portal once, with its manager."""
    end = time.monotonic() + within
    while not (rows := where.statistics_of(n)) or where.calls_of(n)[0]["state"] != "complete":
        assert time.monotonic() < end, (rows, where.calls_of(n), where.program.log.read_text()[-1500:])
        time.sleep(0.2)
    (row,) = where.statistics_of(n)
    assert (row["CALL_FAILED_CODE"], int(row["PORTAL_USER_ID"])) == ("200", user(n, 1))


def test_our_server_down_costs_the_caller_nothing(healthy: Office) -> None:
    healthy.program.stop()
    asyncio.run(_call(healthy, 22))
    assert _delay(healthy, 22) < SPARE
    assert healthy.asterisk.channels() == 0
    healthy.program.start()


def test_our_server_killed_in_the_middle_of_a_call_loses_neither_call_nor_end(healthy: Office) -> None:
    async def play() -> None:
        async with healthy.people():
            await healthy.phone(extension(23, 1), answers(0.5))
            call = await healthy.call_in(23, ONE)
            await asyncio.wait_for(call.answered.wait(), 30)
            healthy.program.stop(signal.SIGKILL)
            healthy.program.start()
            await asyncio.sleep(1.0)  # starting held this loop, and with it the sound
            await call.hang_up()
            await asyncio.sleep(0.3)

    asyncio.run(play())
    _arrives(healthy, 23, within=110)


def test_a_frozen_server_holds_no_channel_of_a_caller_who_leaves_and_lets_go_when_it_dies(healthy: Office) -> None:
    """What a dialplan cannot do is take the call back from a server that accepts and never answers: that is the
    watchdog's part (docs: dialplan-examples), which here is played by SIGKILL."""

    async def play() -> None:
        async with healthy.people():
            await healthy.phone(extension(24, 1), answers(0.5))
            healthy.program.send(signal.SIGSTOP)
            leaves = await healthy.call_in(24, ONE)
            await asyncio.sleep(1.5)
            assert not leaves.answered.is_set()
            await leaves.hang_up()
            stays = await healthy.call_in(24, ONE)
            await asyncio.sleep(1.0)
            healthy.program.stop(signal.SIGKILL)
            await asyncio.wait_for(stays.answered.wait(), 10)
            healthy.program.start()
            await asyncio.sleep(1.0)
            await stays.hang_up()
            await asyncio.sleep(0.5)

    asyncio.run(play())
    assert healthy.asterisk.channels() == 0
    _arrives(healthy, 24)


def test_a_portal_that_is_down_costs_no_more_than_the_deadline_and_gets_the_call_later(healthy: Office) -> None:
    healthy.portal.stop()
    asyncio.run(_call(healthy, 25))
    healthy.portal.start()
    assert _delay(healthy, 25) < DEADLINE + SPARE
    _arrives(healthy, 25)


def test_a_portal_that_takes_20_seconds_costs_no_more_than_the_deadline(healthy: Office) -> None:
    healthy.portal.faults([{"method": "batch", "kind": "slow", "times": 1, "delay_s": 20.0}])
    asyncio.run(_call(healthy, 26))
    assert _delay(healthy, 26) < DEADLINE + SPARE
    _arrives(healthy, 26)


def test_a_portal_that_answers_html_costs_no_more_than_the_deadline(healthy: Office) -> None:
    healthy.portal.faults([{"method": "*", "kind": "html502", "times": 3, "after_effect": False}])
    asyncio.run(_call(healthy, 27))
    assert _delay(healthy, 27) < DEADLINE + SPARE
    _arrives(healthy, 27)


def test_a_locked_database_costs_a_moment_and_loses_nothing(healthy: Office) -> None:
    journal = healthy.program.config.parent / "journal.db"
    blocker = sqlite3.connect(journal, isolation_level=None, timeout=10)
    blocker.execute("BEGIN EXCLUSIVE")
    asyncio.run(_call(healthy, 28))
    assert _delay(healthy, 28) < DEADLINE + SPARE
    blocker.execute("ROLLBACK")
    blocker.close()
    _arrives(healthy, 28)


@pytest.mark.mariadb
def test_a_mariadb_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    with mariadb_server() as database, office(tmp_path, database.url) as where:

        async def play() -> None:
            async with where.people():
                await where.phone(extension(29, 1), answers(1.0))
                call = await where.call_in(29, ONE)
                database.kill()
                await asyncio.wait_for(call.answered.wait(), 30)
                await asyncio.sleep(2)
                await call.hang_up()
                await asyncio.sleep(0.3)

        asyncio.run(play())
        assert _delay(where, 29) < DEADLINE + SPARE
        database.start()
        _arrives(where, 29)


NAMES = {
    30: 'OOO \\"Romashka\\" & Co',
    31: "${SYSTEM(touch /tmp/owned)}",
    32: "x" * 3000,
    33: "Ромашка 😀",
    34: b"\xd0\xcf\xee koi8 \xff".decode("utf-8", "surrogateescape"),
    35: "a,b;c&d|e'f`g",
}


@pytest.mark.parametrize("n", list(NAMES))
def test_a_hostile_caller_name_is_only_a_name(healthy: Office, n: int) -> None:
    asyncio.run(_call(healthy, n, display=NAMES[n]))
    _arrives(healthy, n)
    assert not (healthy.asterisk.root / "tmp/owned").exists()


@pytest.mark.parametrize("nobody", ["anonymous", "unknown", "alice+x"])
def test_a_caller_without_a_number_is_connected_and_skipped(healthy: Office, nobody: str) -> None:
    before = healthy.program.json("status")["last_day"].get("skipped", 0)
    asyncio.run(_call(healthy, 36, user=nobody))
    assert healthy.program.json("status")["last_day"]["skipped"] == before + 1


def test_a_hostile_dialled_number_is_only_its_digits(healthy: Office) -> None:
    number = f"{did(ONE, 37)},,touch%20/tmp/owned%3B%26$%7BSYSTEM(x)%7D"
    asyncio.run(_call(healthy, 37, number=number))
    _arrives(healthy, 37)
    assert healthy.calls_of(37)[0]["did"] == did(ONE, 37)
    assert not (healthy.asterisk.root / "tmp/owned").exists()
    assert client(37) == healthy.calls_of(37)[0]["client_number"]
