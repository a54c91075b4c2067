"""What would become of a call: the decision of a real one, for `routing test`. Nothing is registered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bx24client import BatchResult, Bitrix24, BitrixError, Command, telephony
from itgrix_bx.calls import routing
from itgrix_bx.calls.call import IN, Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.number_rules import Where
from itgrix_bx.calls.outcome import line_user
from itgrix_bx.calls.routing import Known, Route, Talk
from itgrix_bx.clients import Deals, Entities
from itgrix_bx.config import Settings
from itgrix_bx.delivery.schedule import due
from itgrix_bx.employees import own_numbers
from itgrix_bx.numbers import numbering
from itgrix_bx.pbx.ami import Ami, manager_of
from itgrix_bx.pbx.ami_user import READ
from itgrix_bx.pbx.devices import EVENTS, Devices
from itgrix_bx.reception import as_data, deals_as_data, deals_of_found
from itgrix_bx.talks import talk_of
from itgrix_bx.words import Phrase
from sql.database import Database
from sql.journal import Journal
from sql.lines import LineRules
from sql.numbers import Numbers as NumberStore
from sql.routing import Routing
from sql.staff import Staff

_PORTAL_S = 10.0
_PHONES_S = 5.0
_LATEST_CALLS = 50


@dataclass
class Rehearsal:
    """`number` as the CRM knows it; `skipped`: why such a call is not for the CRM, and so never routed; `notes` say
    what is not as it would be in a real call."""

    number: str
    route: Route = field(default_factory=Route)
    skipped: Phrase | None = None
    notes: list[Phrase] = field(default_factory=list)


def rehearse(
    settings: Settings, database: Database, portal: Bitrix24, caller: str, way: Where, at: float | None
) -> Rehearsal:
    """Decide for a call as a trunk brings it, at `at` (unix seconds; None: now). Raises DatabaseAwayError."""
    directory = Staff(database).directory()
    read = numbering(NumberStore(database), settings.numbers)
    made = Rehearsal(read.read(caller, way, directory).number)
    call = Call("test", IN, client_number=made.number, did=way.did, trunk=way.trunk)
    if skip := read.skip(call, directory):
        made.skipped = skip.reason
    elif made.number in own_numbers(directory, settings.numbers.country):
        made.skipped = Phrase("it is an employee's own number")
    else:
        made.route = _decide(settings, database, portal, call, directory, at, made.notes)
    return made


def _decide(
    settings: Settings,
    database: Database,
    portal: Bitrix24,
    call: Call,
    directory: Directory,
    at: float | None,
    notes: list[Phrase],
) -> Route:
    rules = Routing(database).rules()
    call.line_rules = LineRules(database).lines().facts(call.did, call.trunk)["line_rules"]
    entities, deals = _ask(portal, call.client_number, rules.wants_deals(call.did, call.trunk), notes)
    known = Known(
        number=call.client_number,
        did=call.did,
        trunk=call.trunk,
        at=time.time() if at is None else at,
        entities=entities,
        deals=deals,
        talk=_last_talk(Journal(database, due), directory, settings.calls.finisher, call.client_number),
        line_user=line_user(call, directory),
    )
    if at is not None:
        notes.append(Phrase("phones, workdays and the CRM are as they are now, whatever the time"))
    policy = rules.policy(call.did, call.trunk)
    with _phones(settings, bool(policy.device), notes) as phones:
        route = routing.decide(known, directory, rules, phones)
    if policy.workday and _rings_another(route, entities or ()):
        notes.append(Phrase("whether the workday of others than the client's responsible is open is not known here"))
    return route


def _rings_another(route: Route, entities: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody is rung whose workday the search does not tell."""
    told = {(entity.get("responsible") or {}).get("user_id") for entity in entities}
    tried = [step["user_id"] for step in route.steps if step["code"] == "try"]
    return bool(route.extension) and tried[-1] is not None and tried[-1] not in told


def _ask(portal: Bitrix24, number: str, deals: bool, notes: list[Phrase]) -> tuple[Entities | None, Deals | None]:
    commands: dict[str, Command[Any]] = {"search": telephony.search_crm_entities(number)}
    if deals:
        commands["deals"] = deals_of_found()
    try:
        result = portal.batch(commands, halt=True, lane="caller", timeout_s=_PORTAL_S)
        entities = [as_data(entity) for entity in result["search"]]
    except BitrixError as error:
        notes.append(Phrase("the portal did not tell who has this number: {error}", {"error": error}))
        return None, None
    return entities, _open(result, entities, notes) if deals else None


def _open(result: BatchResult, entities: Entities, notes: list[Phrase]) -> Deals | None:
    if not entities:
        return []
    try:
        return deals_as_data(result["deals"], entities)
    except BitrixError as error:
        notes.append(Phrase("the portal did not tell the open deals: {error}", {"error": error}))
        return None


def _last_talk(journal: Journal, directory: Directory, finisher: str, number: str) -> Talk | None:
    talks = (talk_of(call, directory, finisher) for call in journal.find(number=number, limit=_LATEST_CALLS))
    return max(filter(None, talks), key=lambda talk: talk.at, default=None)


@contextlib.contextmanager
def _phones(settings: Settings, wanted: bool, notes: list[Phrase]) -> Iterator[Devices]:
    """The phones as Asterisk's manager tells of them, where a rule asks and [ami] is there."""
    if not wanted or not settings.ami.username:
        if wanted:
            notes.append(Phrase("the rule `device` has no effect: [ami] is not configured"))
        yield Devices()
        return
    ami = Ami(manager_of(settings.ami, mask=READ, events=EVENTS))
    devices = Devices(ami)
    ami.start()
    try:
        end = time.monotonic() + _PHONES_S
        while not devices.known() and time.monotonic() < end:
            time.sleep(0.05)
        if not devices.known():
            error = ami.health().get("error", "nothing yet")
            notes.append(Phrase("Asterisk's manager did not tell how the phones are: {error}", {"error": error}))
        yield devices
    finally:
        devices.stop()
        ami.stop()
