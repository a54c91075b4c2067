"""batch: order, references, their traps, and what may not be inside."""

from __future__ import annotations

from typing import Any

import pytest

REGISTER = "telephony.externalCall.register?USER_ID=11&TYPE=2&SHOW=0&PHONE_NUMBER=%2B79161234567"
FINISH = "telephony.externalCall.finish?USER_ID=11&DURATION=5&CALL_ID="
BROKEN = "telephony.externalCall.register?USER_ID=14&TYPE=2&PHONE_NUMBER=1"


def test_a_chain_runs_in_order_with_what_came_before(api: Any) -> None:
    result = api.batch({"reg": REGISTER, "fin": FINISH + "$result[reg][CALL_ID]"}, halt=1)
    assert result["result"]["fin"]["CALL_ID"] == result["result"]["reg"]["CALL_ID"]
    assert (result["result_error"], result["result_total"], result["result_next"]) == ([], [], [])
    assert set(result["result_time"]) == {"reg", "fin"}


def test_a_failed_dependency_hands_over_the_whole_map_of_results(api: Any) -> None:
    result = api.batch({"who": "profile", "reg": BROKEN, "fin": FINISH + "$result[reg][CALL_ID]"})
    errors = result["result_error"]
    assert errors["reg"] == {"error": "", "error_description": "User is not found or is not active"}
    assert errors["fin"] == {"error": "INVALID_ARGUMENT", "error_description": "CALL_ID must be a string"}
    asked = next(row["params"] for row in api.state()["requests"] if row["method"].endswith(".finish"))
    assert list(asked["CALL_ID"]) == ["who"]


@pytest.mark.parametrize(("halt", "ran"), [(1, False), ("false", False), (0, True), ("0", True), ("", True)])
def test_halt_stops_after_the_first_failure_and_the_text_false_halts(api: Any, halt: object, ran: bool) -> None:
    result = api.batch({"reg": BROKEN, "who": "profile"}, halt=halt)
    assert ("who" in result["result"]) is ran
    assert list(result["result_error"]) == ["reg"]


def test_a_list_of_commands_answers_as_a_list_until_one_fails(api: Any) -> None:
    assert [row["ID"] for row in api.batch(["profile", "user.current"])["result"]] == ["1", "1"]
    broken = api.batch(["profile", BROKEN, "profile"])
    assert list(broken["result"]) == ["0", "2"]
    assert list(broken["result_error"]) == ["1"]


def test_all_empty_parts_are_lists(api: Any) -> None:
    empty: dict[str, list[Any]] = {
        name: [] for name in ("result", "result_error", "result_total", "result_next", "result_time")
    }
    assert api.batch({}) == empty
    assert api.batch([{"method": "profile", "params": {}}]) == empty  # objects are skipped silently


def test_the_51st_command_is_refused_and_the_first_fifty_run(api: Any) -> None:
    result = api.batch(["profile"] * 52)
    assert len(result["result"]) == 50
    codes = {key: error["error"] for key, error in result["result_error"].items()}
    assert codes == {"50": "ERROR_BATCH_LENGTH_EXCEEDED", "51": "ERROR_BATCH_LENGTH_EXCEEDED"}


@pytest.mark.parametrize("method", ["batch", "upload", "Download"])
def test_some_methods_may_not_be_inside(api: Any, method: str) -> None:
    error = api.batch({"x": method})["result_error"]["x"]
    assert error["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


def test_an_unknown_method_inside_is_its_own_error_with_status_200(api: Any) -> None:
    error = api.batch({"x": "no.such.method"})["result_error"]["x"]
    assert error == {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}


def test_the_query_of_a_command_is_read_as_php_reads_it(api: Any) -> None:
    commands = {
        "hash": "telephony.externalCall.register?USER_ID=11&TYPE=2&PHONE_NUMBER=123#45",
        "plus": "telephony.externalCall.register?USER_ID=11&TYPE=2&PHONE_NUMBER=+123456",
        "encoded": "telephony.externalCall.register?USER_ID=11&TYPE=2&PHONE_NUMBER=%2B123%2345",
    }
    api.batch(commands)
    assert [call["phone_number"] for call in api.state()["calls"]] == ["123", "123456", "+123#45"]


def test_totals_and_next_stand_beside_the_results_and_can_be_referred_to(api: Any) -> None:
    api.control("seed", {"users": [{"id": number, "name": "И"} for number in range(100, 160)]})
    commands = {"all": "user.get?sort=ID", "rest": "user.get?sort=ID&start=$next[all]"}
    result = api.batch(commands)
    assert (result["result_total"], result["result_next"]) == ({"all": 65, "rest": 65}, {"all": 50})
    assert len(result["result"]["rest"]) == 15


def test_a_reference_inside_a_text_takes_scalars_only(api: Any) -> None:
    commands = {
        "who": "profile",
        "line": "telephony.externalLine.add?NUMBER=n$result[who][ID]&NAME=$result[who]!",
        "get": "telephony.externalLine.get",
    }
    line = api.batch(commands)["result"]["get"][0]
    assert (line["NUMBER"], line["NAME"]) == ("n1", "$result[who]!")


def test_a_form_body_and_lower_or_upper_case_names_work_too(api: Any) -> None:
    body = "CMD%5Bwho%5D=user.get%3FFILTER%255BID%255D%3D12&HALT=1"
    answer = api.post("batch", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert [user["ID"] for user in answer.json()["result"]["result"]["who"]] == ["12"]


def test_a_batch_is_one_request_whose_commands_are_noted_with_its_number(api: Any) -> None:
    api.batch({"reg": REGISTER, "bad": BROKEN})
    state = api.state()
    assert state["http_requests"] == 1
    noted = [(row["method"], row["batch_id"], row["error"]) for row in state["requests"]]
    register = "telephony.externalcall.register"
    assert noted == [
        (register, 1, None), (register, 1, "User is not found or is not active"), ("batch", 1, None),
    ]  # fmt: skip
