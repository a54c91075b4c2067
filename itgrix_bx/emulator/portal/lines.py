"""`telephony.externalLine.*`."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import php
from itgrix_bx.emulator.portal.answers import RestError
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Line, Store

_WIDTH = 50


def add(context: Context, params: Params) -> dict[str, int]:
    """Add a line; the number is trimmed and cut to 50 characters."""
    store, number = context.store, php.text(params.get("NUMBER")).strip()[:_WIDTH]
    if not number:
        raise RestError("NUMBER should not be empty")
    with store.lock:
        if number in store.lines and not store.settings.lines_repeat:
            raise RestError("Line already exists")
        copies = store.lines[number].copies + 1 if number in store.lines else 1
        store.lines[number] = Line(number, php.text(params.get("NAME")), _yes_no(params), copies)
        store.line_ids[number] = store.next_id("lines")
        return {"ID": store.line_ids[number]}


def update(context: Context, params: Params) -> dict[str, str]:
    """Change a line's name or its creation of clients. The id comes as a string here."""
    if params.get("NAME") is None and params.get("CRM_AUTO_CREATE") is None:
        raise RestError("There are no fields to update")
    store = context.store
    with store.lock:
        line = _line(store, params)
        if params.get("NAME") is not None:
            line.name = php.text(params["NAME"])
        if params.get("CRM_AUTO_CREATE") is not None:
            line.crm_auto_create = _yes_no(params)
        return {"ID": str(store.line_ids[line.number])}


def delete(context: Context, params: Params) -> dict[str, Any]:
    """Remove a line; the empty answer leaves as `[]`."""
    with context.store.lock:
        del context.store.lines[_line(context.store, params).number]
    return {}


def get(context: Context, params: Params) -> list[dict[str, str]]:
    """All lines."""
    del params
    with context.store.lock:
        lines = [line for line in context.store.lines.values() for _ in range(line.copies)]
    return [{"NUMBER": line.number, "NAME": line.name, "CRM_AUTO_CREATE": line.crm_auto_create} for line in lines]


def _line(store: Store, params: Params) -> Line:
    number = php.text(params.get("NUMBER")).strip()
    if not number:
        raise RestError("NUMBER should not be empty")
    if number not in store.lines:
        raise RestError(f"Could not find line with number {number}")
    return store.lines[number]


def _yes_no(params: Params) -> str:
    return "N" if params.get("CRM_AUTO_CREATE") == "N" else "Y"


METHODS = (
    Method("telephony.externalLine.add", add, "telephony", app_only=True),
    Method("telephony.externalLine.update", update, "telephony", app_only=True),
    Method("telephony.externalLine.delete", delete, "telephony", app_only=True),
    Method("telephony.externalLine.get", get, "telephony", app_only=True),
)
