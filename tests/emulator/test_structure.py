"""The company's structure, calendars and dictionaries as the portal's double tells them."""

from __future__ import annotations

from typing import Any

AWAY = "calendar.accessibility.get"
DAY = "2026-09-21"
NOON = 1_790_000_000.0  # 2026-09-21 17:13 in the portal's zone


def tree(api: Any) -> None:
    api.settings(webhook_scopes=["telephony", "user", "department", "calendar", "crm"])
    nodes = [{"id": 1, "name": "Office", "head": 1}, {"id": 5, "name": "Sales", "parent": 1}]
    events = [
        {"id": 1, "user": 11, "since": NOON, "until": NOON + 3600},
        {"id": 2, "user": 11, "since": NOON, "until": NOON + 60, "accessibility": "busy"},
        {"id": 3, "user": 11, "since": NOON + 9 * 86400, "until": NOON + 10 * 86400},
    ]
    api.control("seed", {"departments": nodes, "absences": events})


def test_a_department_without_a_head_or_a_parent_says_nothing_of_it(api: Any) -> None:
    tree(api)
    found = api.ok("department.get", sort="ID", order="DESC")
    assert found == [
        {"ID": "5", "NAME": "Sales", "SORT": 500, "PARENT": "1"},
        {"ID": "1", "NAME": "Office", "SORT": 500, "UF_HEAD": "1"},
    ]
    assert [row["ID"] for row in api.ok("department.get", PARENT=1)] == ["5"]
    assert [row["ID"] for row in api.ok("department.get", UF_HEAD=1)] == ["1"]


def test_departments_come_in_pages_of_fifty(api: Any) -> None:
    tree(api)
    api.control("seed", {"departments": [{"id": n, "name": f"D{n}"} for n in range(100, 160)]})
    answer = api.post("department.get", {"start": 50, "sort": "ID"}).json()
    assert (len(answer["result"]), answer["total"], "next" in answer) == (12, 62, False)


def test_calendars_tell_of_the_days_that_were_asked_for_by_user(api: Any) -> None:
    tree(api)
    found = api.ok(AWAY, users=[11, 12], **{"from": DAY, "to": DAY})
    assert [(event["ID"], event["ACCESSIBILITY"]) for event in found["11"]] == [("1", "absent"), ("2", "busy")]
    assert found["11"][0]["DATE_FROM_TS_UTC"] == str(int(NOON))
    assert found["12"] == []
    text = 'The required parameter "from" for the method "calendar.accessibility.get" is not set'
    assert api.refused(AWAY, users=[11], to=DAY) == (400, "", text)


def test_each_needs_a_right_of_its_own(api: Any) -> None:
    api.settings(webhook_scopes=["telephony", "user"])
    for method in ("department.get", AWAY, "crm.status.list"):
        assert api.refused(method, users=[11], **{"from": DAY, "to": DAY})[1] == "insufficient_scope"


def test_sources_are_one_dictionary_of_several(api: Any) -> None:
    everything = api.ok("crm.status.list")
    sources = api.ok("crm.status.list", filter={"ENTITY_ID": "SOURCE"})
    assert {row["ENTITY_ID"] for row in sources} == {"SOURCE"}
    assert len(everything) > len(sources)
    assert "CALL" in {row["STATUS_ID"] for row in sources}
