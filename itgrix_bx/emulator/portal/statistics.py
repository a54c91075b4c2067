"""`voximplant.statistic.get`: the finished calls."""

from __future__ import annotations

from functools import partial
from typing import Any

from itgrix_bx.emulator.portal import filters, php
from itgrix_bx.emulator.portal.answers import Page, page_of
from itgrix_bx.emulator.portal.clock import parse_date
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Store

_NUMBERS = (
    "ID", "PORTAL_USER_ID", "CALL_DURATION", "CALL_VOTE", "COST", "CRM_ENTITY_ID", "CRM_ACTIVITY_ID",
    "REST_APP_ID", "TRANSCRIPT_ID", "SESSION_ID", "REDIAL_ATTEMPT", "RECORD_DURATION", "RECORD_FILE_ID",
    "CALL_TYPE",
)  # fmt: skip
_TEXTS = (
    "PORTAL_NUMBER", "PHONE_NUMBER", "CALL_ID", "EXTERNAL_CALL_ID", "CALL_CATEGORY", "CALL_LOG",
    "CALL_RECORD_URL", "COST_CURRENCY", "CALL_FAILED_CODE", "CALL_FAILED_REASON", "CRM_ENTITY_TYPE",
    "REST_APP_NAME", "TRANSCRIPT_PENDING", "COMMENT",
)  # fmt: skip
FIELDS = (*_NUMBERS, *_TEXTS, "CALL_START_DATE")


def get(context: Context, params: Params) -> Page:
    """A page of statistics rows; unknown fields of the filter are dropped, so everything comes back."""
    store, asked = context.store, php.folded(params)
    conditions = {name.upper(): value for name, value in php.pairs(asked.get("FILTER"))}
    with store.lock:
        rows = filters.select(_candidates(store, conditions), filters.build(conditions, _keys(store)))
        rows = _sorted(rows, asked, store)
        page = page_of(rows, params.get("start", 0))
        return Page([_public(row) for row in page.rows], page.total, page.next)


def _candidates(store: Store, conditions: dict[str, Any]) -> list[dict[str, Any]]:
    # Clients ask by id before every retry: these two must not scan the table.
    for name in ("CALL_ID", "=CALL_ID"):
        if isinstance(conditions.get(name), str):
            return store.statistics_of(conditions[name])
    for name in ("EXTERNAL_CALL_ID", "=EXTERNAL_CALL_ID"):
        if isinstance(conditions.get(name), str):
            return store.statistics_of_external(conditions[name])
    return store.statistics


def _keys(store: Store) -> dict[str, filters.Key]:
    keys: dict[str, filters.Key] = dict.fromkeys(_NUMBERS, filters.by_number)
    keys |= dict.fromkeys(_TEXTS, filters.by_text)
    return keys | {"CALL_START_DATE": partial(_moment, store.settings.utc_offset_min)}


def _moment(utc_offset_min: int, value: object) -> float:
    return parse_date(php.text(value), utc_offset_min) or 0.0


def _sorted(rows: list[dict[str, Any]], asked: Params, store: Store) -> list[dict[str, Any]]:
    field = php.text(asked.get("SORT")).upper()
    key = _keys(store).get(field)
    if key is None:
        return list(rows)
    # "desc" in lower case is ignored.
    return sorted(rows, key=lambda row: key(row[field]), reverse=asked.get("ORDER") == "DESC")


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FIELDS}


METHODS = (Method("voximplant.statistic.get", get, "telephony"),)
