"""What the CRM itself is asked for (scope `crm`)."""

from __future__ import annotations

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


def _sources(result: Any) -> list[Source]:
    # A filter that is not understood would give the statuses of everything.
    rows = [row for row in map(php.mapping, php.rows(result)) if row.get("ENTITY_ID") == "SOURCE"]
    return [Source(php.required_text(row.get("STATUS_ID"), "STATUS_ID"), php.text(row.get("NAME"))) for row in rows]


SOURCES = Listing(page, lambda source: source.id, "sources")
