"""What a line's rules do to real calls: register's parameters, who gets the lead, the name on the phone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from bx24client import crm
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.lines import Leads, Line, Lines
from itgrix_bx.delivery import schedule, trouble
from itgrix_bx.emulator.portal import PortalEmulator
from sql import LineRules
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

ID = "1700000000.1"
REGISTER = "telephony.externalcall.register"
ROMASHKA = {"id": 90, "name": 'ООО "Рога\n& копыта"', "phones": [STRANGER], "responsible": 12}


def rule(office: Office, line: Line) -> None:
    """Say so to the running program, and wait until it has noticed."""
    LineRules(office.service.database).set(line)
    eventually(lambda: office.service.employees.lines.by_did.get(line.did) == line)


def registered(office: Office) -> list[dict[str, str]]:
    """The parameters of every register the portal got, as texts, which a batch makes of them."""
    asked = [request["params"] for request in office.known()["requests"] if request["method"].lower() == REGISTER]
    return [{name: str(value) for name, value in params.items()} for params in asked]


def lead(office: Office) -> dict[str, Any]:
    (found,) = office.known()["leads"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def sales(make_office: Callable[..., Office], database_url: str) -> Office:
    """A line that has rules, on both databases."""
    office = make_office(database={"url": database_url})
    rule(office, Line(DID, "office", "Продажи", "WEB", 13))
    return office


def test_a_strangers_lead_has_the_lines_source_and_goes_to_who_answered(sales: Office) -> None:
    before = sales.known()["http_requests"]
    sales.hook("inbound", ID, DID, caller=STRANGER)
    assert sales.known()["http_requests"] == before + 1  # all of it in the one round trip
    assert (lead(sales)["source"], lead(sales)["responsible"]) == ("WEB", 13)
    sales.hook("ring", ID, "101-102")
    sales.hook("answer", ID, "102")
    sales.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="102", caller=STRANGER)
    sales.until(ID, "complete")
    (row,) = sales.statistics()
    assert (row["PORTAL_NUMBER"], row["PORTAL_USER_ID"], lead(sales)["responsible"]) == ("office", "12", 12)


def test_a_strangers_lead_that_nobody_took_is_the_lines_default_users(sales: Office) -> None:
    sales.hook("inbound", ID, DID, caller=STRANGER)
    sales.hook("ring", ID, "101-102")
    sales.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    call = sales.until(ID, "complete")
    assert (call["user_id"], lead(sales)["responsible"], sales.statistics()[0]["CALL_FAILED_CODE"]) == (13, 13, "304")


def test_a_hangup_alone_comes_under_the_lines_rules(sales: Office) -> None:
    sales.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", FROM_DID=DID, caller=STRANGER)
    sales.until(ID, "complete")
    assert (lead(sales)["source"], lead(sales)["responsible"]) == ("WEB", 13)
    assert sales.statistics()[0]["PORTAL_NUMBER"] == "office"


def test_a_line_that_wants_no_leads_gets_none(office: Office) -> None:
    rule(office, Line(DID, "office", source="WEB", leads=Leads.NONE))
    office.hook("inbound", ID, DID, caller=STRANGER)
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    office.until(ID, "complete")
    assert office.known()["leads"] == []
    assert [params["CRM_CREATE"] for params in registered(office)] == ["0"]


def test_a_trunks_rules_hold_where_a_call_comes_without_a_did(office: Office) -> None:
    rule(office, Line("trunk/telecom", "T1"))
    office.hook("inbound", ID, env={"agi_channel": "PJSIP/telecom-0000001a"})
    assert office.call(ID).trunk == "telecom"
    eventually(lambda: [params.get("LINE_NUMBER") for params in registered(office)] == ["T1"])


def test_a_retry_repeats_the_parameters_byte_for_byte_whatever_the_rules_say_by_then(
    office: Office, portal: PortalEmulator
) -> None:
    rule(office, Line(DID, "office", source="WEB", default_user=13))
    portal.faults([{"method": REGISTER, "kind": "html502", "after_effect": True}])
    office.hook("inbound", ID, DID, caller=STRANGER)
    rule(office, Line(DID, "sales", source="EMAIL", default_user=12, leads=Leads.NONE))
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    office.until(ID, "complete")
    first, *others = registered(office)
    assert others
    assert all(params == first for params in others)
    assert (first["LINE_NUMBER"], first["CRM_SOURCE"], first["USER_ID"]) == ("office", "WEB", "13")
    assert (lead(office)["responsible"], office.statistics()[0]["PORTAL_NUMBER"]) == (13, "office")


def test_a_default_user_who_was_dismissed_does_not_keep_calls_from_the_portal(office: Office) -> None:
    rule(office, Line(DID, "office", default_user=14))
    assert office.hook("inbound", ID, DID, caller=STRANGER)["B24_STATE"] == "registered"
    assert lead(office)["responsible"] == 1


def test_rules_change_with_the_next_call_and_without_a_restart(office: Office) -> None:
    office.hook("inbound", ID, DID, caller=STRANGER)
    rule(office, Line(DID, "office"))
    office.hook("inbound", "1700000000.2", DID, caller=STRANGER)
    eventually(lambda: [params.get("LINE_NUMBER") for params in registered(office)] == [None, "office"])


def test_a_phone_shows_what_the_lines_template_says_without_quotes_and_controls(office: Office) -> None:
    office.portal.seed({"contacts": [ROMASHKA]})
    line = Line(DID, "office", "Продажи", caller_name="{client} / {line}")
    assert "CALLERID(name)" not in office.hook("inbound", ID, DID, caller=STRANGER)  # off unless it is said
    rule(office, line)
    reply = office.hook("inbound", "1700000000.2", DID, caller=STRANGER)
    assert reply["CALLERID(name)"] == "ООО Рога & копыта / Продажи"
    assert (list(reply)[-1], reply["B24_ROUTE"]) == ("B24_RC", "102")
    rule(office, replace(line, latin=True, longest=12))
    assert office.hook("inbound", "1700000000.3", DID, caller=STRANGER)["CALLERID(name)"] == "OOO Roga & k"


def test_an_unknown_caller_keeps_the_networks_name_unless_the_line_has_one(office: Office) -> None:
    rule(office, Line(DID, caller_name="{client}"))
    assert "CALLERID(name)" not in office.hook("inbound", ID, DID, caller=STRANGER)
    rule(office, Line(DID, name="Продажи", caller_name="{client} / {line}"))
    assert office.hook("inbound", "1700000000.2", DID, caller="+79990001123")["CALLERID(name)"] == "Продажи"


def test_the_name_is_set_by_inbound_alone_and_never_for_a_call_that_is_skipped(office: Office) -> None:
    rule(office, Line(DID, name="Продажи", caller_name="{client} / {line}"))
    assert office.hook("inbound", ID, DID)["CALLERID(name)"] == "Иван Клиентов / Продажи"
    assert "CALLERID(name)" not in office.hook("route", ID, DID)
    assert "CALLERID(name)" not in office.hook("inbound", "1700000000.2", DID, caller="anonymous")
    assert "CALLERID(name)" not in office.hook("outbound", "1700000000.3", CLIENT, "102", caller="102")


def test_a_portal_that_is_late_leaves_what_we_know_ourselves(make_office: Callable[..., Office]) -> None:
    office = make_office(inbound={"deadline": 0.2})
    rule(office, Line(DID, name="Продажи", caller_name="{client} / {line}"))
    office.portal.faults([{"method": "*", "kind": "slow", "delay_s": 1.0}])
    assert office.hook("inbound", ID, DID)["CALLERID(name)"] == "Продажи"


# --- a lead for a known client of whom nothing is open --------------------------------------------

EAGER = Line(DID, "office", source="WEB", leads=Leads.NOTHING_OPEN)


@pytest.fixture
def eager(make_office: Callable[..., Office], database_url: str) -> Office:
    """A line that wants a lead of every client of whom nothing is open, on both databases."""
    office = make_office(database={"url": database_url})
    rule(office, EAGER)
    return office


def talk(office: Office, call_id: str, caller: str = CLIENT) -> dict[str, Any]:
    """An answered call, to its end."""
    office.hook("inbound", call_id, DID, caller=caller)
    office.hook("ring", call_id, "102")
    office.hook("answer", call_id, "102")
    office.hook("hangup", call_id, "in", DIALSTATUS="ANSWER", CONNECTED="102", caller=caller)
    return office.until(call_id, "complete")


def told_lead(office: Office, call_id: str) -> dict[str, Any]:
    """What became of the lead."""
    (event,) = (e for e in office.service.journal.events(call_id) if e.kind is Kind.LEAD)
    return event.data


def test_a_known_client_of_whom_nothing_is_open_gets_a_lead_of_who_answered_and_only_one(eager: Office) -> None:
    talk(eager, ID)
    made = lead(eager)
    assert (made["responsible"], made["contact"], made["source"], made["phones"]) == (12, 7, "WEB", [CLIENT])
    assert tuple(made["origin"]) == ("itgrix-bx", ID)
    assert told_lead(eager, ID) == {"lead_id": made["id"]}
    talk(eager, "1700000000.2")
    assert lead(eager) == made
    assert told_lead(eager, "1700000000.2")["why"] == f"lead {made['id']} is open"


def test_an_open_deal_is_enough_and_a_closed_one_or_somebody_elses_is_not(office: Office) -> None:
    rule(office, EAGER)
    deal = {"id": 5, "name": "Окна", "responsible": 12, "contact": 7}
    office.portal.seed({"deals": [deal, deal | {"id": 6, "contact": None, "company": 7}]})
    talk(office, ID)
    assert (office.known()["leads"], told_lead(office, ID)) == ([], {"why": "deal 5 is open"})
    office.portal.seed({"deals": [deal | {"active": False}]})
    talk(office, "1700000000.2")
    assert lead(office)["contact"] == 7


def test_a_stranger_gets_the_lead_that_register_makes_and_no_other(office: Office) -> None:
    rule(office, EAGER)
    talk(office, ID, STRANGER)
    assert lead(office)["created_by_call"]
    assert not any(event.kind is Kind.LEAD for event in office.service.journal.events(ID))


@pytest.mark.parametrize("fault", ["lost_answer", "html502", "reset"])
@pytest.mark.parametrize("after_effect", [True, False])
def test_an_answer_that_was_lost_does_not_make_two_leads(office: Office, fault: str, after_effect: bool) -> None:
    rule(office, EAGER)
    office.portal.faults([{"method": "crm.lead.add", "kind": fault, "after_effect": after_effect}])
    talk(office, ID)
    assert told_lead(office, ID)["lead_id"] == lead(office)["id"]


@pytest.mark.parametrize("fault", ["slow", "reset"])
def test_two_calls_of_one_client_that_end_at_once_make_one_lead(
    eager: Office, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks while the other's lead is on its way finds nothing open, also where nobody waits for it."""
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 6.0)
    running = {"delay_s": 1.0} if fault == "slow" else {"works_on_s": 4.5}
    eager.portal.faults([{"method": "crm.lead.add", "kind": fault, "times": 1, **running}])
    both = [ID, "1700000000.2"]
    for call_id in both:
        eager.hook("inbound", call_id, DID)
        eager.hook("answer", call_id, "102")
    for call_id in both:
        eager.hook("hangup", call_id, "in", DIALSTATUS="ANSWER", CONNECTED="102")
    for call_id in both:
        eager.until(call_id, "complete")
    told = [told_lead(eager, call_id) for call_id in both]
    assert lead(eager)["id"] in [data.get("lead_id") for data in told]
    assert f"lead {lead(eager)['id']} is open" in [data.get("why") for data in told]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_program_that_died_while_it_added_a_lead_adds_no_second_one(
    make_office: Callable[..., Office], arrived: bool
) -> None:
    """The journal says that a request was about to leave; whether it did only the portal knows."""
    dead = make_office(frozenset({"agi"}))
    facts = Lines.of([EAGER]).facts(DID) | {"own_channel": True, "client_number": CLIENT, "did": DID}
    at, known = time.time() - 60, {"portal_call_id": "c", "entity_type": "CONTACT", "entity_id": 7}
    told = [(Kind.INBOUND, facts), (Kind.REGISTERED, known), (Kind.HANGUP, {"own_channel": True, "direction": "in"}),
            (Kind.FINISHED, {"activity_id": 1}), (Kind.LEADING, {"params": {}})]  # fmt: skip
    dead.service.journal.append([Event(ID, kind, at + n, data) for n, (kind, data) in enumerate(told)])
    if arrived:
        origin = {"ORIGINATOR_ID": "itgrix-bx", "ORIGIN_ID": ID, "PHONE": [{"VALUE": CLIENT}]}
        dead.service.client.execute(crm.add_lead(origin))
    office = make_office()
    office.until(ID, "complete")
    assert lead(office)["id"] == told_lead(office, ID)["lead_id"]
    assert bool(told_lead(office, ID).get("found_by_origin")) == arrived


