"""Everything that can go wrong between us and the portal, as one tree.

    BitrixError                      retryable, retry_after_s, maybe_done, maybe_running
    ├── TransportError               the answer of the portal is not known
    │   ├── NotSent                  surely not executed: refused, unreachable, cut off while sending
    │   │   ├── BudgetExhausted      no place in the request budget before the caller's deadline
    │   │   └── MovedTooFar          the portal's redirects lead somewhere we must not send the secret
    │   └── AnswerLost               sent completely, perhaps executed, nobody knows
    │       └── UnreadableAnswer     something came back, but not an answer of the REST API
    ├── NotRun                       a command of a batch behind the one that failed (halt)
    └── PortalError                  the portal answered "no": code, description, status
        ├── RateLimited              QUERY_LIMIT_EXCEEDED, the leaky bucket is full
        ├── MethodBlocked            OPERATION_TIME_LIMIT, this method rests for a while
        ├── Unavailable              the portal is ill or blocked as a whole
        ├── WebServerRefused         the web server in front of the portal said no, in HTML
        ├── AuthFailed               the webhook or token is not accepted
        │   ├── ScopeMissing         insufficient_scope
        │   ├── WrongAuthType        the method wants an application, not a webhook (or the reverse)
        │   └── AccessDenied         the user of the webhook lacks a right, or the plan lacks REST
        ├── MethodNotFound           the portal has no such method: module not installed
        ├── InvalidRequest           our mistake: an argument the portal does not take
        │   └── InvalidFinish        "Unexpected database error": never repeat it blindly
        ├── CallNotFound             unknown or already finished CALL_ID
        ├── CallNotInStatistics      the call is not finished yet
        ├── UserNotActive            the employee is dismissed or unknown
        ├── BadPhoneNumber           no digits in the number
        ├── FileRefused              the recording is not accepted
        └── LineProblem              external line is there already, or is not there

`retryable`: the same command may succeed later. `retry_after_s`: not sooner than that, None when the
portal gave no hint. `maybe_done`: the portal may have executed the command, so a command with side
effects must ask before it is repeated. `maybe_running`: it may be at it still, so there may be nothing to
see yet; then `left_at` is when the request had left (unix seconds, 0.0 if that is not known). `str()` is
one plain sentence for an administrator and never holds a secret.
"""

# ruff: noqa: N818 - the errors are named after what happened, "except AnswerLost" reads itself

from __future__ import annotations

import re
from typing import ClassVar

from bx24client.auth import mask

MAX_DESCRIPTION = 300
# The front end's patience ended, the portal's work perhaps not: 504, and what a well-known proxy says instead.
_GAVE_UP_WAITING = frozenset({504, 524})
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def plain(text: object) -> str:
    """Make text of a stranger fit for a log line: one line, not endless, without our secrets."""
    one_line = _CONTROL.sub(" ", str(text)[: 10 * MAX_DESCRIPTION]).strip()
    return mask(one_line)[:MAX_DESCRIPTION]  # hidden before it is cut: a part of a secret would not be found


class BitrixError(Exception):
    """A call of the portal did not give a result."""

    retryable: bool = False
    retry_after_s: float | None = None
    maybe_done: bool = False
    left_at: float = 0.0

    @property
    def maybe_running(self) -> bool:
        """Whether the portal may still be working on the request: nothing came that ends it."""
        return False


class TransportError(BitrixError):
    """No answer of the portal is known."""

    retryable = True


class NotSent(TransportError):
    """The portal surely did not execute the request."""


class BudgetExhausted(NotSent):
    """The request budget has no place for this request before the caller's deadline."""

    def __init__(self, lane: str, wait_s: float) -> None:
        super().__init__(
            f"the portal's request limit leaves no place for a request of the lane '{lane}' in time; "
            f"the next place is free in about {wait_s:.1f} s"
        )
        self.retry_after_s = wait_s


class MovedTooFar(NotSent):
    """The portal redirects to where the request must not follow."""

    retryable = False


class AnswerLost(TransportError):
    """The request left completely and no usable answer came: it may have been executed.

    `timed_out` tells whether the portal was too slow for us.
    """

    maybe_done = True
    timed_out: bool = False

    @property
    def maybe_running(self) -> bool:
        return True


