"""The whole program in this process, between the portal's double and a played Asterisk."""

from __future__ import annotations

import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.calls.call import Call
from itgrix_bx.config import Settings, from_tables
from itgrix_bx.delivery import schedule
from itgrix_bx.emulator.asterisk import AgiCall
from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.report import summary
from itgrix_bx.service import ALL, Service
from sql import Database

CLIENT = "+79161234567"  # contact 7 of the double, whose responsible is user 11, extension 101
STRANGER = "+79990001122"
DID = "74950000001"


def eventually(check: Callable[[], Any], seconds: float = 40.0) -> Any:
    """What `check` returns once it is true; fails with its last value."""
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > end:
            raise AssertionError(f"still {found!r} after {seconds:g} s")
        time.sleep(0.02)
    return found


class Office:
    """The program under test with everything around it."""

    def __init__(self, service: Service, portal: PortalEmulator, settings: Settings, monitor: Path) -> None:
        self.service = service
        self.portal = portal
        self.settings = settings
        self.monitor = monitor

    def hook(
        self,
        name: str,
        *args: str,
        uniqueid: str | None = None,
        caller: str = CLIENT,
        env: dict[str, str] | None = None,
        **variables: str,
    ) -> dict[str, str]:
        """Call a hook as the dialplan does; the variables it set."""
        around = {
            "agi_uniqueid": uniqueid or (args[0] if args else ""),
            "agi_callerid": caller,
            "agi_channel": "PJSIP/x-1",
        }
        named = {_NAMES.get(key, key): value for key, value in variables.items()}
        named.setdefault("CHANNEL(linkedid)", args[0] if args else "")
        call = AgiCall(self.service.agi_address, name, list(args), env=around | (env or {}), variables=named)
        return call.run()

    def call(self, call_id: str) -> Call:
        found = self.service.journal.call(call_id)
        assert found is not None
        return found

    def summary(self, call_id: str) -> dict[str, Any]:
        return summary(self.call(call_id), self.service.employees.directory, self.settings)

    def until(self, call_id: str, state: str) -> dict[str, Any]:
        eventually(lambda: self.call(call_id).state == state)
        return self.summary(call_id)

    def known(self) -> dict[str, Any]:
        """What the portal knows."""
        found = self.portal.dump()
        assert isinstance(found, dict)
        return found

    def statistics(self) -> list[dict[str, Any]]:
        rows = self.known()["statistics"]
        assert isinstance(rows, list)
        return rows

    def record(self, name: str, seconds: float = 1.0) -> Path:
        """A finished recording."""
        path = self.monitor / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(range(250)) * int(64 * seconds))
        return path


_NAMES = {"CONNECTED": "CONNECTEDLINE(num)", "START": "CDR(start,u)", "LASTAPP": "CDR(lastapp)"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double does nothing for longer than a second, so a doubt need not wait for the cloud's sixty; and there is
    no other server to wait for."""
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 2.0)
    monkeypatch.setattr(schedule, "OTHERS_S", 0.2)


@pytest.fixture
def portal() -> Iterator[PortalEmulator]:
    emulator = PortalEmulator(rate=0)
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def make_office(portal: PortalEmulator, tmp_path: Path) -> Iterator[Callable[..., Office]]:
    running: list[Service] = []

    def make(only: frozenset[str] = ALL, *, comes_up: bool = True, **overrides: dict[str, Any]) -> Office:
        monitor = tmp_path / "monitor"
        monitor.mkdir(exist_ok=True)
        tables: dict[str, dict[str, Any]] = {
            "portal": {"webhook": portal.webhook_url, "requests_per_second": 100, "burst": 1000},
            "database": {"url": f"sqlite:///{tmp_path}/journal.db"},
            "journal": {"directory": str(tmp_path)},
            "fastagi": {"listen": "127.0.0.1:0"},
            "inbound": {"deadline": 5.0},  # tests about waiting name their own: a busy machine is no slow portal
            "web": {"listen": "127.0.0.1:0"},
            "recordings": {"directory": str(monitor), "asterisk_directory": "/var/spool/asterisk/monitor"},
        }
        for section, values in overrides.items():
            tables[section] = tables.get(section, {}) | values
        settings = from_tables(tables)
        service = Service(settings, only)
        service.start()
        running.append(service)
        # Hooks are answered before this, into the spool; what these tests read is the journal.
        eventually(lambda: service.employees.directory.synced or not comes_up)
        return Office(service, portal, settings, monitor)

    yield make
    for service in running:
        service.stop(1.0)


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    url = str(request.getfixturevalue("mariadb_url"))
    database = Database(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP DATABASE itgrix_bx")
        connection.exec_driver_sql("CREATE DATABASE itgrix_bx CHARACTER SET utf8mb4")
    database.close()
    return url
