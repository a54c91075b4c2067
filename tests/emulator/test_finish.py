"""telephony.externalCall.finish: the order of its steps and what a repetition does."""

from __future__ import annotations

import threading
from typing import Any

import pytest

FINISH = "telephony.externalCall.finish"
STRANGER = "+79035550001"
GONE = (400, "", "Call is not found (call should be registered prior to finishing")


def test_a_finished_call_has_a_row_and_an_activity_and_is_gone(api: Any) -> None:
    call_id = api.register(EXTERNAL_CALL_ID="a", LINE_NUMBER="line-1")
    answer = api.ok(FINISH, CALL_ID=call_id, USER_ID=11, DURATION=95, ADD_TO_CHAT=0)
    assert answer["CALL_START_DATE"] == {}
    assert (answer["CALL_STATUS"], answer["CALL_FAILED_CODE"], answer["INCOMING"]) == (1, "200", "2")
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"], answer["CRM_ACTIVITY_ID"]) == ("CONTACT", 7, 1)
    assert (answer["REST_APP_NAME"], answer["PORTAL_NUMBER"]) == (False, "line-1")
    state = api.state()
    assert state["calls"] == []
    assert [activity["origin_id"] for activity in state["activities"]] == [f"VI_{call_id}"]
    assert state["statistics"][0]["EXTERNAL_CALL_ID"] == "a"


def test_without_a_client_there_is_no_activity_and_the_answer_says_so(api: Any) -> None:
    call_id = api.register(PHONE_NUMBER=STRANGER)
    answer = api.ok(FINISH, CALL_ID=call_id, USER_ID=11, DURATION=5)
    assert answer["CRM_ACTIVITY_ID"] is False
    assert answer["ERRORS"] == {"ACTIVITY_CREATION": "Could not find associated crm entity for the current call"}
    assert "CRM_ENTITY_TYPE" not in answer
    assert len(api.state()["statistics"]) == 1


def test_a_client_made_during_the_call_is_found_at_its_end(api: Any) -> None:
    call_id = api.register(PHONE_NUMBER=STRANGER)
    api.control("seed", {"leads": [{"id": 5, "name": "Новый", "phones": ["8 903 555-00-01"]}]})
    assert api.ok(FINISH, CALL_ID=call_id, USER_ID=11)["CRM_ENTITY_ID"] == 5


def test_a_second_finish_is_refused_with_the_portals_missing_bracket(api: Any) -> None:
    call_id = api.finished()
    assert api.refused(FINISH, CALL_ID=call_id, USER_ID=11) == GONE
    assert len(api.state()["statistics"]) == 1