def test_without_the_right_crm_there_is_no_lead_which_is_said_and_the_recording_does_not_wait(office: Office) -> None:
    rule(office, EAGER)
    office.record("a.wav")
    office.portal.seed({"settings": {"webhook_scopes": ["telephony", "user"]}})
    office.hook("inbound", ID, DID)
    office.hook("answer", ID, "102")
    recording = "/var/spool/asterisk/monitor/a.wav"
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="102", MIXMONITOR_FILENAME=recording)
    call = office.until(ID, "complete")
    assert (call["recording"]["state"], office.known()["leads"]) == ("uploaded", [])
    assert "lacks the scope crm" in told_lead(office, ID)["error"]


def test_a_webhook_that_is_refused_for_all_keeps_the_lead_for_when_it_works_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "_FOR_ALL_AGAIN_S", 1.0)
    rule(office, EAGER)
    office.portal.faults([{"method": "crm.lead.add", "kind": "auth", "times": 1}])
    talk(office, ID)
    assert told_lead(office, ID)["lead_id"] == lead(office)["id"]


def test_a_call_that_nobody_took_is_the_responsibles_lead(office: Office) -> None:
    rule(office, EAGER)
    office.hook("inbound", ID, DID)
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    office.until(ID, "complete")
    assert lead(office)["responsible"] == 11


