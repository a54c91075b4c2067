"""The machine's wall clock is set by hours while calls go on and requests are in flight."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery import trouble
from tests.service.conftest import DID, Office, eventually

ID = "1700000000.1"
HOURS = 3600.0
FINISH = "telephony.externalCall.finish"
REGISTER = "telephony.externalCall.register"

Set = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch, office: Office) -> Set:
    """Set this machine's wall clock by so many seconds; the portal's is another one."""
    real = time.time

    def set_by(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)
        office.portal.advance(-seconds)

    return set_by


def arrives_once(office: Office, call_id: str = ID) -> dict[str, str]:
    eventually(lambda: office.call(call_id).state == "complete", 30)
    (row,) = office.statistics()
    assert len(office.known()["activities"]) == 1
    return row


@pytest.mark.parametrize("by", [-5 * HOURS, 5 * HOURS])
@pytest.mark.parametrize("when", ["ringing", "talking"])
def test_a_call_ends_with_its_true_talk_time(office: Office, set_clock: Set, by: float, when: str) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101")
    if when == "ringing":
        set_clock(by)
    office.hook("answer", ID, "101")
    time.sleep(2.0)
    if when == "talking":
        set_clock(by)
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101")
    assert arrives_once(office)["CALL_DURATION"] in ("2", "3")
    call = office.summary(ID)
    assert call["started_at"] <= call["answered_at"] <= call["ended_at"]


@pytest.mark.parametrize("by", [-5 * HOURS, 5 * HOURS])
def test_a_finish_that_is_on_its_way_is_not_sent_again(office: Office, set_clock: Set, by: float) -> None:
    office.portal.faults([{"method": FINISH, "kind": "slow", "times": 1, "delay_s": 1.5}])
    office.hook("inbound", ID, DID)
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).finish_tries)
    set_clock(by)
    arrives_once(office)
    assert office.call(ID).finish_tries == 1


@pytest.mark.parametrize("method", [REGISTER, FINISH])
def test_what_waits_for_its_next_try_is_tried_though_the_clock_was_put_back(
    office: Office, set_clock: Set, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(trouble, "back_off", lambda *_: 30.0)
    office.portal.faults([{"method": method, "kind": "reset", "times": 3, "after_effect": False}])
    office.hook("inbound", ID, DID)
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).last_error)
    office.portal.faults([])
    set_clock(-5 * HOURS)
    arrives_once(office)
    assert Kind.CLOCK in [event.kind for event in office.service.journal.events(ID)]


def test_after_the_clock_was_put_back_a_second_error_does_not_hide_behind_the_first(
    office: Office, set_clock: Set
) -> None:
    office.portal.faults([{"method": FINISH, "kind": "error", "code": "NO", "times": 1}])
    office.hook("inbound", ID, DID)
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).state == "failed")
    set_clock(-5 * HOURS)

    office.service.logbook.record([Event(ID, Kind.RETRY, time.time(), {})])
    arrives_once(office)
