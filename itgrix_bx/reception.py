"""Asking the portal while a caller waits. The caller stops waiting at the deadline, the request does not:
its late answer is journalled and used."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final

from bx24client import (
    AuthFailed,
    BatchResult,
    Bitrix24,
    BitrixError,
    BudgetExhausted,
    Command,
    CrmEntity,
    Deal,
    MethodNotFound,
    Parcel,
    Ref,
    Registered,
    UserNotActive,
    telephony,
)
from bx24client.deals import open_deals
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.routing import AWAY, LATE, MEMORY, REFUSED
from itgrix_bx.clients import Clients, Deals, Entities
from itgrix_bx.config import Inbound
from itgrix_bx.delivery.schedule import REGISTER
from itgrix_bx.delivery.trouble import failed, fate
from itgrix_bx.delivery.turns import NotItsTurn, Turns
from itgrix_bx.logbook import Logbook

log = logging.getLogger("itgrix_bx.reception")

_SEARCH, _REGISTER = "telephony.externalCall.searchCrmEntities", "telephony.externalCall.register"
_DEALS = "crm.item.list"
_REQUEST_S = 30.0  # a live request is given up after this; delivery tries again
# A register that has waited this long for its turn stays: the journal takes it for under way since its hook came, and
# for settled when the portal's 60 s after that are over too (schedule.IN_FLIGHT_S).
_LEAVES_WITHIN_S = 12.0
_PROBE_S = 5.0
# After the caller's deadline, when phones ring at the latest: what comes later makes the card late, by itself or
# because the card comes after it.
_CARD_WITHIN_S, _REGISTER_WITHIN_S = 1.5, 0.7
_COMFORT = 0.75  # share of the deadline that search and register together may typically take
_SPARE_S = 0.15  # of the deadline, for our own work around the request

_NO_DEALS_S = 600.0  # how long a portal that may not tell deals is not asked for them


@dataclasses.dataclass(slots=True)
class Heard:
    """What came back in time: None where it did not. `events` are for who hears it to journal, with what is made of
    it: one write instead of two. `lack`: why the entities are not the portal's own word of now."""

    entities: Entities | None = None
    portal_call_id: str = ""
    deals: Deals | None = None
    events: Sequence[Event] = ()
    lack: str = ""


class _Answer:
    """Hands what was heard to the caller who waits for it, as long as they do."""

    def __init__(self) -> None:
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._lock = threading.Lock()
        self._waited_for = True

    def give(self, heard: Heard) -> bool:
        """Whether somebody takes it."""
        with self._lock:
            if self._waited_for:
                self._heard.put(heard)
            return self._waited_for

    def take(self, until: float) -> Heard | None:
        """What is given until then (monotonic)."""
        try:
            return self._heard.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return self.leave()

    def leave(self) -> Heard | None:
        """Wait no longer; what was given in this very moment."""
        with self._lock:
            self._waited_for = False
        return None if self._heard.empty() else self._heard.get()


def _nobody() -> _Answer:
    """An answer that nobody waits for."""
    answer = _Answer()
    answer.leave()
    return answer


