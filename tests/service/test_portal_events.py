"""Events of the portal at our web part."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import requests

from sql.routing import Routing
from tests.ports import free_port
from tests.service.conftest import CLIENT, DID, Office

TOKEN = "application-token-of-the-portal"
MakeOffice = Callable[..., Office]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def office(make_office: MakeOffice, port: int) -> Office:
    """An office that answers known clients from memory."""
    return make_office(
        web={"listen": f"127.0.0.1:{port}"},
        inbound={"answer": "cache"},
        portal={"application": {"event_token": TOKEN}},
    )


def tell(port: int, event: str, number: str = "7", token: str = TOKEN, **more: str) -> int:
    body = {"event": event, "event_handler_id": "12", "data[FIELDS][ID]": number, "ts": "1790000000"}
    body |= {"auth[domain]": "p.example", "auth[member_id]": "m", "auth[application_token]": token} | more
    return requests.post(f"http://127.0.0.1:{port}/bitrix24/events", data=body, timeout=5).status_code


def test_a_client_whose_card_was_changed_is_looked_up_again(office: Office, port: int) -> None:
    office.hook("inbound", "17.1", DID)
    assert office.service.reception.clients.fresh(CLIENT) is not None
    assert tell(port, "ONCRMCONTACTUPDATE") == 200
    assert office.service.reception.clients.fresh(CLIENT) is None
    assert office.hook("inbound", "17.2", DID)["B24_STATE"] == "registered"  # the portal was asked


def test_after_a_deal_was_changed_the_open_deals_are_asked_for_again(office: Office, port: int) -> None:
    Routing(office.service.database).set("", "order", "deal responsible")
    office.service.rules.look()
    for call_id, expected in (("17.1", "registered"), ("17.2", "deferred")):  # the second is answered from memory
        reply = office.hook("inbound", call_id, DID)
        assert (reply["B24_STATE"], reply["B24_ROUTE"]) == (expected, "101")
    office.portal.seed({"deals": [{"id": 55, "contact": 7, "responsible": 12}]})
    assert tell(port, "ONCRMDEALADD", "55") == 200
    assert office.hook("inbound", "17.3", DID)["B24_ROUTE"] == "102"


@pytest.mark.parametrize("token", ["", "another", TOKEN + "x", "ключ"])
def test_who_does_not_know_the_token_changes_nothing(
    office: Office, port: int, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    office.hook("inbound", "17.1", DID)
    with caplog.at_level(logging.DEBUG):
        assert tell(port, "ONCRMCONTACTUPDATE", token=token, secret="${SYSTEM(rm)}") == 403
    assert office.service.reception.clients.fresh(CLIENT) is not None
    assert "SYSTEM" not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("event", "number"),
    [("ONCRMDEALUPDATE", "7"), ("ONCRMCONTACTUPDATE", "7; DROP"), ("", ""), ("ONCRMCONTACTUPDATE", "9" * 400)],
)
def test_what_is_not_about_a_client_is_acknowledged_and_ignored(
    office: Office, port: int, event: str, number: str
) -> None:
    office.hook("inbound", "17.1", DID)
    assert tell(port, event, number) == 200
    assert office.service.reception.clients.fresh(CLIENT) is not None


@pytest.mark.parametrize("event", ["ONEXTERNALCALLBACKSTART", "ONEXTERNALCALLSTART", "ONVOXIMPLANTCALLEND"])
def test_what_the_portal_tells_of_calls_makes_none(office: Office, port: int, event: str) -> None:
    """A click or an order to call back is a call when the PBX makes one; of our own calls we know."""
    told = {"data[PHONE_NUMBER]": CLIENT, "data[USER_ID]": "11", "data[TEXT]": "call me", "data[LINE_NUMBER]": ""}
    if event != "ONEXTERNALCALLBACKSTART":  # of an order to call back there is no CALL_ID
        told["data[CALL_ID]"] = "externalCall.a.1"
    assert tell(port, event, **told) == 200
    assert office.service.journal.find() == []
    assert office.known()["calls"] == []


@pytest.mark.usefixtures("office")
def test_a_body_larger_than_any_event_is_refused(port: int) -> None:
    assert tell(port, "ONCRMCONTACTUPDATE", more="x" * 70_000) == 413


def test_without_a_token_there_is_no_such_page(make_office: MakeOffice, port: int) -> None:
    make_office(web={"listen": f"127.0.0.1:{port}"})
    assert tell(port, "ONCRMCONTACTUPDATE") == 404
