"""A lead for a known client of whom nothing is open, where the line asks for it: after the call, once.

register makes leads of clients nobody knows, and of known ones only as the portal's own option says. What is open
cannot be told to it in the request that finds it out, so this is asked afterwards, when nobody waits.

Between that question and the lead the portal keeps nobody out: of two calls of one client that end at once both would
find nothing open. So of the calls of a client one at a time has the turn, on whatever machine, and keeps it while it
is not known what became of its request.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from bx24client import (
    AccessDenied,
    Bitrix24,
    BitrixError,
    Command,
    CrmEntity,
    MethodNotFound,
    ScopeMissing,
    WrongAuthType,
    crm,
    telephony,
)
from bx24client.deals import Deal, open_deals
from itgrix_bx.calls import portal
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.delivery.asking import Begin, Intent
from itgrix_bx.delivery.schedule import LEAD, LEASE_S, settled_at
from itgrix_bx.delivery.trouble import failed, fate, retry_in
from sql.database import DatabaseAwayError
from sql.marks import Marks

_REQUEST_S = 60.0
_ORIGINATOR = "itgrix-bx"
_LONGEST_TITLE = 255
_LONGEST_PAUSE_S = 60.0
# No reason to keep the recording waiting: a right that is missing is missing for long. A webhook that is refused for
# everything keeps all waiting alike.
_WITHOUT = (ScopeMissing, WrongAuthType, AccessDenied, MethodNotFound)

Key = tuple[str, int]


class Lead:
    """Adds the lead. The portal adds one each time it is asked, so after a lost answer it is looked for first."""

    def __init__(self, settings: Settings, client: Bitrix24, marks: Marks) -> None:
        self._settings = settings
        self._client = client
        self._marks = marks

    def step(self, call: Call, begin: Begin) -> list[Event]:
        """What came of it, as events. Raises DatabaseAwayError and what `begin` raises; nothing was sent then."""
        # The call's own turn, not this process's: who takes the call over goes on with it.
        turn, owner = f"lead {call.client_number}", self._origin(call)
        if not self._marks.take(turn, owner, now=time.time(), for_s=LEASE_S):
            return [_later(call)]
        event = self._in_turn(call, begin)
        if not event.data.get("doubt", event.kind is Kind.LEAD_FAILED and call.lead_doubt is not None):
            with contextlib.suppress(DatabaseAwayError):  # it ends by itself
                self._marks.give_back(turn, owner)
        return [event]

    def _in_turn(self, call: Call, begin: Begin) -> Event:
        try:
            return self._known(call) or self._none_needed(call) or self._add(call, begin)
        except BitrixError as error:  # a question failed
            return _failed(call, error)

    def _origin(self, call: Call) -> str:
        return portal.external_call_id(self._settings.pbx.name, call.call_id)

    def _known(self, call: Call) -> Event | None:
        """What can be said after a doubt without adding anything; None: a lead may be added now."""
        if call.lead_doubt is None:
            return None
        found = self._ask(crm.leads_of(_ORIGINATOR, self._origin(call)))
        if found:
            return _event(call, Kind.LEAD, lead_id=found[0], found_by_origin=True)
        now, settled = time.time(), settled_at(call.lead_doubt)
        if now >= settled:
            return None
        retry_at = min(settled, now + max(2.0, now - call.lead_doubt.since))
        return _event(call, Kind.LEAD_FAILED, error="no answer yet to the lead that was to be added", retry_at=retry_at)

    def _none_needed(self, call: Call) -> Event | None:
        """Why no lead is added, by what is open now; None where nothing is."""
        entities: list[CrmEntity] = self._ask(telephony.search_crm_entities(call.client_number))
        lead = next((entity for entity in entities if entity.type == "LEAD"), None)
        if lead is not None:
            return _event(call, Kind.LEAD, why=f"lead {lead.id} is open")
        clients = _clients(call)
        for _, number in clients:
            deal = next((d for d in self._ask(open_deals(number)) if _is_of(d, clients)), None)
            if deal is not None:
                return _event(call, Kind.LEAD, why=f"deal {deal.id} is open")
        return None

    def _add(self, call: Call, begin: Begin) -> Event:
        fields = self._fields(call)
        intent = Intent(begin, lambda: _event(call, Kind.LEADING, params=fields))
        try:
            number = self._client.execute(
                crm.add_lead(fields), timeout_s=_REQUEST_S, lane="background", on_leaving=intent
            )
        except BitrixError as error:
            return _failed(call, error, **fate(error, intent.event_id, call.lead_doubt))
        return _event(call, Kind.LEAD, lead_id=number)

    def _fields(self, call: Call) -> dict[str, Any]:
        """Of who finished the call; with the number, by which the next call finds it open."""
        name = next((str(entity["name"]) for entity in call.clients if entity.get("name")), "")
        fields: dict[str, Any] = {
            "TITLE": " ".join(filter(None, (name, call.client_number)))[:_LONGEST_TITLE],
            "ASSIGNED_BY_ID": (call.finish_params or {}).get("USER_ID", self._settings.portal.default_user),
            "SOURCE_ID": call.line_rules.get("source") or "CALL",
            "PHONE": [{"VALUE": call.client_number, "VALUE_TYPE": "WORK"}],
            "ORIGINATOR_ID": _ORIGINATOR,
            "ORIGIN_ID": self._origin(call),
        }
        return fields | {f"{kind}_ID": number for kind, number in _clients(call)}

    def _ask(self, command: Command[Any]) -> Any:
        return self._client.execute(command, timeout_s=_REQUEST_S, lane="background")


def _clients(call: Call) -> set[Key]:
    """The contact and the company the call belongs to."""
    found = {(entity["type"], entity["id"]) for entity in call.clients if entity["type"] in ("CONTACT", "COMPANY")}
    return found or {(call.entity_type, call.entity_id or 0)}


def _is_of(deal: Deal, clients: set[Key]) -> bool:
    return bool(clients & {("CONTACT", deal.contact_id or 0), ("COMPANY", deal.company_id or 0)})


def _later(call: Call) -> Event:
    """Another call of the client has the turn."""
    now = time.time()
    pause = min(_LONGEST_PAUSE_S, max(2.0, (now - (call.over_since or now)) / 3))
    return _event(call, Kind.LEAD_FAILED, detail="another call of this client comes first", retry_at=now + pause)


def _failed(call: Call, error: BitrixError, **fate_of_it: object) -> Event:
    if isinstance(error, _WITHOUT) or retry_in(error, call.lead_tries) is None:
        return _event(call, Kind.LEAD, lead_id=None, error=f"no lead was added: {error}")
    return failed(call, Kind.LEAD_FAILED, LEAD, error, call.lead_tries, **fate_of_it)


def _event(call: Call, kind: Kind, **data: object) -> Event:
    return Event(call.call_id, kind, time.time(), data)
