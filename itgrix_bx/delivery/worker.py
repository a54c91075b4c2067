"""The worker: takes due calls from the journal under a lease, does their next step, journals what came of it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bx24client import Bitrix24, BitrixError, CallNotFound, Command, Finished, StatRow, UserNotActive, telephony
from itgrix_bx.calls import outcome, portal
from itgrix_bx.calls.call import IN, Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.delivery.attach import Attach, statistics_row
from itgrix_bx.delivery.cards import Cards
from itgrix_bx.delivery.schedule import ATTACH, FINISH, REGISTER, back_off, due_at, next_step
from itgrix_bx.logbook import Logbook
from itgrix_bx.reception import as_data, failure, registration
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.delivery")

_LEASE_S = 180.0
_AT_ONCE = 4
_IDLE_S = 1.0
_REQUEST_S = 60.0


class Worker:
    """Delivers calls until stopped. Any number of workers, on any number of machines, share one journal."""

    def __init__(
        self, settings: Settings, logbook: Logbook, client: Bitrix24, cards: Cards, directory: Callable[[], Directory]
    ) -> None:
        self._settings = settings
        self._logbook = logbook
        self._client = client
        self._cards = cards
        self._directory = directory
        self._attach = Attach(settings, client)
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._busy = threading.Semaphore(_AT_ONCE)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="delivery")
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests in hand; leases of what was not begun are given back."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(10)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def notice(self, call: Call) -> None:
        """`call` changed: wake up when it is due."""
        due = due_at(call)
        if due is not None and due <= time.time() + _IDLE_S:
            self._wake.set()

    # --- taking work -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_IDLE_S)
            self._wake.clear()
            try:
                self._take_due()
            except DatabaseAwayError as error:
                log.debug("delivery waits for the database: %s", error)
            except Exception:
                log.exception("delivery stumbled; it goes on in a moment")

    def _take_due(self) -> None:
        if self._logbook.away_since is not None:
            return
        while not self._stopping.is_set() and self._busy.acquire(blocking=False):
            mine = self._logbook.journal.claim(self._owner, now=time.time(), lease_s=_LEASE_S, limit=1)
            if not mine:
                self._busy.release()
                return
            self._pool.submit(self._work_on, mine[0])

    def _work_on(self, call_id: str) -> None:
        try:
            self._do_next_step(call_id)
        except DatabaseAwayError as error:
            log.warning("call %s: left for later, %s", call_id, error)
        except Exception:
            log.exception("call %s: delivery failed by our own fault; it is tried again when its lease ends", call_id)
        finally:
            self._busy.release()
            self._wake.set()

    def _do_next_step(self, call_id: str) -> None:
        call = self._logbook.journal.call(call_id)
        due = due_at(call) if call is not None else None
        if call is None or due is None or due > time.time():
            self._logbook.journal.release(call_id, due_at=due)
            return
        steps = {REGISTER: self._register, FINISH: self._finish, ATTACH: self._attach.step}
        events = steps[next_step(call) or REGISTER](call)
        self._logbook.record(events, release=True)
        log.info("call %s: %s", call_id, ", ".join(_told(event) for event in events))

    # --- register --------------------------------------------------------------------------------

    def _register(self, call: Call) -> list[Event]:
        if not call.client_number:
            reason = "the call has no client number" if call.over else "no client number yet"
            return [_event(call, Kind.SKIPPED, reason=reason)]
        params = call.register_params or self._late_params(call)
        call.register_params = params
        self._logbook.record([_event(call, Kind.REGISTERING, params=params)])
        events = self._search_if_needed(call)
        try:
            registered = self._client.execute(telephony.register(params), timeout_s=_REQUEST_S)
        except UserNotActive as error:
            return [*events, *self._register_for_default(call, params, error)]
        except BitrixError as error:
            return [*events, failure(call, error)]
        return [*events, registration(call.call_id, registered)]

    def _late_params(self, call: Call) -> dict[str, object]:
        owner = self._directory().user_of(call.caller_extension) if call.direction != IN else None
        user_id = owner or self._settings.portal.default_user
        return portal.register_params(call, user_id=user_id, pbx_name=self._settings.pbx.name)

    def _search_if_needed(self, call: Call) -> list[Event]:
        """A missed call belongs to the client's responsible, whom nobody asked for while the portal was away."""
        if call.direction != IN or call.entities is not None:
            return []
        try:
            found = self._client.execute(telephony.search_crm_entities(call.client_number), timeout_s=_REQUEST_S)
        except BitrixError:
            return []
        return [_event(call, Kind.CLIENT, entities=[as_data(entity) for entity in found])]

    def _register_for_default(self, call: Call, params: dict[str, object], error: BitrixError) -> list[Event]:
        default = self._settings.portal.default_user
        if params["USER_ID"] == default:
            advice = f"[portal] default_user {default} is not an active user of the portal: name another"
            return [_event(call, Kind.GAVE_UP, step="register", error=f"{error}; {advice}")]
        params = params | {"USER_ID": default}
        try:
            registered = self._client.execute(telephony.register(params), timeout_s=_REQUEST_S)
        except BitrixError as again:
            return [_event(call, Kind.REGISTERING, params=params), failure(call, again)]
        return [_event(call, Kind.REGISTERING, params=params), registration(call.call_id, registered)]

    # --- finish ----------------------------------------------------------------------------------

    def _finish(self, call: Call) -> list[Event]:
        try:
            # After a try whose answer is not known the portal is asked before it is told again.
            if call.finish_tries and (row := statistics_row(self._client, call)):
                return [_finished_by_statistics(call, row)]
            return [self._tell_finish(call)]
        except BitrixError as error:
            return [self._finish_failure(call, error)]

    def _tell_finish(self, call: Call) -> Event:
        directory, settings = self._directory(), self._settings
        result = outcome.of(
            call, directory, finisher=settings.calls.finisher, default_user=settings.portal.default_user
        )
        params = portal.finish_params(call, result)
        self._logbook.record([_event(call, Kind.FINISHING, params=params)])
        try:
            return _finished(call, self._send_finish(call, params))
        except CallNotFound:
            row = statistics_row(self._client, call)
            if row is None:
                raise
            return _finished_by_statistics(call, row)

    def _send_finish(self, call: Call, params: dict[str, object]) -> Finished:
        """finish, together with the hide of the cards it does not take away itself."""
        others = self._cards.close(call, int(str(params["USER_ID"])))
        try:
            return self._request_finish(call, params, others)
        except UserNotActive:  # dismissed since: the default user is the successor
            default = self._settings.portal.default_user
            if params["USER_ID"] == default:
                raise
            return self._request_finish(call, params | {"USER_ID": default}, [])

    def _request_finish(self, call: Call, params: dict[str, object], others: list[int]) -> Finished:
        finish = telephony.finish(params)
        if not others:
            return self._client.execute(finish, timeout_s=_REQUEST_S)
        commands: dict[str, Command[Any]] = {"hide": telephony.hide(call.portal_call_id, others), "finish": finish}
        done: Finished = self._client.batch(commands, halt=False, timeout_s=_REQUEST_S, lane="outcome")["finish"]
        return done

    def _finish_failure(self, call: Call, error: BitrixError) -> Event:
        if not error.retryable:
            return _gave_up(call, FINISH, error)
        retry_at = time.time() + back_off(call.finish_tries, error.retry_after_s)
        return _event(call, Kind.FINISH_FAILED, error=str(error), retry_at=retry_at)


def _told(event: Event) -> str:
    """An event for the log: its kind, and what went wrong."""
    detail = event.data.get("error") or event.data.get("detail") or event.data.get("state", "")
    return f"{event.kind} ({detail})" if detail else str(event.kind)


def _event(call: Call, kind: Kind, **data: object) -> Event:
    return Event(call.call_id, kind, time.time(), data)


def _finished(call: Call, done: Finished) -> Event:
    if done.errors:
        log.info("call %s: the portal made no activity: %s", call.call_id, "; ".join(map(str, done.errors.values())))
    return _event(
        call, Kind.FINISHED, activity_id=done.activity_id, entity_type=done.entity_type, entity_id=done.entity_id
    )


def _finished_by_statistics(call: Call, row: StatRow) -> Event:
    return _event(call, Kind.FINISHED, activity_id=row.activity_id, found_in_statistics=True)


def _gave_up(call: Call, step: str, error: BitrixError) -> Event:
    return _event(call, Kind.GAVE_UP, step=step, error=str(error))
