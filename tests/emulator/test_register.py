"""telephony.externalCall.register: what is refused, what is the same call, what is created."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

REGISTER = "telephony.externalCall.register"
FINISH = "telephony.externalCall.finish"
CLIENT = "+79161234567"
STRANGER = "+79035550001"
BASE = {"USER_ID": 11, "PHONE_NUMBER": CLIENT, "TYPE": 2, "SHOW": 0}
Ago = Callable[[float], str]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"USER_ID": 0}, "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_ID": None, "USER_PHONE_INNER": "999"}, "USER_ID or USER_PHONE_INNER should be set"),
        ({"USER_ID": None, "USER_PHONE_INNER": "104"}, "USER_ID or USER_PHONE_INNER should be set"),
        ({"TYPE": 9}, "Unknown TYPE"),
        ({"TYPE": None}, "Unknown TYPE"),
        ({"CALL_START_DATE": "yesterday evening"}, "CALL_START_DATE should be in the ISO-8601 format"),
        ({"CALL_START_DATE": "1700000000"}, "CALL_START_DATE should be in the ISO-8601 format"),
        ({"PHONE_NUMBER": "anonymous"}, "Unsupported phone number format"),
        ({"PHONE_NUMBER": ""}, "Unsupported phone number format"),
        ({"USER_ID": 14}, "User is not found or is not active"),
        ({"USER_ID": 999}, "User is not found or is not active"),
    ],
)
def test_what_is_wrong_is_refused_in_the_portals_words(api: Any, change: dict[str, Any], text: str) -> None:
    assert api.refused(REGISTER, **(BASE | change)) == (400, "", text)
    assert api.state()["calls"] == []


def test_a_call_of_a_known_client_is_bound_to_the_contact(api: Any) -> None:
    answer = api.ok(REGISTER, **BASE, CRM_CREATE=1)
    assert answer["CALL_ID"].startswith("externalCall.")
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("CONTACT", 7)
    assert (answer["CRM_CREATED_LEAD"], answer["CRM_CREATED_ENTITIES"]) == (None, [])


def test_an_unknown_client_becomes_a_lead_when_asked(api: Any) -> None:
    plain = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": STRANGER})
    assert (plain["CRM_ENTITY_TYPE"], plain["CRM_ENTITY_ID"]) == ("", None)
    made = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": "+79035550002"}, CRM_CREATE=1)
    assert made["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": 1}]
    assert (made["CRM_CREATED_LEAD"], made["CRM_ENTITY_TYPE"], made["CRM_ENTITY_ID"]) == (1, "LEAD", 1)


def test_a_crm_without_leads_gets_a_contact_and_a_deal(api: Any) -> None:
    api.settings(crm_mode="simple")
    made = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": STRANGER}, CRM_CREATE=1)
    assert [entity["ENTITY_TYPE"] for entity in made["CRM_CREATED_ENTITIES"]] == ["CONTACT", "DEAL"]


def test_a_known_client_gets_a_repeat_lead_only_where_the_portal_wants_it_and_never_outgoing(api: Any) -> None:
    api.settings(repeat_leads=True)
    assert api.ok(REGISTER, **BASE | {"TYPE": 1}, CRM_CREATE=1)["CRM_CREATED_LEAD"] is None
    assert api.ok(REGISTER, **BASE, CRM_CREATE=1)["CRM_CREATED_LEAD"] == 1
    assert api.ok(REGISTER, **BASE | {"USER_ID": 12}, CRM_CREATE=1)["CRM_CREATED_LEAD"] is None


def test_an_employees_number_makes_no_lead_but_the_call_is_registered(api: Any) -> None:
    answer = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": "102"}, CRM_CREATE=1)
    assert answer["LEAD_CREATION_ERROR"] == "Lead creation is disabled for local users"
    assert answer["CALL_ID"]
    assert api.state()["leads"] == []


def test_a_number_on_the_exclusion_list_makes_no_lead(api: Any) -> None:
    api.settings(excluded_numbers=["8 903 555-00-01"])
    assert api.ok(REGISTER, **BASE | {"PHONE_NUMBER": STRANGER}, CRM_CREATE=1)["CRM_CREATED_ENTITIES"] == []


def test_empty_entity_parameters_bind_a_bogus_client_and_stop_the_search(api: Any) -> None:
    answer = api.ok(REGISTER, **BASE, CRM_ENTITY_TYPE="", CRM_ENTITY_ID="")
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("", 0)


def test_a_call_bound_to_a_bogus_client_has_no_activity_in_the_end(api: Any) -> None:
    call_id = api.register(CRM_ENTITY_TYPE="", CRM_ENTITY_ID="")
    assert "ERRORS" in api.ok(FINISH, CALL_ID=call_id, USER_ID=11, DURATION=5)


def test_letters_are_stripped_and_nothing_else_is_made_equal(api: Any) -> None:
    api.register(PHONE_NUMBER="tel: +7 (916) 123-45-67")
    api.register(PHONE_NUMBER="79161234567")
    assert [call["phone_number"] for call in api.state()["calls"]] == ["+79161234567", "79161234567"]


def test_an_inner_number_stands_for_its_active_user(api: Any) -> None:
    api.register(USER_ID=None, USER_PHONE_INNER="102")
    assert api.state()["calls"][0]["user_id"] == 12


def test_an_unknown_line_is_made_and_a_long_one_is_cut(api: Any) -> None:
    api.register(LINE_NUMBER="  " + "7" * 60)
    assert api.ok("telephony.externalLine.get") == [{"NUMBER": "7" * 50, "NAME": "", "CRM_AUTO_CREATE": "Y"}]


def test_an_external_id_too_long_for_its_column_is_a_database_error(api: Any) -> None:
    assert api.refused(REGISTER, **BASE, EXTERNAL_CALL_ID="x" * 65) == (500, "ERROR_CORE", "SQL query error!")
    assert api.state()["calls"] == []


def test_the_same_call_is_found_again_and_its_answer_says_false(api: Any) -> None:
    first = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": STRANGER})
    again = api.ok(REGISTER, **BASE | {"PHONE_NUMBER": STRANGER})
    assert again["CALL_ID"] == first["CALL_ID"]
    assert (first["CRM_ENTITY_TYPE"], again["CRM_ENTITY_TYPE"]) == ("", False)


@pytest.mark.parametrize("change", [{"USER_ID": 12}, {"PHONE_NUMBER": "89161234567"}, {"TYPE": 1}])
def test_another_user_number_or_type_is_another_call(api: Any, change: dict[str, Any]) -> None:
    assert api.register() != api.register(**change)


def test_line_and_external_id_count_only_when_they_are_sent(api: Any) -> None:
    first = api.register(LINE_NUMBER="L1", EXTERNAL_CALL_ID="a")
    assert api.register() == first
    assert api.register(LINE_NUMBER="L1", EXTERNAL_CALL_ID="a") == first
    assert api.register(EXTERNAL_CALL_ID="b") != first
    assert api.register(LINE_NUMBER="L2") != first


def test_two_calls_of_one_client_without_external_id_fall_into_one(api: Any) -> None:
    assert api.register() == api.register()
    assert len(api.state()["calls"]) == 1


def test_the_window_is_measured_from_the_start_of_the_call(api: Any, ago: Ago) -> None:
    recent = api.register(CALL_START_DATE=ago(29))
    assert api.register() == recent
    api.emulator.advance(120)
    assert api.register() != recent


def test_a_call_registered_late_is_never_found_again(api: Any, ago: Ago) -> None:
    assert api.register(CALL_START_DATE=ago(31)) != api.register(CALL_START_DATE=ago(31))


def test_after_finish_the_same_call_gets_a_new_id(api: Any) -> None:
    assert api.finished(EXTERNAL_CALL_ID="a") != api.register(EXTERNAL_CALL_ID="a")


def test_a_repeated_registration_shows_the_card_again_and_changes_nothing_else(api: Any) -> None:
    first = api.register(SHOW=1)
    api.register(SHOW=1, CRM_CREATE=1)
    state = api.state()
    assert [(card["call_id"], card["user_id"], card["action"]) for card in state["cards"]] == [(first, 11, "show")] * 2
    assert len(state["calls"]) == 1


def test_two_registrations_at_the_same_moment_both_succeed(api: Any) -> None:
    api.settings(register_race_s=0.5)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(api.register(EXTERNAL_CALL_ID="a"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 2


def test_a_start_date_without_zone_is_the_portals_time(api: Any) -> None:
    call_id = api.finished(CALL_START_DATE="2026-09-21 12:00:00.75")
    row = api.ok("voximplant.statistic.get", FILTER={"CALL_ID": call_id})[0]
    assert row["CALL_START_DATE"] == "2026-09-21T12:00:00+03:00"
    at_sign = api.finished(CALL_START_DATE="@1700000000")
    row = api.ok("voximplant.statistic.get", FILTER={"CALL_ID": at_sign})[0]
    assert row["CALL_START_DATE"] == "2023-11-15T01:13:20+03:00"
