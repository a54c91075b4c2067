"""A person has several devices: whichever answers or calls, it is his call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from itgrix_bx import employees
from itgrix_bx.calls.lines import Line
from sql import LineRules, Staff
from tests.service.conftest import CLIENT, DID, Office, eventually

ID = "1700000000.1"
MOBILE = "+79161112233"


@pytest.fixture
def vera(office: Office) -> Office:
    """User 13 has, beside 103, the extension 2003 and a mobile, told to the running program."""
    staff = Staff(office.service.database)
    staff.map_extension("2003", 13)
    staff.map_mobile(MOBILE, 13)
    eventually(lambda: office.service.employees.directory.devices_of(13) == ("2003", "103", MOBILE))
    return office


@pytest.mark.parametrize("device", ["103", "2003", MOBILE, MOBILE[1:]])
def test_a_call_answered_on_any_device_is_that_persons(vera: Office, device: str) -> None:
    vera.hook("inbound", ID, DID)
    vera.hook("ring", ID, device)
    eventually(lambda: 13 in {card["user_id"] for card in vera.known()["open_cards"]})
    vera.hook("answer", ID, device)
    vera.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED=device)
    vera.until(ID, "complete")
    (row,) = vera.statistics()
    assert (row["PORTAL_USER_ID"], row["CALL_FAILED_CODE"]) == ("13", "200")


def test_a_call_from_a_persons_mobile_is_no_clients(vera: Office) -> None:
    searched = _searches(vera)
    reply = vera.hook("inbound", ID, DID, caller=MOBILE)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("deferred", "")
    assert _searches(vera) == searched


def test_a_call_out_from_a_second_extension_is_that_persons(vera: Office) -> None:
    vera.hook("outbound", ID, CLIENT, "2003", caller="2003")
    vera.hook("hangup", ID, "out", caller="2003", DIALSTATUS="ANSWER", ANSWEREDTIME="5")
    vera.until(ID, "complete")
    assert vera.statistics()[0]["PORTAL_USER_ID"] == "13"


def _searches(office: Office) -> int:
    requests: list[dict[str, Any]] = office.known()["requests"]
    return sum("searchcrmentities" in request["method"].lower() for request in requests)


def test_what_is_said_of_people_and_lines_is_noticed_without_waiting_for_the_next_reading(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(employees, "_REREAD_S", 3600.0)
    office = make_office()
    staff, lines = Staff(office.service.database), LineRules(office.service.database)
    known = lambda: office.service.employees.directory  # noqa: E731
    staff.map_extension("2003", 13)
    eventually(lambda: known().extensions_of(13) == ("2003", "103"))
    staff.set_deputy(13, 12)
    eventually(lambda: known().deputy_of(13) == 12)
    lines.set(Line(DID, "office"))
    eventually(lambda: office.service.employees.lines.of_call(DID).number == "office")
    lines.remove(DID)
    eventually(lambda: office.service.employees.lines.of_call(DID).number == "")
    staff.remove_deputies(13)
    eventually(lambda: known().deputy_of(13) is None)
