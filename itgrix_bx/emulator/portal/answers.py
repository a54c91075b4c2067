"""What a method can come to: a value, a page of a list, or an error as the portal words it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from itgrix_bx.emulator.portal import php

# The documentation and the server's own code disagree about the status of a refused authorisation.
_DOCUMENTED_STATUS = {
    "INVALID_CREDENTIALS": 403,
    "INSUFFICIENT_SCOPE": 403,
    "INVALID_REQUEST": 400,
    "USER_ACCESS_ERROR": 403,
    "OVERLOAD_LIMIT": 503,
}


class RestError(Exception):
    """A refusal. Telephony's own checks carry the empty code `""`."""

    def __init__(self, description: str, code: str = "", status: int = 400) -> None:
        super().__init__(description)
        self.description = description
        self.code = code
        self.status = status

    def body(self, *, doc_codes: bool = False) -> dict[str, Any]:
        """The error envelope. `doc_codes` writes ERROR_CORE where the wire has an empty code."""
        code = "ERROR_CORE" if doc_codes and not self.code else self.code
        return {"error": code, "error_description": self.description}


@dataclass(frozen=True)
class Page:
    """One page of a list method: its rows, or the map they stand in. `total` None: the method does not say;
    `next` None: the last page."""

    rows: Any
    total: int | None = None
    next: int | None = None


def auth_error(code: str, description: str, *, documented: bool) -> RestError:
    """A refusal of the authorisation stage, with the status of the code (401) or of the documentation."""
    status = _DOCUMENTED_STATUS.get(code.upper(), 401) if documented else 401
    return RestError(description, code, status)


def page_of(rows: list[Any], start: object, *, size: int = 50) -> Page:
    """Rows from `start` on, 50 at most. `start=-1` switches counting off."""
    offset = php.integer(start)
    if offset < 0:
        return Page(rows[:size], total=0)
    following = offset + size
    return Page(rows[offset:following], len(rows), following if following < len(rows) else None)


METHOD_NOT_FOUND = ("Method not found!", "ERROR_METHOD_NOT_FOUND", 404)
WRONG_AUTH_TYPE = ("Current authorization type is denied for this method", "WRONG_AUTH_TYPE", 403)
BLOCKED = ("Method is blocked due to operation time limit.", "OPERATION_TIME_LIMIT", 429)
TOO_MANY = ("Too many requests", "QUERY_LIMIT_EXCEEDED", 503)
LINK_CHECK = ("Access denied! Link check failed", "ACCESS_DENIED", 403)
