"""CRM objects as commands (`crm.item.*`): what a call may want to know of its client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bx24client import php
from bx24client.commands import Command, Ref

DEAL = 2  # entityTypeId
_FIELDS = ("id", "title", "assignedById", "contactId", "companyId")


@dataclass(frozen=True)
class Deal:
    """An open deal. `contact_id` and `company_id`: whose it is, None where it is nobody's."""

    id: int
    title: str
    responsible: int | None
    contact_id: int | None
    company_id: int | None


def open_deals(client_id: int | Ref) -> Command[list[Deal]]:
    """The open deals of a contact or a company with this id, the newest first, 50 at most; needs the scope `crm`.

    In a batch the id may be that of an entity found before, of whatever type: who asks must look whose a deal is. A
    reference that leads nowhere is no condition for the portal, which then refuses or lists the deals of everybody.
    """
    params = {
        "entityTypeId": DEAL,
        "select": list(_FIELDS),
        "filter": {"closed": "N", "0": {"logic": "OR", "0": {"contactId": client_id}, "1": {"companyId": client_id}}},
        "order": {"id": "DESC"},
        "start": -1,
    }
    return Command("crm.item.list", params, _deals, idempotent=True)


def _deals(result: Any) -> list[Deal]:
    return [_deal(row) for row in php.maps(php.mapping(result).get("items")) if php.integer(row.get("id"))]


def _deal(row: dict[str, Any]) -> Deal:
    return Deal(
        id=php.required_integer(row.get("id"), "id"),
        title=php.text(row.get("title")),
        responsible=php.integer(row.get("assignedById")) or None,
        contact_id=php.integer(row.get("contactId")) or None,
        company_id=php.integer(row.get("companyId")) or None,
    )
