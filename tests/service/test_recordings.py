"""Recordings reach the portal once, whatever the network, the portal or the disk does meanwhile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bx24client import Bitrix24
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery import attach, schedule, trouble, worker
from itgrix_bx.delivery.recording import collect
from itgrix_bx.report import details
from tests.service.conftest import CLIENT, DID, Office, eventually
from tests.sounds import growing, samples, wav

ID = "1700000000.1"
ATTACH = "telephony.externalCall.attachRecord"
STATISTICS = "voximplant.statistic.get"
HIDDEN = {"method": STATISTICS, "kind": "error", "code": "ACCESS_DENIED", "status": 403, "times": -1}
MakeOffice = Callable[..., Office]


def talked(office: Office, recording: str = "in.wav", **variables: str) -> None:
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "101")
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101", MIXMONITOR_FILENAME=recording, **variables)


def files(office: Office) -> list[dict[str, Any]]:
    return [file for file in office.known()["files"] if not file["deleted"]]


def arrives_once(office: Office, content: bytes) -> dict[str, Any]:
    """The one file of the call, which is its recording."""
    eventually(lambda: office.call(ID).state == "complete", 30)
    assert office.summary(ID)["recording"]["state"] == "uploaded"
    (file,) = files(office)
    (row,) = office.statistics()
    assert (row["RECORD_FILE_ID"], file["sha256"]) == (file["id"], hashlib.sha256(content).hexdigest())
    return file


def steps(office: Office) -> list[dict[str, Any]]:
    call, events = office.call(ID), office.service.journal.events(ID)
    found: list[dict[str, Any]] = details(call, events, office.service.employees.directory, office.settings)["steps"]
    return found


def requests(office: Office, method: str) -> int:
    return sum(entry["method"].lower() == method.lower() for entry in office.known()["requests"])


@pytest.fixture
def own_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings do not leave with the finish."""
    monkeypatch.setattr(attach, "_BESIDE_FINISH", 0)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings go to an uploadUrl whatever their size."""
    monkeypatch.setattr(attach, "_BESIDE_FINISH", 0)
    monkeypatch.setattr(attach, "_UPLOAD_FROM", 1)


# --- the two ways -----------------------------------------------------------------------------------


def test_a_small_recording_needs_one_request(office: Office) -> None:
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    assert (requests(office, ATTACH), requests(office, "upload")) == (1, 0)


def test_a_large_recording_is_streamed_to_an_upload_url(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_memory(_: object) -> bytes:
        raise AssertionError("a large recording was read into memory")

    monkeypatch.setattr(collect.Ready, "content", in_memory)
    content = wav(office.monitor / "in.wav", 6 * 60)
    assert len(content) > attach._UPLOAD_FROM
    talked(office)
    arrives_once(office, content)
    assert requests(office, "upload") == 1


@pytest.mark.usefixtures("everything_is_large")
def test_an_upload_url_whose_token_expired_meanwhile_is_asked_for_anew(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, late = Bitrix24.upload, [3700.0]

    def slowly(client: Bitrix24, *args: Any, **how: Any) -> int:
        office.portal.clock.advance(late.pop() if late else 0.0)
        return upload(client, *args, **how)

    monkeypatch.setattr(Bitrix24, "upload", slowly)
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    assert (requests(office, ATTACH), requests(office, "upload")) == (2, 2)


# --- nothing twice -------------------------------------------------------------------------------


def test_an_attach_still_running_when_it_is_given_up_is_not_sent_again(
    make_office: MakeOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "_REQUEST_S", 0.4)
    monkeypatch.setattr(attach, "_BESIDE_FINISH", 0)  # in a request of its own
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 6.0)
    office = make_office()
    office.portal.faults([{"method": ATTACH, "kind": "slow", "times": 1, "delay_s": 3.0}])
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    time.sleep(3.0)  # whatever was sent has come to an end
    assert requests(office, ATTACH) == 1
    assert len(office.known()["files"]) == 1


@pytest.mark.usefixtures("everything_is_large")
def test_an_upload_whose_answer_was_lost_is_not_sent_again(office: Office) -> None:
    office.portal.faults([{"method": "upload", "kind": "lost_answer", "times": 1}])
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    assert requests(office, "upload") == 1


@pytest.mark.usefixtures("own_turn")
@pytest.mark.parametrize("kind", ["lost_answer", "garbage"])
@pytest.mark.parametrize("after_effect", [True, False])
def test_where_the_statistics_are_hidden_the_name_tells_whether_the_portal_has_the_file(
    office: Office, kind: str, after_effect: bool
) -> None:
    fault = {"method": ATTACH, "kind": kind, "times": 1, "after_effect": after_effect}
    office.portal.faults([fault, HIDDEN])
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    assert requests(office, ATTACH) == 2
    assert len(office.known()["files"]) == 1


@pytest.mark.parametrize("arrived", [True, False])
def test_a_process_killed_while_it_sent_a_recording_loses_and_doubles_nothing(
    make_office: MakeOffice, arrived: bool
) -> None:
    """Its journal ends with the intent; the portal may have the file or not."""
    office = make_office(recordings={"wait": 60})
    content = wav(office.monitor / "in.wav")
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "101")
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101")
    eventually(lambda: office.call(ID).state == "complete")
    if arrived:
        portal_call_id = office.call(ID).portal_call_id
        office.service.client.execute(attach.telephony.attach_record(portal_call_id, "killed.wav", content))
    now = time.time()
    intent = {"name": "killed.wav", "paths": ["in.wav"], "left_out": []}
    named = Event(ID, Kind.HANGUP, now, {"own_channel": False, "recording": "in.wav"})
    office.service.logbook.record([named, Event(ID, Kind.ATTACHING, now, intent)])
    assert arrives_once(office, content)["name"].startswith("killed" if arrived else ID)


def test_two_workers_on_one_journal_attach_once(make_office: MakeOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second takes the call over while the first still sends: its lease was shorter than its request."""
    monkeypatch.setattr(worker, "_LEASE_S", 0.5)
    first, second = make_office(), make_office()
    first.portal.faults([{"method": ATTACH, "kind": "slow", "times": 1, "delay_s": 1.8}])
    content = wav(first.monitor / "in.wav")
    talked(first)
    arrives_once(second, content)
    for office in (first, second):
        office.service.worker.stop()
    assert requests(first, ATTACH) == 1
    assert len(first.known()["files"]) == 1


