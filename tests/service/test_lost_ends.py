"""Calls whose end no hook told are closed when their channels are gone; a scripted manager plays Asterisk."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.pbx import closing
from itgrix_bx.report import details
from itgrix_bx.setup import checks
from tests.pbx.peer import SECRET, Peer, channel, error, message, success
from tests.service.conftest import CLIENT, DID, Office, eventually

ID = "1700000000.1"
OTHER = "1700000000.7"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes become moments; the order of things stays."""
    for name, seconds in {"YOUNG_S": 0.3, "PATIENCE_S": 0.3, "EVERY_S": 0.5, "_SOON_S": 0.1}.items():
        monkeypatch.setattr(closing, name, seconds)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as running:
        yield running


@pytest.fixture
def office(make_office: Callable[..., Office], peer: Peer) -> Office:
    return make_office(ami=ami(peer))


def ami(peer: Peer) -> dict[str, Any]:
    return {"address": f"127.0.0.1:{peer.port}", "username": "admin", "secret": SECRET}


def answered_call(office: Office, call_id: str = ID, linkedid: str = "") -> None:
    office.hook("inbound", call_id, DID, **{"CHANNEL(linkedid)": linkedid or call_id})
    office.hook("ring", call_id, "101")
    office.hook("answer", call_id, "101")


def gone(office: Office, call_id: str = ID) -> list[Event]:
    return [e for e in office.service.journal.events(call_id) if e.kind is Kind.GONE]


def looked(peer: Peer, times: int) -> None:
    """The channels were asked for so many times more; 0: at all."""
    peer.wait_for("CoreShowChannels", len(peer.asked("CoreShowChannels")) + times if times else 1)


def test_an_answered_call_without_channels_is_closed_and_told_once(office: Office, peer: Peer) -> None:
    answered_call(office)
    shown = office.until(ID, "complete")
    assert (shown["status_code"], shown["talk_seconds"], shown["extension"]) == ("200", 1, "101")
    assert shown["ended_at"] == shown["answered_at"]
    looked(peer, 4)
    assert (len(gone(office)), len(office.statistics()), len(office.known()["activities"])) == (1, 1, 1)


def test_it_is_marked_so(office: Office) -> None:
    answered_call(office)
    office.until(ID, "complete")
    call, events = office.call(ID), office.service.journal.events(ID)
    shown = details(call, events, office.service.employees.directory, office.settings)
    assert shown["note"] == "the end was not seen; closed when its channel was gone"
    assert shown["talk_source"] == "last sign of life"
    assert next(step for step in shown["steps"] if step["step"] == "gone")["source"] == "ami"


