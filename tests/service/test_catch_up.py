"""Calls that went by while the program was down, or whose end no hook told, reach the portal from the PBX's records."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from itgrix_bx.calls.call import Call
from itgrix_bx.logbook import Logbook
from itgrix_bx.pbx import watcher
from itgrix_bx.service import Service
from sql import Database
from sql.marks import Marks
from tests.pbx import recorded
from tests.pbx.database import create, fill
from tests.pbx.test_freepbx_records import PHONE, START, TRUNK, outbound, row
from tests.service.conftest import CLIENT, DID, Office, eventually

MakeOffice = Callable[..., Office]


class Pbx:
    """The PBX's database of calls; `ago` says when they began, in seconds before now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.now = int(time.time())
        create(self.url)

    def id(self, ago: int) -> str:
        return f"{self.now - ago}.10"

    def at(self, ago: int) -> int:
        return self.now - ago - START

    def of(self, ago: int, made: dict[str, Any]) -> dict[str, Any]:
        name = made["recordingfile"].replace(f"{START}.10", self.id(ago))
        return made | {"uniqueid": self.id(ago), "linkedid": self.id(ago), "recordingfile": name}

    def call(self, ago: int, **more: Any) -> str:
        """An answered inbound call of 20 s, the first 5 of them ringing."""
        self.write(self.of(ago, row(self.at(ago), TRUNK, PHONE, 20, 15, **more)))
        return self.id(ago)

    def write(self, *rows: dict[str, Any]) -> None:
        fill(self.url, [made | {"calldate": made["calldate"].strftime("%Y-%m-%d %H:%M:%S")} for made in rows])


