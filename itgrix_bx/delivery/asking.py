"""Asking the portal what it knows, before it is told again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bx24client import AccessDenied, Bitrix24, StatRow, telephony
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.reception import as_data

# Journals under the worker's lease that a request is about to leave; raises when it must not.
Begin = Callable[[Event], object]

_REQUEST_S = 30.0


class Intent:
    """Announces in the journal that a request leaves, each time it does. `event_id`: of the last announcement, empty
    while nothing has left. `turn`: raises when it is another's turn, which is seen only after the announcement."""

    def __init__(self, begin: Begin, announce: Callable[[], Event], turn: Callable[[], object] = lambda: None) -> None:
        self._begin = begin
        self._announce = announce
        self._turn = turn
        self.event_id = ""

    def __call__(self) -> None:
        event = self._announce()
        self._begin(event)
        self.event_id = event.event_id
        self._turn()


def clients_of(client: Bitrix24, call: Call) -> list[dict[str, Any]]:
    """The entities with the call's number, as event data. Raises BitrixError."""
    found = client.execute(telephony.search_crm_entities(call.client_number), timeout_s=_REQUEST_S)
    return [as_data(entity) for entity in found]


def row_of(client: Bitrix24, call: Call) -> StatRow | None:
    """The finished call in the portal's statistics; None when it is not there or the right to look is missing.

    Raises BitrixError.
    """
    return _row(client, {"CALL_ID": call.portal_call_id})


def row_of_external(client: Bitrix24, external_call_id: str) -> StatRow | None:
    """Likewise by our own id."""
    return _row(client, {"EXTERNAL_CALL_ID": external_call_id})


def _row(client: Bitrix24, condition: dict[str, str]) -> StatRow | None:
    try:
        rows = client.execute(telephony.statistics(condition), timeout_s=_REQUEST_S)
    except AccessDenied:
        return None
    return next(iter(rows), None)


def finished_by(call: Call, row: StatRow) -> Event:
    """The portal's own word that the call is finished."""
    return Event(
        call.call_id, Kind.FINISHED, time.time(), {"activity_id": row.activity_id, "found_in_statistics": True}
    )
