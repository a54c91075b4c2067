"""Every way a call can be lost or doubled at the portal, and that neither happens.

The cases a client must pass (bitrix24-rest §8), one test each. Three need no doubt and are among the hooks' own
tests: the anonymous caller, the internal call, the ring group whose losers' cards are hidden; the order to call back is
among the portal's events.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from bx24client import telephony
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from itgrix_bx.delivery import attach, finishing, registering, schedule, trouble, worker
from itgrix_bx.spool import Spool
from sql import tables
from sql.database import DatabaseAwayError
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

ID = "1700000000.1"
STATISTICS = "voximplant.statistic.get"
REGISTER = "telephony.externalCall.register"
FINISH = "telephony.externalCall.finish"
ATTACH = "telephony.externalCall.attachRecord"


def talked(office: Office, call_id: str = ID, extension: str = "101", recording: str = "") -> None:
    office.hook("inbound", call_id, DID)
    office.hook("answer", call_id, extension)
    office.hook("hangup", call_id, "in", DIALSTATUS="ANSWER", CONNECTED=extension, MIXMONITOR_FILENAME=recording)


def asked(office: Office, method: str) -> list[dict[str, Any]]:
    """What the portal was asked to do, in a batch or alone."""
    return [request for request in office.known()["requests"] if request["method"] == method.lower()]


def rows_of(office: Office, call_id: str = ID) -> list[dict[str, Any]]:
    return [row for row in office.statistics() if row["EXTERNAL_CALL_ID"] == call_id]


def arrives_once(office: Office, call_id: str = ID) -> dict[str, Any]:
    eventually(lambda: office.call(call_id).state == "complete", 30)
    (row,) = rows_of(office, call_id)
    activities = [a for a in office.known()["activities"] if a["call_id"] == row["CALL_ID"]]
    assert len(activities) == (1 if row["CRM_ENTITY_ID"] else 0)
    return row


def test_two_calls_of_one_client_to_one_manager_at_once_are_two(office: Office) -> None:
    for call_id in ("17.1", "17.2"):
        office.hook("inbound", call_id, DID)
        office.hook("answer", call_id, "101")
    for call_id in ("17.1", "17.2"):
        office.hook("hangup", call_id, "in", DIALSTATUS="ANSWER", CONNECTED="101")
    assert arrives_once(office, "17.1")["CALL_ID"] != arrives_once(office, "17.2")["CALL_ID"]


def test_a_call_id_given_out_twice_is_refused_and_both_calls_end_right(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.journal._SHARED_AGAIN_S", 0.3)
    office.portal.seed({"settings": {"dedupe_ignores_external_id": True}})
    office.hook("inbound", "17.1", DID)
    eventually(lambda: office.call("17.1").portal_call_id)
    office.hook("inbound", "17.2", DID)
    office.hook("answer", "17.1", "101")
    office.hook("answer", "17.2", "102")
    eventually(lambda: "CALL_ID of call 17.1" in office.call("17.2").last_error)
    office.hook("hangup", "17.1", "in", DIALSTATUS="ANSWER", CONNECTED="101")
    office.hook("hangup", "17.2", "in", DIALSTATUS="ANSWER", CONNECTED="102")
    first, second = arrives_once(office, "17.1"), arrives_once(office, "17.2")
    assert (first["PORTAL_USER_ID"], second["PORTAL_USER_ID"]) == ("11", "12")
    assert first["CALL_ID"] != second["CALL_ID"]


def test_a_call_of_more_than_thirty_minutes_is_finished_as_it_was_registered(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "101")
    office.portal.clock.advance(45 * 60)
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101")
    assert arrives_once(office)["CALL_ID"] == office.call(ID).portal_call_id


def ended_long_ago(office: Office, ago: float, talked_s: float, caller: str = CLIENT) -> float:
    """A call that could be told to nobody until now; when it began."""
    began = time.time() - ago - talked_s - 5
    facts = {"own_channel": True, "client_number": caller, "caller": caller, "linkedid": ID}
    end = {"own_channel": True, "variables": {"DIALSTATUS": "ANSWER", "CONNECTEDLINE(num)": "101"}}
    office.service.logbook.record([Event(ID, Kind.INBOUND, began, facts)])
    office.service.logbook.record([Event(ID, Kind.ANSWER, began + 5, {"own_channel": True, "extension": "101"})])
    office.service.logbook.record([Event(ID, Kind.HANGUP, began + 5 + talked_s, end)])
    return began


@pytest.mark.parametrize("talked_s", [90, 45 * 60], ids=["short", "longer than the portal's half hour"])
@pytest.mark.parametrize("ago", [0, 86_400], ids=["at once", "a day late"])
def test_a_call_has_its_true_times_however_long_it_was_and_however_late_it_is_delivered(
    office: Office, ago: float, talked_s: float
) -> None:
    began = ended_long_ago(office, ago, talked_s)
    assert arrives_once(office)["CALL_DURATION"] == str(talked_s)
    (activity,) = office.known()["activities"]
    assert (activity["start"], activity["end"]) == (int(began), int(began) + talked_s)


def test_a_call_registered_late_whose_answer_was_lost_arrives_once_and_leaves_one_lead(office: Office) -> None:
    """The portal never finds a call again that began more than half an hour ago: what is lost there stays open."""
    office.portal.faults([{"method": REGISTER, "kind": "lost_answer", "times": 1}])
    ended_long_ago(office, 86_400, 90, STRANGER)
    assert arrives_once(office)["PORTAL_USER_ID"] == "11"
    assert len(asked(office, FINISH)) == 1
    assert len(office.known()["leads"]) == len(office.known()["calls"]) == 1


def test_a_register_whose_answer_was_lost_is_found_again_inside_the_window(office: Office) -> None:
    office.portal.faults([{"method": REGISTER, "kind": "lost_answer", "times": 1}])
    talked(office)
    arrives_once(office)
    assert office.call(ID).register_tries == 2
    assert office.known()["calls"] == []


def test_a_register_is_repeated_as_it_was_though_the_extension_has_another_owner_by_then(office: Office) -> None:
    """For another user the portal would not find the call again."""
    office.portal.faults([{"method": REGISTER, "kind": "html502", "after_effect": True, "times": 1}])
    office.hook("outbound", ID, CLIENT, "101", caller="101")
    office.portal.seed({"users": [{"id": 11, "name": "Анна"}, {"id": 12, "name": "Борис", "extension": "101"}]})
    office.service.employees.sync()
    office.service.employees.reread()
    office.hook("hangup", ID, "out", DIALSTATUS="BUSY", HANGUPCAUSE="17", caller="101")
    arrives_once(office)
    assert office.known()["calls"] == []
    assert {str(request["params"]["USER_ID"]) for request in asked(office, REGISTER)} == {"11"}


def test_a_lead_made_by_a_register_nobody_heard_of_is_not_taken_for_the_client(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two answers are lost while the portal finds the call again; when the third comes it does not any more."""
    monkeypatch.setattr(registering, "_is_found_again", lambda call: call.register_tries < 2)
    office.portal.faults([{"method": REGISTER, "kind": "empty", "after_effect": True, "times": 2}])
    office.hook("inbound", ID, DID, caller=STRANGER)
    office.hook("ring", ID, "101", caller=STRANGER)
    office.hook("hangup", ID, "in", caller=STRANGER, DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).register_tries == 2)
    with office.portal.state.lock:  # the portal's half hour is over
        for call in list(office.portal.state.calls.values()):
            office.portal.state.drop_call(call)
    assert arrives_once(office)["PORTAL_USER_ID"] == "11"


