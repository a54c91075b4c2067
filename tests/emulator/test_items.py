"""`crm.item.list` of deals: nested filters, and what a reference that leads nowhere comes to."""

from __future__ import annotations

from typing import Any

import pytest

DEALS = [
    {"id": 5, "name": "Old", "contact": 7, "responsible": 11, "active": False},
    {"id": 6, "name": "Open", "contact": 7, "responsible": 12},
    {"id": 9, "name": "Company's", "company": 3, "responsible": 13},
]
EITHER = {"logic": "OR", "0": {"contactId": 7}, "1": {"companyId": 3}}


@pytest.fixture
def deals(api: Any) -> Any:
    assert api.control("seed", {"deals": DEALS}).status_code == 200
    return api


def ids(api: Any, **params: Any) -> list[int]:
    return [item["id"] for item in api.ok("crm.item.list", entityTypeId=2, **params)["items"]]


def test_filters_nest_with_and_and_or(deals: Any) -> None:
    assert ids(deals, filter={"0": EITHER}) == [5, 6, 9]
    assert ids(deals, filter={"0": EITHER, "closed": "N"}, order={"id": "DESC"}) == [9, 6]
    assert ids(deals, filter={"@contactId": [7, 8], "!=closed": "Y"}) == [6]


def test_only_what_is_selected_comes_back(deals: Any) -> None:
    found = deals.ok("crm.item.list", entityTypeId=2, filter={"closed": "N"}, select=["id", "assignedById"])
    assert found["items"] == [{"id": 6, "assignedById": 12}, {"id": 9, "assignedById": 13}]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"entityTypeId": 199}, "NOT_FOUND"),
        ({"filter": {"CONTACT_ID": 7}}, "INVALID_ARG_VALUE"),
        ({"filter": {"contactId": [{"CRM_ENTITY_ID": 7}]}}, "INVALID_ARG_VALUE"),
        ({"order": {"id": "sideways"}}, "INVALID_ARG_VALUE"),
        ({"order": {"ID": "ASC"}}, "INVALID_ARG_VALUE"),
    ],
)
def test_what_it_does_not_know_it_refuses(deals: Any, params: dict[str, Any], code: str) -> None:
    assert deals.refused("crm.item.list", **({"entityTypeId": 2} | params))[:2] == (400, code)


def test_it_needs_the_right_to_the_crm(deals: Any) -> None:
    deals.settings(webhook_scopes=["telephony"])
    assert deals.refused("crm.item.list", entityTypeId=2)[1] == "insufficient_scope"


def test_a_reference_to_nobody_found_lists_the_deals_of_everybody(deals: Any) -> None:
    search = "telephony.externalCall.searchCrmEntities?PHONE_NUMBER=%2B79990000000"
    listing = "crm.item.list?entityTypeId=2&filter[closed]=N&filter[contactId]=$result[search][0][CRM_ENTITY_ID]"
    result = deals.batch({"search": search, "deals": listing}, halt=1)["result"]
    assert result["search"] == []
    assert [item["id"] for item in result["deals"]["items"]] == [6, 9]
