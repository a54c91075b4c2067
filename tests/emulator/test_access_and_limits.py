"""Who may call, in which order it is checked, and how much."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests

from itgrix_bx.emulator.portal import PortalEmulator

SEARCH = "telephony.externalCall.searchCrmEntities"
REGISTER = "telephony.externalCall.register"
FINISH = "telephony.externalCall.finish"
KNOWN = {"PHONE_NUMBER": "+79161234567"}
WRONG_TYPE = (403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method")
BLOCKED = (429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")


def at(api: Any, path: str) -> tuple[int, dict[str, Any]]:
    answer = api.session.post(f"{api.emulator.url}rest/{path}", json=KNOWN, timeout=20)
    return answer.status_code, answer.json()


def test_a_wrong_secret_or_user_is_refused(api: Any) -> None:
    wrong = {"error": "INVALID_CREDENTIALS", "error_description": "Invalid request credentials"}
    assert at(api, f"1/wrong/{SEARCH}") == (401, wrong)
    assert at(api, f"11/emulator-secret/{SEARCH}") == (401, wrong)
    api.settings(auth_status="docs")
    assert at(api, f"1/wrong/{SEARCH}") == (403, wrong)


def test_plain_http_is_refused_where_the_portal_demands_https(api: Any) -> None:
    api.settings(https_required=True)
    assert api.refused(SEARCH, **KNOWN) == (401, "INVALID_REQUEST", "Https required.")


def test_no_authorisation_at_all_has_its_own_code(api: Any) -> None:
    assert at(api, SEARCH) == (401, {"error": "NO_AUTH_FOUND", "error_description": "Wrong authorization data"})


def test_an_unknown_method_is_refused_before_the_secret_is_looked_at(api: Any) -> None:
    unknown = {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}
    assert at(api, "1/wrong/telephony.nothing") == (404, unknown)


def test_a_scope_the_webhook_lacks_is_refused_and_in_a_batch_without_a_text(api: Any) -> None:
    api.settings(webhook_scopes=["crm"])
    status, code, text = api.refused(SEARCH, **KNOWN)
    assert (status, code) == (401, "insufficient_scope")
    assert text
    error = api.batch({"s": f"{SEARCH}?PHONE_NUMBER=1"})["result_error"]["s"]
    assert error == {"error": "insufficient_scope", "error_description": ""}


def test_a_cloud_portal_may_refuse_webhooks_for_calls_and_lines_only(api: Any) -> None:
    api.settings(webhook_refused=True)
    assert api.refused(REGISTER, USER_ID=11, TYPE=2, **KNOWN) == WRONG_TYPE
    assert api.refused("telephony.externalLine.get") == WRONG_TYPE
    assert api.ok(SEARCH, **KNOWN)


def test_events_are_never_bound_by_a_webhook(api: Any) -> None:
    assert api.refused("event.bind", event="x", handler="https://a.example/") == WRONG_TYPE


def test_a_portal_without_the_telephony_module_does_not_know_its_methods(api: Any) -> None:
    api.settings(telephony_absent=True)
    assert api.refused(SEARCH, **KNOWN)[:2] == (404, "ERROR_METHOD_NOT_FOUND")
    assert api.ok("profile")["ID"] == "1"


def test_the_parameter_token_turns_a_request_into_one_by_signed_link(api: Any) -> None:
    assert api.refused(SEARCH, token="x", **KNOWN) == (403, "ACCESS_DENIED", "Access denied! Link check failed")


def test_the_51st_request_at_once_is_refused_with_503_and_time_frees_places(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(rate_per_s=2, rate_burst=50)
    statuses = [api.post(SEARCH, KNOWN).status_code for _ in range(52)]
    assert statuses == [200] * 50 + [503] * 2
    assert api.refused(SEARCH, **KNOWN) == (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
    api.control("clock", {"advance_s": 1})
    assert [api.post(SEARCH, KNOWN).status_code for _ in range(3)] == [200, 200, 503]


def test_a_long_silence_saves_up_nothing_and_addresses_are_counted_apart(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(rate_per_s=2, rate_burst=3)
    api.post("profile")
    api.emulator.advance(1000)
    assert [api.post("profile").status_code for _ in range(5)] == [200, 200, 200, 503, 503]
    assert api.emulator.portal.requests.admits("192.0.2.1")


def test_the_limit_comes_before_everything_else_and_a_batch_is_one_request(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(rate_per_s=1, rate_burst=1)
    assert len(api.batch([f"{SEARCH}?PHONE_NUMBER=1"] * 50)["result"]) == 50
    assert at(api, "1/wrong/no.such.method")[0] == 503


def test_the_bucket_can_be_filled_by_others_for_every_address(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(rate_per_s=2, rate_burst=50)
    assert api.ok("profile")
    assert api.control("bucket", {"level": 50}).status_code == 200
    assert api.post("profile").status_code == 503
    assert not api.emulator.portal.requests.admits("192.0.2.1")
    api.emulator.advance(1)
    assert [api.post("profile").status_code for _ in range(3)] == [200, 200, 503]
    assert api.control("bucket", {"level": "full"}).status_code == 400


def test_an_ordinary_plan_is_the_default() -> None:
    with PortalEmulator() as emulator, requests.Session() as session:
        emulator.clock.freeze()
        statuses = [session.post(emulator.webhook_url + "profile").status_code for _ in range(51)]
    assert statuses == [200] * 50 + [503]


def test_a_method_that_worked_too_long_is_blocked_until_its_bucket_drops_out(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(operating_limit_s=10, operating_cost_s={REGISTER.lower(): 6})
    for number in range(2):
        api.register(PHONE_NUMBER=f"+7903000000{number}")
    assert api.refused(REGISTER, USER_ID=11, TYPE=2, **KNOWN) == BLOCKED
    assert api.ok(SEARCH, **KNOWN)
    api.control("clock", {"advance_s": 601})
    assert api.register()


def test_a_blocked_method_inside_a_batch_is_an_error_of_its_command_only(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(operating_limit_s=1, operating_cost_s={SEARCH.lower(): 2})
    api.ok(SEARCH, **KNOWN)
    result = api.batch({"s": f"{SEARCH}?PHONE_NUMBER=1", "p": "profile"})
    assert result["result_error"]["s"]["error"] == "OPERATION_TIME_LIMIT"
    assert result["result"]["p"]["ID"] == "1"


def test_working_time_is_told_where_it_is_limited(api: Any) -> None:
    api.settings(operating_limit_s=480, operating_cost_s={SEARCH.lower(): 0.5, "profile": 0.1})
    time = api.post(SEARCH, KNOWN).json()["time"]
    assert time["operating"] == 0.5
    assert time["operating_reset_at"] > time["start"]
    assert api.post("profile").json()["time"]["operating"] == 0  # a hit of 0.1 s is free
    result = api.batch({"s": f"{SEARCH}?PHONE_NUMBER=1"})
    assert result["result_time"]["s"]["operating"] == 1.0


@pytest.mark.parametrize(("billing", "of_batch", "of_search"), [("method", 0.0, 6.0), ("batch", 9.0, 0.0)])
def test_a_batch_is_billed_to_its_methods_or_whole(api: Any, billing: str, of_batch: float, of_search: float) -> None:
    costs = {SEARCH.lower(): 3, "batch": 9}
    api.settings(operating_limit_s=100, operating_billing=billing, operating_cost_s=costs)
    api.batch([f"{SEARCH}?PHONE_NUMBER=1"] * 2)
    operating = api.emulator.portal.operating
    assert operating.report("emulator-secret", "batch")["operating"] == of_batch
    assert operating.report("emulator-secret", SEARCH.lower())["operating"] == of_search


def test_many_threads_at_once_pass_exactly_the_burst(api: Any) -> None:
    api.emulator.clock.freeze()
    api.settings(rate_per_s=2, rate_burst=20)
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(requests.post(api.emulator.webhook_url + "profile").status_code for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(503)) == (20, 20)
