"""`user.get`, `user.current` and `profile`."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import filters, php
from itgrix_bx.emulator.portal.answers import Page, page_of
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import EMPTY_OBJECT, Params
from itgrix_bx.emulator.portal.store import Store, User

_TEXTS = (
    "NAME", "LAST_NAME", "SECOND_NAME", "EMAIL", "XML_ID", "UF_PHONE_INNER", "WORK_PHONE", "PERSONAL_PHONE",
    "PERSONAL_MOBILE", "WORK_POSITION", "USER_TYPE",
)  # fmt: skip
_PRIVATE = ("EMAIL", "WORK_PHONE", "PERSONAL_PHONE", "PERSONAL_MOBILE")
_OFF = ("N", "n", "false")


def get(context: Context, params: Params) -> Page:
    """A page of employees. Without FILTER the parameters themselves are the filter; without a hit no total."""
    asked = php.folded(params)
    conditions = asked.get("FILTER", {name: value for name, value in asked.items() if name not in ("SORT", "ORDER")})
    with context.store.lock:
        rows = [_permitted(context, _row(context.store, user)) for user in context.store.users.values()]
    found = filters.select(rows, filters.build(conditions, _keys()))
    found = _sorted(found, asked)
    page = page_of(found, params.get("start", 0))
    return page if found else Page([])


def current(context: Context, params: Params) -> dict[str, Any]:
    """The webhook's own user."""
    del params
    with context.store.lock:
        return _permitted(context, _row(context.store, context.store.users[context.caller.user_id]))


def profile(context: Context, params: Params) -> dict[str, Any]:
    """The webhook's own user in short; needs no scope."""
    row = current(context, params)
    names = {name: row[name] for name in ("ID", "NAME", "LAST_NAME")}
    admin = context.caller.user_id == 1
    return names | {"ADMIN": admin, "PERSONAL_GENDER": "", "TIME_ZONE": "", "TIME_ZONE_OFFSET": 0}


def _permitted(context: Context, row: dict[str, Any]) -> dict[str, Any]:
    # The narrowest right tells inner numbers, but neither outside numbers nor mail.
    if context.caller.scopes & {"user", "user_basic"}:
        return row
    return {name: None if name in _PRIVATE else value for name, value in row.items()}


def _keys() -> dict[str, filters.Key]:
    return {"ID": filters.by_number, "ACTIVE": _flag} | dict.fromkeys(_TEXTS, filters.by_text)


def _flag(value: object) -> bool:
    return php.truthy(value) and value not in _OFF


def _sorted(rows: list[dict[str, Any]], asked: Params) -> list[dict[str, Any]]:
    field = php.text(asked.get("SORT")).upper()
    key = _keys().get(field)
    reverse = php.text(asked.get("ORDER")).upper() == "DESC"
    return sorted(rows, key=lambda row: key(row[field]), reverse=reverse) if key else rows


def _row(store: Store, user: User) -> dict[str, Any]:
    first, _, last = user.name.partition(" ")
    return {
        "ID": str(user.id),
        "XML_ID": "",
        "ACTIVE": user.active,
        "NAME": first,
        "LAST_NAME": last,
        "SECOND_NAME": "",
        "EMAIL": user.email,
        "LAST_LOGIN": store.iso(0),
        "DATE_REGISTER": store.iso(0),
        "TIMESTAMP_X": EMPTY_OBJECT,
        "IS_ONLINE": "Y",
        "WORK_POSITION": "",
        "WORK_PHONE": user.work_phone,
        "PERSONAL_PHONE": user.personal_phone,
        "PERSONAL_MOBILE": user.mobile,
        "UF_DEPARTMENT": list(user.departments),
        "UF_PHONE_INNER": user.extension or None,
        "USER_TYPE": "employee",
    }


METHODS = (
    Method("user.get", get, "user"),
    Method("user.current", current, "user"),
    Method("profile", profile),
)