def test_a_lead_of_a_register_nobody_heard_of_is_no_client_if_the_half_hour_ends_between_search_and_register(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search still belongs to the half hour in which the portal finds the call again, the registration does not."""
    over = threading.Event()
    monkeypatch.setattr(registering, "_is_found_again", lambda _call: not over.is_set())
    sent = registering.Register._send

    def late(self: registering.Register, call: Any, *args: Any, **named: Any) -> list[Event]:
        if call.register_tries:
            with office.portal.state.lock:
                for known in list(office.portal.state.calls.values()):
                    office.portal.state.drop_call(known)
            over.set()
        return sent(self, call, *args, **named)

    monkeypatch.setattr(registering.Register, "_send", late)
    office.portal.faults([{"method": REGISTER, "kind": "empty", "after_effect": True, "times": 1}])
    office.hook("inbound", ID, DID, caller=STRANGER)
    office.hook("ring", ID, "101", caller=STRANGER)
    office.hook("hangup", ID, "in", caller=STRANGER, DIALSTATUS="NOANSWER")
    assert arrives_once(office)["PORTAL_USER_ID"] == "11"
    assert len(office.known()["leads"]) == 1


def test_what_is_not_known_of_a_register_stays_unknown_when_the_next_one_is_refused(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    refused = {"method": REGISTER, "kind": "auth", "times": -1}
    office.portal.faults([{"method": REGISTER, "kind": "lost_answer", "times": 1}, refused])
    talked(office)
    failed = [Kind.REGISTER_FAILED] * 2
    eventually(lambda: [e.kind for e in office.service.journal.events(ID) if e.kind in failed][:2] == failed)
    assert office.call(ID).register_doubt is not None
    office.portal.faults([])
    arrives_once(office)


def test_outside_the_window_the_statistics_are_asked_by_our_own_id(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal came back from a backup that knows of a register and not what became of it."""
    monkeypatch.setattr(registering, "_FOUND_AGAIN_S", -1.0)
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 0.5)
    talked(office)
    arrives_once(office)
    known = office.service.journal.events(ID)
    with office.service.database.engine.begin() as connection:
        connection.execute(sa.delete(tables.events))
        connection.execute(sa.delete(tables.calls))
    office.service.logbook.record([e for e in known if e.kind in (*HOOK_KINDS, Kind.REGISTERING)])
    arrives_once(office)
    assert "found_in_statistics" in str(office.service.journal.events(ID))


