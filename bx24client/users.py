"""Employees of the portal (`user.get`), page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24client import php
from bx24client.commands import Command
from bx24client.pages import Listing


@dataclass(frozen=True)
class PortalUser:
    """An employee. `extension` is the inner number and may be empty; `phones` as people typed them; `departments` by
    id, the main one first."""

    id: int
    active: bool
    name: str
    extension: str
    phones: tuple[str, ...] = ()
    departments: tuple[int, ...] = ()


def page(start: int) -> Command[list[PortalUser]]:
    """One page of employees, ordered by id, dismissed ones included; `start` is a row number."""
    params = {"FILTER": {"USER_TYPE": "employee"}, "sort": "ID", "order": "ASC", "start": start}
    return Command("user.get", params, _users, idempotent=True)


def _users(result: Any) -> list[PortalUser]:
    return [_user(php.mapping(row)) for row in php.rows(result)]


def _user(row: dict[str, Any]) -> PortalUser:
    number = php.required_integer(row.get("ID"), "ID")
    names = (php.text(row.get("NAME")), php.text(row.get("LAST_NAME")))
    phones = (php.text(row.get(key)) for key in ("WORK_PHONE", "PERSONAL_MOBILE", "PERSONAL_PHONE"))
    return PortalUser(
        id=number,
        active=php.yes(row.get("ACTIVE")),
        name=" ".join(part for part in names if part) or php.text(row.get("EMAIL")) or f"user {number}",
        extension=php.text(row.get("UF_PHONE_INNER")),
        phones=tuple(dict.fromkeys(phone for phone in phones if phone)),
        departments=tuple(found for value in _departments(row) if (found := php.integer(value))),
    )


def _departments(row: dict[str, Any]) -> list[Any]:
    value = row.get("UF_DEPARTMENT")  # false where an employee is in none
    return php.rows(value) if isinstance(value, (list, dict)) else []


EMPLOYEES = Listing(page, lambda user: user.id, "employees")
