"""`department.get`, `calendar.accessibility.get` and `crm.status.list`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from itgrix_bx.emulator.portal import filters, php
from itgrix_bx.emulator.portal.answers import Page, RestError, page_of
from itgrix_bx.emulator.portal.clock import parse_date
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import SOURCES, Absence, Department, Store

_NUMBERS = ("ID", "SORT", "PARENT", "UF_HEAD")
_DAY_S = 86400.0


def departments(context: Context, params: Params) -> Page:
    """A page of the structure. The parameters themselves are the filter; what is not set is not told of."""
    asked = php.folded(params)
    keys = dict.fromkeys(_NUMBERS, filters.by_number) | {"NAME": filters.by_text}
    conditions = {name: value for name, value in asked.items() if name not in ("SORT", "ORDER")}
    with context.store.lock:
        rows = [_department(node) for node in context.store.departments.values()]
    whole = [dict.fromkeys(keys) | row for row in rows]
    tests = filters.build(conditions, {name: key for name, key in keys.items() if name != "SORT"})
    found = [row for row, full in zip(rows, whole, strict=True) if filters.select([full], tests)]
    field = php.text(asked.get("SORT")).upper()
    if field in keys:
        found.sort(key=lambda row: keys[field](row.get(field)), reverse=php.text(asked.get("ORDER")).upper() == "DESC")
    return page_of(found, params.get("start", 0))


def accessibility(context: Context, params: Params) -> dict[str, Any]:
    """What keeps users busy on the days from `from` to `to`, by user id; the names of parameters are lower case."""
    for name in ("from", "to", "users"):
        if not php.truthy(params.get(name)):
            raise RestError(f'The required parameter "{name}" for the method "calendar.accessibility.get" is not set')
    store = context.store
    since = parse_date(php.text(params["from"]), store.settings.utc_offset_min)
    until = parse_date(php.text(params["to"]), store.settings.utc_offset_min)
    users = php.integers(params["users"])
    with store.lock:
        found = {user: [event for event in store.absences if event.user_id == user] for user in users}
        inside = {user: [e for e in events if _touches(e, since, until)] for user, events in found.items()}
        return {str(user): [_event(store, event) for event in events] for user, events in inside.items()}


def statuses(context: Context, params: Params) -> Page:
    """A page of the CRM's dictionaries: sources, and a few stages for who forgets the filter."""
    del context
    asked = php.folded(php.folded(params).get("FILTER", {}))
    rows = [_status(n, "SOURCE", source) for n, source in enumerate(SOURCES, 1)]
    rows += [_status(n, "STATUS", stage) for n, stage in enumerate(("NEW", "IN_PROCESS", "CONVERTED"), 101)]
    tests = filters.build(asked, {"ENTITY_ID": filters.by_text, "STATUS_ID": filters.by_text})
    return page_of(filters.select(rows, tests), params.get("start", 0))


def _department(node: Department) -> dict[str, Any]:
    row: dict[str, Any] = {"ID": str(node.id), "NAME": node.name, "SORT": 500}
    if node.parent:
        row["PARENT"] = str(node.parent)
    if node.head:
        row["UF_HEAD"] = str(node.head)
    return row


def _touches(event: Absence, since: float | None, until: float | None) -> bool:
    return (since is None or event.until > since) and (until is None or event.since < until + _DAY_S)


def _event(store: Store, event: Absence) -> dict[str, Any]:
    offset_s = store.settings.utc_offset_min * 60
    return {
        "ID": str(event.id),
        "NAME": event.name,
        "DATE_FROM": _local(event.since + offset_s),
        "DATE_TO": _local(event.until + offset_s),
        "DATE_FROM_TS_UTC": str(int(event.since)),
        "DATE_TO_TS_UTC": str(int(event.until)),
        "~USER_OFFSET_FROM": 0,
        "~USER_OFFSET_TO": 0,
        "DT_SKIP_TIME": "N",
        "TZ_FROM": "UTC",
        "TZ_TO": "UTC",
        "ACCESSIBILITY": event.accessibility,
        "IMPORTANCE": "normal",
        "EVENT_TYPE": "",
    }


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%d.%m.%Y %H:%M:%S")


def _status(number: int, kind: str, status: str) -> dict[str, Any]:
    return {
        "ID": str(number), "ENTITY_ID": kind, "STATUS_ID": status, "NAME": status.title(), "NAME_INIT": status.title(),
        "SORT": str(number * 10), "SYSTEM": "Y", "CATEGORY_ID": None, "COLOR": "", "SEMANTICS": None, "EXTRA": [],
    }  # fmt: skip


METHODS = (
    Method("department.get", departments, "department"),
    Method("calendar.accessibility.get", accessibility, "calendar"),
    Method("crm.status.list", statuses, "crm"),
)
