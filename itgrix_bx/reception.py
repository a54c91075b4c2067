"""Asking the portal while a caller waits. The caller stops waiting at the deadline, the request does not:
its late answer is journalled and used."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

from bx24client import BatchResult, Bitrix24, BitrixError, Command, CrmEntity, Registered, UserNotActive, telephony
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import REGISTER
from itgrix_bx.delivery.trouble import failed, fate
from itgrix_bx.logbook import Logbook

log = logging.getLogger("itgrix_bx.reception")

_REQUEST_S = 30.0  # a live request is given up after this; delivery tries again
_AT_ONCE = 48
_COMFORT = 0.75  # share of the deadline that search and register together may typically take


@dataclasses.dataclass(slots=True)
class Heard:
    """What came back in time: None where it did not."""

    entities: list[dict[str, Any]] | None = None
    portal_call_id: str = ""


_Answer = SimpleQueue[Heard]


class Reception:
    """The live side of the portal: one round trip for a caller who waits."""

    def __init__(self, portal: Bitrix24, logbook: Logbook, deadline_s: float) -> None:
        self._portal = portal
        self._logbook = logbook
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reception")

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, call: Call, *, search: bool, until: float) -> Heard:
        """Register `call` and, with `search`, find its client; what is known at `until` (monotonic)."""
        answer: _Answer = SimpleQueue()
        job = self._pool.submit(self._run, self._search_and_register if search else self._register, call, answer)
        try:
            return answer.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            if job.cancel():  # never left: every place was taken by a slower portal
                self._logbook.record_soon([_failed(call, "the portal is slow: no request was free in time", 1.0)])
            return Heard()

    def search(self, call: Call, *, until: float) -> Heard:
        """Find the client of a call that is registered already or will be."""
        answer: _Answer = SimpleQueue()
        self._pool.submit(self._run, self._search_alone, call, answer)
        try:
            return answer.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return Heard()

    def _run(self, work: Callable[[Call, _Answer], None], call: Call, answer: _Answer) -> None:
        try:
            work(call, answer)
        except Exception:
            log.exception("call %s: asking the portal failed by our own fault; delivery will try again", call.call_id)
            self._logbook.record_soon([_failed(call, "internal error, see the log", 5.0, doubt=True)])
        finally:
            answer.put(Heard())  # for who still waits; only the first is read

    def _search_and_register(self, call: Call, answer: _Answer) -> None:
        if not self._both_fit():
            self._search_alone(call, answer)
            self._register(call, SimpleQueue())
            return
        commands: dict[str, Command[Any]] = {
            "search": telephony.search_crm_entities(call.client_number),
            "register": telephony.register(call.register_params or {}),
        }
        try:
            result = self._portal.batch(commands, halt=False, timeout_s=_REQUEST_S, lane="caller")
        except BitrixError as error:
            self._logbook.record_soon([failure(call, error)])
            return
        entities, events = _entities(call, result), []
        if entities is not None:
            events.append(Event(call.call_id, Kind.CLIENT, time.time(), {"entities": entities}))
        registered, event = _registered(call, result)
        answer.put(Heard(entities, registered.call_id if registered else ""))
        self._logbook.record_soon([*events, event])

    def _search_alone(self, call: Call, answer: _Answer) -> None:
        command = telephony.search_crm_entities(call.client_number)
        try:
            found = self._portal.execute(command, timeout_s=_REQUEST_S, lane="caller")
        except BitrixError as error:
            log.warning("call %s: the client was not found out: %s", call.call_id, error)
            answer.put(Heard())
            return
        entities = [as_data(entity) for entity in found]
        answer.put(Heard(entities))
        self._logbook.record_soon([Event(call.call_id, Kind.CLIENT, time.time(), {"entities": entities})])

    def _register(self, call: Call, answer: _Answer) -> None:
        command = telephony.register(call.register_params or {})
        try:
            registered = self._portal.execute(command, timeout_s=_REQUEST_S, lane="caller")
        except BitrixError as error:
            self._logbook.record_soon([failure(call, error)])
            return
        answer.put(Heard(None, registered.call_id))
        self._logbook.record_soon([registration(call.call_id, registered)])

    def _both_fit(self) -> bool:
        typical = self._portal.durations.typical
        methods = ("telephony.externalCall.searchCrmEntities", "telephony.externalCall.register")
        return sum(typical(method) or 0.0 for method in methods) < _COMFORT * self._deadline_s


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


def _entities(call: Call, result: BatchResult) -> list[dict[str, Any]] | None:
    try:
        return [as_data(entity) for entity in result["search"]]
    except BitrixError as error:
        log.warning("call %s: the client was not found out: %s", call.call_id, error)
        return None


def _registered(call: Call, result: BatchResult) -> tuple[Registered | None, Event]:
    try:
        registered: Registered = result["register"]
    except BitrixError as error:
        return None, failure(call, error)
    return registered, registration(call.call_id, registered)
