"""What a portal knows at the start, and how more is told to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from itgrix_bx.emulator.portal.store import Absence, Client, Department, EntityType, Line, Store, User

Seed = Mapping[str, Any]
T = TypeVar("T")

DEFAULT: Seed = {
    "webhook": {"user_id": 1, "secret": "emulator-secret"},
    "users": [
        {"id": 1, "name": "Admin"},
        {"id": 11, "name": "Анна Иванова", "extension": "101"},
        {"id": 12, "name": "Борис Петров", "extension": "102"},
        {"id": 13, "name": "Вера Смирнова", "extension": "103"},
        {"id": 14, "name": "Глеб Уволенный", "extension": "104", "active": False},
    ],
    "companies": [{"id": 3, "name": "ООО «Ромашка»", "phones": ["+74957654321"], "responsible": 12}],
    "contacts": [{"id": 7, "name": "Иван Клиентов", "phones": ["+79161234567"], "responsible": 11}],
    "leads": [],
    "deals": [],
    "lines": [],
    "departments": [],
    "absences": [],
    "settings": {},
}
WORKDAYS = ("OPENED", "CLOSED", "PAUSED", "EXPIRED", "UNAVAILABLE", "NOT_INSTALLED")
_KINDS: dict[str, EntityType] = {"contacts": "CONTACT", "leads": "LEAD", "companies": "COMPANY", "deals": "DEAL"}
_OWNERS = ("contact", "company")  # of a deal
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,64}")


def plant(store: Store, seed: Seed) -> None:
    """Merge a seed into the store: things with a known id are replaced. Raises ValueError with a sentence."""
    unknown = set(seed) - set(DEFAULT)
    if unknown:
        raise ValueError(f"a seed has no {', '.join(sorted(unknown))}; it may have {', '.join(DEFAULT)}")
    users = _each(seed, "users", _user)
    clients = [client for table, kind in _KINDS.items() for client in _each(seed, table, partial(_client, kind))]
    lines = _each(seed, "lines", lambda row: Line(_text(row, "number"), _text(row, "name")))
    departments = _each(seed, "departments", _department)
    absences = _each(seed, "absences", _absence)
    with store.lock:
        store.settings.change(seed.get("settings", {}))
        _set_webhook(store, seed.get("webhook", {}))
        store.users.update({user.id: user for user in users})
        for client in clients:
            store.put_client(client)
        store.departments.update({node.id: node for node in departments})
        known = {event.id: event for event in store.absences} | {event.id: event for event in absences}
        store.absences = list(known.values())
        for line in lines:
            store.lines[line.number] = line
            store.line_ids.setdefault(line.number, store.next_id("lines"))


def _set_webhook(store: Store, webhook: Mapping[str, Any]) -> None:
    secret = webhook.get("secret", store.secret)
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise ValueError("webhook.secret must be letters and digits")
    store.secret = secret
    store.webhook_user_id = _number(webhook, "user_id", store.webhook_user_id)


def _each(seed: Seed, table: str, make: Callable[[Mapping[str, Any]], T]) -> list[T]:
    rows = seed.get(table, [])
    if not isinstance(rows, list):
        raise ValueError(f"{table} must be a list")
    made = []
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"{table}[{index}] must be an object")
        try:
            made.append(make(row))
        except ValueError as error:
            raise ValueError(f"{table}[{index}]: {error}") from None
    return made


def _user(row: Mapping[str, Any]) -> User:
    workday = _text(row, "workday", "OPENED")
    if workday not in WORKDAYS:
        raise ValueError(f"workday must be one of {', '.join(WORKDAYS)}")
    return User(
        id=_number(row, "id"),
        name=_text(row, "name"),
        active=_flag(row, "active"),
        extension=_text(row, "extension"),
        workday=workday,
        email=_text(row, "email"),
        work_phone=_text(row, "work_phone"),
        personal_phone=_text(row, "personal_phone"),
        mobile=_text(row, "mobile"),
        departments=_departments(row),
    )


def _departments(row: Mapping[str, Any]) -> list[int]:
    found = row.get("departments", [1])
    if not isinstance(found, list) or not all(isinstance(number, int) for number in found):
        raise ValueError("departments must be a list of whole numbers")
    return found


def _department(row: Mapping[str, Any]) -> Department:
    parent, head = (_number(row, name) if row.get(name) else 0 for name in ("parent", "head"))
    return Department(_number(row, "id"), _text(row, "name"), parent, head)


def _absence(row: Mapping[str, Any]) -> Absence:
    since, until = row.get("since"), row.get("until")
    if not isinstance(since, (int, float)) or not isinstance(until, (int, float)):
        raise ValueError("since and until must be seconds since 1970")
    kind = _text(row, "accessibility", "absent")
    if kind not in ("busy", "absent", "quest", "free"):
        raise ValueError("accessibility must be one of busy, absent, quest, free")
    return Absence(_number(row, "id"), _number(row, "user"), float(since), float(until), kind, _text(row, "name"))


def _client(kind: EntityType, row: Mapping[str, Any]) -> Client:
    numbers = row.get("phones", [])
    if not isinstance(numbers, list) or not all(isinstance(number, str) for number in numbers):
        raise ValueError("phones must be a list of texts")
    responsible = _number(row, "responsible", 1)
    client = Client(kind, _number(row, "id"), _text(row, "name"), numbers, responsible, _flag(row, "active"))
    client.contact, client.company = (_number(row, of) if row.get(of) is not None else None for of in _OWNERS)
    return client


def _number(row: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = row.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0")
    return value


def _text(row: Mapping[str, Any], name: str, default: str = "") -> str:
    value = row.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text")
    return value


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name, True)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value