@pytest.fixture
def pbx(tmp_path: Path) -> Pbx:
    return Pbx(tmp_path / "asteriskcdrdb")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher looks every moment instead of twice a minute."""
    monkeypatch.setattr(watcher, "_BEAT_S", 0.2)
    monkeypatch.setattr(watcher, "_OPEN_S", 0.0)


def arrives(office: Office, call_id: str) -> Call:
    """The call once the portal has been told its end."""

    def finished() -> Call | None:
        call = office.service.journal.call(call_id)
        return call if call is not None and call.finished else None

    found = eventually(finished, 40)
    assert isinstance(found, Call)
    return found


def heard_until(office: Office) -> float | None:
    return Marks(office.service.database).newest("heard until, ")


def was_here(make_office: MakeOffice, pbx: Pbx, ago: int) -> None:
    """The program ran, and stopped so long ago."""
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: heard_until(office))
    office.service.stop()
    database = Database(office.settings.database.url.get_secret_value())
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE marks SET at = :at"), {"at": time.time() - ago})
    database.close()


def test_a_call_that_went_by_while_we_were_down_arrives_with_its_true_times_and_recording(
    make_office: MakeOffice, pbx: Pbx
) -> None:
    was_here(make_office, pbx, ago=3600)
    call_id = pbx.call(1800)
    office = make_office(cdr={"url": pbx.url})
    sound = office.record(f"2026/11/25/external-101-89161234567-20261125-121500-{call_id}.wav")
    arrives(office, call_id)
    call = office.until(call_id, "complete")
    (found,) = office.statistics()
    assert (found["PORTAL_USER_ID"], found["CALL_FAILED_CODE"], found["CALL_DURATION"]) == ("11", "200", "16")
    assert (found["PHONE_NUMBER"], found["EXTERNAL_CALL_ID"]) == (CLIENT, call_id)
    assert (call["did"], call["direction"], call["recording"]["state"]) == ("74951234567", "in", "uploaded")
    (file,) = office.known()["files"]
    assert file["size"] == sound.stat().st_size
    told = office.call(call_id).register_params or {}
    assert datetime.fromisoformat(told["CALL_START_DATE"]).timestamp() == pbx.now - 1800


def test_every_kind_of_call_arrives_once_and_a_second_start_adds_nothing(make_office: MakeOffice, pbx: Pbx) -> None:
    was_here(make_office, pbx, ago=3600)
    answered = pbx.call(1800)
    missed = pbx.id(1700)
    pbx.write(pbx.of(1700, row(pbx.at(1700), TRUNK, PHONE, 20, 0)))
    out = pbx.id(1600)
    pbx.write(pbx.of(1600, outbound(pbx.at(1600), TRUNK, 30, 22)))
    for _ in range(2):
        office = make_office(cdr={"url": pbx.url})
        for call_id in (answered, missed, out):
            arrives(office, call_id)
        found = {r["EXTERNAL_CALL_ID"]: (r["CALL_FAILED_CODE"], str(r["CALL_TYPE"])) for r in office.statistics()}
        assert found == {answered: ("200", "2"), missed: ("304", "2"), out: ("200", "1")}
        assert len(office.statistics()) == 3
        office.service.stop()


def test_calls_before_the_mark_are_left_alone_and_a_first_start_looks_at_none(
    make_office: MakeOffice, pbx: Pbx
) -> None:
    pbx.call(1800)
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: heard_until(office))
    time.sleep(0.6)
    office.service.stop()
    was_here(make_office, pbx, ago=1200)
    late = pbx.call(600)
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: office.service.journal.call(late))
    assert [call.call_id for call in office.service.journal.find()] == [late]


def test_a_call_whose_hangup_was_lost_is_ended_and_the_portal_told_once(make_office: MakeOffice, pbx: Pbx) -> None:
    office = make_office(cdr={"url": pbx.url})
    call_id = pbx.id(300)
    office.hook("inbound", call_id, DID)
    office.hook("ring", call_id, "101")
    assert office.call(call_id).state == "registered"
    pbx.call(300)
    arrives(office, call_id)
    call = office.summary(call_id)
    assert (call["talk_seconds"], call["user_id"], call["status_code"]) == (16, 11, "200")
    assert len(office.statistics()) == 1


def test_a_call_that_goes_on_is_not_touched(make_office: MakeOffice, pbx: Pbx) -> None:
    office = make_office(cdr={"url": pbx.url})
    office.hook("outbound", pbx.id(300), "89161234567", "101", caller="101")
    pbx.call(200)
    time.sleep(1.0)
    assert not office.call(pbx.id(300)).over
    assert len(office.service.journal.find()) == 1


def test_a_second_look_finds_what_the_pbx_wrote_late(
    make_office: MakeOffice, pbx: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_AGAIN_S", 1.5)
    was_here(make_office, pbx, ago=3600)
    first = pbx.call(1800)
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: office.service.journal.call(first))
    second = pbx.call(1700)
    eventually(lambda: office.service.journal.call(second))


def test_records_that_are_away_are_said_once_and_read_when_they_are_back(
    make_office: MakeOffice, pbx: Pbx, caplog: pytest.LogCaptureFixture
) -> None:
    was_here(make_office, pbx, ago=3600)
    call_id = pbx.call(1800)
    hidden = pbx.path.rename(pbx.path.with_name("hidden"))
    caplog.set_level(logging.WARNING, "itgrix_bx.catch_up")
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: office.service.watcher.away)
    assert office.hook("inbound", "1.1", DID)["B24_RC"] == "ok"
    time.sleep(0.8)
    assert len([r for r in caplog.records if "cannot be looked up yet" in r.message]) == 1
    assert office.service.health()["records"]["ok"] is False
    assert office.service.health()["records"]["vital"] is False
    hidden.rename(pbx.path)
    eventually(lambda: office.service.journal.call(call_id))
    eventually(lambda: office.service.health()["records"]["ok"])


def test_without_records_the_mark_moves_on_and_nothing_is_said(
    make_office: MakeOffice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "itgrix_bx.catch_up")
    office = make_office()
    first = eventually(lambda: heard_until(office))
    eventually(lambda: (heard_until(office) or 0) > first)
    assert caplog.records == []
    assert "records" not in office.service.health()


def test_what_waits_in_the_spool_is_told_first(
    make_office: MakeOffice, pbx: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_here(make_office, pbx, ago=3600)
    call_id = pbx.call(1800)
    recover = Logbook.recover
    monkeypatch.setattr("itgrix_bx.spool.Spool.size", lambda _: 100)
    monkeypatch.setattr("itgrix_bx.logbook.Logbook.recover", lambda _: None)
    office = make_office(cdr={"url": pbx.url})
    time.sleep(0.8)
    assert office.service.journal.call(call_id) is None
    monkeypatch.setattr("itgrix_bx.spool.Spool.size", lambda _: 0)
    monkeypatch.setattr("itgrix_bx.logbook.Logbook.recover", recover)
    eventually(lambda: office.service.journal.call(call_id))


def test_two_machines_on_one_journal_catch_up_a_call_once(make_office: MakeOffice, pbx: Pbx) -> None:
    was_here(make_office, pbx, ago=3600)
    calls = [pbx.call(1800 - 30 * n) for n in range(12)]
    offices = [make_office(cdr={"url": pbx.url}) for _ in range(2)]
    for call_id in calls:
        arrives(offices[0], call_id)
    rows = [r["EXTERNAL_CALL_ID"] for r in offices[0].statistics()]
    assert sorted(rows) == sorted(calls)


def test_the_columns_of_these_tests_are_those_that_were_recorded() -> None:
    assert set(recorded.CDR) <= set(row(0, TRUNK, PHONE, 1, 1))


def test_a_service_that_is_stopped_while_it_comes_up_says_no_more_until_when_it_heard(
    make_office: MakeOffice, pbx: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = make_office(cdr={"url": pbx.url})
    eventually(lambda: heard_until(office))
    office.service.stop()
    service = Service(office.settings)
    start, stop, past_the_watcher = service.cards.start, service.retention.stop, threading.Event()
    stopping = threading.Thread(target=service.stop)

    def slowly() -> None:
        stopping.start()
        past_the_watcher.wait(2)
        start()

    monkeypatch.setattr(service.cards, "start", slowly)
    monkeypatch.setattr(service.retention, "stop", lambda: (past_the_watcher.set(), stop()))
    service.start()
    eventually(lambda: stopping.ident is not None)
    stopping.join(20)
    assert service._coming_up is not None
    service._coming_up.join(5)
    assert not service.watcher._thread.is_alive()
