"""How refusals are told apart."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from bx24client import Bitrix24, BitrixError, Budget, Command, errors, keep_secret
from bx24client.errors import plain, portal_error

from .scripted import ScriptedPortal, answers, page, refuses

WRITE: Command[object] = Command("telephony.externalCall.finish", {"CALL_ID": "c"}, lambda result: result)


@pytest.mark.parametrize(
    ("code", "text", "kind", "retryable", "maybe_done"),
    [
        ("QUERY_LIMIT_EXCEEDED", "Too many requests", errors.RateLimited, True, False),
        ("query_limit_exceeded", "", errors.RateLimited, True, False),
        ("OPERATION_TIME_LIMIT", "Method is blocked", errors.MethodBlocked, True, False),
        ("OVERLOAD_LIMIT", "", errors.Unavailable, True, False),
        ("INTERNAL_SERVER_ERROR", "", errors.Unavailable, True, True),
        ("ERROR_CORE", "SQL query error!", errors.Unavailable, True, True),
        ("CONNECTION_ERROR", "", errors.Unavailable, True, False),
        ("Expired_Token", "", errors.AuthFailed, False, False),
        ("NO_AUTH_FOUND", "", errors.AuthFailed, False, False),
        ("INVALID_CREDENTIALS", "", errors.AuthFailed, False, False),
        ("wrong_client", "", errors.AuthFailed, False, False),
        ("insufficient_scope", "", errors.ScopeMissing, False, False),
        ("WRONG_AUTH_TYPE", "", errors.WrongAuthType, False, False),
        ("ACCESS_DENIED", "REST is available only on commercial plans.", errors.AccessDenied, False, False),
        ("ERROR_METHOD_NOT_FOUND", "Method not found!", errors.MethodNotFound, False, False),
        ("INVALID_ARGUMENT", "CALL_ID must be a string", errors.InvalidRequest, False, False),
        ("", "Call is not found (call should be registered prior to finishing", errors.CallNotFound, False, False),
        ("ERROR_CORE", "Call is not found (call should be", errors.CallNotFound, False, False),
        ("", "Call is not found in the statistic table. Looks", errors.CallNotInStatistics, True, False),
        ("", "Call x is not found. Is it finished?", errors.CallNotInStatistics, True, False),
        ("", "User is not found or is not active", errors.UserNotActive, False, False),
        ("", "USER_ID or USER_PHONE_INNER should be set", errors.UserNotActive, False, False),
        ("", "Unsupported phone number format", errors.BadPhoneNumber, False, False),
        ("", "Unexpected database error; text", errors.InvalidFinish, False, True),
        ("", "Wrong file extension. Only wav and mp3", errors.FileRefused, False, False),
        ("", "Line already exists", errors.LineProblem, False, False),
        ("SOMETHING_NEW", "nobody knows", errors.PortalError, False, False),
        (100, "numeric", errors.PortalError, False, False),
        (None, None, errors.PortalError, False, False),
    ],
)
def test_the_code_then_the_text_decides(
    code: object, text: object, kind: type[BitrixError], retryable: bool, maybe_done: bool
) -> None:
    for status in (200, 400, 401, 500, 503):
        error = portal_error(code, text, status, "telephony.externalCall.finish")
        assert type(error) is kind
        assert (error.retryable, error.maybe_done) == (retryable, maybe_done)


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (
            errors.AuthFailed,
            "expired_token invalid_token NO_AUTH_FOUND INVALID_CREDENTIALS authorization_error user_access_error "
            "APPLICATION_NOT_FOUND ERROR_OAUTH NOT_INSTALLED PAYMENT_REQUIRED invalid_grant invalid_client "
            "wrong_client",
        ),
        (errors.ScopeMissing, "insufficient_scope invalid_scope"),
        (errors.AccessDenied, "ACCESS_DENIED METHOD_CONFIRM_WAITING METHOD_CONFIRM_DENIED WRONG_LICENSE"),
        (
            errors.InvalidRequest,
            "ERROR_BATCH_LENGTH_EXCEEDED ERROR_BATCH_METHOD_NOT_ALLOWED INVALID_REQUEST INVALID_ARGUMENT "
            "ERROR_ARGUMENT INVALID_ARG_VALUE",
        ),
    ],
)
def test_every_code_of_the_catalogue_has_its_kind_in_any_case(kind: type[BitrixError], codes: str) -> None:
    for code in codes.split():
        for spelling in (code, code.upper(), code.lower()):
            assert type(portal_error(spelling, "whatever it says", 200)) is kind, spelling


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("PHONE_NUMBER is empty", errors.BadPhoneNumber),
        ("Could not find line with number 495", errors.LineProblem),
        ("CALL_START_DATE should be in the ISO-8601 format", errors.InvalidRequest),
        ("CALL_ID should be set", errors.InvalidRequest),
        ("Required parameters are not set", errors.InvalidRequest),
        ("Unknown TYPE", errors.InvalidRequest),
        ("File content is empty", errors.FileRefused),
        ("Server returns HTTP error code 404", errors.FileRefused),
        ("Network: connection timed out", errors.FileRefused),
        ("Error: required parameter file is not found", errors.FileRefused),
    ],
)
def test_what_comes_without_a_code_is_known_by_its_text(text: str, kind: type[BitrixError]) -> None:
    for code in ("", "ERROR_CORE"):
        assert type(portal_error(code, text, 400, "telephony.externalCall.finish")) is kind


@pytest.mark.parametrize(
    ("code", "text", "retry_after_s", "maybe_done"),
    [
        ("QUERY_LIMIT_EXCEEDED", "", 0.5, False),
        ("OPERATION_TIME_LIMIT", "", 60.0, False),
        ("INTERNAL_SERVER_ERROR", "", 5.0, True),
        ("ERROR_UNEXPECTED_ANSWER", "", 5.0, True),
        ("ERROR_CORE", "SQL query error!", 5.0, True),
        ("CONNECTION_ERROR", "", 5.0, False),
        ("WRONG_ENCODING", "", 60.0, True),
        ("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 900.0, False),
        ("PORTAL_DELETED", "", 900.0, False),
        ("", "Call is not found in the statistic table", 2.0, False),
    ],
)
def test_each_passing_trouble_has_its_own_time_to_come_back(
    code: str, text: str, retry_after_s: float, maybe_done: bool
) -> None:
    error = portal_error(code, text, 503)
    assert (error.retryable, error.retry_after_s, error.maybe_done) == (True, retry_after_s, maybe_done)


def test_a_reason_in_the_portals_language_refuses_the_file() -> None:
    error = portal_error("", "Файл с таким именем уже существует", 400, "telephony.externalCall.attachRecord")
    assert isinstance(error, errors.FileRefused)


def test_sentences_name_the_cure() -> None:
    assert "create a new incoming webhook" in str(portal_error("INVALID_CREDENTIALS", ""))
    assert "scope user_brief" in str(portal_error("insufficient_scope", "", 403, "user.get"))
    assert "scope crm" in str(portal_error("insufficient_scope", "", 403, "crm.lead.get"))
    assert "scope telephony for telephony.externalCall.show" in str(
        portal_error("insufficient_scope", "", 403, "telephony.externalCall.show")
    )
    assert "application" in str(portal_error("WRONG_AUTH_TYPE", "", 403, "telephony.externalCall.register"))
    assert "module is installed" in str(portal_error("ERROR_METHOD_NOT_FOUND", ""))


def test_a_hostile_text_becomes_one_short_line() -> None:
    text = plain("a\r\nFake log line\x1b[31m\u2028" + "x" * 10_000)
    assert len(text) <= 300
    assert text.isprintable()


def test_a_secret_at_the_place_where_a_text_is_cut_is_hidden_whole() -> None:
    keep_secret("a-secret-that-is-cut-in-two")
    for before in range(270, 300):
        assert "a-secret" not in plain("x" * before + "a-secret-that-is-cut-in-two and more" * 3)


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(portal_error("X", "text", 400, "m")))
    assert (error.code, error.description, error.status, error.method) == ("X", "text", 400, "m")


def _errors_of_the_tree() -> list[str]:
    found, queue = [], [BitrixError]
    while queue:
        kind = queue.pop()
        if kind.__module__ == "bx24client.errors":
            found.append(kind.__name__)
        queue += kind.__subclasses__()
    return found


@pytest.mark.parametrize("name", _errors_of_the_tree())
def test_the_drawn_tree_is_complete(name: str) -> None:
    assert errors.__doc__ is not None
    assert name in errors.__doc__


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 No", "503 Busy"])
def test_an_error_is_seen_whatever_the_status(portal: ScriptedPortal, client: Bitrix24, status: str) -> None:
    portal.steps = [refuses("", "Call is not found (call should be registered", status)]
    with pytest.raises(errors.CallNotFound):
        client.execute(WRITE)


def test_a_result_beside_an_empty_error_is_a_result(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"error": None, "result": 5})]
    assert client.execute(WRITE) == 5


@pytest.mark.parametrize("poison", [{"a": 1}, ["x"], 5, True, "x" * 100_000, "\x00\r\n"])
def test_a_poisoned_error_is_still_an_error(portal: ScriptedPortal, client: Bitrix24, poison: object) -> None:
    portal.steps = [answers({"error": poison, "error_description": poison})]
    with pytest.raises(errors.PortalError) as caught:
        client.execute(WRITE)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("status", "still_running"),
    [
        ("200 OK", False),
        ("500 No", False),
        ("502 Bad Gateway", False),
        ("503 Busy", False),
        ("504 Too slow", True),
        ("524 Slow", True),
    ],
)
def test_a_page_instead_of_an_answer_means_the_request_is_over_unless_the_front_end_gave_up_waiting(
    portal: ScriptedPortal, client: Bitrix24, status: str, still_running: bool
) -> None:
    portal.steps = [page(status)]
    with pytest.raises(errors.UnreadableAnswer) as caught:
        client.execute(WRITE)
    assert (caught.value.maybe_done, caught.value.maybe_running) == (True, still_running)


def test_what_was_not_sent_or_was_refused_does_not_run() -> None:
    assert errors.AnswerLost("x").maybe_running
    assert not errors.NotSent("x").maybe_running
    assert not portal_error("INTERNAL_SERVER_ERROR", "", 500).maybe_running


def test_a_full_bucket_is_learnt_and_the_request_repeated(portal: ScriptedPortal) -> None:
    budget = Budget(rate=20, burst=10)
    portal.steps = [refuses("QUERY_LIMIT_EXCEEDED", "", "503 Busy")]
    with Bitrix24(portal.webhook, budget=budget) as client:
        assert client.execute(WRITE, lane="caller") is True
    assert len(portal.requests) == 2
    assert budget.level() > 5


def test_a_blocked_method_says_when_it_opens(portal: ScriptedPortal, client: Bitrix24) -> None:
    opens = int(time.time()) + 300
    portal.steps = [
        answers({"result": 1, "time": {"duration": 0.3, "operating": 480.5, "operating_reset_at": opens}}),
        refuses("OPERATION_TIME_LIMIT", "", "429 Too Many"),
    ]
    client.execute(WRITE)
    with pytest.raises(errors.MethodBlocked) as caught:
        client.execute(WRITE)
    assert caught.value.until == opens
    assert 290 < (caught.value.retry_after_s or 0) <= 300
    assert len(portal.requests) == 2


def test_a_blocked_method_without_a_known_time_waits_a_minute(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [refuses("OPERATION_TIME_LIMIT", "", "429 Too Many")]
    with pytest.raises(errors.MethodBlocked) as caught:
        client.execute(WRITE)
    assert (caught.value.until, caught.value.retry_after_s) == (None, 60.0)


class _Renewable:
    """An authorization whose token can be renewed once."""

    def __init__(self, portal: str) -> None:
        self.portal, self.token, self.renewals = portal, "old", 0

    def path(self, method: str) -> str:
        return f"/rest/{method}"

    def credentials(self) -> dict[str, Any]:
        return {"auth": self.token}

    def renew(self) -> bool:
        self.renewals += 1
        self.token = "new"
        return self.renewals == 1


def test_an_application_renews_its_token_once(portal: ScriptedPortal) -> None:
    auth = _Renewable(portal.address)
    portal.steps = [refuses("expired_token", "", "401 No")]
    with Bitrix24(auth) as client:
        assert client.execute(WRITE) is True
        assert [request.params["auth"] for request in portal.requests] == ["old", "new"]
        portal.otherwise = refuses("expired_token", "", "401 No")
        with pytest.raises(errors.AuthFailed):
            client.execute(WRITE)