@pytest.mark.parametrize("kind", ["lost_answer", "html502", "html504", "garbage"])
def test_a_finish_whose_answer_was_lost_is_looked_up_and_not_sent_again(office: Office, kind: str) -> None:
    office.portal.faults([{"method": FINISH, "kind": kind, "times": 1, "after_effect": True}])
    talked(office)
    arrives_once(office)
    assert len(asked(office, FINISH)) == 1


@pytest.mark.parametrize("kind", ["slow", "reset", "html504"])
def test_a_finish_the_portal_is_still_working_on_is_not_sent_again(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(finishing, "_REQUEST_S", 0.4)
    office = make_office()
    office.portal.seed({"settings": {"finish_delete_delay_s": 0.2}})
    running: dict[str, Any] = {"delay_s": 1.2} if kind == "slow" else {"works_on_s": 1.2}
    office.portal.faults([{"method": FINISH, "kind": kind, "times": 1, **running}])
    talked(office)
    arrives_once(office)


def test_a_register_the_portal_is_still_working_on_makes_one_call(office: Office) -> None:
    office.portal.faults([{"method": REGISTER, "kind": "reset", "times": 1, "works_on_s": 1.2}])
    talked(office)
    arrives_once(office)
    assert office.known()["calls"] == []


def test_a_finish_taken_by_the_portal_but_hidden_in_its_statistics_counts_as_done(office: Office) -> None:
    """The webhook's user may see only his own calls: "Call is not found" after a finish of ours says it is done."""
    hidden = {"method": STATISTICS, "kind": "error", "code": "ACCESS_DENIED", "status": 403, "times": -1}
    office.portal.faults([{"method": FINISH, "kind": "lost_answer", "times": 1}, hidden])
    talked(office)
    arrives_once(office)
    assert len(rows_of(office)) == 1


@pytest.mark.parametrize("statistics", ["readable", "unreadable at first"])
def test_a_call_the_portal_has_forgotten_is_registered_again(office: Office, statistics: str) -> None:
    office.hook("inbound", ID, DID)
    first = eventually(lambda: office.call(ID).portal_call_id)
    if statistics != "readable":
        office.portal.faults([{"method": STATISTICS, "kind": "html502", "times": 3}])
    with office.portal.state.lock:
        office.portal.state.drop_call(office.portal.state.calls[first])
    office.hook("answer", ID, "101")
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101")
    assert arrives_once(office)["CALL_ID"] != first


def test_a_call_the_portal_forgets_again_and_again_is_given_up_with_a_sentence(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "back_off", lambda _: 0.1)
    gone = "Call is not found (call should be registered prior to finishing"
    office.portal.faults([{"method": FINISH, "kind": "error", "description": gone, "times": -1}])
    talked(office)
    eventually(lambda: office.call(ID).state == "failed")
    assert (len(asked(office, FINISH)), len(asked(office, REGISTER))) == (3, 3)
    assert "calls retry" in office.summary(ID)["last_error"]
    office.portal.faults([])
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    arrives_once(office)


def test_a_finish_the_portal_broke_off_after_its_activity_is_left_to_a_person(office: Office) -> None:
    """Each repetition would make one more activity."""
    broken = "Unexpected database error; the value is too long"
    office.portal.faults([{"method": FINISH, "kind": "error", "description": broken, "times": -1}])
    talked(office)
    eventually(lambda: office.call(ID).state == "failed")
    assert len(asked(office, FINISH)) == 1
    assert f"only where the call is not on it, run `itgrix-bx calls retry {ID}`" in office.summary(ID)["last_error"]


@pytest.mark.parametrize("lost", ["outcome", "intent"])
def test_a_database_that_goes_in_the_middle_of_a_step_does_not_hold_the_call_for_the_length_of_a_lease(
    office: Office, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    append, goes = office.service.journal.append, iter([True])

    def away_once(events: Any, **how: Any) -> Any:
        if how.get("release" if lost == "outcome" else "lease") and next(goes, False):
            raise DatabaseAwayError("gone")
        return append(events, **how)

    monkeypatch.setattr(office.service.journal, "append", away_once)
    office.record("in-1.wav")
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "101")
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101", MIXMONITOR_FILENAME="in-1.wav")
    arrives_once(office)
    assert len(office.known()["files"]) == 1


def test_a_worker_that_was_held_up_for_longer_than_its_lease_sends_nothing(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused virtual machine: another one has taken the call over and told the portal meanwhile."""
    monkeypatch.setattr(worker, "_LEASE_S", 2.0)
    paused, other = make_office(), make_office(frozenset({"worker"}))
    looked, go_on = threading.Event(), threading.Event()
    claim, look_at = worker.Worker._claim, worker.Worker._look_at

    def in_turn(self: worker.Worker, *which: Any) -> list[str]:
        may = looked.is_set() != (self is paused.service.worker)
        return claim(self, *which) if may else []

    def held_up(self: worker.Worker, call_id: str) -> Any:
        found = look_at(self, call_id)
        if self is paused.service.worker and found[1] is not None and found[1][0] == schedule.FINISH:
            looked.set()
            go_on.wait(20)
        return found

    monkeypatch.setattr(worker.Worker, "_claim", in_turn)
    monkeypatch.setattr(worker.Worker, "_look_at", held_up)
    talked(paused)
    arrives_once(other)
    go_on.set()
    paused.service.worker.stop()
    assert looked.is_set()
    assert len(asked(other, FINISH)) == 1


def test_what_comes_while_a_worker_finds_nothing_to_do_for_a_call_is_not_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late answer registers the call just as it is taken, and in the next moment the client hangs up."""
    look_at, first = worker.Worker._look_at, iter([True])
    own = {"own_channel": True, "client_number": CLIENT, "did": DID}
    params = {"USER_ID": 1, "PHONE_NUMBER": CLIENT, "TYPE": 2, "CALL_START_DATE": "2026-01-01T10:00:00+03:00"}
    params |= {"CRM_CREATE": 1, "EXTERNAL_CALL_ID": ID}

    def in_between(self: worker.Worker, call_id: str) -> Any:
        if not next(first, False):
            return look_at(self, call_id)
        portal_id = office.service.client.execute(telephony.register(params)).call_id
        office.service.logbook.record([Event(ID, Kind.REGISTERED, time.time(), {"portal_call_id": portal_id})])
        found = look_at(self, call_id)
        assert found[1] is None
        office.service.logbook.record([Event(ID, Kind.HANGUP, time.time(), own | {"variables": {}})])
        return found

    monkeypatch.setattr(worker.Worker, "_look_at", in_between)
    now = time.time()
    office.service.logbook.record([
        Event(ID, Kind.INBOUND, now - 5, own),
        Event(ID, Kind.REGISTERING, now - 4, {"params": params}),
        Event(ID, Kind.REGISTER_FAILED, now - 3, {"error": "ill", "doubt": False, "retry_at": now}),
    ])  # fmt: skip
    arrives_once(office)


def test_a_call_is_not_finished_while_a_part_of_it_waits_in_the_spool(office: Office) -> None:
    """Another process on this machine found the database away and was killed."""
    office.hook("inbound", ID, DID)
    for extension in ("101", "102"):
        office.hook("ring", ID, extension)
        if extension == "101":
            office.hook("answer", ID, extension)
    answer = Event(ID, Kind.ANSWER, time.time(), {"own_channel": True, "extension": "102"})
    Spool(office.settings.journal.directory).append([answer])
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="102")
    assert arrives_once(office)["PORTAL_USER_ID"] == "12"


def test_an_expired_webhook_fails_no_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    office.portal.faults([{"method": "*", "kind": "auth", "times": -1}])
    for n in range(5):
        talked(office, f"17.{n}")
    eventually(lambda: not office.service.client.health.well)
    assert {office.call(f"17.{n}").state for n in range(5)} == {"ended"}
    assert "webhook" in office.service.client.health.last_error
    office.portal.faults([])
    for n in range(5):
        arrives_once(office, f"17.{n}")


def test_when_the_default_user_is_dismissed_too_a_person_is_told_and_retry_delivers(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(portal={"default_user": 13})
    office.portal.seed({"users": [{"id": 13, "name": "Вера", "active": False}]})
    office.hook("inbound", ID, DID, caller="+79990001122")
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).state == "failed")
    assert "default_user" in office.summary(ID)["last_error"]
    office.portal.seed({"users": [{"id": 13, "name": "Вера", "active": True}]})
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    arrives_once(office)


