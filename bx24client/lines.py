"""External lines (`telephony.externalLine.*`): the names our numbers have in the portal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24client import php
from bx24client.commands import Command

MAX_NUMBER = 50


@dataclass(frozen=True)
class Line:
    """An external line. `crm_auto_create` governs calls that start in the portal, not ours."""

    number: str
    name: str
    crm_auto_create: bool


def get() -> Command[list[Line]]:
    """All lines of this webhook or application."""
    return Command("telephony.externalLine.get", {}, _lines, idempotent=True)


def add(number: str, name: str = "", *, crm_auto_create: bool = True) -> Command[int]:
    """Add a line; returns its id. With a webhook the portal may accept the same number twice."""
    params = {"NUMBER": _number(number), "NAME": name, "CRM_AUTO_CREATE": "Y" if crm_auto_create else "N"}
    return Command("telephony.externalLine.add", params, _id)


def update(number: str, *, name: str | None = None, crm_auto_create: bool | None = None) -> Command[int]:
    """Change the name or the flag of a line; returns its id. Raises ValueError if nothing changes."""
    if name is None and crm_auto_create is None:
        raise ValueError("nothing to change")
    flag = None if crm_auto_create is None else "Y" if crm_auto_create else "N"
    params = {"NUMBER": _number(number), "NAME": name, "CRM_AUTO_CREATE": flag}
    return Command("telephony.externalLine.update", params, _id, idempotent=True)


def delete(number: str) -> Command[bool]:
    """Remove a line. True, or LineProblem when there is none."""
    return Command("telephony.externalLine.delete", {"NUMBER": _number(number)}, lambda _: True)


def _number(number: str) -> str:
    stripped = number.strip()
    if not 1 <= len(stripped) <= MAX_NUMBER:
        raise ValueError(f"the number of a line has 1 to {MAX_NUMBER} characters")
    return stripped


def _id(result: Any) -> int:
    return php.required_integer(php.mapping(result).get("ID"), "ID")


def _lines(result: Any) -> list[Line]:
    return [_line(php.mapping(row)) for row in php.rows(result)]


def _line(row: dict[str, Any]) -> Line:
    # Numbers that look like one come back as integers from some portals.
    number = php.required_text(row.get("NUMBER"), "NUMBER")
    return Line(number, php.text(row.get("NAME")), php.yes(row.get("CRM_AUTO_CREATE")))
