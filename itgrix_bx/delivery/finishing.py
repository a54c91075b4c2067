"""The second step of delivery: the portal learns how the call ended, once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from bx24client import BatchResult, Bitrix24, BitrixError, CallNotFound, Command, Finished, UserNotActive, telephony
from itgrix_bx.calls import outcome, portal
from itgrix_bx.calls.call import IN, Call, Doubt
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.delivery.asking import Begin, Intent, clients_of, finished_by, row_of
from itgrix_bx.delivery.attach import Beside
from itgrix_bx.delivery.cards import Cards
from itgrix_bx.delivery.schedule import FINISH, back_off, settled_at
from itgrix_bx.delivery.trouble import failed, fate

log = logging.getLogger("itgrix_bx.delivery")

_REQUEST_S = 60.0
_MOST_FORGOTTEN = 3


class Finish:
    """Finishes a call. Two finishes at once make two activities, so nothing is sent while one may still run."""

    def __init__(
        self,
        settings: Settings,
        client: Bitrix24,
        cards: Cards,
        directory: Callable[[], Directory],
        recording: Callable[[Call, Begin], Beside | None],
    ) -> None:
        """`recording`: what may leave in the same request."""
        self._recording = recording
        self._settings = settings
        self._client = client
        self._cards = cards
        self._directory = directory

    def step(self, call: Call, begin: Begin) -> list[Event]:
        """What came of it, as events. Raises what `begin` raises; nothing was sent then."""
        try:
            if call.finish_doubt is not None and (known := self._known(call, call.finish_doubt)):
                return [known]
            found = self._found_late(call)
            return [*found, *self._send(call, self._params(call), begin, self._recording(call, begin))]
        except BitrixError as error:  # a question failed
            return [_failed(call, error)]

    def _known(self, call: Call, doubt: Doubt) -> Event | None:
        """What can be said after a doubt without sending anything; None: the call may be finished now."""
        if row := row_of(self._client, call):
            return finished_by(call, row)
        return _not_sure_yet(call, doubt) if time.time() < settled_at(doubt) else None

    def _found_late(self, call: Call) -> list[Event]:
        """A missed call is its client's responsible's. Where the live search had failed, only that there is a client
        was told with the registration."""
        known = call.entity_id and not call.created
        if call.direction != IN or call.answered or call.entities is not None or not known:
            return []
        call.entities = clients_of(self._client, call)
        return [_event(call, Kind.CLIENT, entities=call.entities)]

    def _params(self, call: Call) -> dict[str, Any]:
        settings = self._settings
        result = outcome.of(
            call, self._directory(), finisher=settings.calls.finisher, default_user=settings.portal.default_user
        )
        return portal.finish_params(call, result)

    def _send(self, call: Call, params: dict[str, Any], begin: Begin, beside: Beside | None) -> list[Event]:
        others = self._cards.close(call, params["USER_ID"])
        intent = Intent(begin, lambda: _event(call, Kind.FINISHING, params=params))
        told: list[Event] = []
        try:
            result = self._request(call, params, others, intent, beside)
            if result.error("finish") is None:
                finished = _finished(call, result["finish"])
                return [finished, *beside.came_of(result)] if beside else [finished]
            told = beside.came_of(result) if beside else []
            raise result.errors["finish"]
        except UserNotActive as error:  # dismissed since: the default user is the successor
            default = self._settings.portal.default_user
            if params["USER_ID"] == default:
                return [*told, _failed(call, error, **fate(error, intent.event_id, call.finish_doubt))]
            return [*told, *self._send(call, params | {"USER_ID": default}, begin, None)]
        except CallNotFound as error:
            return [*told, self._not_found(call, error, intent)]
        except BitrixError as error:
            if beside is not None and not told:
                told = beside.not_yet(error)
            return [*told, _failed(call, error, **fate(error, intent.event_id, call.finish_doubt))]

    def _request(
        self, call: Call, params: dict[str, Any], others: list[int], intent: Intent, beside: Beside | None
    ) -> BatchResult:
        """finish, together with the hide of the cards it does not take away itself, and the recording."""
        commands: dict[str, Command[Any]] = {"hide": telephony.hide(call.portal_call_id, others)} if others else {}
        commands["finish"] = telephony.finish(params)
        if beside is not None:
            commands["attach"] = beside.command

        def announce() -> None:
            intent()
            if beside is not None:
                beside.intent()

        return self._client.batch(commands, halt=False, timeout_s=_REQUEST_S, lane="outcome", on_leaving=announce)

    def _not_found(self, call: Call, error: CallNotFound, intent: Intent) -> Event:
        """The portal's row of an open call is gone: finished by an earlier request, or lost."""
        try:
            row = row_of(self._client, call)
        except BitrixError as unanswered:  # that this finish was refused is known all the same
            return _failed(call, unanswered, **fate(error, intent.event_id, call.finish_doubt))
        if row is not None:
            return finished_by(call, row)
        if call.finish_doubt is not None:
            # An earlier finish took the row away; the webhook's user may not see the statistics of others.
            note = "the portal does not know the call any more after an earlier finish; its statistics do not show it"
            return _event(call, Kind.FINISHED, activity_id=None, note=note)
        if call.forgotten + 1 >= _MOST_FORGOTTEN:
            told = fate(error, intent.event_id, call.finish_doubt)
            return _event(call, Kind.GAVE_UP, step=FINISH, error=str(error), **told)
        wait = back_off(call.forgotten + 1)
        return _event(
            call, Kind.FORGOTTEN, retry_at=time.time() + wait,
            error="the portal has lost the call it registered: it is registered again",
        )  # fmt: skip


def _failed(call: Call, error: BitrixError, **fate_of_it: object) -> Event:
    return failed(call, Kind.FINISH_FAILED, FINISH, error, call.finish_tries, **fate_of_it)


def _not_sure_yet(call: Call, doubt: Doubt) -> Event:
    now = time.time()
    retry_at = min(settled_at(doubt), now + max(2.0, now - doubt.since))
    error = "no answer to finish yet, and nothing in the statistics"
    return _event(call, Kind.FINISH_FAILED, error=error, retry_at=retry_at)


def _finished(call: Call, done: Finished) -> Event:
    if done.errors:
        log.info("call %s: the portal made no activity: %s", call.call_id, "; ".join(map(str, done.errors.values())))
    return _event(
        call, Kind.FINISHED, activity_id=done.activity_id, entity_type=done.entity_type, entity_id=done.entity_id
    )


def _event(call: Call, kind: Kind, **data: object) -> Event:
    return Event(call.call_id, kind, time.time(), data)