@pytest.mark.parametrize("method", [REGISTER, FINISH])
def test_what_the_portal_refused_for_certain_is_tried_at_once_when_a_person_asks(
    office: Office, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 600.0)  # as long as it would take if something were in doubt
    office.portal.faults([{"method": method, "kind": "error", "code": "NO", "times": 1}])
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).state == "failed")
    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    arrives_once(office)
    assert [request["error"] for request in asked(office, method)][1:] == [None]


def test_a_number_longer_than_the_portals_column_poisons_nothing(office: Office) -> None:
    office.hook("outbound", ID, "+7" + "9" * 30, "101", caller="101")
    office.hook("hangup", ID, "out", DIALSTATUS="BUSY", HANGUPCAUSE="17")
    assert len(arrives_once(office)["PHONE_NUMBER"]) <= 20
    assert len(asked(office, FINISH)) == 1


def test_an_extension_the_portal_does_not_know_leaves_the_call_to_the_default_user(office: Office) -> None:
    talked(office, extension="777")
    assert arrives_once(office)["PORTAL_USER_ID"] == "1"
    assert len(asked(office, FINISH)) == 1


def test_a_transferred_call_is_finished_by_who_took_it_and_leaves_no_card_open(office: Office) -> None:
    office.hook("inbound", ID, DID)
    for extension in ("101", "102"):
        office.hook("ring", ID, extension)
        office.hook("answer", ID, extension)
    eventually(lambda: [card["user_id"] for card in office.known()["open_cards"]] == [12])
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="102")
    assert arrives_once(office)["PORTAL_USER_ID"] == "12"
    assert office.known()["open_cards"] == []


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("kind", ["lost_answer", "garbage", "html502", "html504", "reset"])
def test_a_finish_and_the_recording_beside_it_whose_answer_was_lost_arrive_once(
    office: Office, kind: str, after_effect: bool
) -> None:
    path = office.record("in-1.wav")
    office.portal.faults([{"method": FINISH, "kind": kind, "times": 1, "after_effect": after_effect}])
    talked(office, recording="in-1.wav")
    arrives_once(office)
    assert [request["error"] for request in asked(office, FINISH)] == [None]
    assert [request["error"] for request in asked(office, ATTACH)] == [None]
    (file,) = office.known()["files"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_finish_that_was_surely_not_taken_leaves_no_doubt_about_the_recording_beside_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 600.0)
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    office.record("in-1.wav")
    office.portal.faults([{"method": FINISH, "kind": "auth", "times": 1}])
    talked(office, recording="in-1.wav")
    arrives_once(office)
    assert len(office.known()["files"]) == 1