class UnreadableAnswer(AnswerLost):
    """An answer came, and it is not one of the REST API. `status` is the HTTP status, 0 inside a batch."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def maybe_running(self) -> bool:
        # Whatever else came instead of an answer came when the request was over.
        return self.status in _GAVE_UP_WAITING


class NotRun(BitrixError):
    """The batch stopped at an earlier command, this one was not executed."""

    retryable = True

    def __init__(self, failed_key: str) -> None:
        super().__init__(f"not executed, because the command '{failed_key}' before it in the batch failed")
        self.failed_key = failed_key


class PortalError(BitrixError):
    """The portal refused. `code` as the portal wrote it (may be empty), `status` of the HTTP answer."""

    cure: ClassVar[str] = ""

    def __init__(self, code: str = "", description: str = "", status: int = 0, method: str = "") -> None:
        self.code = plain(code)
        self.description = plain(description)
        self.status = status
        self.method = method
        super().__init__(self.sentence())

    def sentence(self) -> str:
        what = f"the portal refused {self.method}" if self.method else "the portal refused the request"
        said = ": ".join(part for part in (self.code, self.description) if part)
        said = f" ({said})" if said else ""
        return f"{what}{said}: {self.cure}" if self.cure else f"{what}{said}"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.description, self.status, self.method)


class RateLimited(PortalError):
    """The leaky bucket of the portal is full; nothing was executed."""

    retryable = True
    # The bucket drains two requests a second on ordinary plans: half a second frees one place.
    retry_after_s = 0.5
    cure = "too many requests from this address; the client slows down by itself"


class MethodBlocked(PortalError):
    """The method used up its working time. `until` is the Unix time it opens again, None if unknown."""

    retryable = True
    # An error carries no time; the portal counts in one-minute buckets, so look again in a minute.
    retry_after_s = 60.0
    cure = "the method used up its working time of the last ten minutes and opens again by itself"
    until: float | None = None


class Unavailable(PortalError):
    """The portal as a whole is ill, overloaded or closed for REST."""

    retryable = True
    retry_after_s = 5.0
    cure = "the portal is not working properly at the moment; it is tried again later"


class WebServerRefused(PortalError):
    """A web server before the portal refused the request with a page; the method was not executed."""

    def sentence(self) -> str:
        return (
            f"the web server of the portal answered {self.status} with a page instead of data: check the "
            "portal's address, and that no firewall or proxy stands between"
        )


class AuthFailed(PortalError):
    """Webhook or token not accepted."""

    cure = (
        "create a new incoming webhook in Bitrix24 (Developer resources, Other, Inbound webhook) with the "
        "scopes telephony, user_brief and crm, and put its address into the configuration"
    )

    def sentence(self) -> str:
        said = f" ({self.code})" if self.code else ""
        return f"the portal refused the webhook{said}: {self.cure}"


class ScopeMissing(AuthFailed):
    """The webhook lacks a scope."""

    def sentence(self) -> str:
        scope = scope_of(self.method)
        for_what = f" for {self.method}" if self.method else ""
        wanted = "telephony, user_brief and crm" + (f", and {scope}" if scope in ("department", "calendar") else "")
        return f"the webhook lacks the scope {scope}{for_what}: open the webhook in Bitrix24 and tick {wanted}"


class WrongAuthType(AuthFailed):
    """The method is open for another kind of authorization only."""

    def sentence(self) -> str:
        what = f"{self.method} " if self.method else "this method "
        return (
            f"the portal does not allow {what}with a webhook and wants an application: install a local "
            "application in Bitrix24 and connect it instead of the webhook"
        )


class AccessDenied(AuthFailed):
    """The user behind the webhook lacks a right, or the plan of the portal has no REST."""

    def sentence(self) -> str:
        what = f"{self.method} " if self.method else "this method "
        said = f" ({self.description})" if self.description else ""
        return (
            f"the portal denies access to {what.strip()}{said}: create the webhook as an administrator, give "
            "its user the telephony rights, and check that the plan includes REST"
        )


class MethodNotFound(PortalError):
    """No such method on this portal."""

    cure = "the portal has no such method; check that its telephony module is installed"


class InvalidRequest(PortalError):
    """The portal does not take an argument; repeating the same cannot help."""


class InvalidFinish(InvalidRequest):
    """The portal failed to store a finished call, after it created the CRM activity."""

    maybe_done = True
    cure = "the call's data did not fit the portal's tables, though its CRM activity may be made by now"


class CallNotFound(PortalError):
    """The call is unknown or already finished; the statistics tell which."""

    cure = "the call is not registered or is finished already; look it up in the statistics"


class CallNotInStatistics(PortalError):
    """The call is not finished yet, so a recording cannot be attached."""

    retryable = True
    retry_after_s = 2.0
    cure = "the call must be finished first"


class UserNotActive(PortalError):
    """The employee is unknown or dismissed."""

    cure = "the employee is unknown or dismissed; map the extension to an active user"


class BadPhoneNumber(PortalError):
    """The number has no digits the portal accepts."""

    cure = "the phone number has no digits the portal accepts"


class FileRefused(PortalError):
    """The recording is not accepted. The portal explains it in its own language."""

    cure = "recordings must be real wav or mp3 audio with a new, lower-case file name"


class LineProblem(PortalError):
    """An external line exists already, or does not exist."""


def scope_of(method: str) -> str:
    """Name the scope a method needs, the usual three if the method is not known here."""
    prefix = method.lower().split(".", 1)[0]
    scopes = {
        "telephony": "telephony", "voximplant": "telephony", "user": "user_brief", "crm": "crm",
        "department": "department", "calendar": "calendar",
    }  # fmt: skip
    return scopes.get(prefix, "telephony, user_brief or crm")


_BY_CODE: dict[str, type[PortalError]] = {
    "query_limit_exceeded": RateLimited,
    "operation_time_limit": MethodBlocked,
    "expired_token": AuthFailed,
    "invalid_token": AuthFailed,
    "no_auth_found": AuthFailed,
    "invalid_credentials": AuthFailed,
    "authorization_error": AuthFailed,
    "user_access_error": AuthFailed,
    "application_not_found": AuthFailed,
    "error_oauth": AuthFailed,
    "not_installed": AuthFailed,
    "payment_required": AuthFailed,
    "invalid_grant": AuthFailed,
    "invalid_client": AuthFailed,
    "wrong_client": AuthFailed,
    "insufficient_scope": ScopeMissing,
    "invalid_scope": ScopeMissing,
    "wrong_auth_type": WrongAuthType,
    "access_denied": AccessDenied,
    "method_confirm_waiting": AccessDenied,
    "method_confirm_denied": AccessDenied,
    "wrong_license": AccessDenied,
    "error_method_not_found": MethodNotFound,
    "error_batch_length_exceeded": InvalidRequest,
    "error_batch_method_not_allowed": InvalidRequest,
    "invalid_request": InvalidRequest,
    "invalid_argument": InvalidRequest,
    "error_argument": InvalidRequest,
    "invalid_arg_value": InvalidRequest,
}

# Illnesses of the whole portal: class data differ by instance. (retry after, perhaps executed)
_ILL: dict[str, tuple[float, bool]] = {
    "internal_server_error": (5.0, True),
    "error_unexpected_answer": (5.0, True),
    "wrong_encoding": (60.0, True),
    "connection_error": (5.0, False),
    # Set and lifted by hand at the vendor: asking every few seconds would only prolong it.
    "overload_limit": (900.0, False),
    "portal_deleted": (900.0, False),
}

# Telephony validation answers with an empty code, so these are matched by how the text begins.
_BY_TEXT: tuple[tuple[str, type[PortalError]], ...] = (
    ("call is not found in the statistic", CallNotInStatistics),
    ("call is not found", CallNotFound),
    ("user is not found or is not active", UserNotActive),
    # What the portal says when it knows no active user with this USER_PHONE_INNER.
    ("user_id or user_phone_inner should be set", UserNotActive),
    ("unsupported phone number format", BadPhoneNumber),
    ("phone_number is empty", BadPhoneNumber),
    ("unexpected database error", InvalidFinish),
    ("wrong file extension", FileRefused),
    ("file content is", FileRefused),
    ("server returns http error code", FileRefused),
    ("network:", FileRefused),
    ("error: required parameter file is not found", FileRefused),
    ("could not find line", LineProblem),
    ("line already exists", LineProblem),
    ("unknown type", InvalidRequest),
    ("call_start_date should be", InvalidRequest),
    ("call_id should be set", InvalidRequest),
    ("required parameters are not set", InvalidRequest),
)


def portal_error(code: object, description: object, status: int = 0, method: str = "") -> PortalError:
    """Translate a refusal. The code decides, then the text, never the HTTP status.

    The portal sends refusals with 200, 400, 401, 403, 429, 500 and 503, and the same one with
    different statuses on different builds.
    """
    code_text = plain("" if code is None else code)
    text = plain("" if description is None else description)
    key = code_text.casefold()
    if key in _ILL or "sql query error" in text.casefold():
        return _ill(key, code_text, text, status, method)
    kind = _BY_CODE.get(key) or _by_text(text, method)
    return kind(code_text, text, status, method)


def _ill(key: str, code: str, text: str, status: int, method: str) -> Unavailable:
    error = Unavailable(code, text, status, method)
    error.retry_after_s, error.maybe_done = _ILL.get(key, (5.0, True))
    return error


def _by_text(text: str, method: str) -> type[PortalError]:
    folded = text.casefold()
    for beginning, kind in _BY_TEXT:
        if folded.startswith(beginning):
            return kind
    if folded.endswith("is it finished?"):  # "Call <id> is not found. Is it finished?"
        return CallNotInStatistics
    # Reasons for refusing a file come in the portal's language, and only attachRecord gives them.
    return FileRefused if method.casefold() == "telephony.externalcall.attachrecord" else PortalError
