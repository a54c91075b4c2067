"""Open deals, asked for in the chain of one call."""

from __future__ import annotations

import pytest

from bx24client import Bitrix24, Deal, Ref, UnreadableAnswer, telephony
from bx24client.deals import open_deals
from itgrix_bx.emulator.portal import PortalEmulator


def test_the_deals_of_the_client_found_come_in_the_same_request() -> None:
    deals = [
        {"id": 5, "name": "Old", "contact": 7, "active": False},
        {"id": 6, "name": "First", "contact": 7, "responsible": 12},
        {"id": 8, "name": "Second", "contact": 7, "responsible": 13},
        {"id": 9, "name": "Other", "contact": 8},
    ]
    with PortalEmulator(seed={"deals": deals}, rate=0) as portal, Bitrix24(portal.webhook_url) as client:
        chain = {
            "search": telephony.search_crm_entities("+79161234567"),
            "deals": open_deals(Ref("search", "0", "CRM_ENTITY_ID")),
        }
        found = client.batch(chain, halt=True)["deals"]
        assert portal.dump()["http_requests"] == 1
    assert found == [Deal(8, "Second", 13, 7, None), Deal(6, "First", 12, 7, None)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"items": []}, []),
        ({"items": [{"id": "6", "assignedById": "0", "contactId": None}]}, [Deal(6, "", None, None, None)]),
        ({"items": [{"title": "no id"}, {"id": 7}]}, [Deal(7, "", None, None, None)]),
        ({"items": [5, {"id": 7}]}, [Deal(7, "", None, None, None)]),
        ([], []),
    ],
)
def test_what_is_missing_in_an_answer_is_none(answer: object, expected: list[Deal]) -> None:
    assert open_deals(7).read(answer) == expected


@pytest.mark.parametrize("answer", ["nonsense", {"items": "x"}])
def test_an_answer_of_another_shape_is_said_to_be_one(answer: object) -> None:
    with pytest.raises(UnreadableAnswer):
        open_deals(7).read(answer)
