"""Clients seen lately, in memory: who a number belongs to, refreshed by every answer of the portal.

Nothing here is the truth; each kind of knowledge has an age after which it is not used, and what the portal says has
changed is not used at all.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FRESH_S = 3600.0  # a client's entity and responsible, good enough to answer a caller without the portal
NOBODY_S = 60.0  # that a number belongs to nobody: a manager may be typing the contact in right now
WORKDAY_S = 600.0  # whether an employee is on duty
USABLE_S = 86_400.0  # better than nothing while the portal does not answer
_MOST = 50_000  # clients

Entities = list[dict[str, Any]]
Deals = list[dict[str, Any]]  # a client's open ones, the newest first: {id, title, user_id}


@dataclass(frozen=True, slots=True)
class _Seen:
    entities: Entities
    at: float


class Clients:
    """Safe to share between threads. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_number: OrderedDict[str, _Seen] = OrderedDict()
        self._deals: OrderedDict[str, tuple[Deals, float]] = OrderedDict()
        self._workdays: dict[int, tuple[str, float]] = {}  # by user: one client's answer serves the others
        self._changed: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._all_changed_at = self._nobody_changed_at = self._deals_changed_at = 0.0

    def learn(self, number: str, entities: Sequence[dict[str, Any]]) -> None:
        """Remember what the portal's search gave for `number`."""
        now = self._clock()
        with self._lock:
            self._by_number[number] = _Seen(list(entities), now)
            self._by_number.move_to_end(number)
            if len(self._by_number) > _MOST:
                self._by_number.popitem(last=False)
            for person in filter(None, (entity.get("responsible") for entity in entities)):
                self._workdays[person["user_id"]] = (person.get("workday") or "", now)

    def changed(self, entity_type: str, entity_id: int) -> None:
        """Use nothing learnt before now of an entity ("CONTACT", …). It may be the client of any unknown number now,
        as a deal ("DEAL") may be anybody's."""
        now = self._clock()
        with self._lock:
            if entity_type == "DEAL":
                self._deals_changed_at = now
                return
            self._nobody_changed_at = now
            self._changed[entity_type, entity_id] = now
            self._changed.move_to_end((entity_type, entity_id))
            if len(self._changed) > _MOST:
                self._all_changed_at = self._changed.popitem(last=False)[1]

    def fresh(self, number: str) -> Entities | None:
        """The entities of a number when all of it is recent enough to act on; None when the portal must be asked."""
        with self._lock:
            seen, now = self._unchanged(number), self._clock()
            if seen is None or now - seen.at > (FRESH_S if seen.entities else NOBODY_S):
                return None
            entities = [self._with_workday(entity, now) for entity in seen.entities]
        return None if any(entity is None for entity in entities) else [e for e in entities if e is not None]

    def usable(self, number: str) -> Entities | None:
        """The entities of a number, if only remembered from earlier today; an old workday says nothing."""
        with self._lock:
            seen, now = self._unchanged(number), self._clock()
            if seen is None or not seen.entities or now - seen.at > USABLE_S:
                return None
            return [self._with_workday(entity, now) or _without_workday(entity) for entity in seen.entities]

    def learn_deals(self, number: str, deals: Deals) -> None:
        """Remember the open deals of a number's client."""
        with self._lock:
            self._deals[number] = (deals, self._clock())
            self._deals.move_to_end(number)
            if len(self._deals) > _MOST:
                self._deals.popitem(last=False)

    def deals(self, number: str) -> Deals | None:
        """The open deals of a number's client as last told, if lately."""
        with self._lock:
            deals, at = self._deals.get(number, (None, 0.0))
            return deals if at > self._deals_changed_at and self._clock() - at <= FRESH_S else None

    def workday(self, user_id: int) -> str:
        """What the portal said of an employee's workday; empty when that was not lately."""
        with self._lock:
            workday, at = self._workdays.get(user_id, ("", 0.0))
            return workday if self._clock() - at <= WORKDAY_S else ""

    def _unchanged(self, number: str) -> _Seen | None:
        seen = self._by_number.get(number)
        if seen is None:
            return None
        told = [self._changed.get((entity["type"], entity["id"]), 0.0) for entity in seen.entities]
        changed_at = max([self._all_changed_at, *told]) if told else self._nobody_changed_at
        return seen if seen.at > changed_at else None

    def _with_workday(self, entity: dict[str, Any], now: float) -> dict[str, Any] | None:
        person = entity.get("responsible")
        if not person:
            return entity
        workday, at = self._workdays.get(person["user_id"], ("", -WORKDAY_S))
        return entity | {"responsible": person | {"workday": workday}} if now - at <= WORKDAY_S else None


def _without_workday(entity: dict[str, Any]) -> dict[str, Any]:
    return entity | {"responsible": entity["responsible"] | {"workday": ""}}