# --- nothing lost ----------------------------------------------------------------------------------


def test_an_expired_webhook_refuses_no_recording(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    talked(office)
    office.until(ID, "finished")
    office.portal.faults([{"method": "*", "kind": "auth", "times": -1}])
    content = wav(office.monitor / "in.wav")
    eventually(lambda: "webhook" in office.call(ID).last_error)
    office.portal.faults([])
    arrives_once(office, content)


def test_a_recording_the_portal_refuses_is_said_once_and_tried_again_when_asked(office: Office) -> None:
    refusal = {"method": ATTACH, "kind": "error", "description": "Превышена квота", "times": 1}
    office.portal.faults([refusal])
    content = wav(office.monitor / "in.wav")
    talked(office)
    call = office.until(ID, "complete")
    assert call["recording"]["state"] == "refused"
    assert f"itgrix-bx calls retry {ID}" in call["last_error"]
    assert len([step for step in steps(office) if step["step"] == "recording"]) == 1
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    eventually(lambda: office.call(ID).recording.state == "uploaded")
    arrives_once(office, content)


def test_a_missing_recording_is_said_once_and_found_when_it_is_asked_for_later(
    make_office: MakeOffice, caplog: pytest.LogCaptureFixture
) -> None:
    office = make_office(recordings={"wait": 0.3})
    talked(office)
    assert office.until(ID, "complete")["recording"]["state"] == "missing"
    told = [record for record in caplog.records if record.levelname == "WARNING" and "missing" in record.getMessage()]
    assert len(told) == 1
    assert schedule.due(office.call(ID)) is None
    content = wav(office.monitor / "in.wav")
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    eventually(lambda: office.call(ID).recording.state == "uploaded")
    arrives_once(office, content)


def test_a_file_never_closed_is_sent_repaired_when_the_waiting_is_over(make_office: MakeOffice) -> None:
    office = make_office(recordings={"wait": 0.5})
    content = growing(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)


def test_the_verdict_on_a_missing_file_comes_when_the_waiting_is_over_and_not_at_the_next_long_pause(
    office: Office,
) -> None:
    """Delivered late: by then pauses are ten minutes, and less than two are left of the hour."""
    ended_at = time.time() - 3500
    own = {"own_channel": True, "client_number": CLIENT}
    hangup = own | {"variables": {}, "recording": "in.wav"}
    office.service.logbook.record([
        Event(ID, Kind.INBOUND, ended_at - 60, own | {"did": DID}),
        Event(ID, Kind.ANSWER, ended_at - 50, {"extension": "101"}),
        Event(ID, Kind.HANGUP, ended_at, hangup),
    ])  # fmt: skip
    eventually(lambda: office.call(ID).recording.retry_at)
    assert office.call(ID).recording.state == "waiting"
    assert office.call(ID).recording.retry_at == pytest.approx(ended_at + office.settings.recordings.wait, abs=1)


def test_a_directory_that_is_not_mounted_is_waited_for_longer_than_a_file(make_office: MakeOffice) -> None:
    office = make_office(recordings={"wait": 0.2})
    office.monitor.rename(office.monitor.with_name("unmounted"))
    talked(office)
    eventually(lambda: "mount it" in office.call(ID).last_error)
    time.sleep(0.5)
    assert office.call(ID).state == "finished"
    office.monitor.with_name("unmounted").rename(office.monitor)
    content = wav(office.monitor / "in.wav")
    arrives_once(office, content)


# --- several files, other formats ---------------------------------------------------------------------


def test_the_files_of_a_transferred_call_arrive_as_one_in_order(office: Office) -> None:
    wav(office.monitor / "first.wav", 1.0, sample=1)
    wav(office.monitor / "second.wav", 1.0, sample=2)
    talked(office, "second.wav", **{"CDR(recordingfile)": "first.wav"})
    office.until(ID, "complete")
    (file,) = files(office)
    assert samples(office.portal.state.contents[file["id"]]) == [1, 2]
    call = details(office.call(ID), [], office.service.employees.directory, office.settings)
    assert call["recording"] == {"path": "first.wav", "state": "uploaded"}
    assert [each["path"] for each in call["recording_files"]] == ["first.wav", "second.wav"]


def test_what_is_left_out_is_named_in_calls_show(make_office: MakeOffice) -> None:
    office = make_office(recordings={"wait": 0.0})
    wav(office.monitor / "first.wav", 1.0)
    content = wav(office.monitor / "second.wav", 3.0, rate=16_000)
    talked(office, "second.wav", **{"CDR(recordingfile)": "first.wav"})
    arrives_once(office, content)
    call = details(office.call(ID), [], office.service.employees.directory, office.settings)
    why = "WAV, PCM, 8000 Hz, 1 channel(s), 1 s: another format than what was sent"
    assert call["recording_files"] == [
        {"path": "first.wav", "left_out": why},
        {"path": "second.wav", "left_out": None},
    ]


def test_a_file_that_comes_to_light_later_joins_the_one_that_was_sent(office: Office) -> None:
    wav(office.monitor / "first.wav", 1.0, sample=1)
    wav(office.monitor / "second.wav", 1.0, sample=2)
    talked(office, "first.wav")
    office.until(ID, "complete")
    late = {"own_channel": False, "recording": "second.wav"}
    office.service.logbook.record([Event(ID, Kind.HANGUP, time.time(), late)])
    eventually(lambda: len(office.known()["files"]) == 2)
    office.until(ID, "complete")
    (file,) = files(office)
    assert samples(office.portal.state.contents[file["id"]]) == [1, 2]


def test_the_file_that_was_sent_first_is_no_sign_that_the_portal_took_the_second(office: Office) -> None:
    wav(office.monitor / "first.wav", 1.0, sample=1)
    wav(office.monitor / "second.wav", 1.0, sample=2)
    talked(office, "first.wav")
    office.until(ID, "complete")
    office.portal.faults([{"method": ATTACH, "kind": "lost_answer", "after_effect": False, "times": 1}])
    late = {"own_channel": False, "recording": "second.wav"}
    office.service.logbook.record([Event(ID, Kind.HANGUP, time.time(), late)])
    eventually(lambda: len(office.known()["files"]) == 2)
    office.until(ID, "complete")
    (file,) = files(office)
    assert samples(office.portal.state.contents[file["id"]]) == [1, 2]


def test_a_recording_the_portal_surely_does_not_have_is_sent_under_another_name(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal may have kept the first one's name without having the file."""
    monkeypatch.setattr(attach, "_BESIDE_FINISH", 0)
    office.portal.faults([{"method": ATTACH, "kind": "lost_answer", "after_effect": False, "times": 1}])
    content = wav(office.monitor / "in.wav")
    talked(office)
    arrives_once(office, content)
    sent = [e.data["name"] for e in office.service.journal.events(ID) if e.kind is Kind.ATTACHING]
    assert (len(sent), len(set(sent))) == (2, 2)


def test_a_name_that_comes_to_light_later_without_a_file_sends_nothing_again(make_office: MakeOffice) -> None:
    office = make_office(recordings={"wait": 0.0})
    content = wav(office.monitor / "first.wav")
    talked(office, "first.wav")
    arrives_once(office, content)
    late = {"own_channel": False, "recording": "second.wav"}
    office.service.logbook.record([Event(ID, Kind.HANGUP, time.time(), late)])
    eventually(lambda: office.call(ID).recording.left_out)
    arrives_once(office, content)
    assert requests(office, ATTACH) == 1
    call = details(office.call(ID), [], office.service.employees.directory, office.settings)
    assert [each["left_out"] for each in call["recording_files"]] == [None, "the recording is not there yet"]


def test_with_mp3_the_portal_gets_an_mp3(make_office: MakeOffice) -> None:
    office = make_office(recordings={"mp3": True})
    wav(office.monitor / "in.wav", 20.0)
    talked(office)
    office.until(ID, "complete")
    (file,) = files(office)
    assert (file["type"], file["name"][-4:]) == ("audio/mpeg", ".mp3")
    assert file["size"] < 70_000


# --- a voice message -----------------------------------------------------------------------------


def left_a_message(office: Office, path: str) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101")
    left = {"DIALSTATUS": "NOANSWER", "VMSTATUS": "SUCCESS", "VM_MESSAGEFILE": path, "MIXMONITOR_FILENAME": "in.wav"}
    office.hook("hangup", ID, "in", **left)


@pytest.mark.parametrize("kind", ["none", "lost_answer"])
def test_the_message_of_a_missed_call_arrives_once_and_the_call_stays_missed(
    make_office: MakeOffice, kind: str, tmp_path: Path
) -> None:
    office = make_office(recordings={"voicemail_directory": str(tmp_path / "voicemail")})
    office.portal.faults([{"method": ATTACH, "kind": kind, "times": 1}] if kind != "none" else [])
    wav(office.monitor / "in.wav", sample=7)
    message = tmp_path / "voicemail" / "default" / "101" / "INBOX" / "msg0000"
    content = wav(message.with_suffix(".wav"))
    left_a_message(office, str(message))
    arrives_once(office, content)
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], office.summary(ID)["status_code"]) == ("304", "304")
    assert requests(office, ATTACH) == 1


def test_without_a_voicemail_directory_no_message_is_sent(office: Office, tmp_path: Path) -> None:
    wav(tmp_path / "voicemail" / "msg0000.wav")
    left_a_message(office, str(tmp_path / "voicemail" / "msg0000"))
    eventually(lambda: office.call(ID).state == "complete")
    assert (office.call(ID).recording.paths, files(office)) == (["in.wav"], [])
    assert office.summary(ID)["recording"]["state"] == "none"