def test_the_open_deal_is_on_the_phone_where_the_template_says_so_and_costs_no_request(office: Office) -> None:
    office.portal.seed({"deals": [{"id": 5, "name": "Окна", "responsible": 12, "contact": 7}]})
    rule(office, Line(DID, caller_name="{client}: {deal}"))
    before = office.known()["http_requests"]
    assert office.hook("inbound", ID, DID)["CALLERID(name)"] == "Иван Клиентов: Окна"
    assert office.known()["http_requests"] == before + 1


# --- two calls of one number at the same moment ---------------------------------------------------


def at_once(*hooks: Callable[[], dict[str, str]]) -> list[dict[str, str]]:
    """The answers of hooks that are called at the same moment."""
    with ThreadPoolExecutor(len(hooks)) as threads:
        return [made.result() for made in [threads.submit(hook) for hook in hooks]]


@pytest.mark.parametrize("leads", [Leads.LEAD, Leads.NOTHING_OPEN])
@pytest.mark.parametrize("programs", [1, 2])
def test_two_calls_of_one_unknown_number_in_the_same_second_make_one_lead(
    make_office: Callable[..., Office], database_url: str, leads: Leads, programs: int
) -> None:
    """The portal looks for a client and makes one without a lock."""
    offices = [make_office(database={"url": database_url}) for _ in range(programs)]
    offices[0].portal.seed({"settings": {"register_race_s": 0.3}})
    for office in offices:
        rule(office, Line(DID, "office", leads=leads))
    ids = [f"1700000000.{n}" for n in range(4)]
    began = time.monotonic()
    replies = at_once(*(
        lambda n=n, call_id=call_id: offices[n % programs].hook("inbound", call_id, DID, caller=STRANGER)
        for n, call_id in enumerate(ids)
    ))  # fmt: skip
    assert time.monotonic() - began < offices[0].settings.inbound.deadline + 0.5
    assert {reply["B24_RC"] for reply in replies} == {"ok"}
    for call_id in ids:
        offices[0].hook("hangup", call_id, "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    for call_id in ids:
        offices[0].until(call_id, "complete")
    known = offices[0].known()
    assert [found["phones"] for found in known["leads"]] == [[STRANGER]]
    assert len(known["statistics"]) == len(ids)


def test_two_calls_of_one_unknown_number_make_one_lead_while_the_journal_is_away(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    office = make_office()
    office.portal.seed({"settings": {"register_race_s": 0.3}})
    rule(office, Line(DID, "office", leads=Leads.LEAD))
    office.service.logbook.away_since = time.time()
    monkeypatch.setattr(office.service.logbook, "recover", lambda: None)
    ids = [f"1700000000.{n}" for n in range(4)]
    at_once(*(lambda call_id=call_id: office.hook("inbound", call_id, DID, caller=STRANGER) for call_id in ids))
    monkeypatch.undo()
    eventually(lambda: office.service.logbook.caught_up)
    for call_id in ids:
        office.hook("hangup", call_id, "in", DIALSTATUS="NOANSWER", caller=STRANGER)
    for call_id in ids:
        office.until(call_id, "complete")
    known = office.known()
    assert [found["phones"] for found in known["leads"]] == [[STRANGER]]
    assert len(known["statistics"]) == len(ids)


def test_a_number_has_its_turn_again_when_its_registration_was_answered(office: Office) -> None:
    for call_id in ("1700000000.1", "1700000000.2"):
        assert office.hook("inbound", call_id, DID, caller=STRANGER)["B24_STATE"] == "registered"


@pytest.mark.parametrize("programs", [1, 2])
def test_two_calls_of_one_known_client_that_end_in_the_same_second_make_one_lead(
    make_office: Callable[..., Office], database_url: str, programs: int
) -> None:
    offices = [make_office(database={"url": database_url}) for _ in range(programs)]
    for office in offices:
        rule(office, EAGER)
    offices[0].portal.faults([{"method": "crm.lead.add", "kind": "slow", "delay_s": 0.3, "times": -1}])
    ids = [f"1700000000.{n}" for n in range(4)]
    for call_id in ids:
        offices[0].hook("inbound", call_id, DID)
    at_once(*(
        lambda n=n, call_id=call_id: offices[n % programs].hook("hangup", call_id, "in", DIALSTATUS="NOANSWER")
        for n, call_id in enumerate(ids)
    ))  # fmt: skip
    for call_id in ids:
        offices[0].until(call_id, "complete")
    made = lead(offices[0])
    told = [told_lead(offices[0], call_id) for call_id in ids]
    assert [what["lead_id"] for what in told if "lead_id" in what] == [made["id"]]
    assert {what.get("why") for what in told} == {None, f"lead {made['id']} is open"}


def test_a_client_whose_other_call_is_being_registered_is_routed_as_ever(office: Office) -> None:
    office.portal.seed({"settings": {"register_race_s": 0.3}})
    replies = at_once(*(lambda n=n: office.hook("inbound", f"17.{n}", DID) for n in range(3)))  # type: ignore[misc]
    assert [reply["B24_ROUTE"] for reply in replies] == ["101"] * 3
    for n in range(3):
        eventually(lambda n=n: office.call(f"17.{n}").portal_call_id)