def test_two_finishes_at_once_make_two_rows_and_two_activities(api: Any) -> None:
    call_id = api.register()
    api.settings(finish_delete_delay_s=1.0)
    threads = [
        threading.Thread(target=lambda: api.ok(FINISH, CALL_ID=call_id, USER_ID=11, DURATION=5)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = api.state()
    assert (len(state["statistics"]), len(state["activities"]), state["calls"]) == (2, 2, [])


@pytest.mark.parametrize(
    ("at_register", "at_finish"),
    [({"PHONE_NUMBER": "+7916123456700000000000"}, {}), ({}, {"FAILED_REASON": "x" * 256}),
     ({}, {"COST_CURRENCY": "x" * 51}), ({}, {"RECORD_URL": "https://a.example/" + "x" * 2000})],
)  # fmt: skip
def test_a_poisoned_finish_leaves_one_more_activity_every_time(
    api: Any, at_register: dict[str, Any], at_finish: dict[str, Any]
) -> None:
    call_id = api.register(**at_register, CRM_ENTITY_TYPE="CONTACT", CRM_ENTITY_ID=7)
    for times in (1, 2):
        status, code, text = api.refused(FINISH, CALL_ID=call_id, USER_ID=11, **at_finish)
        assert (status, code) == (400, "")
        assert text.startswith("Unexpected database error; ")
        state = api.state()
        assert (len(state["activities"]), len(state["statistics"]), len(state["calls"])) == (times, 0, 1)


def test_cost_and_vote_are_kept(api: Any) -> None:
    call_id = api.register()
    answer = api.ok(FINISH, CALL_ID=call_id, USER_ID=11, COST="1.5", COST_CURRENCY="RUB", VOTE=5)
    assert (answer["COST"], answer["COST_CURRENCY"], answer["CALL_VOTE"]) == (1.5, "RUB", 5)
    assert api.state()["statistics"][0]["COST"] == "1.5000"


def test_a_reason_of_just_the_width_passes(api: Any) -> None:
    call_id = api.register()
    assert api.ok(FINISH, CALL_ID=call_id, USER_ID=11, FAILED_REASON="ы" * 255)["CALL_FAILED_REASON"] == "ы" * 255


def test_who_finishes_must_be_active(api: Any) -> None:
    call_id = api.register()
    assert api.refused(FINISH, CALL_ID=call_id, USER_ID=14)[2] == "User is not found or is not active"
    assert api.refused(FINISH, CALL_ID=call_id)[2] == "USER_ID or USER_PHONE_INNER should be set"
    assert len(api.state()["calls"]) == 1


def test_a_call_id_that_is_no_text_has_its_own_error(api: Any) -> None:
    for wrong in (None, 5, {"a": "b"}):
        refused = api.refused(FINISH, CALL_ID=wrong, USER_ID=11)
        assert refused == (400, "INVALID_ARGUMENT", "CALL_ID must be a string")


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [({"DURATION": 5}, "200", 1), ({}, "304", 0), ({"DURATION": 5, "STATUS_CODE": "304"}, "304", 1),
     ({"STATUS_CODE": "200"}, "200", 0), ({"STATUS_CODE": "OTHER"}, "OTHER", 0), ({"DURATION": "12abc"}, "200", 1)],
)  # fmt: skip
def test_status_and_duration_are_independent(api: Any, given: dict[str, Any], code: str, status: int) -> None:
    answer = api.ok(FINISH, CALL_ID=api.register(), USER_ID=11, **given)
    assert (answer["CALL_FAILED_CODE"], answer["CALL_STATUS"]) == (code, status)


@pytest.mark.parametrize(("kind", "missed", "completed"), [(2, True, False), (3, False, True), (1, False, True)])
def test_only_type_2_leaves_an_open_missed_call(api: Any, kind: int, missed: bool, completed: bool) -> None:
    api.ok(FINISH, CALL_ID=api.register(TYPE=kind), USER_ID=11, STATUS_CODE="304")
    activity = api.state()["activities"][0]
    assert (activity["missed_call"], activity["completed"]) == (missed, completed)


def test_a_finish_by_another_user_takes_what_was_created_and_leaves_the_cards_of_others(api: Any) -> None:
    call_id = api.register(PHONE_NUMBER=STRANGER, CRM_CREATE=1, SHOW=1)
    api.ok("telephony.externalCall.show", CALL_ID=call_id, USER_ID=[12, 13])
    api.ok(FINISH, CALL_ID=call_id, USER_ID=12, DURATION=5)
    state = api.state()
    assert state["leads"][0]["responsible"] == 12
    assert state["statistics"][0]["PORTAL_USER_ID"] == "12"
    assert [card["user_id"] for card in state["open_cards"]] == [11, 13]


def test_an_existing_client_keeps_their_manager(api: Any) -> None:
    api.ok(FINISH, CALL_ID=api.register(), USER_ID=12, DURATION=5)
    assert api.state()["contacts"][0]["responsible"] == 11


@pytest.mark.parametrize(
    ("given", "in_chat"), [({}, False), ({"ADD_TO_CHAT": "false"}, True), ({"ADD_TO_CHAT": 0}, False)]
)
def test_the_chat_is_off_unless_asked_and_the_text_false_asks(api: Any, given: dict[str, Any], in_chat: bool) -> None:
    api.ok(FINISH, CALL_ID=api.register(), USER_ID=11, **given)
    assert api.state()["statistics"][0]["in_chat"] is in_chat
