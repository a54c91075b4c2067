"""The first step of delivery: the portal learns of a call nobody could tell it about while it rang."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bx24client import Bitrix24, BitrixError, StatRow, UserNotActive, telephony
from itgrix_bx.calls import portal
from itgrix_bx.calls.call import IN, Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.lines import Lines
from itgrix_bx.calls.numbering import Numbering
from itgrix_bx.calls.outcome import line_user
from itgrix_bx.config import Settings
from itgrix_bx.delivery import turns
from itgrix_bx.delivery.asking import Begin, Intent, clients_of, finished_by, row_of_external
from itgrix_bx.delivery.schedule import REGISTER
from itgrix_bx.delivery.trouble import failed, fate
from itgrix_bx.delivery.turns import Beside, NotItsTurn, Turns
from itgrix_bx.reception import not_made_by, registration

_REQUEST_S = 60.0
# The portal finds the same call again for 30 minutes after CALL_START_DATE; its clock may differ from ours.
_FOUND_AGAIN_S = 30 * 60 - 120.0


class Register:
    """Registers a call; after a lost answer in a way that cannot make two of it."""

    def __init__(
        self,
        settings: Settings,
        client: Bitrix24,
        directory: Callable[[], Directory],
        numbering: Callable[[], Numbering],
        lines: Callable[[], Lines],
        own_turns: Turns,
        beside: Beside,
    ) -> None:
        self._settings = settings
        self._client = client
        self._directory = directory
        self._numbering = numbering
        self._lines = lines
        self._own_turns = own_turns
        self._beside = beside

    def step(self, call: Call, begin: Begin) -> list[Event]:
        """What came of it, as events. Raises what `begin` raises; nothing was sent then."""
        if not call.client_number:
            reason = "the call has no client number" if call.over else "no client number yet"
            return [_event(call, Kind.SKIPPED, reason=reason)]
        if call.register_params is None and (skip := self._numbering().skip(call, self._directory())):
            return [_event(call, Kind.SKIPPED, reason=str(skip.reason), internal=skip.internal)]
        params = call.register_params or self._late_params(call, begin)
        call.register_params = params
        in_doubt = call.register_doubt is not None
        try:
            if row := self._known_already(call, params):
                return _adopted(call, row)
            found = self._search(call)
        except BitrixError as error:  # a question failed
            return [_failed(call, error)]
        told = self._send(call, params, begin, stranger=not (call.entities or found))
        if found is None or told[0].kind is not Kind.REGISTERED:
            return told  # who was found beside a register that failed may have been made by it: the search is repeated
        if in_doubt and not _is_found_again(call):
            # Of a call that is found again the portal tells what was made. Only now is it known when it was asked.
            found = not_made_by(call, found)
        return [_event(call, Kind.CLIENT, entities=found), *told]

    def _known_already(self, call: Call, params: dict[str, object]) -> StatRow | None:
        """Once the portal does not find an open call again, only a finished one can be asked for."""
        if call.register_doubt is None or _is_found_again(call):
            return None
        return row_of_external(self._client, str(params["EXTERNAL_CALL_ID"]))

    def _send(self, call: Call, params: dict[str, object], begin: Begin, *, stranger: bool) -> list[Event]:
        intent = Intent(
            begin,
            lambda: _event(call, Kind.REGISTERING, params=params),
            lambda: self._take_turn(call) if stranger else None,
        )
        try:
            registered = self._client.execute(
                telephony.register(params),
                timeout_s=_REQUEST_S,
                on_leaving=intent,
            )
        except UserNotActive as error:
            default = self._settings.portal.default_user
            if params["USER_ID"] == default:
                advice = f"[portal] default_user {default} is not an active user of the portal: name another"
                told = fate(error, intent.event_id, call.register_doubt)
                return [_event(call, Kind.GAVE_UP, step=REGISTER, error=f"{error}; {advice}", **told)]
            return self._send(call, params | {"USER_ID": default}, begin, stranger=stranger)
        except NotItsTurn as error:
            known = fate(error, intent.event_id, call.register_doubt)
            return [_event(call, Kind.REGISTER_FAILED, error=str(error), retry_at=turns.again_at(), **known)]
        except BitrixError as error:
            return [_failed(call, error, **fate(error, intent.event_id, call.register_doubt))]
        finally:
            self._own_turns.give_back(call)
        return [registration(call.call_id, registered)]

    def _take_turn(self, call: Call) -> None:
        if turns.makes_a_client(call):
            turns.take(call, self._own_turns, self._beside)

    def _late_params(self, call: Call, begin: Begin) -> dict[str, object]:
        self._find_line(call, begin)
        directory = self._directory()
        owner = directory.user_of(call.caller_extension) if call.direction != IN else None
        user_id = owner or line_user(call, directory) or self._settings.portal.default_user
        return portal.register_params(call, user_id=user_id, pbx_name=self._settings.pbx.name)

    def _find_line(self, call: Call, begin: Begin) -> None:
        """Look up the line of a call whose hooks could not: what is decided now stays, whatever becomes of the rest."""
        if call.direction == IN and not call.line_known and (facts := self._lines().facts(call.did, call.trunk)):
            begin(_event(call, Kind.LINE, **facts))
            call.line, call.line_rules = facts["line"], facts["line_rules"]

    def _search(self, call: Call) -> list[dict[str, Any]] | None:
        """A missed call belongs to the client's responsible, whom nobody asked for while the portal was away. None if
        there is nothing to ask."""
        if call.direction != IN or call.entities is not None:
            return None
        return clients_of(self._client, call)


def _is_found_again(call: Call) -> bool:
    return time.time() < call.started_at + _FOUND_AGAIN_S


def _adopted(call: Call, row: StatRow) -> list[Event]:
    known = _event(call, Kind.REGISTERED, portal_call_id=row.call_id, found_in_statistics=True)
    return [known, finished_by(call, row)]


def _failed(call: Call, error: BitrixError, **fate_of_it: object) -> Event:
    return failed(call, Kind.REGISTER_FAILED, REGISTER, error, call.register_tries, **fate_of_it)


def _event(call: Call, kind: Kind, **data: object) -> Event:
    return Event(call.call_id, kind, time.time(), data)
