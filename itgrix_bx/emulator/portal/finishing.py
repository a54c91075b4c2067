"""`telephony.externalCall.finish`, step by step in the portal's own order."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import crm, php, telephony
from itgrix_bx.emulator.portal.answers import RestError
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import EMPTY_OBJECT, Params
from itgrix_bx.emulator.portal.store import Call, Store, User

_NO_ENTITY = "Could not find associated crm entity for the current call"
# What the real portal answers; the missing bracket is its own.
_GONE = "Call is not found (call should be registered prior to finishing"
_WIDTHS = {
    "PHONE_NUMBER": 20,
    "CALL_FAILED_CODE": 255,
    "CALL_FAILED_REASON": 255,
    "COST_CURRENCY": 50,
    "CALL_RECORD_URL": 2000,
}
_NULLS = ("CALL_LOG", "TRANSCRIPT_ID", "SESSION_ID", "REDIAL_ATTEMPT", "COMMENT", "RECORD_DURATION")


def finish(context: Context, params: Params) -> dict[str, Any]:
    """End a call. Nothing keeps a second request from doing the same until the row is gone."""
    store = context.store
    with store.lock:
        call, user = _load(store, params)
    context.work("telephony.externalCall.finish")
    with store.lock:
        row, errors = _commit(store, call, user, params)
    store.clock.sleep(store.settings.finish_delete_delay_s)
    with store.lock:
        store.drop_call(call)
    return _answer(row, errors)


def _load(store: Store, params: Params) -> tuple[Call, User]:
    call_id = params.get("CALL_ID")
    if not isinstance(call_id, str):
        raise RestError("CALL_ID must be a string", "INVALID_ARGUMENT")
    user_id = telephony.user_of(store, params)
    call = store.calls.get(call_id)
    if call is None:
        raise RestError(_GONE)
    return call, telephony.require_active(store, user_id)


def _commit(store: Store, call: Call, user: User, params: Params) -> tuple[dict[str, Any], dict[str, str]]:
    store.record_card(call.call_id, user.id, "hide")
    for kind, number in call.created:
        store.clients[kind][number].responsible = user.id
    crm.find_again(store, call)
    row = _row(store, call, user, params)
    errors: dict[str, str] = {}
    if call.entity_type:
        row["CRM_ACTIVITY_ID"] = str(_add_activity(store, call, row))
    else:
        errors["ACTIVITY_CREATION"] = _NO_ENTITY
    _validate(row)
    row["ID"] = str(store.next_id("statistics"))
    store.add_statistics(row)
    return row, errors


def _validate(row: dict[str, Any]) -> None:
    # The activity is there already and the call stays: each repetition leaves one more activity.
    for name, width in _WIDTHS.items():
        if len(row[name] or "") > width:
            detail = f"The value of the field {name} is longer than {width} characters"
            raise RestError(f"Unexpected database error; {detail}")


def _row(store: Store, call: Call, user: User, params: Params) -> dict[str, Any]:
    duration = max(0, php.integer(params.get("DURATION")))
    status = params.get("STATUS_CODE")
    record_url = params.get("RECORD_URL")
    return dict.fromkeys(_NULLS) | {
        "ID": "",
        "PORTAL_USER_ID": str(user.id),
        "PORTAL_NUMBER": call.line or "REST_APP:",
        "PHONE_NUMBER": call.phone_number,
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_call_id,
        "CALL_CATEGORY": "external",
        "CALL_DURATION": str(duration),
        "CALL_START_DATE": store.iso(call.started_at),
        "CALL_RECORD_URL": None if record_url is None else php.text(record_url),
        "CALL_VOTE": str(php.integer(params.get("VOTE"))),
        "COST": f"{_number(params.get('COST')):.4f}",
        "COST_CURRENCY": php.text(params.get("COST_CURRENCY")),
        "CALL_FAILED_CODE": php.text(status) if status is not None else ("200" if duration else "304"),
        "CALL_FAILED_REASON": php.text(params.get("FAILED_REASON")),
        "CRM_ENTITY_TYPE": call.entity_type or None,
        "CRM_ENTITY_ID": str(call.entity_id) if call.entity_id else None,
        "CRM_ACTIVITY_ID": None,
        "REST_APP_ID": None,
        "REST_APP_NAME": None,
        "TRANSCRIPT_PENDING": "N",
        "RECORD_FILE_ID": None,
        "CALL_TYPE": str(call.type),
        "in_chat": php.truthy(params.get("ADD_TO_CHAT")),
        "finished_at": store.clock.now(),
    }


def _add_activity(store: Store, call: Call, row: dict[str, Any]) -> int:
    number = store.next_id("activities")
    missed = call.type in (2, 4) and row["CALL_FAILED_CODE"] == "304"
    store.activities.append(
        {
            "id": number,
            "type_id": 2,
            "provider_id": "VOXIMPLANT_CALL",
            "provider_type_id": "CALL",
            "direction": 1 if call.type in telephony.INCOMING_TYPES else 2,
            "origin_id": f"VI_{call.call_id}",
            "call_id": call.call_id,
            "start": call.started_at,
            "end": call.started_at + int(row["CALL_DURATION"]),
            "responsible": int(row["PORTAL_USER_ID"]),
            "owner_type": call.entity_type,
            "owner_id": call.entity_id,
            "completed": call.type not in (2, 4),
            "missed_call": missed,
            "stream": "regular" if row["CALL_FAILED_CODE"] == "200" else "missing",
            "files": [],
        }
    )
    return number


def _answer(row: dict[str, Any], errors: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "CALL_ID": row["CALL_ID"],
        "EXTERNAL_CALL_ID": row["EXTERNAL_CALL_ID"],
        "PORTAL_USER_ID": int(row["PORTAL_USER_ID"]),
        "PHONE_NUMBER": row["PHONE_NUMBER"],
        "PORTAL_NUMBER": row["PORTAL_NUMBER"],
        "INCOMING": row["CALL_TYPE"],
        "CALL_DURATION": int(row["CALL_DURATION"]),
        "CALL_START_DATE": EMPTY_OBJECT,
        "CALL_STATUS": 1 if int(row["CALL_DURATION"]) else 0,
        "CALL_VOTE": int(row["CALL_VOTE"]),
        "COST": float(row["COST"]) or 0,
        "COST_CURRENCY": row["COST_CURRENCY"],
        "CALL_FAILED_CODE": row["CALL_FAILED_CODE"],
        "CALL_FAILED_REASON": row["CALL_FAILED_REASON"],
        "REST_APP_ID": None,
        "REST_APP_NAME": False,
        "CRM_ACTIVITY_ID": int(row["CRM_ACTIVITY_ID"]) if row["CRM_ACTIVITY_ID"] else False,
        "COMMENT": None,
        "ID": int(row["ID"]),
    }
    if row["CALL_RECORD_URL"] is not None:
        answer["CALL_RECORD_URL"] = row["CALL_RECORD_URL"]
    if row["CRM_ENTITY_TYPE"]:
        answer["CRM_ENTITY_TYPE"] = row["CRM_ENTITY_TYPE"]
        answer["CRM_ENTITY_ID"] = int(row["CRM_ENTITY_ID"] or 0)
    if errors:
        answer["ERRORS"] = errors
    return answer


def _number(value: object) -> float:
    try:
        found = float(php.text(value) or 0)
    except ValueError:
        return 0.0
    return found if abs(found) < 1e12 else 0.0


METHODS = (Method("telephony.externalCall.finish", finish, "telephony", app_only=True, own_pace=True),)