class Reception:
    """The live side of the portal: one round trip for a caller who waits, none where it can be spared."""

    def __init__(
        self,
        portal: Bitrix24,
        logbook: Logbook,
        inbound: Callable[[], Inbound],
        turns: Turns,
        clients: Clients | None = None,
    ) -> None:
        self._portal = portal
        self._logbook = logbook
        self._inbound = inbound
        self.clients = clients or Clients()
        self.turns = turns
        self._deals_again_at = 0.0

    def ask(self, call: Call, *, search: bool, until: float, deals: bool = False) -> Heard:
        """Register `call` and, with `search`, find its client (with `deals` the open deals too, if they fit into the
        same request); what is known at `until` (monotonic)."""
        if not self._portal.health.prompt:
            self.turns.give_back(call)
            return self._without_portal(call, search)
        known = self._from_memory(call, deals) if search and self._inbound().answer == "cache" else None
        answer = _Answer() if known is None else _nobody()
        self._submit(call, answer, search=search, waiting=known is None, until=until, deals=deals)
        heard = Heard(known, lack=MEMORY) if known is not None else self._await(answer, until)
        return self._with_deals(call, heard)

    def _from_memory(self, call: Call, deals: bool) -> Entities | None:
        """A client good enough to answer the caller with; None when the portal must be asked."""
        known = self.clients.fresh(call.client_number)
        if known and deals and self._may_ask_deals(_SEARCH) and self.clients.deals(call.client_number) is None:
            return None
        return known

    def search(self, call: Call, *, until: float, deals: bool = False) -> Heard:
        """Find the client of a call that is registered already or will be."""
        return self._search(call, until=until, deals=deals, in_doubt=call.register_doubt is not None)

    def _search(self, call: Call, *, until: float, deals: bool, in_doubt: bool = False) -> Heard:
        if not self._portal.health.prompt:
            return self._with_deals(call, Heard(self.clients.usable(call.client_number), lack=AWAY))
        answer = _Answer()
        parcel = self._search_parcel(call, answer, until, "caller", deals=deals, in_doubt=lambda: in_doubt)
        self._portal.submit(parcel)
        return self._with_deals(call, self._await(answer, until))

    def _with_deals(self, call: Call, heard: Heard) -> Heard:
        """What was not heard now may have been heard lately."""
        if heard.entities and heard.deals is None:
            heard.deals = self.clients.deals(call.client_number)
        return heard

    def search_first(self, call: Call, why: NotItsTurn, *, until: float, deals: bool = False) -> Heard:
        """Like ask, of a call that must not make a client now: registered at once only when it has one. Otherwise
        delivery registers it."""
        began = time.monotonic()
        heard = self._search(call, until=until, deals=deals)
        if heard.entities and heard.lack != AWAY:
            self.register(call, began)
        else:
            self._logbook.record_soon([_failed(call, str(why), random.uniform(0.5, 2.0))])
        return heard

    def register(self, call: Call, since: float | None = None) -> None:
        """Let the portal know of a call nobody waits for, or no longer: since then (monotonic) its hook has."""
        self._portal.submit(self._register_parcel(call, _nobody(), time.monotonic(), "card", since=since))

    def _await(self, answer: _Answer, until: float) -> Heard:
        heard = answer.take(until)
        if heard is None:
            self._portal.health.missed_deadline()
            return Heard(lack=LATE)
        return heard

    # --- the portal has failed its callers --------------------------------------------------------

    def _without_portal(self, call: Call, search: bool) -> Heard:
        """No caller waits for a portal that is away: one search at a time tests it, delivery does the rest."""
        self._logbook.record_soon([_failed(call, "the portal does not answer: registered when it does", 0.0)])
        if not search:
            return Heard()
        if self._portal.health.may_probe(_PROBE_S):
            self._probe(call)
        return self._with_deals(call, Heard(self.clients.usable(call.client_number), lack=AWAY))

    def _probe(self, call: Call) -> None:
        parcel = self._search_parcel(call, _nobody(), time.monotonic() + self._inbound().deadline, "caller", _PROBE_S)
        parcel.future.add_done_callback(lambda _: self._portal.health.probed())
        self._portal.submit(parcel)

    # --- requests ---------------------------------------------------------------------------------

    def _submit(self, call: Call, answer: _Answer, *, search: bool, waiting: bool, until: float, deals: bool) -> None:
        lane = "caller" if waiting else "card"
        if not search:
            self._portal.submit(self._register_parcel(call, answer, until, lane))
        elif self._fit(_SEARCH, _REGISTER) and self._portal.plenty and self._portal.has_room(_SEARCH, _REGISTER):
            self._portal.submit(self._chain(call, answer, until, lane, deals=deals))
        else:
            # A lead the registration makes must not be found as if it had been there before: it leaves no earlier, and
            # if the answer to both was lost, only the search is asked again.
            searching = self._search_parcel(
                call, answer, until, lane, deals=deals, in_doubt=lambda: _has_failed(registering)
            )
            registering = self._registration_behind(call, searching, until)
            self._portal.submit(searching, registering)

    def _chain(self, call: Call, answer: _Answer, until: float, lane: str, *, deals: bool) -> Parcel:
        """Search, register, and the card for the responsible that is found, in one request.

        Without a search nobody can be routed, so it comes first; what stands behind a failed command is not run.
        """
        commands: dict[str, Command[Any]] = {
            "search": telephony.search_crm_entities(call.client_number),
            "register": telephony.register(call.register_params or {}),
        }
        if self._inbound().card_at_once:
            commands["show"] = _card_for(_FOUND_FIRST)
        if deals and self._may_ask_deals(_SEARCH, _REGISTER):
            commands["deals"] = deals_of_found()
        return self._parcel(
            call, commands, until, lane, lambda future: self._chained(call, answer, until, future), chain=True
        )

    def _search_parcel(
        self,
        call: Call,
        answer: _Answer,
        until: float,
        lane: str,
        timeout_s: float = _REQUEST_S,
        *,
        deals: bool = False,
        in_doubt: Callable[[], bool] = lambda: False,
    ) -> Parcel:
        """`in_doubt`: whether a registration of the call may have made something that is found now."""
        commands: dict[str, Command[Any]] = {"search": telephony.search_crm_entities(call.client_number)}
        # A request shared with other callers cannot refer to what this one finds.
        alone = deals and self._portal.plenty and self._may_ask_deals(_SEARCH)
        if alone:
            commands["deals"] = deals_of_found()
        return self._parcel(
            call,
            commands,
            until,
            lane,
            lambda future: self._found(call, answer, until, future, in_doubt),
            timeout_s=timeout_s,
            chain=alone,
        )

    def _register_parcel(
        self,
        call: Call,
        answer: _Answer,
        until: float,
        lane: str,
        behind: Parcel | None = None,
        since: float | None = None,
    ) -> Parcel:
        commands = {"register": telephony.register(call.register_params or {})}

        def done(future: Future[BatchResult]) -> None:
            self._registered(call, answer, future)

        return self._parcel(call, commands, until, lane, done, behind=behind, since=since)

    def _registration_behind(self, call: Call, searching: Parcel, until: float) -> Parcel:
        """The registration of a call whose search may leave without it, with the card for the responsible found."""
        registering = {"register": telephony.register(call.register_params or {})}
        if not self._inbound().card_at_once:
            within = until + _REGISTER_WITHIN_S
            return self._register_parcel(call, _nobody(), within, "card", behind=searching)

        def apart() -> dict[str, Command[Any]]:
            user_id = _responsible(searching)
            if user_id is None or time.monotonic() > until + _CARD_WITHIN_S:
                return dict(registering)
            return {**registering, "show": _card_for(user_id)}

        return self._parcel(
            call,
            {**registering, "show": _card_for(_FOUND_FIRST)},
            until + _CARD_WITHIN_S,
            "card",
            lambda future: self._registered(call, _nobody(), future, _responsible(searching)),
            behind=searching,
            apart=apart,
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
        apart: Callable[[], dict[str, Command[Any]]] | None = None,
        since: float | None = None,
    ) -> Parcel:
        leaves_by = (time.monotonic() if since is None else since) + _LEAVES_WITHIN_S

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
            apart=apart,
        )
        parcel.future.add_done_callback(self._safely(call, done))
        if "register" in commands:
            parcel.future.add_done_callback(lambda _: self.turns.give_back(call))
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

    def _chained(self, call: Call, answer: _Answer, until: float, future: Future[BatchResult]) -> None:
        try:
            result = future.result()
        except BitrixError as error:
            self._tell(answer, Heard(events=[failure(call, error)], lack=REFUSED))
            return
        entities = self._entities(call, result, until)
        registered, event = _outcome_of_register(call, result)
        deals = self._deals(call, result, entities, registered.created if registered else ())
        if registered and entities and (person := entities[0]["responsible"]):
            _note_card(event, result, person["user_id"])
        events = [*_client_event(call, entities, deals), event]
        self._tell(answer, Heard(entities, registered.call_id if registered else "", deals, events, _lack(entities)))

    def _found(
        self, call: Call, answer: _Answer, until: float, future: Future[BatchResult], in_doubt: Callable[[], bool]
    ) -> None:
        try:
            result = future.result()
        except BitrixError as error:
            log.warning("call %s: the client was not found out: %s", call.call_id, error)
            self._tell(answer, Heard(lack=REFUSED))
            return
        entities = self._entities(call, result, until)
        if entities and in_doubt():
            entities = not_made_by(call, entities)
        deals = self._deals(call, result, entities)
        events = _client_event(call, entities, deals)
        self._tell(answer, Heard(entities, deals=deals, events=events, lack=_lack(entities)))

    def _registered(
        self, call: Call, answer: _Answer, future: Future[BatchResult], responsible: int | None = None
    ) -> None:
        """`responsible`: whose card came up with it, if one did."""
        try:
            result = future.result()
        except BitrixError as error:
            self._tell(answer, Heard(events=[failure(call, error)]))
            return
        registered, event = _outcome_of_register(call, result)
        if registered and responsible is not None:
            _note_card(event, result, responsible)
        self._tell(answer, Heard(None, registered.call_id if registered else "", events=[event]))

    def _tell(self, answer: _Answer, heard: Heard) -> None:
        if not answer.give(heard) and heard.events:
            self._logbook.record_soon(heard.events)

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

    def _deals(
        self, call: Call, result: BatchResult, entities: Entities | None, created: Collection[tuple[str, int]] = ()
    ) -> Deals | None:
        """The open deals of the clients found, without what the registration made; None when they are not known."""
        if "deals" not in result or entities is None:
            return None
        if not entities:
            return []
        try:
            found: list[Deal] = result["deals"]
        except BitrixError as error:
            self._without_deals(call, error)
            return None
        deals = deals_as_data(found, entities, created)
        self.clients.learn_deals(call.client_number, deals)
        return deals

    def _without_deals(self, call: Call, error: BitrixError) -> None:
        if not isinstance(error, (AuthFailed, MethodNotFound)):
            log.info("call %s: the open deals were not found out: %s", call.call_id, error)
            return
        self._deals_again_at = time.monotonic() + _NO_DEALS_S
        log.warning("calls cannot be routed by open deals: %s", error)

    def _may_ask_deals(self, *beside: str) -> bool:
        """Whether deals may ride in a caller's request: one whose method is closed would hold all of it up."""
        allowed = time.monotonic() >= self._deals_again_at and self._portal.has_room(_DEALS)
        return allowed and self._fit(*beside, _DEALS)

    def _fit(self, *methods: str) -> bool:
        """Whether these together are answered comfortably while a caller waits."""
        typical = self._portal.durations.typical
        return sum(typical(method) or 0.0 for method in methods) < _COMFORT * self._inbound().deadline


