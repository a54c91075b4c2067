"""Real calls on a real Asterisk: what the portal ends with, and what the program says of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.mariadb_server import mariadb
from tests.real.office import Office, office
from tests.real.scenarios import ALL, ON_MARIADB, OUTBOUND, Measured, play
from tests.real.site import client, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

EVERYTHING = bool(os.environ.get("ITGRIX_BX_TEST_ALL"))


@dataclass
class Day:
    """All scenarios played, with what the phones measured."""

    office: Office
    measured: dict[str, Measured]

    def call(self, name: str) -> dict[str, Any]:
        found = self.office.calls_of(ALL[name][0])
        # The consultation of an attended transfer is an internal call: none of the CRM's business.
        (call,) = [call for call in found if call["state"] != "skipped"]
        shown = self.office.program.json("calls", "show", call["id"])
        assert isinstance(shown, dict)
        return shown


def _day(directory: Path, names: list[str], database: str = "") -> Iterator[Day]:
    with office(directory, database) as where:
        measured = asyncio.run(play(where, {name: ALL[name] for name in names}))
        end = time.monotonic() + 60
        while any(
            c["state"] not in ("complete", "skipped") for c in where.program.json("calls", "list", "--limit", "0")
        ):
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        yield Day(where, measured)


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    yield from _day(tmp_path_factory.mktemp("sqlite"), list(ALL))


@pytest.fixture(scope="module")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with mariadb() as url:
        yield from _day(tmp_path_factory.mktemp("mariadb"), list(ALL) if EVERYTHING else ON_MARIADB, url)


@pytest.mark.parametrize("name", list(ALL))
def test_a_real_call_ends_right_in_the_portal(on_sqlite: Day, name: str) -> None:
    _check(on_sqlite, name)


@pytest.mark.mariadb
@pytest.mark.parametrize("name", list(ALL) if EVERYTHING else ON_MARIADB)
def test_a_real_call_ends_right_on_mariadb_too(on_mariadb: Day, name: str) -> None:
    _check(on_mariadb, name)


def _check(day: Day, name: str) -> None:
    expected, call = day.measured[name], day.call(name)
    number = ALL[name][0]
    rows = day.office.statistics_of(number)
    told = {"row": rows, "call": call}
    assert len(rows) == 1, told
    (row,) = rows
    owner = _owner(number, expected, call)
    assert row["CALL_FAILED_CODE"] == expected.code == call["status_code"], told
    assert abs(int(row["CALL_DURATION"]) - expected.talk) <= 1.0, (expected.talk, told)
    assert int(row["CALL_DURATION"]) == call["talk_seconds"], told
    assert (int(row["PORTAL_USER_ID"]), call["user_id"]) == (owner, owner), told
    assert row["CALL_FAILED_REASON"] == expected.reason, told
    assert str(row["CALL_TYPE"]) == ("1" if name in OUTBOUND else "2"), told
    assert row["PHONE_NUMBER"] == call["client_number"] == client(number), told
    assert call["state"] == "complete", told
    assert call["portal_call_id"] == row["CALL_ID"], told
    talked = [leg["extension"] for leg in call["legs"] if leg["answered_at"]]
    assert talked == [extension(number, which) for which in expected.legs], told
    if expected.route:  # rung before anybody else
        assert call["legs"][0]["extension"] == extension(number, expected.route), told
    _check_cards(day, number, expected, call)
    _check_recording(day, expected, call, row)


def _owner(number: int, expected: Measured, call: dict[str, Any]) -> int:
    if expected.owner is None:  # whoever the queue rang last
        return user(number, int(call["legs"][-1]["extension"][-1]))
    return user(number, expected.owner) if expected.owner else 1


def _check_cards(day: Day, number: int, expected: Measured, call: dict[str, Any]) -> None:
    known = day.office.portal.dump()
    cards = [card for card in known["cards"] if card["call_id"] == call["portal_call_id"]]
    shown = {card["user_id"] for card in cards if card["action"] == "show"}
    hidden = {card["user_id"] for card in cards if card["action"] == "hide"}
    assert shown >= {user(number, which) for which in expected.shown}, cards
    assert hidden >= {user(number, which) for which in expected.hidden}, cards
    assert [card for card in known["open_cards"] if card["call_id"] == call["portal_call_id"]] == [], cards


def _check_recording(day: Day, expected: Measured, call: dict[str, Any], row: dict[str, Any]) -> None:
    files = [file for file in day.office.portal.dump()["files"] if file["call_id"] == row["CALL_ID"]]
    if not expected.recorded:
        assert files == []
        return
    assert call["recording"]["state"] == "uploaded", call
    asterisk = day.office.asterisk
    path = asterisk.monitor / Path(call["recording"]["path"]).relative_to(asterisk.asterisk_monitor)
    assert [file["sha256"] for file in files] == [hashlib.sha256(path.read_bytes()).hexdigest()]
    assert path.stat().st_size > 8000  # half a second of sound and more


def test_the_client_waited_for_the_portal_and_was_led_to_the_manager(on_sqlite: Day) -> None:
    log = on_sqlite.office.asterisk.log.read_text(errors="replace")
    for name in ("responsible_answers", "responsible_does_not_answer"):
        assert f"AFTER inbound rc=ok state=registered route={extension(ALL[name][0], 1)}" in log
    assert "AFTER outbound rc=ok state=registered" in log


def test_nothing_is_left_behind(on_sqlite: Day) -> None:
    assert on_sqlite.office.portal.dump()["calls"] == []
    assert on_sqlite.office.asterisk.channels() == 0
