"""What each hook does: journal first, ask the portal if a caller may wait for it, tell the dialplan."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from itgrix_bx.calls import caller_name, portal
from itgrix_bx.calls.call import IN, INTERNAL, OUT, Call, fold
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.number_rules import Where
from itgrix_bx.calls.numbers import trunk
from itgrix_bx.calls.outcome import line_user
from itgrix_bx.calls.routing import Route
from itgrix_bx.clock import stamp
from itgrix_bx.config import Settings
from itgrix_bx.delivery import turns
from itgrix_bx.delivery.schedule import IN_FLIGHT_S
from itgrix_bx.employees import Employees
from itgrix_bx.logbook import Logbook
from itgrix_bx.numbers import Numbers
from itgrix_bx.reception import Heard, Reception
from itgrix_bx.router import Router
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.switchboard")

REGISTERED, DEFERRED, SKIPPED = "registered", "deferred", "skipped"
NO_ROUTE = Route()
_COMES_UP_S = 2.0  # within this time a program that was just started has read its rules, unless the database is away
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Reply:
    """What the dialplan is told about a call."""

    state: str
    portal_call_id: str = ""
    route: Route = NO_ROUTE
    caller_name: str = ""  # what the phone is to show; empty: what the network sent


class Switchboard:
    """The six hooks. Every method takes the call's id, when the hook came (unix seconds) and the channel's facts."""

    def __init__(
        self,
        settings: Settings,
        logbook: Logbook,
        reception: Reception,
        employees: Employees,
        numbers: Numbers,
        router: Router,
    ) -> None:
        self._settings = settings
        self._logbook = logbook
        self._reception = reception
        self._employees = employees
        self._numbers = numbers
        self._router = router
        self._comes_up_until = time.monotonic() + _COMES_UP_S

    # --- hooks that may wait for the portal ------------------------------------------------------

    def inbound(self, call_id: str, at: float, facts: dict[str, Any], until: float) -> Reply:
        """An external call enters: register it, find its client; `until` is monotonic seconds."""
        return self._said(call_id, Kind.INBOUND, self._enter(call_id, at, Kind.INBOUND, facts, until))

    def route(self, call_id: str, at: float, facts: dict[str, Any], until: float) -> Reply:
        """The administrator wants the responsible tried now: reuse what `inbound` learnt."""
        known = self._router.again(call_id)
        if known is not None:
            self._logbook.record([_heard(call_id, Kind.ROUTE, at, self._from_client(facts)), _routed(call_id, known)])
            return Reply(DEFERRED, route=known)
        return self._said(call_id, Kind.ROUTE, self._enter(call_id, at, Kind.ROUTE, facts, until))

    def outbound(self, call_id: str, at: float, facts: dict[str, Any], until: float) -> Reply:
        """A trunk is about to be dialled: register the call, or add a leg to the one that is known."""
        return self._said(call_id, Kind.OUTBOUND, self._enter(call_id, at, Kind.OUTBOUND, facts, until))

    def _said(self, call_id: str, kind: Kind, reply: Reply) -> Reply:
        # No numbers or names: the log is read by people who may not know who calls whom.
        log.info("call %s: %s → %s, route %s", call_id, kind, reply.state, reply.route.extension or "normal")
        return reply

    def _enter(self, call_id: str, at: float, kind: Kind, facts: dict[str, Any], until: float) -> Reply:
        rules_known = self._await_rules(until)
        number = self._to(facts) if kind is Kind.OUTBOUND else self._from_client(facts)
        event = _heard(call_id, kind, at, facts | number)
        if not rules_known:
            return self._only_note(event)
        opening = self._opening(event)
        appended = self._logbook.record([event], if_new=opening)
        call = appended.call if appended is not None else fold([event, *opening])
        if not call.skipped and call.register_params is None:
            # Known by a hook that could not open it: what the lost first hook would have started, this one does.
            appended = self._logbook.record(opening)
            call = appended.call if appended is not None else fold([event, *opening])
        elif appended is not None and not appended.new:
            return self._known(call, kind, until)
        return Reply(SKIPPED) if call.skipped else self._ask(call, until, in_journal=appended is not None)

    def _await_rules(self, until: float) -> bool:
        """Whether it can be said whose calls are none for the CRM, and what becomes of the others."""
        end = min(until, self._comes_up_until)
        while not (known := self._employees.lines.known and self._numbers.known) and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return known

    def _only_note(self, event: Event) -> Reply:
        """A program that has just begun, or has not found its database since, leaves decisions to delivery."""
        appended = self._logbook.record([event])
        if appended is not None and appended.call.skipped:
            return Reply(SKIPPED)
        return _registered_or_deferred(appended.call.portal_call_id if appended is not None else "")

    def _opening(self, event: Event) -> list[Event]:
        """What belongs to a call's first hook: why it is skipped, or what will be registered."""
        call = fold([event])
        if skip := self._numbers.current.skip(call, self._directory):
            data = {"reason": str(skip.reason), "internal": skip.internal}
            return [Event(event.call_id, Kind.SKIPPED, event.at, data)]
        owner = self._directory.user_of(call.caller_extension) if event.kind is Kind.OUTBOUND else None
        user_id = owner or line_user(call, self._directory) or self._settings.portal.default_user
        params = portal.register_params(call, user_id=user_id, pbx_name=self._settings.pbx.name)
        return [Event(event.call_id, Kind.REGISTERING, event.at, {"params": params})]

    def _ask(self, call: Call, until: float, *, in_journal: bool) -> Reply:
        # A colleague's phone or mobile: there is nobody to find.
        if call.direction == INTERNAL or self._employees.is_own_number(call.client_number):
            self._reception.register(call)
            return Reply(DEFERRED)
        inbound = call.direction == IN
        try:
            self._take_turn(call, in_journal=in_journal)
        except turns.NotItsTurn as why:
            heard = self._reception.search_first(call, why, until=until, deals=self._wants_deals(call))
            return self._reply(call, heard)
        heard = self._reception.ask(call, search=inbound, until=until, deals=inbound and self._wants_deals(call))
        if inbound:
            return self._reply(call, heard)
        self._journal(heard.events)
        return _registered_or_deferred(heard.portal_call_id)

    def _take_turn(self, call: Call, *, in_journal: bool) -> None:
        """At the same moment the portal would make a client for each of two calls of a number it does not know: it is
        asked for one at a time, as far as they stand in the journal and see each other. Raises NotItsTurn."""
        if not turns.makes_a_client(call) or self._reception.clients.usable(call.client_number):
            return
        if not in_journal:
            raise turns.others_unknown()
        try:
            turns.take(call, self._reception.turns, self._logbook.beside, call.started_at - IN_FLIGHT_S)
        except DatabaseAwayError as error:
            self._reception.turns.give_back(call)
            log.debug("call %s: who else calls from this number is not known: %s", call.call_id, error)
            raise turns.others_unknown() from error

    def _known(self, call: Call, kind: Kind, until: float) -> Reply:
        """A repeated hook, or another leg: no second registration."""
        if call.skipped:
            return Reply(SKIPPED)
        if kind is not Kind.OUTBOUND and call.entities is None and not call.over:
            heard = self._reception.search(call, until=until, deals=self._wants_deals(call))
            heard.portal_call_id = call.portal_call_id
            return self._reply(call, heard)
        if kind is Kind.OUTBOUND:
            return _registered_or_deferred(call.portal_call_id)
        return self._reply(call, Heard(call.entities, call.portal_call_id, call.deals))

    def _reply(self, call: Call, heard: Heard) -> Reply:
        events = [*heard.events]
        try:
            route = self._router.decide(call, heard)
            events.append(_routed(call.call_id, route))
        finally:
            self._journal(events)
        reply = _registered_or_deferred(heard.portal_call_id)
        return Reply(reply.state, reply.portal_call_id, route, self._caller_name(call, heard, route))

    def _journal(self, events: Sequence[Event]) -> None:
        if events:
            self._logbook.record_soon(events)

    def _wants_deals(self, call: Call) -> bool:
        line = self._employees.lines.of_call(call.did, call.trunk)
        return line.wants_deals or self._router.wants_deals(call)

    def _caller_name(self, call: Call, heard: Heard, route: Route) -> str:
        line = self._employees.lines.of_call(call.did, call.trunk)
        if not line.caller_name or call.direction != IN:
            return ""
        known = caller_name.names(
            heard.entities, heard.deals, client=route.client_name, line=line.label, number=call.client_number
        )
        return caller_name.render(line.caller_name, known, latin=line.latin, longest=line.longest)

    def _from_client(self, facts: dict[str, Any]) -> dict[str, Any]:
        way = Where(IN, trunk(facts.get("channel", "")), facts.get("did", ""))
        number = self._read(facts.get("caller", ""), way)
        return facts | {"client_number": number, "trunk": way.trunk} | self._employees.lines.facts(way.did, way.trunk)

    # --- hooks that never wait for the portal ----------------------------------------------------

    def ring(self, call_id: str, at: float, facts: dict[str, Any]) -> None:
        """Extensions are about to ring."""
        self._report(call_id, at, Kind.RING, facts)

    def answer(self, call_id: str, at: float, facts: dict[str, Any]) -> None:
        """An extension answered, or the client (empty extension)."""
        self._report(call_id, at, Kind.ANSWER, facts)

    def hangup(self, call_id: str, at: float, facts: dict[str, Any]) -> None:
        """A leg ended. A voice message is noted where it is wanted now: set later, the setting sends no old ones."""
        if not self._settings.recordings.voicemail_directory:
            facts = {name: value for name, value in facts.items() if name != "message"}
        self._report(call_id, at, Kind.HANGUP, facts)

    def _report(self, call_id: str, at: float, kind: Kind, facts: dict[str, Any]) -> None:
        facts = facts | self._identity(facts)
        self._employees.met([*facts.get("extensions", ()), *filter(None, [facts.get("extension")])])
        self._logbook.record([_heard(call_id, kind, at, facts)])
        log.info("call %s: %s", call_id, kind)

    def _identity(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Only the call's own channel knows its client; any other channel would name an extension."""
        if not facts.get("own_channel"):
            return {"client_number": ""}
        if facts.get("direction") == OUT:
            return self._to(facts)
        found = self._from_client(facts)
        return found if facts.get("direction") == IN else {"client_number": found["client_number"]}

    def _to(self, facts: dict[str, Any]) -> dict[str, Any]:
        trunk = facts.get("trunk", "")
        number = self._read(facts.get("number", ""), Where(OUT, trunk))
        internal = self._numbers.current.direction_to(number, trunk, self._directory) == INTERNAL
        return {"client_number": number} | ({"internal": True} if internal else {})

    def _read(self, raw: str, way: Where) -> str:
        return self._numbers.current.read(raw, way, self._directory).number

    @property
    def _directory(self) -> Directory:
        return self._employees.directory


def _heard(call_id: str, kind: Kind, at: float, facts: dict[str, Any]) -> Event:
    return Event(call_id, kind, at, facts | stamp(at))


def _routed(call_id: str, route: Route) -> Event:
    told = {"extension": route.extension, "seconds": route.seconds if route.extension else 0, "why": list(route.steps)}
    return Event(call_id, Kind.ROUTED, time.time(), told)


def _registered_or_deferred(portal_call_id: str) -> Reply:
    return Reply(REGISTERED if portal_call_id else DEFERRED, portal_call_id)
