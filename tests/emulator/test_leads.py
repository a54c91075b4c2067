"""Leads added and listed by the older methods, as the portal's double has them."""

from __future__ import annotations

from typing import Any

LEAD = {
    "TITLE": "Иван +79161234567", "ASSIGNED_BY_ID": 12, "SOURCE_ID": "WEB", "CONTACT_ID": 7,
    "PHONE": [{"VALUE": "+79161234567", "VALUE_TYPE": "WORK"}], "ORIGINATOR_ID": "itgrix-bx", "ORIGIN_ID": "17.1",
}  # fmt: skip


def test_a_lead_is_added_each_time_it_is_asked_for_and_is_found_by_its_number(api: Any) -> None:
    numbers = [api.ok("crm.lead.add", fields=LEAD) for _ in range(2)]
    assert all(isinstance(number, int) for number in numbers)
    assert len(set(numbers)) == 2
    found = api.ok("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+79161234567")
    assert [entity["CRM_ENTITY_TYPE"] for entity in found] == ["CONTACT", "LEAD"]
    assert api.ok("crm.lead.list", filter={"ORIGIN_ID": "17.1"}, select=["ID"]) == [{"ID": str(n)} for n in numbers]
    assert api.ok("crm.lead.list", filter={"ORIGIN_ID": "17.2"}) == []


def test_a_field_that_is_not_known_is_no_condition_and_a_source_neither(api: Any) -> None:
    api.ok("crm.lead.add", fields=LEAD | {"SOURCE_ID": "NONSENSE"})
    (row,) = api.ok("crm.lead.list", filter={"ORIGINID": "x"})
    assert (row["ASSIGNED_BY_ID"], row["SOURCE_ID"], row["CONTACT_ID"]) == ("12", "", "7")


def test_fields_must_be_a_map_and_the_right_is_crm(api: Any) -> None:
    assert api.refused("crm.lead.add", fields="x") == (400, "", "Parameter 'fields' must be array.")
    api.settings(webhook_scopes=["telephony"])
    for method in ("crm.lead.add", "crm.lead.list"):
        assert api.refused(method, fields=LEAD)[1] == "insufficient_scope"
