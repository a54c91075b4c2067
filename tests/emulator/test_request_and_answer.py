"""How the portal reads a request and words an answer."""

from __future__ import annotations

from typing import Any

REGISTER = "telephony.externalCall.register"
SEARCH = "telephony.externalCall.searchCrmEntities"
CLIENT = "+79161234567"


def test_a_json_body_a_form_body_and_a_query_say_the_same(api: Any) -> None:
    by_json = api.post(SEARCH, {"PHONE_NUMBER": CLIENT}).json()["result"]
    by_form = api.post(SEARCH, data={"PHONE_NUMBER": CLIENT}).json()["result"]
    by_query = api.session.get(f"{api.emulator.webhook_url}{SEARCH}.json/?PHONE_NUMBER=%2B79161234567").json()["result"]
    assert by_json == by_form == by_query
    assert by_json[0]["CRM_ENTITY_ID"] == 7


def test_the_body_wins_over_the_query(api: Any) -> None:
    assert api.post(f"{SEARCH}?PHONE_NUMBER=1", {"PHONE_NUMBER": CLIENT}).json()["result"]


def test_a_malformed_json_body_is_swallowed_and_the_method_runs_without_it(api: Any) -> None:
    answer = api.post(SEARCH, data=b'{"PHONE_NUMBER": "+79161234567"', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "", "error_description": "PHONE_NUMBER is empty"})


def test_json_under_another_content_type_is_taken_for_a_form(api: Any) -> None:
    answer = api.post(SEARCH, data=b'{"PHONE_NUMBER":"+79161234567"}', headers={"Content-Type": "text/plain"})
    assert answer.json()["error_description"] == "PHONE_NUMBER is empty"


def test_lower_case_names_of_telephony_parameters_are_not_seen(api: Any) -> None:
    assert api.refused(SEARCH, phone_number=CLIENT) == (400, "", "PHONE_NUMBER is empty")
    answer = api.refused(REGISTER, user_id=11, phone_number=CLIENT, type=2)
    assert answer == (400, "", "USER_ID or USER_PHONE_INNER should be set")


def test_method_names_are_read_without_case(api: Any) -> None:
    assert api.post(SEARCH.upper(), {"PHONE_NUMBER": CLIENT}).json()["result"]


def test_a_plus_in_an_unencoded_query_is_a_space(api: Any) -> None:
    call_id = api.post(f"{REGISTER}?USER_ID=11&PHONE_NUMBER=+79161234567&TYPE=2").json()["result"]["CALL_ID"]
    assert [call["phone_number"] for call in api.state()["calls"] if call["call_id"] == call_id] == ["79161234567"]


def test_the_text_false_and_the_letter_n_are_true(api: Any) -> None:
    for number, value in enumerate(("false", "N", "1")):
        api.register(PHONE_NUMBER=f"+7903000000{number}", SHOW=value, CRM_CREATE=value)
    state = api.state()
    assert (len(state["cards"]), len(state["leads"])) == (3, 3)


def test_zero_and_an_empty_text_are_false_and_a_missing_show_is_true(api: Any) -> None:
    for number, value in enumerate(("0", 0, False, "")):
        api.register(PHONE_NUMBER=f"+7903000000{number}", SHOW=value, CRM_CREATE=value)
    assert (api.state()["cards"], api.state()["leads"]) == ([], [])
    api.register(PHONE_NUMBER="+79030000009", SHOW=None)
    assert len(api.state()["cards"]) == 1


def test_a_success_tells_the_time_and_an_error_does_not(api: Any) -> None:
    time = api.post(SEARCH, {"PHONE_NUMBER": CLIENT}).json()["time"]
    assert isinstance(time["start"], int)
    assert isinstance(time["finish"], float)
    assert "operating" not in time
    assert "time" not in api.post(SEARCH, {}).json()


def test_json_is_escaped_as_php_does_it_and_unicode_is_not(api: Any) -> None:
    api.control("seed", {"contacts": [{"id": 70, "name": "<b>\"Иван\" & 'К°'/\\", "phones": ["+79030000001"]}]})
    answer = api.post(SEARCH, {"PHONE_NUMBER": "+79030000001"})
    assert r'"\u003Cb\u003E\u0022Иван\u0022 \u0026 \u0027К°\u0027\/\\"' in answer.text
    assert answer.json()["result"][0]["NAME"] == "<b>\"Иван\" & 'К°'/\\"


def test_an_empty_map_leaves_as_a_list(api: Any) -> None:
    assert api.ok("crm.duplicate.findbycomm", type="PHONE", values=["+70000000000"]) == []
    assert api.ok("crm.duplicate.findbycomm", type="PHONE", values=["8 (916) 123-45-67"]) == {"CONTACT": [7]}


def test_the_documented_error_code_can_be_switched_on(api: Any) -> None:
    api.settings(doc_error_codes=True)
    assert api.refused(SEARCH) == (400, "ERROR_CORE", "PHONE_NUMBER is empty")


def test_numbers_of_findbycomm_that_are_no_texts_are_skipped(api: Any) -> None:
    assert api.ok("crm.duplicate.findbycomm", type="PHONE", values=[79161234567]) == []
    assert api.refused("crm.duplicate.findbycomm", values=["1"])[2] == "Communication type is not defined."


def test_many_requests_of_one_connection_and_chunked_bodies_are_served(api: Any) -> None:
    def chunks() -> Any:
        yield b'{"PHONE_NUMBER":'
        yield b'"+79161234567"}'

    for _ in range(3):
        answer = api.post(SEARCH, data=chunks(), headers={"Content-Type": "application/json"})
        assert answer.json()["result"][0]["CRM_ENTITY_ID"] == 7
