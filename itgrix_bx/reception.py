"""Asking the portal while a caller waits. The caller stops waiting at the deadline, the request does not:
its late answer is journalled and used."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from bx24client import (
    BatchResult,
    Bitrix24,
    BitrixError,
    BudgetExhausted,
    Command,
    CrmEntity,
    Parcel,
    Ref,
    Registered,
    UserNotActive,
    telephony,
)
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.clients import Clients, Entities
from itgrix_bx.config import Inbound
from itgrix_bx.delivery.schedule import REGISTER
from itgrix_bx.delivery.trouble import failed, fate
from itgrix_bx.logbook import Logbook

log = logging.getLogger("itgrix_bx.reception")

_REQUEST_S = 30.0  # a live request is given up after this; delivery tries again
# A register that has waited this long for its turn stays: the journal takes it for under way since its hook came, and
# for settled when the portal's 60 s after that are over too (schedule.IN_FLIGHT_S).
_LEAVES_WITHIN_S = 12.0
_PROBE_S = 5.0
_CARD_WITHIN_S = 0.7  # after the caller's deadline: a registration that comes later makes the card late
_COMFORT = 0.75  # share of the deadline that search and register together may typically take
_SPARE_S = 0.1  # of the deadline, for our own work around the request

_Answer = SimpleQueue["Heard"]


@dataclasses.dataclass(slots=True)
class Heard:
    """What came back in time: None where it did not."""

    entities: Entities | None = None
    portal_call_id: str = ""


class Reception:
    """The live side of the portal: one round trip for a caller who waits, none where it can be spared."""

    def __init__(
        self, portal: Bitrix24, logbook: Logbook, inbound: Callable[[], Inbound], clients: Clients | None = None
    ) -> None:
        self._portal = portal
        self._logbook = logbook
        self._inbound = inbound
        self.clients = clients or Clients()

    def ask(self, call: Call, *, search: bool, until: float) -> Heard:
        """Register `call` and, with `search`, find its client; what is known at `until` (monotonic)."""
        if not self._portal.health.prompt:
            return self._without_portal(call, search)
        known = self.clients.fresh(call.client_number) if search and self._inbound().answer == "cache" else None
        answer: _Answer = SimpleQueue()
        self._submit(call, answer, search=search, waiting=known is None, until=until)
        return Heard(known) if known is not None else self._await(answer, until)

    def search(self, call: Call, *, until: float) -> Heard:
        """Find the client of a call that is registered already or will be."""
        if not self._portal.health.prompt:
            return Heard(self.clients.usable(call.client_number))
        answer: _Answer = SimpleQueue()
        self._portal.submit(self._search_parcel(call, answer, until, "caller"))
        return self._await(answer, until)

    def register(self, call: Call) -> None:
        """Let the portal know of a call nobody waits for."""
        self._portal.submit(self._register_parcel(call, SimpleQueue(), time.monotonic(), "card"))

    def _await(self, answer: _Answer, until: float) -> Heard:
        try:
            return answer.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            self._portal.health.missed_deadline()
            return Heard()

    # --- the portal has failed its callers --------------------------------------------------------

    def _without_portal(self, call: Call, search: bool) -> Heard:
        """No caller waits for a portal that is away: one search at a time tests it, delivery does the rest."""
        self._logbook.record_soon([_failed(call, "the portal does not answer: registered when it does", 0.0)])
        if not search:
            return Heard()
        if self._portal.health.may_probe(_PROBE_S):
            self._probe(call)
        return Heard(self.clients.usable(call.client_number))

    def _probe(self, call: Call) -> None:
        parcel = self._search_parcel(
            call, SimpleQueue(), time.monotonic() + self._inbound().deadline, "caller", _PROBE_S
        )
        parcel.future.add_done_callback(lambda _: self._portal.health.probed())
        self._portal.submit(parcel)

    # --- requests ---------------------------------------------------------------------------------

    def _submit(self, call: Call, answer: _Answer, *, search: bool, waiting: bool, until: float) -> None:
        lane = "caller" if waiting else "card"
        if not search:
            self._portal.submit(self._register_parcel(call, answer, until, lane))
        elif self._both_fit() and self._portal.plenty:
            self._portal.submit(self._chain(call, answer, until, lane))
        else:
            searching = self._search_parcel(call, answer, until, lane)
            # A lead the registration makes must not be found as if it had been there before.
            registering = self._register_parcel(call, SimpleQueue(), until + _CARD_WITHIN_S, "card", behind=searching)
            self._portal.submit(searching, registering)

    def _chain(self, call: Call, answer: _Answer, until: float, lane: str) -> Parcel:
        """Search, register, and the card for the responsible that is found, in one request.

        Without a search nobody can be routed, so it comes first; what stands behind a failed command is not run.
        """
        commands: dict[str, Command[Any]] = {
            "search": telephony.search_crm_entities(call.client_number),
            "register": telephony.register(call.register_params or {}),
        }
        card = self._inbound().card_at_once
        if card:
            # Of nobody found the reference leaves an empty list, which as one element of a list names user 0: no one.
            commands["show"] = telephony.show(Ref("register", "CALL_ID"), [Ref("search", "0", "ASSIGNED_BY_ID")])
        return self._parcel(
            call, commands, until, lane, lambda future: self._chained(call, answer, until, future, card), chain=True
        )

    def _search_parcel(
        self, call: Call, answer: _Answer, until: float, lane: str, timeout_s: float = _REQUEST_S
    ) -> Parcel:
        commands = {"search": telephony.search_crm_entities(call.client_number)}
        return self._parcel(
            call, commands, until, lane, lambda future: self._found(call, answer, until, future), timeout_s=timeout_s
        )

    def _register_parcel(
        self, call: Call, answer: _Answer, until: float, lane: str, behind: Parcel | None = None
    ) -> Parcel:
        commands = {"register": telephony.register(call.register_params or {})}
        return self._parcel(
            call, commands, until, lane, lambda future: self._registered(call, answer, future), behind=behind
        )

    def _parcel(
        self,
        call: Call,
        commands: dict[str, Command[Any]],
        until: float,
        lane: str,
        done: Callable[[Future[BatchResult]], None],
        *,
        timeout_s: float = _REQUEST_S,
        chain: bool = False,
        behind: Parcel | None = None,
    ) -> Parcel:
        leaves_by = time.monotonic() + _LEAVES_WITHIN_S

        def still_in_time() -> None:
            if time.monotonic() > leaves_by:
                raise BudgetExhausted(lane, 0.0)

        parcel = self._portal.parcel(
            commands,
            lane=lane,
            wanted_in_s=until - time.monotonic() - _SPARE_S,
            timeout_s=timeout_s,
            chain=chain,
            on_leaving=still_in_time,
            behind=behind,
        )
        parcel.future.add_done_callback(self._safely(call, done))
        return parcel

    def _safely(self, call: Call, done: Callable[[Future[BatchResult]], None]) -> Callable[[Future[BatchResult]], None]:
        def run(future: Future[BatchResult]) -> None:
            try:
                done(future)
            except Exception:
                log.exception("call %s: the portal's answer was lost by our own fault; delivery asks", call.call_id)
                self._logbook.record_soon([_failed(call, "internal error, see the log", 5.0, doubt=True)])

        return run

    # --- answers ----------------------------------------------------------------------------------

    def _chained(self, call: Call, answer: _Answer, until: float, future: Future[BatchResult], card: bool) -> None:
        try:
            result = future.result()
        except BitrixError as error:
            answer.put(Heard())
            self._logbook.record_soon([failure(call, error)])
            return
        entities = self._entities(call, result, until)
        registered, event = _outcome_of_register(call, result)
        answer.put(Heard(entities, registered.call_id if registered else ""))
        if registered and card and entities and result.get("show") and (person := entities[0]["responsible"]):
            event.data["card"] = [person["user_id"]]
        self._logbook.record_soon([*_client_event(call, entities), event])

    def _found(self, call: Call, answer: _Answer, until: float, future: Future[BatchResult]) -> None:
        try:
            result = future.result()
        except BitrixError as error:
            log.warning("call %s: the client was not found out: %s", call.call_id, error)
            answer.put(Heard())
            return
        entities = self._entities(call, result, until)
        answer.put(Heard(entities))
        if entities is not None:
            self._logbook.record_soon(_client_event(call, entities))

    def _registered(self, call: Call, answer: _Answer, future: Future[BatchResult]) -> None:
        try:
            result = future.result()
        except BitrixError as error:
            answer.put(Heard())
            self._logbook.record_soon([failure(call, error)])
            return
        registered, event = _outcome_of_register(call, result)
        answer.put(Heard(None, registered.call_id if registered else ""))
        self._logbook.record_soon([event])

    def _entities(self, call: Call, result: BatchResult, until: float) -> Entities | None:
        if time.monotonic() <= until:
            self._portal.health.met_deadline()
        try:
            entities = [as_data(entity) for entity in result["search"]]
        except BitrixError as error:
            log.warning("call %s: the client was not found out: %s", call.call_id, error)
            return None
        self.clients.learn(call.client_number, entities)
        return entities

    def _both_fit(self) -> bool:
        typical = self._portal.durations.typical
        methods = ("telephony.externalCall.searchCrmEntities", "telephony.externalCall.register")
        return sum(typical(method) or 0.0 for method in methods) < _COMFORT * self._inbound().deadline


def as_data(entity: CrmEntity) -> dict[str, Any]:
    """An entity as event data."""
    person = entity.responsible
    responsible = person and {"user_id": person.user_id, "extension": person.extension, "workday": person.workday}
    return {"type": entity.type, "id": entity.id, "name": entity.name, "responsible": responsible}


def registration(call_id: str, registered: Registered) -> Event:
    """The journal's event for a successful register. A lead made for a new client is its entity."""
    created = [{"type": kind, "id": number} for kind, number in registered.created]
    first = created[0] if created else {}
    data = {
        "portal_call_id": registered.call_id,
        "entity_type": registered.entity_type or first.get("type"),
        "entity_id": registered.entity_id or first.get("id"),
        "created": created,
    }
    return Event(call_id, Kind.REGISTERED, time.time(), data)


def failure(call: Call, error: BitrixError) -> Event:
    """The journal's event for a live register that failed: when to try again, or that a person is needed."""
    if isinstance(error, UserNotActive):
        return _failed(call, str(error), 0.0)  # delivery names the default user instead
    known = fate(error, _intent(call), None)
    return failed(call, Kind.REGISTER_FAILED, REGISTER, error, call.register_tries, **known)


def _failed(call: Call, reason: str, retry_in_s: float, *, doubt: bool = False) -> Event:
    now = time.time()
    data = {"error": reason, "retry_at": now + retry_in_s, "intent": _intent(call), "doubt": doubt}
    return Event(call.call_id, Kind.REGISTER_FAILED, now, data)


def _intent(call: Call) -> str:
    return call.register_doubt.intent if call.register_doubt is not None else ""


def _client_event(call: Call, entities: Entities | None) -> list[Event]:
    return [] if entities is None else [Event(call.call_id, Kind.CLIENT, time.time(), {"entities": entities})]


def _outcome_of_register(call: Call, result: BatchResult) -> tuple[Registered | None, Event]:
    try:
        registered: Registered = result["register"]
    except BitrixError as error:
        return None, failure(call, error)
    return registered, registration(call.call_id, registered)