def deals_of_found() -> Command[list[Deal]]:
    """Of the entity found first. It stands last in a chain: when it fails, everything else is done."""
    return open_deals(Ref("search", "0", "CRM_ENTITY_ID"))


def deals_as_data(found: Iterable[Deal], entities: Entities, created: Collection[tuple[str, int]] = ()) -> Deals:
    """The deals of these clients as event data, without those of others, of nobody, and what a registration made."""
    clients = {(entity["type"], entity["id"]) for entity in entities}
    return [
        {"id": deal.id, "title": deal.title, "user_id": deal.responsible}
        for deal in found
        if clients & {("CONTACT", deal.contact_id), ("COMPANY", deal.company_id)}
        if deal.responsible and ("DEAL", deal.id) not in created
    ]


def not_made_by(call: Call, entities: Entities) -> Entities:
    """The entities without those a registration of the call may have made, when its answer was lost: what belongs to
    whom it named is nobody's client yet."""
    named = (call.register_params or {}).get("USER_ID")
    return [entity for entity in entities if (entity["responsible"] or {}).get("user_id") != named]


def _lack(entities: Entities | None) -> str:
    return REFUSED if entities is None else ""


# Of nobody found the reference leaves an empty list, which as one element of a list names user 0: no one.
_FOUND_FIRST: Final = Ref("search", "0", "ASSIGNED_BY_ID")


