"""Cards, the search for clients, lines, employees and statistics."""

from __future__ import annotations

from typing import Any

import pytest

CARD = "telephony.externalCall."
SEARCH = "telephony.externalCall.searchCrmEntities"
STATISTICS = "voximplant.statistic.get"
LINE = "telephony.externalLine."


def test_cards_open_and_close_for_one_user_or_many(api: Any) -> None:
    call_id = api.register(SHOW=1)
    assert api.ok(CARD + "show", CALL_ID=call_id, USER_ID=[12, "13"]) is True
    assert api.ok(CARD + "hide", CALL_ID=call_id, USER_ID=12) is True
    assert api.ok(CARD + "hide", CALL_ID=call_id) is True
    state = api.state()
    steps = [(card["user_id"], card["action"]) for card in state["cards"]]
    assert steps == [(11, "show"), (12, "show"), (13, "show"), (12, "hide"), (11, "hide")]
    assert [(card["call_id"], card["user_id"]) for card in state["open_cards"]] == [(call_id, 13)]


def test_a_card_of_an_unknown_or_finished_call_is_false_and_no_error(api: Any) -> None:
    call_id = api.finished()
    assert api.ok(CARD + "show", CALL_ID=call_id, USER_ID=12) is False
    assert api.ok(CARD + "hide", CALL_ID="externalCall.x.1") is False
    assert api.ok(CARD + "hide") is False
    assert [card["action"] for card in api.state()["cards"]] == ["hide"]


def test_the_search_gives_one_of_each_type_in_the_portals_order(api: Any) -> None:
    many = [{"id": number, "name": f"К{number}", "phones": ["+79160000001"]} for number in (9, 8)]
    api.control("seed", {"contacts": many, "leads": many, "companies": many})
    found = api.ok(SEARCH, PHONE_NUMBER="8 916 000-00-01")
    kinds = [(entity["CRM_ENTITY_TYPE"], entity["CRM_ENTITY_ID"]) for entity in found]
    assert kinds == [("CONTACT", 8), ("LEAD", 8), ("COMPANY", 8)]


def test_the_search_tells_the_managers_extension_and_workday(api: Any) -> None:
    api.control("seed", {"users": [{"id": 11, "name": "Анна", "extension": "101", "workday": "PAUSED"}]})
    (entity,) = api.ok(SEARCH, PHONE_NUMBER="+79161234567")
    assert entity["ASSIGNED_BY_ID"] == 11
    assert entity["ASSIGNED_BY"]["ID"] == "11"
    assert entity["ASSIGNED_BY"]["TIMEMAN_STATUS"] == "PAUSED"
    assert entity["ASSIGNED_BY"]["USER_PHONE_INNER"] == "101"


def test_a_closed_lead_is_no_longer_found(api: Any) -> None:
    api.control("seed", {"leads": [{"id": 5, "name": "Лид", "phones": ["+79160000001"], "active": False}]})
    assert api.ok(SEARCH, PHONE_NUMBER="+79160000001") == []


def test_nobody_is_found_by_a_stranger_or_a_number_without_country(api: Any) -> None:
    assert api.ok(SEARCH, PHONE_NUMBER="+79990000000") == []
    assert api.ok(SEARCH, PHONE_NUMBER="9161234567") == []
    assert api.refused(SEARCH, PHONE_NUMBER="") == (400, "", "PHONE_NUMBER is empty")


def test_a_webhook_may_add_a_line_twice_where_the_portal_lets_it(api: Any) -> None:
    api.settings(lines_repeat=True)
    for _ in range(2):
        api.ok(LINE + "add", NUMBER="74950000001")
    assert [line["NUMBER"] for line in api.ok(LINE + "get")] == ["74950000001"] * 2


def test_lines_are_added_changed_and_removed(api: Any) -> None:
    number = api.ok(LINE + "add", NUMBER=" 74950000001 ", NAME="Главная")["ID"]
    assert api.refused(LINE + "add", NUMBER="74950000001") == (400, "", "Line already exists")
    assert api.ok(LINE + "update", NUMBER="74950000001", CRM_AUTO_CREATE="N") == {"ID": str(number)}
    assert api.ok(LINE + "get") == [{"NUMBER": "74950000001", "NAME": "Главная", "CRM_AUTO_CREATE": "N"}]
    assert api.ok(LINE + "delete", NUMBER="74950000001") == []
    assert api.ok(LINE + "get") == []


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("add", {}, "NUMBER should not be empty"),
        ("update", {"NUMBER": "1"}, "There are no fields to update"),
        ("update", {"NUMBER": "1", "NAME": "x"}, "Could not find line with number 1"),
        ("delete", {"NUMBER": "1"}, "Could not find line with number 1"),
    ],
)
def test_wrong_lines_are_refused_in_the_portals_words(api: Any, method: str, params: dict[str, Any], text: str) -> None:
    assert api.refused(LINE + method, **params) == (400, "", text)


def test_statistics_are_texts_and_the_record_is_a_number(api: Any) -> None:
    call_id = api.finished(EXTERNAL_CALL_ID="a")
    (row,) = api.ok(STATISTICS, FILTER={"EXTERNAL_CALL_ID": "a"})
    assert row["CALL_ID"] == call_id
    assert (row["ID"], row["PORTAL_USER_ID"], row["CALL_DURATION"], row["CALL_TYPE"]) == ("1", "11", "95", "2")
    assert (row["COST"], row["CALL_CATEGORY"], row["RECORD_FILE_ID"]) == ("0.0000", "external", None)
    assert "in_chat" not in row


