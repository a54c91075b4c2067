"""The program is killed, people go on telephoning, the program comes back: real calls, taken from the CDR and CEL that
a real Asterisk wrote into a real MariaDB, end in the portal as if the hooks had told them."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.config import load
from itgrix_bx.delivery.schedule import due
from itgrix_bx.report import details
from sql import Journal, Staff
from sql.database import opened
from tests.mariadb_server import server
from tests.real.asterisk import create_records
from tests.real.more_scenarios import MORE
from tests.real.office import Office, office
from tests.real.scenarios import ALL, Measured, first_of, outbound_attended_transfer, play
from tests.real.sip import answers
from tests.real.site import ONE, client, extension, user

pytestmark = [pytest.mark.real, pytest.mark.mariadb, pytest.mark.timeout(300)]

UNHEARD = {
    name: (ALL | MORE)[name]
    for name in (
        "blind_transfer", "attended_transfer", "outbound_blind_transfer", "outbound_attended_transfer",
        "queue_answered", "freepbx_queue_answered", "menu_then_answered", "group_won_by_one", "answered_caller_ends",
        "outbound_answered", "busy", "declined", "abandoned", "outbound_busy", "internal",
    )
}  # fmt: skip
HANGUP_LOST, AS_ON_FREEPBX = 38, 39  # their scenarios' numbers
OUTBOUND = {name for name in UNHEARD if name.startswith("outbound")} | {"as on FreePBX"}
TOLD_BEFORE = {"hangup lost": HANGUP_LOST, "as on FreePBX": AS_ON_FREEPBX}
# The manager told when the client picked up and to whom he was transferred, before the program died.
SOURCES = {"hangup lost": "hooks, completed from CEL", "as on FreePBX": "hooks, completed from AMI, CEL"}


@dataclass
class Day:
    """What the phones measured, and how the calls stood in the journal when the program died."""

    office: Office
    measured: dict[str, Measured]
    at_the_crash: dict[str, str]
    calls: list[dict[str, Any]]
    added: dict[str, Any]

    def number(self, name: str) -> int:
        return TOLD_BEFORE[name] if name in TOLD_BEFORE else UNHEARD[name][0]

    def call(self, name: str) -> dict[str, Any]:
        (found,) = [call for call in self.calls if call["client_number"] == client(self.number(name))]
        return found


async def _before_the_crash(where: Office) -> dict[str, Measured]:
    """A call that FreePBX's hooks cannot follow, and one in whose middle the program is killed."""
    async with where.people():
        transferred = asyncio.create_task(outbound_attended_transfer(where, AS_ON_FREEPBX, prefix="9"))
        await where.phone(extension(HANGUP_LOST, 1), answers(1.0))
        call = await where.call_in(HANGUP_LOST, ONE)
        phone = await first_of(where, HANGUP_LOST, 1)
        await asyncio.wait_for(phone.answered.wait(), 20)
        measured = {"as on FreePBX": await transferred}
        where.program.stop(signal.SIGKILL)
        await asyncio.sleep(0.5)
        await call.hang_up()
        return measured | {"hangup lost": Measured("200", call.talk, legs=[1])}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with server() as database:
        create_records(database.port)
        with office(tmp_path_factory.mktemp("catch-up"), records_port=database.port) as where:
            measured = asyncio.run(_before_the_crash(where))
            crash = {n: where.calls_of(number)[0]["state"] for n, number in TOLD_BEFORE.items()}
            measured |= asyncio.run(play(where, UNHEARD))
            where.program.start()
            _wait_for_delivery(where)
            an_hour_ago = datetime.fromtimestamp(time.time() - 3600).isoformat()
            added = where.program.json("catch-up", "--from", an_hour_ago, "--yes")
            yield Day(where, measured, crash, _shown(where), added)


def _shown(where: Office) -> list[dict[str, Any]]:
    """Every call as `calls show` tells it, without a process for each."""
    settings = load(where.program.config)
    with opened(settings.database.url.get_secret_value()) as database:
        journal, people = Journal(database, due), Staff(database).directory()
        found = journal.find(limit=0)
        return [details(call, journal.events(call.call_id), people, settings) for call in found]


def _wait_for_delivery(where: Office) -> None:
    end = time.monotonic() + 60
    expected = len(UNHEARD) + len(TOLD_BEFORE) - 1  # the internal one is nobody's business
    while True:
        states = [call["state"] for call in where.program.json("calls", "list", "--limit", "0")]
        if len(states) >= expected and set(states) == {"complete"}:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{states}: {where.program.log.read_text()[-2000:]}")
        time.sleep(0.5)


def test_what_the_hooks_had_told_was_open_when_the_program_died(day: Day) -> None:
    assert set(day.at_the_crash.values()) <= {"open", "registered"}


@pytest.mark.parametrize("name", [*(name for name in UNHEARD if name != "internal"), *TOLD_BEFORE])
def test_a_call_that_went_unheard_ends_right_in_the_portal(day: Day, name: str) -> None:
    expected, call, number = day.measured[name], day.call(name), day.number(name)
    rows = day.office.statistics_of(number)
    told = {"rows": rows, "call": call, "measured": expected}
    assert len(rows) == 1, told
    (row,) = rows
    assert row["CALL_FAILED_CODE"] == expected.code == call["status_code"], told
    assert row["CALL_FAILED_REASON"] == expected.reason, told
    assert str(row["CALL_TYPE"]) == ("1" if name in OUTBOUND else "2"), told
    assert row["PHONE_NUMBER"] == call["client_number"] == client(number), told
    assert int(row["PORTAL_USER_ID"]) == call["user_id"] == _owner(number, expected, call), told
    # FreePBX's tables keep whole seconds: each leg may be one longer or shorter.
    legs = sum(leg["answered_at"] is not None for leg in call["legs"])
    assert abs(int(row["CALL_DURATION"]) - round(expected.talk)) <= max(1, legs), told
    assert call["source"] == SOURCES.get(name, "taken from CEL"), told
    _check_recording(day, expected, call, row)


def _owner(number: int, expected: Measured, call: dict[str, Any]) -> int:
    if expected.owner is None:  # whoever the queue rang last
        return user(number, int(call["legs"][-1]["extension"][-1]))
    return user(number, expected.owner) if expected.owner else 1


def _check_recording(day: Day, expected: Measured, call: dict[str, Any], row: dict[str, Any]) -> None:
    files = [file for file in day.office.portal.dump()["files"] if file["call_id"] == row["CALL_ID"]]
    if not expected.recorded:
        assert files == []
        return
    asterisk = day.office.asterisk
    path = asterisk.monitor / call["recording"]["path"].removeprefix(f"{asterisk.asterisk_monitor}/")
    assert [file["sha256"] for file in files] == [hashlib.sha256(path.read_bytes()).hexdigest()], call


def test_an_internal_call_stays_among_ourselves(day: Day) -> None:
    assert client(UNHEARD["internal"][0]) not in {call["client_number"] for call in day.calls}
    assert len(day.calls) == len(UNHEARD) + len(TOLD_BEFORE) - 1


def test_catching_up_again_adds_nothing(day: Day) -> None:
    assert (day.added["calls"], day.added["known"]) == ([], len(UNHEARD) + len(TOLD_BEFORE) - 1)
    assert len(day.office.portal.dump()["statistics"]) == len(UNHEARD) + len(TOLD_BEFORE) - 1


def test_nothing_was_said_to_be_wrong(day: Day) -> None:
    log = Path(day.office.program.log).read_text()
    assert "Traceback" not in log
    assert "was not heard to its end: taken from CEL" in log
    assert "was not heard of: taken from CEL" in log
