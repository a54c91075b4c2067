"""The company's structure (`department.get`, scope `department`) and who is away (`calendar.accessibility.get`, scope
`calendar`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from bx24client import php
from bx24client.commands import MAX_COMMANDS, Command
from bx24client.pages import Listing

_USERS_A_COMMAND = 50
_LAST_MOMENT = 253_402_300_799  # of the year 9999, the last one a calendar has
_COMMANDS_A_BATCH = min(20, MAX_COMMANDS)


@dataclass(frozen=True)
class Department:
    """A node of the structure; `parent` and `head` (a user id) are None where there is none."""

    id: int
    name: str
    parent: int | None
    head: int | None


@dataclass(frozen=True)
class Away:
    """An event of an employee's calendar that says "absent"; unix seconds."""

    user_id: int
    since: float
    until: float


def page(start: int) -> Command[list[Department]]:
    """One page of departments, ordered by id; `start` is a row number."""
    params = {"sort": "ID", "order": "ASC", "start": start}
    return Command("department.get", params, _departments, idempotent=True)


def away(user_ids: Sequence[int], since: date, until: date) -> Command[list[Away]]:
    """Absences of these employees that touch the days from `since` to `until`."""
    params = {"users": list(user_ids), "from": since.isoformat(), "to": until.isoformat()}
    return Command("calendar.accessibility.get", params, _away, idempotent=True)


def batches(user_ids: Sequence[int], since: date, until: date) -> Iterator[Mapping[str, Command[list[Away]]]]:
    """`away` for any number of employees."""
    commands = {
        f"from_{begin}": away(user_ids[begin : begin + _USERS_A_COMMAND], since, until)
        for begin in range(0, len(user_ids), _USERS_A_COMMAND)
    }
    keys = list(commands)
    for begin in range(0, len(keys), _COMMANDS_A_BATCH):
        yield {key: commands[key] for key in keys[begin : begin + _COMMANDS_A_BATCH]}


def _departments(result: Any) -> list[Department]:
    return [_department(php.mapping(row)) for row in php.rows(result)]


def _department(row: dict[str, Any]) -> Department:
    number = php.required_integer(row.get("ID"), "ID")
    # A node without a head has no UF_HEAD at all, the root no PARENT; some portals write 0.
    parent, head = php.integer(row.get("PARENT")) or None, php.integer(row.get("UF_HEAD")) or None
    return Department(number, php.text(row.get("NAME")), parent, head)


def _away(result: Any) -> list[Away]:
    found = []
    for user_id, events in php.mapping(result).items():
        for event in php.maps(events):
            since, until = php.integer(event.get("DATE_FROM_TS_UTC")), php.integer(event.get("DATE_TO_TS_UTC"))
            if event.get("ACCESSIBILITY") != "absent" or since is None or until is None:
                continue
            if 0 <= since < until <= _LAST_MOMENT:
                found.append(Away(php.required_integer(user_id, "user id"), float(since), float(until)))
    return found


DEPARTMENTS = Listing(page, lambda department: department.id, "departments")
