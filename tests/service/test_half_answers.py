"""A portal that answers half of what was asked: the caller is routed by what is known, or by the normal route, and the
explanation says what was missing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bx24client import BitrixError
from itgrix_bx.calls import policy
from itgrix_bx.calls.directory import Period
from itgrix_bx.report import details
from sql import Staff
from sql.routing import Routing
from tests.service.conftest import DID, Office, eventually

SEARCH, REGISTER = "telephony.externalCall.searchCrmEntities", "telephony.externalCall.register"
DEALS, STRUCTURE, CALENDAR, USERS = "crm.item.list", "department.get", "calendar.accessibility.get", "user.get"
ANNA = {"ID": "11", "TIMEMAN_STATUS": "OPENED", "USER_PHONE_INNER": "101"}
CONTACT: dict[str, Any] = {
    "CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": "7", "ASSIGNED_BY_ID": "11", "NAME": "Иван", "ASSIGNED_BY": ANNA,
}  # fmt: skip


def rules(office: Office, **words: str) -> None:
    for name, said in words.items():
        policy.parse(name, [said])
        Routing(office.service.database).set("", name, said)
    office.service.rules.look()


def fault(office: Office, method: str, kind: str = "error", **more: Any) -> None:
    office.portal.faults([{"method": method, "kind": kind, "times": -1, **more}])


def why(office: Office, call_id: str) -> str:
    eventually(lambda: office.call(call_id).routed)
    directory = office.service.employees.directory
    told = details(office.call(call_id), office.service.journal.events(call_id), directory, office.settings, "en")
    return str(told["route"])


def found(office: Office, *rows: Any) -> None:
    """The search answers with these rows."""
    fault(office, SEARCH, "result", result=list(rows))


# --- the caller's own request --------------------------------------------------------------------------


@pytest.fixture
def by_deal(office: Office) -> Office:
    rules(office, order="deal responsible")
    office.portal.seed({"deals": [{"id": 55, "name": "Поставка", "contact": 7, "responsible": 12}]})
    return office


def test_the_search_answered_and_the_deals_did_not(by_deal: Office) -> None:
    fault(by_deal, DEALS)
    assert by_deal.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert why(by_deal, "17.1").startswith("contact 7 → open deals are not known → responsible, ext. 101 → ring")


def test_the_deals_answered_and_the_search_did_not(by_deal: Office) -> None:
    fault(by_deal, SEARCH)
    reply = by_deal.hook("inbound", "17.1", DID)
    assert (reply["B24_ROUTE"], reply["B24_STATE"], reply["B24_RC"]) == ("", "deferred", "ok")
    assert why(by_deal, "17.1").startswith("the portal could not say who has this number → the normal route")
    by_deal.portal.faults([])
    by_deal.hook("hangup", "17.1", "in")
    by_deal.until("17.1", "complete")


def test_the_search_answered_and_the_registration_did_not(by_deal: Office) -> None:
    fault(by_deal, REGISTER)
    reply = by_deal.hook("inbound", "17.1", DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"], reply["B24_RC"]) == ("deferred", "101", "ok")
    assert "open deals are not known" in why(by_deal, "17.1")  # what stands behind a refusal is not run


def test_all_answered_but_the_whole_came_too_late(by_deal: Office) -> None:
    by_deal.portal.faults(
        [{"method": "*", "kind": "slow", "times": 1, "delay_s": 1.0 + by_deal.settings.inbound.deadline}]
    )
    assert by_deal.hook("inbound", "17.1", DID)["B24_ROUTE"] == ""
    assert why(by_deal, "17.1").startswith("the portal was not heard in time → the normal route")


def test_a_portal_that_does_not_answer_at_all_is_not_waited_for_and_memory_serves(by_deal: Office) -> None:
    assert by_deal.hook("inbound", "17.0", DID)["B24_ROUTE"] == "102"
    fault(by_deal, "*", "html503")
    eventually(lambda: by_deal.hook("inbound", f"18.{time.monotonic()}", DID)["B24_RC"] and not _prompt(by_deal))
    assert by_deal.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"
    assert why(by_deal, "17.1").startswith("the portal does not answer: as remembered → contact 7 → deal 55, ext. 102")
    assert by_deal.hook("inbound", "17.2", DID, caller="+79995550000")["B24_ROUTE"] == ""
    assert why(by_deal, "17.2").startswith("the portal does not answer and was not waited for → the normal route")


def _prompt(office: Office) -> bool:
    return office.service.client.health.prompt


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["nonsense", 7, None, [1], CONTACT], "contact 7 → responsible, ext. 101 → ring"),
        ([{"CRM_ENTITY_TYPE": "DEAL", "CRM_ENTITY_ID": "1"}, CONTACT], "contact 7 → responsible, ext. 101 → ring"),
        ([CONTACT | {"CRM_ENTITY_ID": 10**30}, CONTACT | {"NAME": ["x"]}], "contact 7 → responsible, ext. 101 → ring"),
        ([CONTACT | {"ASSIGNED_BY": False}], "contact 7 → responsible, ext. 101 → workday not known → ring"),
        ([CONTACT | {"ASSIGNED_BY": "Anna"}], "contact 7 → responsible, ext. 101 → workday not known → ring"),
        ([CONTACT | {"ASSIGNED_BY": ANNA | {"TIMEMAN_STATUS": None}}], "ext. 101 → workday not known → ring"),
        ([CONTACT | {"ASSIGNED_BY": ANNA | {"TIMEMAN_STATUS": {"a": 1}}}], "ext. 101 → workday not known → ring"),
        ([CONTACT | {"ASSIGNED_BY": ANNA | {"USER_PHONE_INNER": [1]}}], "contact 7 → responsible, ext. 101 → ring"),
        ([CONTACT | {"ASSIGNED_BY": {}, "ASSIGNED_BY_ID": None}], "contact 7 → no responsible → the normal route"),
        (
            [CONTACT | {"ASSIGNED_BY": {}, "ASSIGNED_BY_ID": "-5"}],
            "not among the portal's employees → the normal route",
        ),
        ([], "nobody in the CRM has this number → the normal route"),
    ],
)
def test_wrong_types_among_what_the_search_found(office: Office, rows: list[Any], says: str) -> None:
    found(office, *rows)
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_RC"], reply["B24_ROUTE"]) == ("ok", "101" if "ring" in says else "")
    assert says in why(office, "17.1")


@pytest.mark.parametrize("result", [True, 5, "text", 0.5])
def test_a_search_that_is_no_list_leads_to_the_normal_route(office: Office, result: object) -> None:
    fault(office, SEARCH, "result", result=result)
    reply = office.hook("inbound", "17.1", DID)
    assert (reply["B24_RC"], reply["B24_ROUTE"]) == ("ok", "")
    assert why(office, "17.1").startswith("the portal could not say who has this number")


DEAL = {"id": 55, "title": "x", "assignedById": 12, "contactId": 7}


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"items": ["nonsense", None, DEAL]}, "contact 7 → deal 55, ext. 102 → ring"),
        ({"items": [DEAL | {"assignedById": []}, DEAL | {"id": "55"}]}, "contact 7 → deal 55, ext. 102 → ring"),
        ({"items": [DEAL | {"contactId": {}, "companyId": None}]}, "contact 7 → no open deal → responsible, ext. 101"),
        ({"items": 5}, "contact 7 → open deals are not known → responsible, ext. 101 → ring"),
        ({}, "contact 7 → no open deal → responsible, ext. 101 → ring"),
        (False, "contact 7 → open deals are not known → responsible, ext. 101 → ring"),
    ],
)
def test_wrong_types_among_the_deals(by_deal: Office, result: object, says: str) -> None:
    fault(by_deal, DEALS, "result", result=result)
    reply = by_deal.hook("inbound", "17.1", DID)
    assert (reply["B24_RC"], reply["B24_STATE"]) == ("ok", "registered")
    assert why(by_deal, "17.1").startswith(says)


# --- what was asked beforehand ---------------------------------------------------------------------------


@pytest.fixture
def structured(office: Office) -> Office:
    """Anna's head is Boris; she is away now, by the portal's calendar."""
    office.portal.seed({
        "settings": {"webhook_scopes": ["telephony", "crm", "user", "department", "calendar"]},
        "users": [{"id": 11, "name": "Анна", "extension": "101", "departments": [5]}],
        "departments": [{"id": 5, "name": "Продажи", "head": 12}],
        "absences": [{"id": 1, "user": 11, "since": time.time() - 60, "until": time.time() + 3600}],
    })  # fmt: skip
    rules(office, order="responsible head", absence="on")
    return office


def sync(office: Office) -> tuple[str, ...]:
    gaps = office.service.employees.sync().gaps
    office.service.employees.reread()
    return gaps


def test_all_of_it_answered(structured: Office) -> None:
    assert sync(structured) == ()
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"
    assert "absent until" in why(structured, "17.1")


@pytest.mark.parametrize(
    "how",
    [{"kind": "error"}, {"kind": "blocked"}, {"kind": "result", "result": False},
     {"kind": "result", "result": [{"ID": "5"}, "nonsense"]}, {"kind": "result", "result": [{"NAME": "no id"}]}],
)  # fmt: skip
def test_the_structure_was_not_told(structured: Office, how: dict[str, Any]) -> None:
    fault(structured, STRUCTURE, **how)
    assert len(sync(structured)) == 1
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == ""
    assert "no head (the structure could not be read from the portal) → the normal route" in why(structured, "17.1")


@pytest.mark.parametrize(
    "how", [{"kind": "error"}, {"kind": "result", "result": 5},
            {"kind": "result", "result": {"Anna": [{"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": 1,
                                                    "DATE_TO_TS_UTC": 9}]}}],
)  # fmt: skip
def test_the_absences_were_not_told(structured: Office, how: dict[str, Any]) -> None:
    fault(structured, CALENDAR, **how)
    assert len(sync(structured)) == 1
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert "ext. 101 → absences could not be read from the portal → ring" in why(structured, "17.1")


def test_rights_that_were_not_given_are_a_choice_and_said_by_doctor_not_with_every_call(structured: Office) -> None:
    structured.portal.seed({"settings": {"webhook_scopes": ["telephony", "crm", "user"]}})
    Staff(structured.service.database).add_absence(11, Period())
    assert len(sync(structured)) == 2
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == ""
    assert why(structured, "17.1").startswith("contact 7 → responsible, ext. 101 → absent → no head → the normal route")


def test_what_was_told_before_stays_in_use(structured: Office) -> None:
    sync(structured)
    fault(structured, STRUCTURE)
    assert len(sync(structured)) == 1
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == "102"


@pytest.mark.parametrize(
    "events",
    [
        ["nonsense", None, {"ACCESSIBILITY": "absent"}],
        [{"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": [], "DATE_TO_TS_UTC": "soon"}],
        [{"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": "1", "DATE_TO_TS_UTC": "999999999999999999"}],
        [{"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": 10**30, "DATE_TO_TS_UTC": 10**31}],
        False,
    ],
)
def test_odd_events_in_a_calendar_keep_nobody_from_a_call(structured: Office, events: Any) -> None:
    fault(structured, CALENDAR, "result", result={"11": events})
    sync(structured)
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert why(structured, "17.1")


@pytest.mark.parametrize("number", [10**30, -1, "0", "1e9", None, {}])
def test_an_odd_department_or_head_is_no_head(structured: Office, number: Any) -> None:
    row = {"ID": "5", "NAME": "x", "UF_HEAD": number, "PARENT": number}
    fault(structured, STRUCTURE, "result", result=[row])
    sync(structured)
    assert structured.hook("inbound", "17.1", DID)["B24_ROUTE"] == ""


@pytest.mark.parametrize(
    "rows", [[{"ID": "11", "ACTIVE": True}, "nonsense"], [{"ACTIVE": True}], [{"ID": 10**30}], 5, []],
)  # fmt: skip
def test_a_list_of_users_cut_short_or_odd_leaves_the_last_one_in_use(office: Office, rows: Any) -> None:
    fault(office, USERS, "result", result=rows)
    with pytest.raises(BitrixError):
        office.service.employees.sync()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"


def test_before_the_employees_were_read_the_search_is_believed_and_that_is_said(office: Office) -> None:
    fault(office, USERS)
    with office.service.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    office.service.employees.reread()
    assert office.hook("inbound", "17.1", DID)["B24_ROUTE"] == "101"
    assert why(office, "17.1").startswith("the employees have not been read from the portal yet → contact 7 → resp")
