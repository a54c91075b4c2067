"""Rules of routing as the dialplan meets them, and what a policy costs the portal."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from itgrix_bx import reception
from itgrix_bx.calls import policy
from itgrix_bx.calls.directory import Period
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.lines import Line
from itgrix_bx.calls.policy import BLACK, VIP, Entry
from itgrix_bx.report import details
from sql import LineRules, Staff
from sql.routing import Routing
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

DEALS = "crm.item.list"


def rule(office: Office, name: str, words: str, did: str = "") -> None:
    """As `routing set` does it, seen by the running service."""
    policy.parse(name, [words])
    Routing(office.service.database).set(did, name, words)
    office.service.rules.look()


def phones(office: Office, **states: str) -> None:
    told = {f"{name.removeprefix('_')}": state for name, state in states.items()}
    office.service.devices.state = lambda extension: told.get(extension, "unknown")  # type: ignore[method-assign]


def told(office: Office, call_id: str, language: str = "en") -> dict[str, Any]:
    """What `calls show` says, once it was decided."""
    eventually(lambda: office.call(call_id).routed)
    directory = office.service.employees.directory
    return details(office.call(call_id), office.service.journal.events(call_id), directory, office.settings, language)


def asked(office: Office, method: str) -> list[dict[str, Any]]:
    return [row for row in office.known()["requests"] if row["method"].lower() == method.lower()]


def test_every_call_keeps_why_it_went_where_it_went(office: Office) -> None:
    office.hook("inbound", "17.1", DID)
    assert told(office, "17.1")["route"] == "contact 7 → responsible, ext. 101 → ring 15 s, then the normal route"
    assert told(office, "17.1", "ru")["route"].startswith("контакт 7 → ответственный, вн. 101 → звонить 15 с")
    assert [step["code"] for step in told(office, "17.1")["route_steps"]] == ["client", "try", "ring"]
    (step,) = [step for step in told(office, "17.1")["steps"] if step["step"] == "routed"]
    assert (step["extension"], step["seconds"]) == ("101", 15)
    office.hook("inbound", "17.2", DID, caller=STRANGER)
    assert told(office, "17.2")["route"] == "nobody in the CRM has this number → the normal route"


def test_a_rule_works_on_the_next_call_without_anybody_being_told(office: Office) -> None:
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE_SECONDS"] == "15"
    Routing(office.service.database).set(DID, "seconds", "25")
    eventually(lambda: office.service.rules.rules.policy(DID).seconds == 25, 5)
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE_SECONDS"] == "25"
    assert office.hook("inbound", "17.3", "74950000009")["B24_ROUTE_SECONDS"] == "15"


def test_rules_that_change_while_calls_run_hold_for_the_next_call(office: Office) -> None:
    stored, numbers, replies, stop = Routing(office.service.database), itertools.count(), list[str](), threading.Event()

    def calls() -> None:
        while not stop.is_set():
            replies.append(office.hook("inbound", f"18.{next(numbers)}", DID)["B24_ROUTE"])

    callers = [threading.Thread(target=calls) for _ in range(3)]
    for caller in callers:
        caller.start()
    for words, extension in (("user:13", "103"), ("responsible", "101"), ("user:12", "102")):
        stored.set(DID, "order", words)
        eventually(lambda extension=extension: replies and replies[-1] == extension, 10)
    stop.set()
    for caller in callers:
        caller.join()
    assert set(replies) == {"101", "102", "103"}  # every call went by one of the rules
    assert f"(line {DID}: order)" in told(office, f"18.{len(replies) - 1}")["route"]
    assert told(office, "18.0")["route"].startswith("contact 7 → ")


def test_a_rule_that_keeps_the_call_from_the_manager_leaves_the_name_and_the_registration(office: Office) -> None:
    rule(office, "on", "off")
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"], reply["B24_ROUTE_SECONDS"]) == ("registered", "", "")
    assert reply["B24_CLIENT"] == "Иван Клиентов"


@pytest.mark.parametrize("state", ["busy", "dnd", "ringing", "unreachable"])
def test_who_cannot_take_the_call_is_passed_over_for_who_can(office: Office, state: str) -> None:
    rule(office, "device", "free")
    rule(office, "order", "responsible user:12")
    phones(office, _101=state)
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"


def test_the_route_hook_reuses_what_inbound_learnt_and_looks_at_the_phones_anew(office: Office) -> None:
    rule(office, "device", "free")
    rule(office, "order", "responsible ext:103")
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    phones(office, _101="busy")
    before = office.known()["http_requests"]
    assert office.hook("route", "17.1", DID)["B24_ROUTE"] == "103"
    assert office.known()["http_requests"] == before
    assert "busy → named extension, ext. 103" in told(office, "17.1")["route"]


def test_the_card_goes_to_who_is_to_be_rung(office: Office) -> None:
    rule(office, "order", "user:12")
    office.hook("inbound", "17.1", DID)
    cards = lambda: [(c["user_id"], c["action"]) for c in office.known()["cards"]]  # noqa: E731
    eventually(lambda: (11, "hide") in cards())  # the responsible had it at once, and is not rung
    office.hook("ring", "17.1", "102")
    eventually(lambda: (12, "show") in cards())


# --- the open deal -----------------------------------------------------------------------------------


def with_a_deal(office: Office, **more: Any) -> None:
    rule(office, "order", "deal responsible")
    office.portal.seed({"deals": [{"id": 55, "name": "Поставка", "contact": 7, "responsible": 12} | more]})


def test_the_open_deals_responsible_is_rung_and_no_further_request_made(office: Office) -> None:
    with_a_deal(office)
    before = office.known()["http_requests"]
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_ROUTE"], reply["B24_STATE"]) == ("102", "registered")
    assert office.known()["http_requests"] == before + 1
    assert told(office, "17.1")["route"].startswith("contact 7 → deal 55, ext. 102 → ring")
    eventually(lambda: office.call("17.1").deals is not None)
    assert office.call("17.1").deals == [{"id": 55, "title": "Поставка", "user_id": 12}]


def test_as_long_as_no_rule_wants_deals_nobody_asks_for_them(office: Office) -> None:
    office.hook("inbound", "17.1", DID)
    rule(office, "order", "deal responsible", did="74950000009")
    office.hook("inbound", "17.2", DID)
    assert asked(office, DEALS) == []
    office.hook("inbound", "17.3", "74950000009")
    assert len(asked(office, DEALS)) == 1


@pytest.mark.parametrize(
    "other",
    [{"active": False}, {"contact": 8}, {"contact": None, "company": 7}, {"contact": None}, {"responsible": 14}],
    ids=["closed", "another contact's", "of the company with that id", "nobody's", "its responsible dismissed"],
)
def test_a_deal_that_is_none_of_this_clients_leads_nowhere(office: Office, other: dict[str, Any]) -> None:
    with_a_deal(office, **other)
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"


def test_the_deals_of_a_company_count_as_well(office: Office) -> None:
    with_a_deal(office, contact=None, company=3, responsible=13)
    assert office.hook("inbound", "17.1", DID, caller="+74957654321")["B24_ROUTE"] == "103"


def test_a_stranger_is_not_led_by_the_deals_of_others(office: Office) -> None:
    with_a_deal(office)
    reply = office.hook("inbound", "17.1", DID, caller=STRANGER)
    assert (reply["B24_ROUTE"], reply["B24_STATE"]) == ("", "registered")


def test_a_deal_the_registration_makes_is_not_taken_for_one_that_was_there(office: Office) -> None:
    office.portal.seed({"settings": {"crm_mode": "simple", "repeat_leads": True}})
    rule(office, "order", "deal")
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == ""
    assert [deal["contact"] for deal in office.known()["deals"]] == [7]  # it was made
    eventually(lambda: office.call("17.1").deals == [])


def test_a_webhook_without_the_right_to_deals_registers_and_routes_and_is_asked_once(office: Office) -> None:
    with_a_deal(office)
    office.portal.seed({"settings": {"webhook_scopes": ["telephony", "user"]}})
    for n in range(3):
        reply = office.hook("inbound", f"17.{n}", DID)
        assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("registered", "101")
    assert "open deals are not known" in told(office, "17.0")["route"]
    assert len(asked(office, DEALS)) == 1
    assert office.service.client.health.well


@pytest.mark.parametrize(
    "fault", [{"kind": "error", "description": "boom"}, {"kind": "not_found"}, {"kind": "blocked"}],
    ids=["error", "old portal", "working time"],
)  # fmt: skip
def test_deals_that_are_refused_harm_neither_registration_nor_card_nor_route(
    office: Office, fault: dict[str, Any]
) -> None:
    with_a_deal(office)
    office.portal.faults([{"method": DEALS, "times": -1, **fault}])
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("registered", "101")
    eventually(lambda: office.known()["open_cards"])


def test_deals_that_used_up_their_working_time_hold_no_later_call_up(office: Office) -> None:
    with_a_deal(office)
    office.portal.faults([{"method": DEALS, "times": 1, "kind": "blocked"}])
    for n in range(3):
        assert office.hook("inbound", f"17.{n}", DID)["B24_STATE"] == "registered"
    assert len(asked(office, DEALS)) == 1


def test_deals_too_slow_for_the_caller_are_left_out_of_the_request(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"deadline": 0.6})
    with_a_deal(office)
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"
    for _ in range(60):  # the portal's lists have become slow
        office.service.client.durations.record(DEALS, 5.0)
    reply = office.hook("inbound", "17.2", DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("registered", "102")  # as told a moment ago
    assert len(asked(office, DEALS)) == 1


def test_with_answer_cache_the_deal_seen_lately_decides(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"answer": "cache"})
    with_a_deal(office)
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"
    office.portal.faults([{"method": "*", "kind": "slow", "times": 1, "delay_s": 1.0}])
    reply = office.hook("inbound", "17.2", DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("deferred", "102")


# --- the last talker, the lists ------------------------------------------------------------------------


def test_who_talked_last_is_rung_next_time(office: Office) -> None:
    rule(office, "order", "talker responsible")
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    office.hook("answer", "17.1", "103")
    office.hook("hangup", "17.1", "in", DIALSTATUS="ANSWER", CONNECTED="103")
    eventually(lambda: office.service.talks.last(CLIENT))
    before = office.known()["http_requests"]
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE"] == "103"
    assert office.known()["http_requests"] <= before + 2  # the second is the first call's finish
    assert "last talker" in told(office, "17.2")["route"]


def test_what_was_talked_before_the_rule_and_the_restart_is_known_too(make_office: Callable[..., Office]) -> None:
    first = make_office()
    for n, (caller, extension) in enumerate([(CLIENT, "102"), (CLIENT, "103"), (STRANGER, "101")]):
        first.hook("inbound", f"17.{n}", DID, caller=caller)
        first.hook("answer", f"17.{n}", extension)
        first.hook("hangup", f"17.{n}", "in", caller=caller, DIALSTATUS="ANSWER", CONNECTED=extension)
        first.until(f"17.{n}", "complete")
    second = make_office()
    assert second.service.talks.last(CLIENT) is None  # nobody asked
    rule(second, "order", "talker")
    eventually(lambda: second.service.talks.last(STRANGER))
    assert second.hook("inbound", "17.8", DID)["B24_ROUTE"] == "103"
    assert second.hook("inbound", "17.9", DID, caller=STRANGER)["B24_ROUTE"] == "101"


def test_a_rule_that_looks_further_back_finds_what_an_earlier_one_did_not(office: Office) -> None:
    at, own = time.time() - 9 * 86400, {"own_channel": True, "client_number": CLIENT}
    office.service.journal.append([
        Event("16.1", Kind.INBOUND, at, own), Event("16.1", Kind.ANSWER, at + 5, {"extension": "103"}),
        Event("16.1", Kind.HANGUP, at + 60, own),
    ])  # fmt: skip
    rule(office, "talker_days", "7")
    rule(office, "order", "talker responsible")
    office.service.talks.look()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert "nobody talked to this number within 7 days" in told(office, "17.1")["route"]
    rule(office, "talker_days", "10")
    office.service.talks.look()
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE"] == "103"


def test_of_more_numbers_than_fit_those_are_known_that_talked_last(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itgrix_bx.talks._MOST", 2)
    monkeypatch.setattr("itgrix_bx.talks._OVERLAP", 0)  # as if the past were long past
    first = make_office()

    def talk(office: Office, call_id: str, caller: str) -> None:
        office.hook("inbound", call_id, DID, caller=caller)
        office.hook("answer", call_id, "102")
        office.hook("hangup", call_id, "in", caller=caller, DIALSTATUS="ANSWER", CONNECTED="102")
        office.until(call_id, "complete")

    talk(first, "17.1", STRANGER)
    talk(first, "17.2", CLIENT)
    second = make_office()
    rule(second, "order", "talker")
    eventually(lambda: second.service.talks.last(STRANGER))
    talk(second, "17.3", "+79160000077")
    eventually(lambda: second.service.talks.last("+79160000077"))
    assert second.service.talks.last(CLIENT)
    assert second.service.talks.last(STRANGER) is None


def test_a_silent_portal_does_not_keep_a_client_from_who_talked_to_them(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"deadline": 0.4})
    rule(office, "order", "talker responsible")
    office.hook("inbound", "17.1", DID)
    office.hook("answer", "17.1", "103")
    office.hook("hangup", "17.1", "in", DIALSTATUS="ANSWER", CONNECTED="103")
    eventually(lambda: office.service.talks.last(CLIENT))
    office.until("17.1", "complete")
    office.portal.faults([{"method": "*", "kind": "html503", "times": -1}])
    began = time.monotonic()
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE"] == "103"
    assert time.monotonic() - began < 0.5
    assert "the portal could not say who has this number" in told(office, "17.2")["route"]


def test_the_lists_decide_before_everything_else(office: Office) -> None:
    stored = Routing(office.service.database)
    stored.put(VIP, Entry(CLIENT, ("ext:103",)))
    stored.put(BLACK, Entry("company:3"))
    office.service.rules.look()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "103"
    reply = office.hook("inbound", "17.2", DID, caller="+74957654321")
    assert (reply["B24_ROUTE"], reply["B24_STATE"], reply["B24_CLIENT"]) == ("", "registered", "ООО «Ромашка»")


def test_with_the_database_away_the_last_rules_stay_in_force(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    from sql.database import DatabaseAwayError

    rule(office, "order", "user:13")

    def away(*_: object) -> str:
        raise DatabaseAwayError("gone")

    monkeypatch.setattr(Routing, "version", away)
    office.service.rules.look()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "103"


def test_deals_are_given_up_for_a_while_and_asked_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "_NO_DEALS_S", 0.0)
    with_a_deal(office)
    office.portal.faults([{"method": DEALS, "times": 1, "kind": "not_found"}])
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE"] == "102"


# --- who stands for whom -------------------------------------------------------------------------------


def test_the_deputy_of_an_absent_manager_then_the_head_then_the_lines_user(office: Office) -> None:
    staff, now = Staff(office.service.database), time.time()
    rule(office, "order", "responsible deputy head line")
    rule(office, "absence", "on")
    LineRules(office.service.database).set(Line(DID, default_user=1))
    staff.map_extension("200", 1)
    staff.add_absence(11, Period(now - 60, now + 600))
    staff.set_deputy(11, 12)
    staff.set_head(11, 13)
    office.service.employees.reread()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"
    until = datetime.fromtimestamp(now + 600).strftime("%d.%m.%Y %H:%M")
    assert told(office, "17.1")["route"] == (
        f"contact 7 → responsible, ext. 101 → absent until {until} → deputy, ext. 102 "
        "→ ring 15 s, then the normal route (all lines: order, absence)"
    )
    staff.add_absence(12, Period())
    office.service.employees.reread()
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE"] == "103"
    staff.add_absence(13, Period())
    office.service.employees.reread()
    assert office.hook("inbound", "17.3", DID)["B24_ROUTE"] == "200"
    assert "line's default user, ext. 200" in told(office, "17.3")["route"]


def test_a_deputy_is_not_rung_whose_workday_another_clients_call_told_to_be_over(office: Office) -> None:
    office.portal.seed({
        "users": [{"id": n, "name": "N", "extension": f"10{n - 10}", "workday": "CLOSED"} for n in (11, 12)],
        "contacts": [{"id": 90, "name": "Other", "phones": [STRANGER], "responsible": 12}],
    })  # fmt: skip
    rule(office, "order", "responsible deputy")
    Staff(office.service.database).set_deputy(11, 12)
    office.service.employees.reread()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"  # nothing is known of him yet
    office.hook("inbound", "17.2", DID, caller=STRANGER)
    assert office.hook("inbound", "17.3", DID)["B24_ROUTE"] == ""
    assert "deputy, ext. 102 → workday ended → the normal route" in told(office, "17.3")["route"]


def test_a_structure_with_a_circle_ends(office: Office) -> None:
    staff = Staff(office.service.database)
    rule(office, "order", "responsible deputy head")
    rule(office, "absence", "on")
    for one, other in ((11, 12), (12, 13), (13, 11)):
        staff.set_deputy(one, other)
        staff.set_head(one, other)
        staff.add_absence(one, Period())
    office.service.employees.reread()
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_ROUTE"], reply["B24_STATE"]) == ("", "registered")
    assert "round in a circle (deputy)" in told(office, "17.1")["route"]


def test_a_trunks_rules_hold_for_calls_without_a_number_of_their_own(office: Office) -> None:
    rule(office, "seconds", "40", did="trunk/x")
    assert office.hook("inbound", "17.1")["B24_ROUTE_SECONDS"] == "40"
    rule(office, "seconds", "50", did=DID)
    assert office.hook("inbound", "17.2", DID)["B24_ROUTE_SECONDS"] == "50"


def test_all_rules_together_cost_no_request_of_their_own(office: Office) -> None:
    for name, words in {
        "order": "talker deal responsible deputy head line user:12 ext:103", "device": "free", "absence": "on",
        "hours": "mon-sun 00:00-24:00", "timezone": "Europe/Moscow", "holidays": "2001-01-01", "clients": "all",
        "prefer": "company contact", "seconds": "7",
    }.items():  # fmt: skip
        rule(office, name, words)
    phones(office, _101="busy", _102="dnd")
    before = office.known()["http_requests"]
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_ROUTE"], reply["B24_ROUTE_SECONDS"]) == ("103", "7")
    assert office.known()["http_requests"] == before + 1