@pytest.mark.parametrize("refused", [FINISH, ATTACH])
def test_of_a_finish_and_the_recording_beside_it_each_stands_for_itself(office: Office, refused: str) -> None:
    office.record("in-1.wav")
    office.portal.faults([{"method": refused, "kind": "error", "code": "INTERNAL_SERVER_ERROR", "times": 1}])
    talked(office, recording="in-1.wav")
    arrives_once(office)
    assert len(office.known()["files"]) == 1
    again = len([request for request in asked(office, refused) if request["error"] is None])
    assert (len(asked(office, refused)), again) == (2, 1)


def test_the_recording_beside_the_finish_of_a_dismissed_manager_arrives_after_it(office: Office) -> None:
    office.record("in-1.wav")
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "101")
    office.portal.seed({"users": [{"id": 11, "name": "Анна", "extension": "101", "active": False}]})
    ended = {"DIALSTATUS": "ANSWER", "CONNECTED": "101", "MIXMONITOR_FILENAME": "in-1.wav"}
    office.hook("hangup", ID, "in", **ended)
    assert arrives_once(office)["PORTAL_USER_ID"] == "1"
    assert len(office.known()["files"]) == 1


def test_a_recording_that_is_ready_before_the_finish_waits_for_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "_BESIDE_FINISH", 0)
    path = office.record("in-1.wav")
    office.portal.faults([{"method": FINISH, "kind": "html502", "times": 1}])
    talked(office, recording="in-1.wav")
    arrives_once(office)
    finished_at = max(request["at"] for request in asked(office, FINISH))
    assert [request["error"] for request in asked(office, ATTACH) if request["at"] >= finished_at] == [None]
    assert len(asked(office, ATTACH)) == 1
    (file,) = office.known()["files"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_recordings_of_one_name_get_names_of_their_own(office: Office) -> None:
    """All calls of the portal share a folder a month, in which a name may be given once."""
    for n, extension in enumerate(("101", "102")):
        office.record(f"{n}/rec.wav")
        talked(office, f"17.{n}", extension, f"{n}/rec.wav")
    for n in range(2):
        arrives_once(office, f"17.{n}")
    files = office.known()["files"]
    assert len({file["name"] for file in files}) == len({file["call_id"] for file in files}) == 2


def test_a_recording_the_portal_took_without_our_hearing_of_it_is_not_sent_again(office: Office) -> None:
    """A second one would be refused under the same name, and replace the first under another."""
    office.record("in-1.wav")
    office.portal.faults([{"method": ATTACH, "kind": "lost_answer", "times": 1}])
    talked(office, recording="in-1.wav")
    arrives_once(office)
    assert len(office.known()["files"]) == len(asked(office, ATTACH)) == 1


def test_the_address_for_a_large_recording_may_expire_before_it_is_used(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    path = office.record("in-1.wav", seconds=400)
    office.portal.seed({"settings": {"upload_ttl_s": -1.0}})
    talked(office, recording="in-1.wav")
    eventually(lambda: [request for request in asked(office, "upload") if request["error"]])
    office.portal.seed({"settings": {"upload_ttl_s": 3600.0}})
    arrives_once(office)
    (file,) = office.known()["files"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_call_that_cannot_be_registered_is_not_finished_under_another_name(office: Office) -> None:
    """Register and finish in one batch would hand the failed register's neighbours to finish as its CALL_ID."""
    office.portal.faults([{"method": REGISTER, "kind": "html503", "times": 2}])
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", ANSWEREDTIME="42", CONNECTED="103")
    arrives_once(office)
    assert [request["error"] for request in asked(office, FINISH)] == [None]


def test_a_renamed_portal_is_followed(office: Office) -> None:
    office.portal.faults([{"method": "*", "kind": "redirect", "times": 1}])
    talked(office)
    arrives_once(office)


@pytest.mark.parametrize("setting", ["telephony_absent", "webhook_refused"])
def test_a_portal_that_is_not_set_up_for_telephony_yet_loses_no_call(
    office: Office, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 0.3)
    office.portal.seed({"settings": {setting: True}})
    talked(office)
    eventually(lambda: office.call(ID).last_error)
    office.portal.seed({"settings": {setting: False}})
    arrives_once(office)


def test_a_client_the_crm_does_not_have_and_must_not_create_is_finished_without_an_activity(office: Office) -> None:
    office.hook("outbound", ID, "+79990001122", "101", caller="101")
    office.hook("hangup", ID, "out", DIALSTATUS="NOANSWER", HANGUPCAUSE="19")
    eventually(lambda: office.call(ID).state == "complete")
    assert len(rows_of(office)) == 1
    assert office.known()["activities"] == []


@pytest.mark.parametrize("finds", ["by our id", "by number and manager alone"])
def test_a_call_the_portal_registered_for_a_click_costs_ours_nothing(office: Office, finds: str) -> None:
    """It knows no id of ours. A portal that does not look at ids gives ours its CALL_ID, and the next one a new one."""
    office.portal.seed({"settings": {"dedupe_ignores_external_id": "alone" in finds}})
    clicked = {"USER_ID": 11, "PHONE_NUMBER": CLIENT, "TYPE": 1, "SHOW": 0, "CRM_CREATE": 0}
    click = office.service.client.execute(telephony.register(clicked)).call_id
    for call_id in ("17.1", "17.2"):
        office.hook("outbound", call_id, CLIENT, "101", caller="101")
        office.hook("hangup", call_id, "out", caller="101", DIALSTATUS="ANSWER", ANSWEREDTIME="7")
        eventually(lambda one=call_id: office.call(one).state == "complete")
    ids = [office.call(call_id).portal_call_id for call_id in ("17.1", "17.2")]
    assert (ids[0] == click) == ("alone" in finds)
    assert sorted(row["CALL_ID"] for row in office.statistics()) == sorted(set(ids))
    assert {row["CALL_FAILED_CODE"] for row in office.statistics()} == {"200"}


def test_hooks_that_come_twice_late_and_out_of_order_make_one_call(office: Office) -> None:
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101", ANSWEREDTIME="7", FROM_DID=DID)
    office.hook("answer", ID, "101")
    office.hook("ring", ID, "101")
    office.hook("inbound", ID, DID)
    office.hook("inbound", ID, DID)
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101", ANSWEREDTIME="7", FROM_DID=DID)
    row = arrives_once(office)
    assert (row["CALL_DURATION"], row["PORTAL_USER_ID"]) == ("7", "11")
