"""`telephony.externalCall.*`: the life of a call in the portal. Parameter names in upper case only."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from itgrix_bx.emulator.portal import crm, phones, php
from itgrix_bx.emulator.portal.answers import RestError
from itgrix_bx.emulator.portal.clock import parse_date
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Call, Line, Store, User

INCOMING_TYPES = (2, 3)
_LINE_WIDTH = 50
_EXTERNAL_ID_WIDTH = 64


def register(context: Context, params: Params) -> dict[str, Any]:
    """Make a call known, or find it again: same user, number and type, younger than 30 minutes."""
    store = context.store
    race_s = store.settings.register_race_s
    with store.lock:
        wanted = _wanted_call(store, params)
        known = _same_call(store, wanted, params)
        makes = known is None and crm.bind(store, wanted, params)
        if not race_s:
            return _made(context, known, wanted, params, makes=makes)
    # No lock and no unique key: the call and the client another request inserts meanwhile are not seen any more.
    store.clock.sleep(race_s)
    with store.lock:
        return _made(context, known, wanted, params, makes=makes)


def _made(context: Context, known: Call | None, wanted: Call, params: Params, *, makes: bool) -> dict[str, Any]:
    store = context.store
    call = known or _insert(context, wanted)
    if makes:
        crm.create(store, call, params)
    if php.truthy(params["SHOW"]) if params.get("SHOW") is not None else True:
        store.record_card(call.call_id, call.user_id, "show")
    return _registered(call, again=known is not None)


def show(context: Context, params: Params) -> bool:
    """Open the call's card for employees; false when the call is unknown or over."""
    return _cards(context, params, "show")


def hide(context: Context, params: Params) -> bool:
    """Close the call's card for employees; false when the call is unknown or over."""
    return _cards(context, params, "hide")


def search_crm_entities(context: Context, params: Params) -> list[dict[str, Any]]:
    """Contacts, leads, companies with this number: one of each type at most."""
    number = params.get("PHONE_NUMBER")
    if not php.truthy(number):
        raise RestError("PHONE_NUMBER is empty")
    with context.store.lock:
        return crm.search(context.store, php.text(number))


def user_of(store: Store, params: Params) -> int:
    """The user id of USER_ID, else of USER_PHONE_INNER. An unknown inner number looks as if none was sent."""
    user_id = php.integer(params.get("USER_ID"))
    if not user_id:
        user = store.user_at_extension(php.text(params.get("USER_PHONE_INNER")))
        user_id = user.id if user else 0
    if not user_id:
        raise RestError("USER_ID or USER_PHONE_INNER should be set")
    return user_id


def require_active(store: Store, user_id: int) -> User:
    """The employee. Dismissed and unknown ones are refused."""
    user = store.active_user(user_id)
    if user is None:
        raise RestError("User is not found or is not active")
    return user


def _wanted_call(store: Store, params: Params) -> Call:
    user_id = user_of(store, params)
    kind = php.integer(params.get("TYPE"))
    if kind not in (1, 2, 3, 4, 5):
        raise RestError("Unknown TYPE")
    started_at = _start_date(store, params.get("CALL_START_DATE"))
    number = phones.strip_letters(php.text(params.get("PHONE_NUMBER")))
    if not number:
        raise RestError("Unsupported phone number format")
    require_active(store, user_id)
    external = params.get("EXTERNAL_CALL_ID")
    return Call(
        call_id="",
        user_id=user_id,
        phone_number=number,
        type=kind,
        line=php.text(params.get("LINE_NUMBER")).strip()[:_LINE_WIDTH],
        external_call_id=None if external is None else php.text(external),
        started_at=started_at,
        registered_at=store.clock.now(),
    )


def _start_date(store: Store, value: object) -> float:
    if value is None or value == "":
        return float(int(store.clock.now()))
    found = parse_date(php.text(value), store.settings.utc_offset_min)
    if found is None:
        raise RestError("CALL_START_DATE should be in the ISO-8601 format")
    return found


def _same_call(store: Store, wanted: Call, params: Params) -> Call | None:
    since = store.clock.now() - store.settings.dedupe_window_s
    by_line = params.get("LINE_NUMBER") is not None and wanted.line != ""
    external = "" if store.settings.dedupe_ignores_external_id else wanted.external_call_id
    for call in store.calls_of_external(external) if external else store.calls.values():
        if (
            call.phone_number == wanted.phone_number
            and call.user_id == wanted.user_id
            and call.type == wanted.type
            # The start of the call, not of its registration, decides: an old call is never found again.
            and call.started_at > since
            and (not by_line or call.line == wanted.line)
        ):
            return call
    return None


def _insert(context: Context, call: Call) -> Call:
    store = context.store
    if len(call.external_call_id or "") > _EXTERNAL_ID_WIDTH:
        raise RestError("SQL query error!", "ERROR_CORE", 500)
    digest = hashlib.md5(secrets.token_bytes(16), usedforsecurity=False).hexdigest()
    call.call_id = f"externalCall.{digest}.{int(store.clock.now())}"
    if call.line and call.line not in store.lines:
        store.lines[call.line] = Line(call.line)
        store.line_ids[call.line] = store.next_id("lines")
    store.add_call(call)
    return call


def _registered(call: Call, *, again: bool) -> dict[str, Any]:
    lead = next((number for kind, number in call.created if kind == "LEAD"), None)
    answer: dict[str, Any] = {
        "CALL_ID": call.call_id,
        "CRM_CREATED_LEAD": lead,
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": kind, "ENTITY_ID": number} for kind, number in call.created],
        "CRM_ENTITY_TYPE": call.entity_type or (False if again else ""),
        "CRM_ENTITY_ID": call.entity_id,
    }
    if call.lead_error:
        answer["LEAD_CREATION_ERROR"] = call.lead_error
    return answer


def _cards(context: Context, params: Params, action: str) -> bool:
    store, call_id = context.store, params.get("CALL_ID")
    with store.lock:
        call = store.calls.get(call_id) if isinstance(call_id, str) else None
        if call is None:
            return False
        users = params.get("USER_ID")
        for user_id in [call.user_id] if users is None else php.integers(users):
            if user_id in store.users:  # a push for nobody reaches nobody
                store.record_card(call.call_id, user_id, action)
        return True


METHODS = (
    Method("telephony.externalCall.register", register, "telephony", app_only=True),
    Method("telephony.externalCall.show", show, "telephony"),
    Method("telephony.externalCall.hide", hide, "telephony"),
    Method("telephony.externalCall.searchCrmEntities", search_crm_entities, "telephony"),
)
