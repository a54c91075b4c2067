"""`crm.item.list` for deals: the universal list method, with its nested filters and its own strictness."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from itgrix_bx.emulator.portal import php
from itgrix_bx.emulator.portal.answers import Page, RestError, page_of
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Client

DEAL = 2
Row = dict[str, Any]
Test = Callable[[Row], bool]

_FIELDS = ("id", "title", "assignedById", "contactId", "companyId", "closed")
_OPERATOR = re.compile(r"(!@|!=|>=|<=|[@=!<>])?([A-Za-z]+)")


def items(context: Context, params: Params) -> Page:
    """A page of deals. Names are case-sensitive here, unlike in the older methods."""
    if php.integer(params.get("entityTypeId")) != DEAL:
        raise RestError("Smart process not found", "NOT_FOUND")
    test = _all_of(params.get("filter") or {})
    with context.store.lock:
        rows = [row for row in map(_row, context.store.clients["DEAL"].values()) if test(row)]
    rows = _sorted(rows, params.get("order"))
    chosen = [name for _, name in php.pairs(params.get("select") or ["*"])]
    page = page_of(rows, params.get("start", 0))
    shown = [row if "*" in chosen else {key: row[key] for key in row if key in chosen} for row in page.rows]
    return Page({"items": shown}, page.total, page.next)


def _row(deal: Client) -> Row:
    return {
        "id": deal.id, "title": deal.name, "assignedById": deal.responsible, "contactId": deal.contact,
        "companyId": deal.company, "closed": "N" if deal.active else "Y",
    }  # fmt: skip


def _all_of(conditions: Any) -> Test:
    pairs = dict(php.pairs(conditions))
    either = php.text(pairs.pop("logic", "AND")).upper() == "OR"
    tests = [_all_of(value) if name.isdecimal() else _condition(name, value) for name, value in pairs.items()]
    if either and tests:
        return lambda row: any(test(row) for test in tests)
    return lambda row: all(test(row) for test in tests)


def _condition(name: str, value: Any) -> Test:
    match = _OPERATOR.fullmatch(name)
    if match is None or match[2] not in _FIELDS:
        raise RestError(f"Invalid filter: field '{name}' is not allowed in filter", "INVALID_ARG_VALUE")
    operator, field = match[1] or "=", match[2]
    wanted = [item for _, item in php.pairs(value)] if isinstance(value, (list, dict)) else [value]
    if any(isinstance(item, (list, dict)) for item in wanted):
        raise RestError(f"Invalid filter: field '{field}' has invalid value", "INVALID_ARG_VALUE")
    if not wanted:  # an empty list is no condition at all: what a reference that leads nowhere comes to
        return lambda row: bool(row)
    texts = {php.text(item) for item in wanted}
    found: Test = lambda row: php.text(row[field]) in texts  # noqa: E731
    if operator in ("!", "!=", "!@"):
        return lambda row: not found(row)
    if operator in ("=", "@"):
        return found
    raise RestError(f"Invalid filter: field '{name}' is not allowed in filter", "INVALID_ARG_VALUE")


def _sorted(rows: list[Row], order: Any) -> list[Row]:
    for name, direction in reversed(list(php.pairs(order or {}))):
        if name not in _FIELDS:
            raise RestError(f"Invalid order: field '{name}' is not allowed in order", "INVALID_ARG_VALUE")
        if php.text(direction).upper() not in ("ASC", "DESC"):
            raise RestError(
                f"Invalid order: allowed sort directions are `ASC, DESC`. But got '{direction}' for field '{name}'",
                "INVALID_ARG_VALUE",
            )
        rows = sorted(rows, key=lambda row: row[name] or 0, reverse=php.text(direction).upper() == "DESC")
    return rows


METHODS = (Method("crm.item.list", items, "crm"),)
