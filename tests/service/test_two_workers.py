"""`serve --only worker` started twice by mistake, or on purpose: leases share the work, every call arrives once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from itgrix_bx.emulator.portal import PortalEmulator
from sql import Database, Journal, upgrade
from tests.service.conftest import CLIENT, eventually

CALLS = 150  # more than one worker takes in hand at once
NOW = time.time()


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


def end_calls(journal: Journal) -> None:
    own = {"own_channel": True, "client_number": CLIENT}
    for n in range(CALLS):
        journal.append(
            [
                Event(f"17.{n}", Kind.INBOUND, NOW - 60, own),
                Event(f"17.{n}", Kind.ANSWER, NOW - 50, {"extension": "101"}),
                Event(f"17.{n}", Kind.HANGUP, NOW - 30, own | {"variables": {}}),
            ]
        )


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    upgrade(database)
    yield database
    database.close()


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
