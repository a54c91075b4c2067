"""`serve --only worker` started twice by mistake, or on purpose: leases share the work, every call arrives once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import ATTACH, FINISH, LEAD, REGISTER, due
from itgrix_bx.delivery.worker import _is_dead
from itgrix_bx.emulator.portal import PortalEmulator
from sql import Database, Journal, upgrade
from tests.service.conftest import CLIENT, Office, eventually

CALLS = 150  # more than one worker takes in hand at once
NOW = time.time()
STEPS = (REGISTER, FINISH, LEAD, ATTACH)


class Pair:
    """Two processes with one configuration."""

    def __init__(self, portal: PortalEmulator, database_url: str, directory: Path) -> None:
        self.config = directory / "config.toml"
        self.config.write_text(
            f'[portal]\nwebhook = "{portal.webhook_url}"\nrequests_per_second = 100\nburst = 1000\n'
            f'[database]\nurl = "{database_url}"\n[journal]\ndirectory = "{directory}"\n'
            f'[recordings]\ndirectory = "{directory}"\n'
        )
        command = [sys.executable, "-m", "itgrix_bx", "--config", str(self.config), "serve", "--only", "worker"]
        self.logs = [directory / "first.log", directory / "second.log"]
        self.processes = [self._start(command, log) for log in self.logs]

    def _start(self, command: list[str], path: Path) -> subprocess.Popen[bytes]:
        with path.open("wb") as log:
            return subprocess.Popen(command, stderr=log)

    def said(self) -> list[str]:
        return [log.read_text(encoding="utf-8") for log in self.logs]

    def stop(self) -> list[int]:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(40) for process in self.processes]


def end_call(journal: Journal, call_id: str) -> None:
    own = {"own_channel": True, "client_number": CLIENT}
    journal.append(
        [
            Event(call_id, Kind.INBOUND, NOW - 60, own),
            Event(call_id, Kind.ANSWER, NOW - 50, {"extension": "101"}),
            Event(call_id, Kind.HANGUP, NOW - 30, own | {"variables": {}}),
        ]
    )


def end_calls(journal: Journal) -> None:
    for n in range(CALLS):
        end_call(journal, f"17.{n}")


def owner_of(pid: int) -> str:
    """As a worker signs its leases."""
    return f"{socket.gethostname()[:32]}:{pid}:1a2b3c"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    upgrade(database)
    yield database
    database.close()


def test_what_a_process_that_died_had_in_hand_does_not_wait_for_its_lease_and_what_a_living_one_has_does(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(frozenset({"agi"}))
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait(20)
    owners = {"17.dead": owner_of(dead.pid), "17.living": owner_of(os.getppid()), "17.far": f"far.away:{dead.pid}:1a2b"}
    for call_id, owner in owners.items():
        end_call(office.service.journal, call_id)
        claimed = office.service.journal.claim(owner, STEPS, now=time.time(), lease_s=300, limit=1)
        assert claimed == [call_id]
    worker = make_office(frozenset({"worker"}))
    worker.until("17.dead", "complete")
    assert {worker.call(call_id).state for call_id in ("17.living", "17.far")} == {"ended"}


@pytest.mark.parametrize("owner", ["", "somebody", "host:12", f"{socket.gethostname()}:none:1a2b"])
def test_a_lease_of_whom_it_does_not_say_who_it_was_is_left_to_its_end(owner: str) -> None:
    assert not _is_dead(owner)


def test_a_lease_of_our_own_number_is_of_an_earlier_process() -> None:
    """In a container each start has the same number."""
    assert _is_dead(owner_of(os.getpid()))


def test_two_workers_with_one_configuration_deliver_every_call_once(
    portal: PortalEmulator, database: Database, database_url: str, tmp_path: Path
) -> None:
    pair = Pair(portal, database_url, tmp_path)
    eventually(lambda: all("users read" in log for log in pair.said()), 60)
    portal.faults([{"method": "*", "kind": "slow", "times": -1, "delay_s": 1.5}])
    journal = Journal(database, due)
    end_calls(journal)
    eventually(lambda: len(journal.find(limit=0, state="complete")) == CALLS, 60)
    assert pair.stop() == [0, 0]
    known = portal.dump()
    assert isinstance(known, dict)
    assert sorted(row["EXTERNAL_CALL_ID"] for row in known["statistics"]) == sorted(f"17.{n}" for n in range(CALLS))
    assert len(known["activities"]) == CALLS
    for log in pair.said():
        assert ": finished" in log  # both had a part in it
        assert "Traceback" not in log
