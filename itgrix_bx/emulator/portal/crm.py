"""Clients: the search by telephone number, what a registration creates, and `crm.duplicate.findbycomm`."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import phones, php
from itgrix_bx.emulator.portal.answers import RestError
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import SOURCES, Call, Client, EntityType, Store

_OUTGOING = 1
_SEARCHED: tuple[EntityType, ...] = ("CONTACT", "LEAD", "COMPANY")
# Of several bindings the card and the activity belong to the first of these.
_PRIMARY: tuple[EntityType, ...] = ("CONTACT", "COMPANY", "LEAD")
_MOST_VALUES = 20
_MOST_HITS = 20


def search(store: Store, number: str) -> list[dict[str, Any]]:
    """searchCrmEntities: the server asks with a limit of one, so the lowest id of each type."""
    found = store.clients_at(number)
    firsts = (next((client for client in found if client.type == kind), None) for kind in _SEARCHED)
    return [_entity(store, client) for client in firsts if client]


def bind(store: Store, call: Call, params: Params) -> bool:
    """Tie a new call to its client; whether one is to be created, as far as asked and allowed."""
    if params.get("CRM_ENTITY_TYPE") is not None and params.get("CRM_ENTITY_ID") is not None:
        # isset(): two empty strings bind a bogus object and no search takes place.
        call.entity_type = php.text(params["CRM_ENTITY_TYPE"])
        call.entity_id = php.integer(params["CRM_ENTITY_ID"])
    else:
        find_again(store, call)
    return php.truthy(params.get("CRM_CREATE")) and _is_created(store, call)


def create(store: Store, call: Call, params: Params) -> None:
    """Make the client that `bind` found missing."""
    _create_client(store, call, _source(params.get("CRM_SOURCE")))


def find_again(store: Store, call: Call) -> None:
    """Search the CRM for a call that is bound to nothing."""
    if call.entity_type or call.entity_id is not None:
        return
    found = store.clients_at(call.phone_number)
    firsts = (next((client for client in found if client.type == kind), None) for kind in _PRIMARY)
    client = next((client for client in firsts if client), None)
    if client:
        call.entity_type, call.entity_id = client.type, client.id


def find_by_communication(context: Context, params: Params) -> dict[str, list[int]]:
    """`crm.duplicate.findbycomm`: ids by type; the first 20 values, strings only."""
    asked = php.folded(params)
    kind, values = php.text(asked.get("TYPE")).upper(), asked.get("VALUES")
    if not kind:
        raise RestError("Communication type is not defined.")
    if kind not in ("PHONE", "EMAIL"):
        raise RestError(f"Communication type '{kind}' is not supported in current context.")
    numbers = [value for _, value in php.pairs(values)][:_MOST_VALUES]
    if not numbers:
        raise RestError("Communication values is not defined.")
    only = php.text(asked.get("ENTITY_TYPE")).upper()
    with context.store.lock:
        # The double knows no e-mail addresses of clients.
        return _hits(context.store, [value for value in numbers if isinstance(value, str) and kind == "PHONE"], only)


def _hits(store: Store, numbers: list[str], only: str) -> dict[str, list[int]]:
    hits: dict[str, list[int]] = {}
    for number in numbers:
        for client in store.clients_at(number):
            if client.type in _SEARCHED and (not only or client.type == only):
                hits.setdefault(client.type, []).append(client.id)
    return {kind: list(dict.fromkeys(ids))[:_MOST_HITS] for kind, ids in hits.items()}


def _entity(store: Store, client: Client) -> dict[str, Any]:
    user = store.users.get(client.responsible)
    return {
        "CRM_ENTITY_TYPE": client.type,
        "CRM_ENTITY_ID": client.id,
        "ASSIGNED_BY_ID": client.responsible,
        "NAME": client.name,
        "ASSIGNED_BY": {
            "ID": str(client.responsible),
            "TIMEMAN_STATUS": user.workday if user else "UNAVAILABLE",
            "USER_PHONE_INNER": (user.extension or None) if user else None,
            "WORK_PHONE": (user.work_phone or None) if user else None,
            "PERSONAL_PHONE": (user.personal_phone or None) if user else None,
            "PERSONAL_MOBILE": (user.mobile or None) if user else None,
        },
    }


def _is_created(store: Store, call: Call) -> bool:
    if any(user.active and user.is_at(call.phone_number) for user in store.users.values()):
        call.lead_error = "Lead creation is disabled for local users"
        return False
    return _may_create(store, call)


def _may_create(store: Store, call: Call) -> bool:
    number = phones.normalise(call.phone_number)
    if number in {phones.normalise(item) for item in store.settings.excluded_numbers}:
        return False
    if not call.entity_type:
        return True
    if call.type == _OUTGOING or call.entity_type == "LEAD" or not store.settings.repeat_leads:
        return False
    wanted = "LEAD" if store.settings.crm_mode == "classic" else "DEAL"
    return not any(client.type == wanted for client in store.clients_at(call.phone_number))


def _create_client(store: Store, call: Call, source: str) -> None:
    kinds: tuple[EntityType, ...] = ("LEAD",)
    if store.settings.crm_mode == "simple":
        kinds = ("DEAL",) if call.entity_type else ("CONTACT", "DEAL")
    for kind in kinds:
        number = store.next_id(kind)
        title = f"{call.phone_number} - Входящий звонок" if call.type != _OUTGOING else f"{call.phone_number} - Звонок"
        client = Client(kind, number, title, [call.phone_number], call.user_id, True, call.call_id, source)
        if kind == "DEAL":
            owner = (call.entity_type, call.entity_id) if call.entity_type else call.created[0]
            client.contact = owner[1] if owner[0] == "CONTACT" else None
            client.company = owner[1] if owner[0] == "COMPANY" else None
        store.put_client(client)
        call.created.append((kind, number))
    if not call.entity_type:
        call.entity_type, call.entity_id = call.created[0]


def _source(value: object) -> str:
    asked = php.text(value)
    return asked if asked in SOURCES else "CALL"


METHODS = (Method("crm.duplicate.findbycomm", find_by_communication, "crm"),)