def _card_for(user_id: int | Ref) -> Command[bool]:
    """The card of the call registered before it in the same batch."""
    return telephony.show(Ref("register", "CALL_ID"), [user_id])


def _note_card(event: Event, result: BatchResult, user_id: int) -> None:
    """With the registration, whose card is up. One that failed is shown when the phone rings."""
    if "show" in result and result.error("show") is None and result["show"]:
        event.data["card"] = [user_id]


def _responsible(searching: Parcel) -> int | None:
    """Of the entity found first; None when nobody, or nothing has come back yet."""
    if not searching.future.done() or searching.future.exception() is not None:
        return None
    found = searching.future.result()
    entities: list[CrmEntity] = found["search"] if found.error("search") is None else []
    person = entities[0].responsible if entities else None
    return None if person is None else person.user_id


def _has_failed(parcel: Parcel) -> bool:
    return parcel.future.done() and parcel.future.exception() is not None


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


def _client_event(call: Call, entities: Entities | None, deals: Deals | None) -> list[Event]:
    if entities is None:
        return []
    told = {"entities": entities} if deals is None else {"entities": entities, "deals": deals}
    return [Event(call.call_id, Kind.CLIENT, time.time(), told)]


def _outcome_of_register(call: Call, result: BatchResult) -> tuple[Registered | None, Event]:
    try:
        registered: Registered = result["register"]
    except BitrixError as error:
        return None, failure(call, error)
    return registered, registration(call.call_id, registered)
