"""Employees of the portal (`user.get`), page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bx24client import php
from bx24client.commands import MAX_COMMANDS, Answer, Command
from bx24client.errors import UnreadableAnswer

PAGE = 50
# A page takes a portal some 0.2 s, a request may take 60 s.
PAGES_IN_A_BATCH = min(20, MAX_COMMANDS)
# No portal is so large; a portal that says so is broken.
MAX_USERS = 100_000


@dataclass(frozen=True)
class PortalUser:
    """An employee. `extension` is the inner number and may be empty; `phones` as people typed them."""

    id: int
    active: bool
    name: str
    extension: str
    phones: tuple[str, ...] = ()


def page(start: int) -> Command[list[PortalUser]]:
    """One page of employees, ordered by id, dismissed ones included; `start` is a row number."""
    params = {"FILTER": {"USER_TYPE": "employee"}, "sort": "ID", "order": "ASC", "start": start}
    return Command("user.get", params, _users, idempotent=True)


def further_pages(first: Answer[list[PortalUser]]) -> Iterator[Mapping[str, Command[list[PortalUser]]]]:
    """Batches for all pages after the first. Raises UnreadableAnswer if their number is unknown."""
    if first.next is None:
        return
    if first.total is None or first.total > MAX_USERS or first.next < 1:
        raise UnreadableAnswer("the portal does not say how many employees it has")
    starts = range(first.next, first.total, PAGE)
    for begin in range(0, len(starts), PAGES_IN_A_BATCH):
        yield {f"from_{start}": page(start) for start in starts[begin : begin + PAGES_IN_A_BATCH]}


def join(pages: list[list[PortalUser]], total: int | None) -> list[PortalUser]:
    """All pages as one list. Raises UnreadableAnswer if somebody is missing."""
    unique = {user.id: user for users in pages for user in users}
    if total is not None and len(unique) < total:
        raise UnreadableAnswer(f"the portal has {total} employees and gave only {len(unique)}")
    return list(unique.values())


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
    )
