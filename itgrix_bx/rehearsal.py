"""What would become of a call: the decision of a real one, for `routing test`. Nothing is registered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bx24client import BatchResult, Bitrix24, BitrixError, Command, telephony
from itgrix_bx.calls import routing
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.routing import Known, Route, Talk
from itgrix_bx.clients import Deals, Entities
from itgrix_bx.config import Settings
from itgrix_bx.delivery.schedule import due
from itgrix_bx.pbx.ami import Ami, manager_of
from itgrix_bx.pbx.ami_user import READ
from itgrix_bx.pbx.devices import EVENTS, Devices
from itgrix_bx.reception import as_data, deals_as_data, deals_of_found
from itgrix_bx.talks import talk_of
from sql.database import Database
from sql.journal import Journal
from sql.lines import LineRules
from sql.routing import Routing
from sql.staff import Staff

_PORTAL_S = 10.0
_PHONES_S = 5.0
_LATEST_CALLS = 50


@dataclass
class Rehearsal:
    """`notes` say what is not as it would be in a real call."""

    route: Route
    notes: list[str] = field(default_factory=list)


def rehearse(
    settings: Settings, database: Database, portal: Bitrix24, number: str, did: str, at: float | None
) -> Rehearsal:
    """Decide for a call from `number` (E.164) to `did` at `at` (unix seconds; None: now). Raises DatabaseAwayError."""
    rules, directory = Routing(database).rules(), Staff(database).directory()
    notes: list[str] = []
    entities, deals = _ask(portal, number, rules.wants_deals(did), notes)
    talk = _last_talk(Journal(database, due), directory, settings.calls.finisher, number)
    line = LineRules(database).lines().of_call(did).default_user
    line_user = line if line is not None and directory.is_active(line) else None
    known = Known(number, did, time.time() if at is None else at, entities, deals, talk, line_user)
    with _phones(settings, bool(rules.policy(did).device), notes) as devices:
        route = routing.decide(known, directory, rules, devices)
    if at is not None:
        notes.append("phones, workdays and the CRM are as they are now, whatever the time")
    return Rehearsal(route, notes)


def _ask(portal: Bitrix24, number: str, deals: bool, notes: list[str]) -> tuple[Entities | None, Deals | None]:
    commands: dict[str, Command[Any]] = {"search": telephony.search_crm_entities(number)}
    if deals:
        commands["deals"] = deals_of_found()
    try:
        result = portal.batch(commands, halt=True, lane="caller", timeout_s=_PORTAL_S)
        entities = [as_data(entity) for entity in result["search"]]
    except BitrixError as error:
        notes.append(f"the portal did not tell who has this number: {error}")
        return None, None
    return entities, _open(result, entities, notes) if deals else None


def _open(result: BatchResult, entities: Entities, notes: list[str]) -> Deals | None:
    if not entities:
        return []
    try:
        return deals_as_data(result["deals"], entities)
    except BitrixError as error:
        notes.append(f"the portal did not tell the open deals: {error}")
        return None


def _last_talk(journal: Journal, directory: Directory, finisher: str, number: str) -> Talk | None:
    talks = (talk_of(call, directory, finisher) for call in journal.find(number=number, limit=_LATEST_CALLS))
    return max(filter(None, talks), key=lambda talk: talk.at, default=None)


@contextlib.contextmanager
def _phones(settings: Settings, wanted: bool, notes: list[str]) -> Iterator[Devices]:
    """The phones as Asterisk's manager tells of them, where a rule asks and [ami] is there."""
    if not wanted or not settings.ami.username:
        if wanted:
            notes.append("the rule `device` has no effect: [ami] is not configured")
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
            notes.append(
                f"Asterisk's manager did not tell how the phones are: {ami.health().get('error', 'nothing yet')}"
            )
        yield devices
    finally:
        devices.stop()
        ami.stop()