def test_a_missed_one_is_missed(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101")
    assert office.until(ID, "complete")["status_code"] == "304"
    assert office.statistics()[0]["CALL_FAILED_REASON"] == "end not seen"


def test_a_call_with_any_channel_is_left_alone(office: Office, peer: Peer) -> None:
    by_linkedid, by_variable, by_its_own = "1700000000.2", "1700000000.3", "1700000000.4"
    calls = {ID: ID, by_linkedid: by_linkedid, by_variable: by_variable, by_its_own: "1699999999.8"}
    peer.channels = [
        channel(ID),
        channel("1700000000.5", by_linkedid),
        channel("1700000000.6", "1699999999.1") | {"ChanVariable": f"B24_ID={by_variable}"},
        channel("1700000000.9", "1699999999.8"),  # what is left of a call that was made part of another
    ]
    for call_id, linkedid in calls.items():
        answered_call(office, call_id, linkedid)
    time.sleep(closing.YOUNG_S)
    looked(peer, 4)
    assert [office.call(call_id).state for call_id in calls] == ["registered"] * 4
    peer.channels = []
    for call_id in calls:
        office.until(call_id, "complete")


def test_its_end_is_when_its_last_channel_hung_up(office: Office, peer: Peer) -> None:
    client, phone = channel(ID), channel("1700000000.2", ID)
    peer.channels = [client, phone]
    answered_call(office)
    time.sleep(1.6)
    peer.hang_up(phone)
    time.sleep(0.2)
    ended = time.time()
    peer.hang_up(client)
    shown = office.until(ID, "complete")
    assert datetime.fromisoformat(shown["ended_at"]).timestamp() == pytest.approx(ended, abs=0.5)
    assert shown["talk_seconds"] == 2


def test_a_young_call_is_not_asked_about(office: Office, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "YOUNG_S", 3600.0)
    answered_call(office)
    looked(peer, 4)
    assert office.call(ID).state == "registered"


def test_a_hook_between_the_two_looks_keeps_the_call_open(office: Office, peer: Peer) -> None:
    """Its channel may have been missed in the first list: only a call that stays silent is closed."""
    whole = peer.answers["CoreShowChannels"]
    alive = {"yes": True}

    def still_ringing(action: Any) -> Any:
        if alive["yes"] and office.service.journal.call(ID):
            office.service.logbook.record([Event(ID, Kind.RING, time.time(), {"extensions": ["101"]})])
        return whole(action)

    peer.answers["CoreShowChannels"] = still_ringing
    office.hook("inbound", ID, DID)
    time.sleep(closing.YOUNG_S)
    looked(peer, 5)
    assert not gone(office)
    alive["yes"] = False
    office.until(ID, "complete")


def test_half_a_list_closes_nothing(office: Office, peer: Peer) -> None:
    whole = peer.answers["CoreShowChannels"]
    peer.answers["CoreShowChannels"] = lambda a: whole(a).replace(b"ListItems: 0", b"ListItems: 1")  # type: ignore[union-attr]
    answered_call(office)
    time.sleep(closing.YOUNG_S)
    looked(peer, 3)
    assert not gone(office)


def test_an_end_that_lies_in_the_spool_is_waited_for(office: Office, tmp_path: Path) -> None:
    answered_call(office)
    hangup = {"own_channel": True, "direction": "in", "variables": {"DIALSTATUS": "ANSWER"}}
    with (tmp_path / "spool.replaying.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else empties it
        office.service.logbook.spool.append([Event(ID, Kind.HANGUP, time.time() + 3, hangup)])
        time.sleep(closing.YOUNG_S + 3 * closing.PATIENCE_S)
        assert not gone(office)
    assert office.until(ID, "complete")["talk_seconds"] == 3


def test_a_call_of_another_asterisk_is_left_alone(make_office: Callable[..., Office], peer: Peer) -> None:
    peer.system_name = "head"
    office = make_office(ami=ami(peer))
    foreign = ("1700000000.1", "office-1700000000.1", "head-1700000000", "linkedid-of-mine")
    for call_id in (*foreign, "head-1700000000.3"):
        answered_call(office, call_id)
    office.until("head-1700000000.3", "complete")
    looked(peer, 3)
    assert not [gone(office, call_id) for call_id in foreign if gone(office, call_id)]


def test_a_call_of_another_pbx_on_the_same_journal_is_left_alone(
    make_office: Callable[..., Office], peer: Peer
) -> None:
    here = make_office(ami=ami(peer), pbx={"name": "here-"})
    there = make_office(pbx={"name": "there-"})
    answered_call(there, ID)
    answered_call(here, OTHER)
    here.until(OTHER, "complete")
    looked(peer, 3)
    assert not gone(here, ID)


def test_two_services_on_one_journal_close_a_call_once(make_office: Callable[..., Office], peer: Peer) -> None:
    offices = [make_office(ami=ami(peer)) for _ in range(2)]
    for n in range(10, 30):
        answered_call(offices[n % 2], f"1700000000.{n}")
    for n in range(10, 30):
        offices[0].until(f"1700000000.{n}", "complete")
        assert len(gone(offices[0], f"1700000000.{n}")) == 1
    assert len(offices[0].statistics()) == 20


def test_asterisk_back_from_a_restart_is_asked_at_once(
    make_office: Callable[..., Office], peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "EVERY_S", 3600.0)
    peer.channels = [channel(ID)]
    office = make_office(ami=ami(peer))
    looked(peer, 0)
    answered_call(office)
    time.sleep(1.0)
    lost = time.time()
    peer.stop()
    eventually(lambda: not office.service.health()["ami"]["ok"])
    peer.channels = []
    peer.start()
    shown = office.until(ID, "complete")
    assert datetime.fromisoformat(shown["ended_at"]).timestamp() == pytest.approx(lost, abs=0.6)


def test_what_was_seen_before_our_own_restart_is_not_forgotten(make_office: Callable[..., Office], peer: Peer) -> None:
    peer.channels = [channel(ID)]
    office = make_office(ami=ami(peer))
    answered_call(office)
    time.sleep(2.2)
    looked(peer, 1)
    stopped = time.time()
    office.service.stop(1.0)
    peer.channels = []
    time.sleep(1.0)
    again = make_office(ami=ami(peer))
    shown = again.until(ID, "complete")
    assert datetime.fromisoformat(shown["ended_at"]).timestamp() == pytest.approx(stopped, abs=0.6)
    assert shown["talk_seconds"] >= 2


def test_the_call_detail_records_have_the_first_word(
    make_office: Callable[..., Office], peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CDR_FIRST_S", 3.0)
    office = make_office(ami=ami(peer), cdr={"url": f"sqlite:///{tmp_path}/cdr.db"})
    began = time.monotonic()
    answered_call(office)
    office.until(ID, "complete")
    assert time.monotonic() - began > 3.0


def test_a_late_hangup_changes_nothing_the_portal_was_told_but_brings_the_recording(office: Office) -> None:
    answered_call(office)
    office.until(ID, "complete")
    file = office.record("late.wav")
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", MIXMONITOR_FILENAME=f"/var/spool/asterisk/monitor/{file.name}")
    shown = office.until(ID, "complete")
    eventually(lambda: office.summary(ID)["recording"]["state"] == "uploaded")
    assert (shown["talk_seconds"], len(office.statistics())) == (1, 1)


def test_a_hangup_that_comes_before_the_portal_is_told_wins(office: Office) -> None:
    answered_call(office)
    office.portal.faults([{"method": "telephony.externalCall.finish", "kind": "auth", "times": -1}])
    eventually(lambda: office.call(ID).last_error)
    assert office.call(ID).end_unseen == "ami"
    time.sleep(1.0)
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER")
    office.portal.faults([])
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time())])
    eventually(lambda: office.call(ID).state == "complete", 30)
    assert office.call(ID).end_unseen == ""
    assert int(office.statistics()[0]["CALL_DURATION"]) == office.call(ID).talk_seconds > 1


