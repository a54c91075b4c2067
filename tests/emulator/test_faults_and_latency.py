"""Bad days: faults before and after the work was done, and how long the portal takes."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest
import requests

from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.emulator.portal.latency import MODELS

REGISTER = "telephony.externalCall.register"
SEARCH = "telephony.externalCall.searchCrmEntities"
CALL = {"USER_ID": 11, "PHONE_NUMBER": "+79161234567", "TYPE": 2}


@pytest.mark.parametrize("kind", ["lost_answer", "reset", "hang"])
@pytest.mark.parametrize(("after_effect", "calls"), [(False, 0), (True, 1)])
def test_a_lost_answer_leaves_the_work_done_or_not(api: Any, kind: str, after_effect: bool, calls: int) -> None:
    api.faults({"method": REGISTER, "kind": kind, "after_effect": after_effect, "delay_s": 0})
    with pytest.raises(requests.ConnectionError):
        api.post(REGISTER, CALL)
    assert len(api.state()["calls"]) == calls
    assert api.register()


@pytest.mark.parametrize("kind", ["reset", "html504"])
def test_the_portal_may_still_be_working_on_a_request_whose_client_is_gone(api: Any, kind: str) -> None:
    api.faults({"method": REGISTER, "kind": kind, "after_effect": False, "works_on_s": 0.5})
    with contextlib.suppress(requests.ConnectionError):
        assert api.post(REGISTER, CALL).status_code == 504
    assert api.state()["calls"] == []
    end = time.monotonic() + 10
    while not api.state()["calls"]:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("kind", "reset"), [("lost_answer", False), ("hang", False), ("reset", True)])
def test_not_one_byte_of_a_lost_answer_arrives(api: Any, kind: str, reset: bool) -> None:
    api.faults({"method": "profile", "kind": kind, "delay_s": 0})
    host, port = api.emulator.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET /rest/1/emulator-secret/profile HTTP/1.1\r\nHost: x\r\n\r\n")
        if reset:
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        else:
            assert connection.recv(100) == b""


def test_an_answer_is_lost_after_the_work_unless_said_otherwise(api: Any) -> None:
    api.faults({"method": REGISTER, "kind": "lost_answer"})
    with pytest.raises(requests.ConnectionError):
        api.post(REGISTER, CALL)
    state = api.state()
    assert len(state["calls"]) == 1
    assert [(row["method"], row["fault"]) for row in state["requests"]] == [(REGISTER.lower(), "lost_answer")]


@pytest.mark.parametrize(
    ("kind", "status"), [("html502", 502), ("html503", 503), ("html504", 504), ("html200", 200), ("html403", 403)]
)
def test_a_page_comes_in_place_of_json(api: Any, kind: str, status: int) -> None:
    api.faults({"method": "*", "kind": kind})
    answer = api.post(REGISTER, CALL)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert api.state()["calls"] == []


def test_garbage_and_nothing_come_with_status_200(api: Any) -> None:
    api.faults({"method": "*", "kind": "garbage"}, {"method": "*", "kind": "empty"})
    first, second = api.post("profile"), api.post("profile")
    assert (first.status_code, second.status_code, second.content) == (200, 200, b"")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        first.json()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("limit", (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")),
        ("blocked", (429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")),
        ("auth", (401, "INVALID_CREDENTIALS", "Invalid request credentials")),
        ("not_found", (404, "ERROR_METHOD_NOT_FOUND", "Method not found!")),
    ],
)
def test_refusals_on_demand(api: Any, kind: str, answer: tuple[int, str, str]) -> None:
    api.faults({"method": REGISTER, "kind": kind, "times": 2})
    assert [api.refused(REGISTER, **CALL) for _ in range(2)] == [answer] * 2
    assert api.register()


def test_a_renamed_portal_answers_302_with_the_whole_address(api: Any) -> None:
    api.faults({"method": "*", "kind": "redirect", "location": "http://new.example:81"})
    answer = api.post(REGISTER, CALL)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"http://new.example:81/rest/1/emulator-secret/{REGISTER}"


def test_a_fault_of_one_method_hits_the_batch_that_holds_it(api: Any) -> None:
    api.faults({"method": REGISTER, "kind": "html502", "after_effect": True})
    command = f"{REGISTER}?USER_ID=11&TYPE=2&PHONE_NUMBER=1"
    assert api.post("batch", {"cmd": ["profile"]}).status_code == 200
    assert api.post("batch", {"cmd": [command]}).status_code == 502
    assert len(api.state()["calls"]) == 1


def test_a_fault_of_one_command_leaves_the_others(api: Any) -> None:
    error = {"code": "INTERNAL_SERVER_ERROR", "description": "Internal server error", "status": 500}
    api.faults({"method": SEARCH, "kind": "error"} | error)
    result = api.batch({"s": f"{SEARCH}?PHONE_NUMBER=1", "p": "profile"})
    assert result["result_error"] == {
        "s": {"error": "INTERNAL_SERVER_ERROR", "error_description": "Internal server error"}
    }
    assert result["result"]["p"]["ID"] == "1"


def test_an_error_after_the_effect_keeps_the_effect(api: Any) -> None:
    api.faults({"method": REGISTER, "kind": "error", "description": "x", "after_effect": True})
    assert api.refused(REGISTER, **CALL) == (400, "", "x")
    assert len(api.state()["calls"]) == 1


def test_a_slow_answer_is_the_true_one(api: Any) -> None:
    api.faults({"method": "*", "kind": "slow", "delay_s": 0.3})
    started = time.monotonic()
    assert api.register()
    assert time.monotonic() - started >= 0.3


def test_rules_are_used_up_skipped_and_cleared(api: Any) -> None:
    api.faults({"method": "profile", "kind": "limit", "skip": 3, "times": 1})
    assert [api.post("profile").status_code for _ in range(5)] == [200, 200, 200, 503, 200]
    api.faults({"method": "*", "kind": "limit", "times": -1})
    assert [api.post("profile").status_code for _ in range(3)] == [503] * 3
    api.faults()
    assert api.post("profile").status_code == 200


def test_a_wrong_rule_is_refused_with_a_sentence(api: Any) -> None:
    answer = api.control("faults", [{"method": "*", "kind": "explosion"}])
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("faults[0]: kind must be")


def test_a_batch_takes_as_long_as_its_commands_together() -> None:
    steps = {"network_ms": 50, SEARCH: 100}
    with PortalEmulator(latency=steps) as emulator, requests.Session() as session:
        started = time.monotonic()
        session.post(emulator.webhook_url + "batch", json={"cmd": [f"{SEARCH}?PHONE_NUMBER=1"] * 3})
        assert time.monotonic() - started >= 0.35


def test_a_request_longer_than_the_cap_is_given_up_by_the_front_end_and_its_work_stays() -> None:
    with PortalEmulator(latency={REGISTER: 60}) as emulator, requests.Session() as session:
        emulator.seed({"settings": {"request_cap_s": 0.1}})
        command = f"{REGISTER}?USER_ID=11&TYPE=2&PHONE_NUMBER="
        answer = session.post(emulator.webhook_url + "batch", json={"cmd": [command + "1", command + "2"]})
        assert (answer.status_code, answer.headers["Content-Type"]) == (504, "text/html; charset=utf-8")
        state = emulator.dump()
    assert len(state["calls"]) == 2
    assert [row["http_status"] for row in state["requests"]] == [200, 200, 504]


def test_a_request_that_lasts_too_long_is_ended_by_the_portal_as_it_is() -> None:
    with PortalEmulator(latency={REGISTER: 200}) as emulator, requests.Session() as session:
        emulator.seed({"settings": {"request_cap_s": 0.1, "work_cap_s": 0.3}})
        command = f"{REGISTER}?USER_ID=11&TYPE=2&PHONE_NUMBER="
        answer = session.post(emulator.webhook_url + "batch", json={"cmd": [command + "1", command + "2"]})
        assert answer.status_code == 504
        state = emulator.dump()
    assert [call["phone_number"] for call in state["calls"]] == ["1"]


def test_what_works_on_after_its_answer_was_lost_is_ended_too() -> None:
    with PortalEmulator() as emulator, requests.Session() as session:
        emulator.seed({"settings": {"work_cap_s": 0.2}})
        emulator.faults([{"method": REGISTER, "kind": "html504", "works_on_s": 0.4, "times": 1}])
        call = {"USER_ID": 11, "TYPE": 2, "PHONE_NUMBER": "1"}
        assert session.post(emulator.webhook_url + REGISTER, json=call).status_code == 504
        time.sleep(0.6)
        assert emulator.dump()["calls"] == []


def test_the_documented_model_has_the_times_of_the_documentation() -> None:
    documented, quick = MODELS["documented"], MODELS["quick"]
    steps = (SEARCH, REGISTER, "telephony.externalCall.finish", "attach_content", "attach_first_step", "upload")
    assert [documented.of(step) for step in steps] == [0.2, 1.1, 1.5, 2.4, 0.38, 0.4]
    assert [quick.of(step) for step in steps[:4]] == [0.06, 0.18, 0.35, 0.25]
    assert quick.network_s == 0.04


def test_waiting_requests_do_not_hold_up_others_and_end_when_the_portal_stops(emulator: PortalEmulator) -> None:
    emulator.faults([{"method": "profile", "kind": "hang", "delay_s": 600}])
    with requests.Session() as session:
        with pytest.raises(requests.ReadTimeout):
            session.post(emulator.webhook_url + "profile", timeout=0.2)
        assert session.post(emulator.webhook_url + "scope", timeout=5).status_code == 200
    started = time.monotonic()
    emulator.stop()
    assert time.monotonic() - started < 5


def test_a_portal_that_was_away_comes_back_at_its_address_with_what_it_knew(api: Any) -> None:
    call_id, before = api.register(), api.emulator.url
    api.emulator.stop()
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{before}rest/1/emulator-secret/profile", timeout=5)
    api.emulator.start()
    assert api.emulator.url == before
    assert api.register() == call_id