def test_no_hit_has_a_total_of_zero(api: Any) -> None:
    body = api.post(STATISTICS, {"FILTER": {"CALL_ID": "externalCall.x.1"}}).json()
    assert (body["result"], body["total"]) == ([], 0)


def test_an_unknown_field_of_the_filter_is_dropped_and_everything_comes_back(api: Any) -> None:
    for name in ("a", "b"):
        api.finished(EXTERNAL_CALL_ID=name)
    assert len(api.ok(STATISTICS, FILTER={"EXTERNALCALLID": "a"})) == 2
    assert len(api.ok(STATISTICS, FILTER={"~EXTERNAL_CALL_ID": "a"})) == 2
    assert len(api.ok(STATISTICS, filter={"external_call_id": "a"})) == 1


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({">=CALL_DURATION": 20}, [20, 30]),
        ({"<CALL_DURATION": "20"}, [10]),
        ({"!CALL_DURATION": 20}, [10, 30]),
        ({"CALL_DURATION": [10, 30]}, [10, 30]),
        ({"><CALL_DURATION": [15, 25]}, [20]),
        ({"!><CALL_DURATION": [15, 25]}, [10, 30]),
        ({"%EXTERNAL_CALL_ID": "X2"}, [20]),
        ({"!%EXTERNAL_CALL_ID": "x2"}, [10, 30]),
        ({">CALL_START_DATE": "2020-01-01T00:00:00+03:00", "PORTAL_USER_ID": "11"}, [10, 20, 30]),
    ],
)
def test_operators_of_the_statistics_filter(api: Any, condition: dict[str, Any], found: list[int]) -> None:
    for seconds in (30, 10, 20):
        call_id = api.register(EXTERNAL_CALL_ID=f"x{seconds}")
        api.ok("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=11, DURATION=seconds)
    rows = api.ok(STATISTICS, FILTER=condition, SORT="CALL_DURATION", ORDER="ASC")
    assert [int(row["CALL_DURATION"]) for row in rows] == found


def test_pages_hold_fifty_and_the_order_must_be_in_capitals(api: Any) -> None:
    for number in range(53):
        api.finished(EXTERNAL_CALL_ID=str(number))
    first = api.post(STATISTICS, {"SORT": "ID", "ORDER": "DESC"}).json()
    assert (len(first["result"]), first["total"], first["next"], first["result"][0]["ID"]) == (50, 53, 50, "53")
    last = api.post(STATISTICS, {"SORT": "ID", "ORDER": "desc", "start": 51}).json()
    assert ([row["ID"] for row in last["result"]], "next" in last) == (["52", "53"], False)
    uncounted = api.post(STATISTICS, {"start": -1}).json()
    assert (uncounted["total"], "next" in uncounted) == (0, False)


def test_employees_come_with_dates_forgotten_and_flags_as_they_are(api: Any) -> None:
    users = api.ok("user.get", FILTER={"USER_TYPE": "employee"}, sort="ID", order="ASC")
    anna, gleb = users[1], users[-1]
    assert (anna["ID"], anna["NAME"], anna["LAST_NAME"], anna["UF_PHONE_INNER"]) == ("11", "Анна", "Иванова", "101")
    assert (anna["TIMESTAMP_X"], anna["ACTIVE"], gleb["ACTIVE"]) == ({}, True, False)
    assert [user["ID"] for user in api.ok("user.get", FILTER={"UF_PHONE_INNER": "102"})] == ["12"]
    assert len(api.ok("user.get", ACTIVE=True)) == 4


def test_an_unknown_filter_field_gives_all_employees_and_no_hit_gives_no_total(api: Any) -> None:
    assert len(api.ok("user.get", FILTER={"PHONE": "1"})) == 5
    assert "total" not in api.post("user.get", {"FILTER": {"ID": 999}}).json()


@pytest.mark.parametrize(("scope", "phone"), [("user_basic", "+74950000002"), ("user_brief", None)])
def test_the_narrowest_right_tells_inner_numbers_only(api: Any, scope: str, phone: str | None) -> None:
    api.control("seed", {"users": [{"id": 12, "name": "Б", "extension": "102", "work_phone": "+74950000002"}]})
    api.settings(webhook_scopes=[scope])
    (user,) = api.ok("user.get", FILTER={"ID": 12})
    assert (user["UF_PHONE_INNER"], user["WORK_PHONE"]) == ("102", phone)


def test_a_hundred_employees_come_on_three_pages(api: Any) -> None:
    api.control("seed", {"users": [{"id": number, "name": f"Имя{number}"} for number in range(100, 205)]})
    pages = [api.post("user.get", {"sort": "ID", "order": "ASC", "start": start}).json() for start in (0, 50, 100)]
    assert [len(page["result"]) for page in pages] == [50, 50, 10]
    assert [page.get("next") for page in pages] == [50, 100, None]
    assert len({user["ID"] for page in pages for user in page["result"]}) == 110


def test_the_portal_tells_about_itself(api: Any) -> None:
    assert api.ok("user.current")["ID"] == "1"
    assert api.ok("profile")["ADMIN"] is True
    assert api.ok("app.info")["LICENSE"].endswith("_selfhosted")
    assert "telephony" in api.ok("scope")
    assert api.ok("method.get", name="user.get") == {"isExisting": True, "isAvailable": True}
    assert api.ok("method.get", name="no.such") == {"isExisting": False, "isAvailable": False}
    assert api.ok("server.time").endswith("+03:00")