def test_a_storm_of_events_while_calls_run_loses_none_and_harms_no_hook(office: Office, peer: Peer) -> None:
    peer.wait_for("Events")
    hostile = 'x"; DROP TABLE calls; --\n\x01\ud83d'
    storm = b"".join(
        message("Event: Hangup", f"Uniqueid: 1600000000.{n}", f"Linkedid: 1600000000.{n}", f"CallerIDName: {hostile}")
        for n in range(10_000)
    )
    sender = threading.Thread(target=peer.send, args=(storm,))
    sender.start()
    replies = [office.hook("inbound", f"1700000000.{n}", DID) for n in range(20)]
    sender.join()
    assert {reply["B24_RC"] for reply in replies} == {"ok"}
    eventually(lambda: office.service.health()["ami"]["events"] == 10_000)
    assert office.service.health()["ami"]["events_lost"] == 0


def test_without_ami_nothing_happens(make_office: Callable[..., Office]) -> None:
    office = make_office()
    answered_call(office)
    time.sleep(1.5)
    assert office.call(ID).state == "registered"
    assert "ami" not in office.service.health()


def test_who_may_not_ask_closes_nothing_and_the_service_goes_on(office: Office, peer: Peer) -> None:
    peer.answers["CoreShowChannels"] = lambda a: error(a, "Permission denied")
    answered_call(office)
    looked(peer, 2)
    assert not gone(office)
    assert office.service.health()["ami"]["ok"]
    assert office.hook("inbound", OTHER, DID, caller=CLIENT)["B24_RC"] == "ok"


# --- doctor --------------------------------------------------------------------------------------


def check(office: Office) -> checks.Check:
    return checks.ami(office.settings)


def test_doctor_is_content_with_a_manager_that_answers(office: Office, peer: Peer) -> None:
    peer.channels = [channel("1.1"), channel("1.2")]
    found = check(office)
    assert (found.result, "22.0.0" in found.found, "2 channels" in found.found) == (checks.OK, True, True)


def test_doctor_names_the_cure_for_each_fault(office: Office, peer: Peer, make_office: Callable[..., Office]) -> None:
    assert check(make_office()).result == checks.OFF
    peer.answers["Events"] = lambda a: success(a, "Events: Off")
    assert "read = call,agent" in check(office).cure
    peer.answers["CoreShowChannels"] = lambda a: error(a, "Permission denied")
    assert "write = reporting" in check(office).cure
    peer.answers["Login"] = lambda a: error(a, "Authentication failed")
    assert "secret" in check(office).cure
    peer.greeting = b"SSH-2.0\r\n"
    assert check(office).result == checks.BAD
    peer.stop()
    assert "enabled = yes" in check(office).cure
