"""How long a caller waits for the portal, and how often the portal is asked."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from itgrix_bx.clients import FRESH_S, NOBODY_S, USABLE_S, WORKDAY_S, Clients
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

SEARCH = "telephony.externalCall.searchCrmEntities"
REGISTER = "telephony.externalCall.register"


def requests(office: Office) -> int:
    found = office.known()["http_requests"]
    assert isinstance(found, int)
    return found


def cards(office: Office, call_id: str) -> list[tuple[int, str]]:
    portal_id = office.call(call_id).portal_call_id
    return [(c["user_id"], c["action"]) for c in office.known()["cards"] if c["call_id"] == portal_id]


def test_a_call_its_responsible_answers_costs_one_request_before_the_hangup_and_one_after(office: Office) -> None:
    office.record("1.wav")
    before = requests(office)
    office.hook("inbound", "17.1", DID)
    office.hook("ring", "17.1", "101")
    office.hook("answer", "17.1", "101")
    time.sleep(1.0)  # a card that is shown after all would be by now
    assert requests(office) - before == 1
    assert cards(office, "17.1") == [(11, "show")]
    office.hook("hangup", "17.1", "in", DIALSTATUS="ANSWER", CONNECTED="101", MIXMONITOR_FILENAME="1.wav")
    assert office.until("17.1", "complete")["recording"]["state"] == "uploaded"
    assert requests(office) - before == 2
    assert office.known()["open_cards"] == []


def test_the_card_of_a_responsible_who_is_not_rung_is_taken_away_with_the_others_show(office: Office) -> None:
    office.hook("inbound", "17.1", DID)
    eventually(lambda: cards(office, "17.1"))
    before = requests(office)
    office.hook("ring", "17.1", "102")
    eventually(lambda: len(cards(office, "17.1")) == 3)
    assert cards(office, "17.1") == [(11, "show"), (11, "hide"), (12, "show")]
    assert requests(office) == before + 1


def test_nobody_gets_the_card_of_a_client_nobody_knows(office: Office) -> None:
    office.hook("inbound", "17.1", DID, caller=STRANGER)
    eventually(lambda: office.call("17.1").portal_call_id)
    assert office.known()["cards"] == []


def test_the_card_at_once_can_be_switched_off(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"card_at_once": False})
    office.hook("inbound", "17.1", DID)
    eventually(lambda: office.call("17.1").portal_call_id)
    assert office.known()["cards"] == []
    office.hook("ring", "17.1", "101")
    eventually(lambda: cards(office, "17.1") == [(11, "show")])


def test_a_register_refused_for_its_user_still_finds_the_client(make_office: Callable[..., Office]) -> None:
    office = make_office(portal={"default_user": 13})
    office.portal.seed({"users": [{"id": 13, "name": "Вера", "active": False}]})
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"


def test_with_answer_cache_a_client_seen_lately_is_answered_before_the_portal(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(inbound={"answer": "cache"})
    assert office.hook("inbound", "17.1", DID)["B24_STATE"] == "registered"
    office.portal.faults([{"method": "*", "kind": "slow", "times": 1, "delay_s": 1.0}])
    reply = office.hook("inbound", "17.2", DID)
    assert (reply["B24_STATE"], reply["B24_CALL_ID"], reply["B24_ROUTE"]) == ("deferred", "", "101")
    assert not office.call("17.2").portal_call_id
    eventually(lambda: office.call("17.2").portal_call_id)


def test_by_default_the_portal_is_asked_every_time(office: Office) -> None:
    for call_id in ("17.1", "17.2"):
        assert office.hook("inbound", call_id, DID)["B24_STATE"] == "registered"


def test_a_colleagues_mobile_is_never_searched(office: Office) -> None:
    office.portal.seed({"users": [{"id": 11, "name": "Анна", "extension": "101", "mobile": "89031112233"}]})
    office.service.employees.sync()
    office.service.employees.reread()
    reply = office.hook("inbound", "17.1", DID, caller="+79031112233")
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("deferred", "")
    eventually(lambda: office.call("17.1").portal_call_id)
    assert office.call("17.1").entities is None


def test_after_the_portal_failed_three_callers_nobody_waits_until_it_answers_in_time_again(
    make_office: Callable[..., Office],
) -> None:
    office = make_office(inbound={"deadline": 0.3})
    office.hook("inbound", "17.0", DID)
    eventually(lambda: office.call("17.0").portal_call_id)
    office.portal.faults([{"method": SEARCH, "kind": "slow", "times": -1, "delay_s": 1.0}])
    for n in range(1, 4):
        assert office.hook("inbound", f"17.{n}", DID)["B24_STATE"] == "deferred"
    assert not office.service.client.health.prompt
    began = time.monotonic()
    known, stranger = office.hook("inbound", "17.4", DID), office.hook("inbound", "17.5", DID, caller=STRANGER)
    assert time.monotonic() - began < 0.3  # two callers within one's deadline
    assert (known["B24_STATE"], known["B24_ROUTE"]) == ("deferred", "101")
    assert (stranger["B24_STATE"], stranger["B24_ROUTE"]) == ("deferred", "")
    office.portal.faults([])
    calls = iter(range(6, 1000))
    eventually(lambda: office.hook("inbound", f"17.{next(calls)}", DID)["B24_STATE"] == "registered", 30)
    for n in range(6):
        eventually(lambda n=n: office.call(f"17.{n}").portal_call_id, 30)


def test_a_dead_portal_is_tested_by_one_search_at_a_time(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"deadline": 0.3})
    office.portal.faults([{"method": "*", "kind": "html503", "times": -1}])
    for n in range(3):
        office.hook("inbound", f"17.{n}", DID)
    eventually(lambda: not office.service.client.health.prompt)
    before = requests(office)
    for n in range(3, 33):
        assert office.hook("inbound", f"17.{n}", DID)["B24_STATE"] == "deferred"
    assert requests(office) - before <= 6  # thirty callers; the rest are probes


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def client_of(user_id: int, workday: str = "OPENED") -> dict[str, object]:
    return {"type": "CONTACT", "id": 7, "name": "Иван",
            "responsible": {"user_id": user_id, "extension": "101", "workday": workday}}  # fmt: skip


def test_each_kind_of_knowledge_has_its_age() -> None:
    clock = Clock()
    clients = Clients(clock)
    clients.learn(CLIENT, [client_of(11)])
    clients.learn(STRANGER, [])
    assert clients.fresh(STRANGER) == []
    clock.now += NOBODY_S + 1
    assert clients.fresh(STRANGER) is None
    assert clients.fresh(CLIENT) is not None
    clock.now += WORKDAY_S
    assert clients.fresh(CLIENT) is None
    clients.learn("+79160000000", [client_of(11, "CLOSED")])  # another client of the same manager tells
    (entity,) = clients.fresh(CLIENT) or []
    assert entity["responsible"]["workday"] == "CLOSED"
    clock.now += FRESH_S
    assert clients.fresh(CLIENT) is None
    (entity,) = clients.usable(CLIENT) or []
    assert entity["responsible"] == {"user_id": 11, "extension": "101", "workday": ""}
    clock.now += USABLE_S
    assert clients.usable(CLIENT) is None


def test_what_the_portal_says_has_changed_is_not_answered_from_memory() -> None:
    clock = Clock()
    clients = Clients(clock)
    clients.learn(CLIENT, [client_of(11)])
    clients.learn(STRANGER, [])
    clock.now += 1
    clients.changed("LEAD", 7)  # another entity with the same number
    assert clients.fresh(CLIENT) is not None
    assert clients.fresh(STRANGER) is None  # may be the stranger's own lead
    clients.changed("CONTACT", 7)
    assert clients.fresh(CLIENT) is None
    assert clients.usable(CLIENT) is None
    clock.now += 1
    clients.learn(CLIENT, [client_of(12)])
    assert clients.fresh(CLIENT) is not None


def test_when_a_deal_changed_no_deal_is_remembered() -> None:
    clients = Clients(Clock())
    clients.learn(CLIENT, [client_of(11)])
    clients.learn_deals(CLIENT, [])
    clients.changed("DEAL", 5)
    assert clients.deals(CLIENT) is None
    assert clients.fresh(CLIENT) is not None


def test_of_more_changes_than_can_be_kept_the_forgotten_ones_still_count() -> None:
    clock = Clock()
    clients = Clients(clock)
    clients.learn(CLIENT, [client_of(11)])
    clock.now += 1
    clients.changed("CONTACT", 7)
    for number in range(50_000):
        clients.changed("LEAD", number)
    assert clients.fresh(CLIENT) is None


@pytest.mark.parametrize("number", [CLIENT, STRANGER])
def test_a_number_never_seen_is_unknown_to_the_cache(number: str) -> None:
    clients = Clients()
    assert clients.fresh(number) is None
    assert clients.usable(number) is None


def test_a_lead_the_lost_registration_made_is_not_the_calls_client(make_office: Callable[..., Office]) -> None:
    """Search and registration leave in one batch whose answer is lost; the search is asked again and finds the lead."""
    office = make_office(portal={"requests_per_second": 2, "burst": 1, "default_user": 12}, inbound={"deadline": 5.0})
    office.portal.faults([{"method": "batch", "kind": "empty", "after_effect": True, "times": 1}])
    reply = office.hook("inbound", "17.1", DID, caller=STRANGER)
    assert [lead["responsible"] for lead in office.known()["leads"]] == [12]
    assert (reply["B24_ROUTE"], reply["B24_CLIENT"]) == ("", "")  # not to the default user, as if it were a client's
    office.hook("ring", "17.1", "101")
    office.hook("hangup", "17.1", "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    assert office.until("17.1", "complete")["user_id"] == 11
