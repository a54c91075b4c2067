"""The wall clock is set while people talk."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import IN_FLIGHT_S, due

ID = "1700000000.1"
START = 1_700_000_000.0
HOURS = [-12 * 3600.0, -3600.0, -60.0, 60.0, 3600.0, 12 * 3600.0, 20 * 365 * 86400.0]
OWN = {"own_channel": True, "client_number": "+79161234567"}


class Machine:
    """Hooks as a machine hears them whose wall clock can be set."""

    def __init__(self) -> None:
        self.set_by = 0.0
        self.events: list[Event] = []

    def hears(self, at: float, kind: Kind, boot: str = "boot", **data: Any) -> None:
        clock = {"clock": [boot, 5000.0 + at]}
        self.events.append(Event(ID, kind, START + at + self.set_by, OWN | data | clock))

    def call(self) -> Call:
        return fold(self.events)


@pytest.mark.parametrize("by", HOURS)
@pytest.mark.parametrize("when", ["before ring", "before answer", "before hangup"])
def test_a_clock_set_during_a_call_changes_no_talk_time(by: float, when: str) -> None:
    machine = Machine()
    machine.hears(0, Kind.INBOUND)
    machine.set_by = by if when == "before ring" else 0.0
    machine.hears(2, Kind.RING, extensions=["101"])
    machine.set_by = by if when != "before hangup" else 0.0
    machine.hears(5, Kind.ANSWER, extension="101")
    machine.set_by = by
    machine.hears(42, Kind.HANGUP, variables={"DIALSTATUS": "ANSWER"})
    call = machine.call()
    assert (call.talk_seconds, call.started_at, call.ended_at) == (37, START, START + 42)
    (leg,) = call.legs
    assert (leg.rang_at, leg.answered_at) == (START + 2, START + 5)


@pytest.mark.parametrize("by", HOURS)
def test_what_is_due_follows_the_wall_clock_as_it_is_now(by: float) -> None:
    machine = Machine()
    machine.hears(0, Kind.INBOUND)
    machine.set_by = by
    machine.hears(10, Kind.HANGUP, variables={})
    assert due(machine.call()) == ("register", START + 10 + by)


def test_a_clock_that_drifts_is_left_alone() -> None:
    machine = Machine()
    machine.hears(0, Kind.INBOUND)
    machine.set_by = 0.4
    machine.hears(10, Kind.HANGUP, variables={})
    assert machine.call().ended_at == START + 10.4


def test_what_two_machines_heard_is_not_compared_by_their_own_clocks() -> None:
    machine = Machine()
    machine.hears(0, Kind.INBOUND)
    machine.hears(5, Kind.ANSWER, boot="another", extension="101")
    machine.events[-1].data["clock"][1] = 9.0
    machine.hears(15, Kind.HANGUP, variables={})
    assert machine.call().talk_seconds == 10


@pytest.mark.parametrize("billed", ["10812", "999999999"])
def test_asterisk_that_counted_by_a_clock_that_was_set_talked_no_longer_than_the_call(billed: str) -> None:
    machine = Machine()
    machine.hears(0, Kind.OUTBOUND, number="79161234567", extension="101")
    machine.set_by = 3 * 3600.0
    machine.hears(12, Kind.HANGUP, variables={"DIALSTATUS": "ANSWER", "ANSWEREDTIME": billed}, direction="out")
    assert machine.call().talk_seconds == 12


def test_asterisk_that_counted_backwards_is_not_believed() -> None:
    machine = Machine()
    machine.hears(0, Kind.INBOUND)
    variables = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "-3588", "CONNECTEDLINE(num)": "101"}
    machine.hears(12, Kind.HANGUP, variables=variables)
    assert 1 <= machine.call().talk_seconds <= 12


def test_a_clock_found_put_back_makes_what_waits_due_and_leaves_what_is_in_flight_its_time() -> None:
    machine = Machine()
    machine.set_by = 5 * 3600.0
    machine.hears(0, Kind.INBOUND)
    machine.hears(10, Kind.HANGUP, variables={})
    ahead, now = START + 5 * 3600.0, START + 60.0
    waiting = [*machine.events, Event(ID, Kind.REGISTER_FAILED, ahead, {"error": "ill", "retry_at": ahead + 600})]
    assert due(fold(waiting)) == ("register", ahead + 600)
    told = Event(ID, Kind.CLOCK, ahead + 1, {"now": now})
    assert due(fold([*waiting, told])) == ("register", now)
    in_flight = [*machine.events, Event(ID, Kind.REGISTERING, ahead, {"params": {}}), told]
    assert due(fold(in_flight)) == ("register", now + IN_FLIGHT_S)
