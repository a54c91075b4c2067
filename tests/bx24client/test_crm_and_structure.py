"""Leads, sources, departments and absences as commands: what is sent, and what odd answers are read as."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from bx24client import UnreadableAnswer, crm, structure


def test_a_lead_that_could_not_be_found_again_is_not_added() -> None:
    fields = {"TITLE": "x", "ORIGINATOR_ID": "me", "ORIGIN_ID": "17.1"}
    command = crm.add_lead(fields)
    assert (command.read(91), command.read("91"), command.idempotent) == (91, 91, False)
    for missing in ("ORIGINATOR_ID", "ORIGIN_ID"):
        with pytest.raises(ValueError, match="cannot be added once"):
            crm.add_lead({key: value for key, value in fields.items() if key != missing})
    with pytest.raises(UnreadableAnswer):
        command.read([])


def test_leads_of_others_are_not_taken_for_ours_when_a_filter_was_not_understood() -> None:
    ours = {"ID": "5", "ORIGINATOR_ID": "me", "ORIGIN_ID": "17.1"}
    rows = [ours, ours | {"ID": "6", "ORIGIN_ID": "17.2"}, {"ID": "7"}]
    assert crm.leads_of("me", "17.1").read(rows) == [5]


def test_statuses_that_are_no_sources_are_left_out() -> None:
    rows = [{"ENTITY_ID": "SOURCE", "STATUS_ID": "CALL", "NAME": "Звонок"}, {"ENTITY_ID": "STATUS", "STATUS_ID": "NEW"}]
    assert crm.page(0).read(rows) == [crm.Source("CALL", "Звонок")]


@pytest.mark.parametrize("nothing", [{}, {"PARENT": None, "UF_HEAD": None}, {"PARENT": "0", "UF_HEAD": "0"}])
def test_a_department_without_head_and_parent_has_none(nothing: dict[str, Any]) -> None:
    assert structure.page(0).read([{"ID": "1", "NAME": "A"} | nothing]) == [structure.Department(1, "A", None, None)]
    with pytest.raises(UnreadableAnswer):
        structure.page(0).read([{"NAME": "A"}])


def test_only_events_that_say_absent_and_have_a_length_are_absences() -> None:
    event = {"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": "100", "DATE_TO_TS_UTC": "200"}
    odd = [event | {"ACCESSIBILITY": "busy"}, event | {"DATE_TO_TS_UTC": "100"}, event | {"DATE_FROM_TS_UTC": False}]
    command = structure.away([7, 9], date(2026, 9, 21), date(2026, 9, 22))
    assert command.params == {"users": [7, 9], "from": "2026-09-21", "to": "2026-09-22"}
    assert command.read({"7": [event, *odd], "9": []}) == [structure.Away(7, 100.0, 200.0)]
    assert command.read([]) == []  # an empty map arrives as a list


def test_many_calendars_are_asked_for_fifty_at_a_time_and_some_requests_together() -> None:
    groups = list(structure.batches(range(1, 2001), date(2026, 9, 21), date(2026, 9, 22)))
    assert [len(group) for group in groups] == [20, 20]
    asked = [user for group in groups for command in group.values() for user in command.params["users"]]
    assert asked == list(range(1, 2001))
