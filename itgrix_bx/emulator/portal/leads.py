"""`crm.lead.add` and `crm.lead.list`: the older methods, with fields in upper case and ids as texts."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import filters, php
from itgrix_bx.emulator.portal.answers import Page, RestError, page_of
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import SOURCES, Client

_KEYS: dict[str, filters.Key] = {
    "ID": filters.by_number, "ASSIGNED_BY_ID": filters.by_number, "CONTACT_ID": filters.by_number,
    "COMPANY_ID": filters.by_number, "TITLE": filters.by_text, "SOURCE_ID": filters.by_text,
    "ORIGINATOR_ID": filters.by_text, "ORIGIN_ID": filters.by_text,
}  # fmt: skip


def add(context: Context, params: Params) -> int:
    """Add a lead, as often as asked: nothing keeps two of one ORIGIN_ID apart."""
    fields = php.folded(params).get("FIELDS")
    if not isinstance(fields, dict):
        raise RestError("Parameter 'fields' must be array.")
    numbers = [php.text(dict(php.pairs(phone)).get("VALUE")) for _, phone in php.pairs(fields.get("PHONE") or [])]
    store, source = context.store, php.text(fields.get("SOURCE_ID"))
    with store.lock:
        number = store.next_id("LEAD")
        owner = php.integer(fields.get("ASSIGNED_BY_ID")) or context.caller.user_id
        lead = Client("LEAD", number, php.text(fields.get("TITLE")), numbers, owner)
        lead.source = source if source in SOURCES else ""
        lead.contact, lead.company = (php.integer(fields.get(name)) or None for name in ("CONTACT_ID", "COMPANY_ID"))
        lead.origin = (php.text(fields.get("ORIGINATOR_ID")), php.text(fields.get("ORIGIN_ID")))
        store.put_client(lead)
    return number


def listing(context: Context, params: Params) -> Page:
    """A page of leads. A field that is not known is no condition."""
    asked = php.folded(params)
    with context.store.lock:
        rows = [_row(lead) for lead in context.store.clients["LEAD"].values()]
    found = filters.select(rows, filters.build(asked.get("FILTER") or {}, _KEYS))
    chosen = {php.text(name) for _, name in php.pairs(asked.get("SELECT") or list(_KEYS))}
    page = page_of(found, params.get("start", 0))
    return Page([{name: row[name] for name in row if name in chosen} for row in page.rows], page.total, page.next)


def _row(lead: Client) -> dict[str, Any]:
    return {
        "ID": str(lead.id), "TITLE": lead.name, "ASSIGNED_BY_ID": str(lead.responsible), "SOURCE_ID": lead.source,
        "CONTACT_ID": lead.contact and str(lead.contact), "COMPANY_ID": lead.company and str(lead.company),
        "ORIGINATOR_ID": lead.origin[0], "ORIGIN_ID": lead.origin[1],
    }  # fmt: skip


METHODS = (Method("crm.lead.add", add, "crm"), Method("crm.lead.list", listing, "crm"))
