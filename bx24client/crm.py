"""What the CRM itself is asked and told (scope `crm`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bx24client import php
from bx24client.commands import Command
from bx24client.pages import Listing


@dataclass(frozen=True)
class Source:
    """Where clients come from: `id` is the STATUS_ID that `register` takes as CRM_SOURCE."""

    id: str
    name: str


def page(start: int) -> Command[list[Source]]:
    """One page of the sources of leads (`crm.status.list`); `start` is a row number."""
    params = {"filter": {"ENTITY_ID": "SOURCE"}, "order": {"SORT": "ASC"}, "start": start}
    return Command("crm.status.list", params, _sources, idempotent=True)


def add_lead(fields: Mapping[str, Any]) -> Command[int]:
    """Add a lead; returns its id. Fields as `crm.lead.add` names them, in upper case.

    The portal adds it again when asked again: after a lost answer look for it by `leads_of`.
    """
    if not fields.get("ORIGIN_ID") or not fields.get("ORIGINATOR_ID"):
        raise ValueError("a lead that cannot be found again by ORIGINATOR_ID and ORIGIN_ID cannot be added once")
    return Command("crm.lead.add", {"fields": dict(fields)}, lambda result: php.required_integer(result, "id"))


def leads_of(originator: str, origin: str) -> Command[list[int]]:
    """The leads that were added with this ORIGINATOR_ID and ORIGIN_ID."""
    names = {"ORIGINATOR_ID": originator, "ORIGIN_ID": origin}

    def fitting(result: Any) -> list[int]:
        # A filter the portal does not know gives the leads of everybody.
        found = [row for row in map(php.mapping, php.rows(result)) if all(row.get(k) == v for k, v in names.items())]
        return [php.required_integer(row.get("ID"), "ID") for row in found]

    params = {"filter": names, "select": ["ID", *names], "order": {"ID": "ASC"}, "start": -1}
    return Command("crm.lead.list", params, fitting, idempotent=True)


def _sources(result: Any) -> list[Source]:
    # A filter that is not understood would give the statuses of everything.
    rows = [row for row in map(php.mapping, php.rows(result)) if row.get("ENTITY_ID") == "SOURCE"]
    return [Source(php.required_text(row.get("STATUS_ID"), "STATUS_ID"), php.text(row.get("NAME"))) for row in rows]


SOURCES = Listing(page, lambda source: source.id, "sources")
