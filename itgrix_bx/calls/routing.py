"""Which extension to try first for a client: a pure decision over what the search returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from itgrix_bx.calls.directory import Directory

RING_SECONDS = 15
# Off duty is what the portal says so: time tracking that is switched off says nothing.
_ON_DUTY = frozenset({"OPENED", "UNAVAILABLE", "NOT_INSTALLED", ""})


@dataclass(frozen=True, slots=True)
class Route:
    """`extension` is empty for the normal route; `why` says which rule decided, for `calls show`."""

    extension: str = ""
    client_name: str = ""
    why: str = ""
    seconds: int = RING_SECONDS


def decide(entities: Sequence[dict[str, Any]] | None, directory: Directory) -> Route:
    """The known client is the first entity whose responsible is active and has an extension."""
    if not entities:
        return Route(why="the client is not in the CRM" if entities == [] else "the portal was not heard in time")
    for entity in entities:
        user_id, said = _responsible(entity)
        if user_id is None or not directory.is_active(user_id):
            continue
        extension = directory.extension_of(user_id, said)
        if extension:
            return _to_responsible(entity, user_id, extension)
    return Route(client_name=str(entities[0].get("name", "")), why="no active responsible has an extension")


def _responsible(entity: dict[str, Any]) -> tuple[int | None, str]:
    responsible = entity.get("responsible") or {}
    return responsible.get("user_id"), responsible.get("extension") or ""


def _to_responsible(entity: dict[str, Any], user_id: int, extension: str) -> Route:
    label = f"{str(entity['type']).lower()} {entity['id']} → responsible {user_id}, ext. {extension}"
    name = str(entity.get("name", ""))
    workday = (entity["responsible"].get("workday") or "").upper()
    if workday not in _ON_DUTY:
        return Route(client_name=name, why=f"{label} → workday {workday.lower()} → the normal route")
    return Route(extension, name, f"{label} → ring first")
