"""The rules of routing as stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from itgrix_bx.calls import policy
from itgrix_bx.calls.policy import ALL_LINES, BLACK, VIP, Entry, Policy, Rules, WrongRuleError
from sql.database import Database
from sql.notes import ROUTING, Notes, renew
from sql.tables import routing_clients, routing_rules

log = logging.getLogger("itgrix_bx.routing")


class Routing:
    """Every method raises DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def version(self) -> str:
        """Another text after every change; empty before the first."""
        return Notes(self.database).read(ROUTING) or ""

    def rules(self) -> Rules:
        """All rules. What cannot be read (somebody wrote into the table) is left out, and the log says so."""
        told, lists = self.database.read(lambda c: (_told(c), _lists(c)))
        own = {did: _understood(did, words) for did, words in told.items()}
        default = replace(Policy(), **own.get(ALL_LINES, {}))
        by_did = {did: replace(default, **rules) for did, rules in own.items() if did != ALL_LINES}
        return Rules(default, by_did, lists[VIP], lists[BLACK], {did: frozenset(rules) for did, rules in own.items()})

    def told(self) -> dict[str, dict[str, str]]:
        """What was set, by DID (empty: all lines) and rule, in words."""
        return self.database.read(_told)

    def set(self, did: str, rule: str, words: str | None) -> None:
        """Set a rule, in words that were understood; None takes it back. With + or without it is the same DID."""
        bare = did.lstrip("+")

        def job(connection: Connection) -> None:
            here = sa.and_(routing_rules.c.did.in_((bare, f"+{bare}")), routing_rules.c.rule == rule)
            connection.execute(sa.delete(routing_rules).where(here))
            if words is not None:
                connection.execute(sa.insert(routing_rules).values(did=bare, rule=rule, words=words))
            renew(connection, ROUTING)

        self.database.write(job)

    def put(self, name: str, entry: Entry) -> None:
        """Add a client to a list, or change what is said of them."""
        told = {"order": entry.order, "off_duty": entry.off_duty, "note": entry.note}
        data = json.dumps(told, ensure_ascii=False)

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(routing_clients).where(_of(name, entry.whom)))
            connection.execute(sa.insert(routing_clients).values(list=name, whom=entry.whom, data=data))
            renew(connection, ROUTING)

        self.database.write(job)

    def remove(self, name: str, whom: str) -> bool:
        """Take a client off a list; whether they were on it."""

        def job(connection: Connection) -> bool:
            gone = connection.execute(sa.delete(routing_clients).where(_of(name, whom))).rowcount
            renew(connection, ROUTING)
            return bool(gone)

        return self.database.write(job)


def _of(name: str, whom: str) -> sa.ColumnElement[bool]:
    return sa.and_(routing_clients.c.list == name, routing_clients.c.whom == whom)


def _told(connection: Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(sa.select(routing_rules).order_by(routing_rules.c.did)):
        found.setdefault(row.did.lstrip("+"), {})[row.rule] = row.words
    return found


def _lists(connection: Connection) -> dict[str, dict[str, Entry]]:
    found: dict[str, dict[str, Entry]] = {VIP: {}, BLACK: {}}
    for row in connection.execute(sa.select(routing_clients)).mappings():
        entry = _entry(row)
        if entry is not None and row["list"] in found:
            found[row["list"]][entry.whom] = entry
    return found


def _entry(row: RowMapping) -> Entry | None:
    try:
        data = json.loads(row["data"])
        order = policy.parse("order", data["order"]) if data["order"] else ()
        return Entry(row["whom"], order, bool(data["off_duty"]), str(data["note"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s on the list %s is left out: %s", row["whom"], row["list"], error)
        return None


def _understood(did: str, told: Mapping[str, str]) -> dict[str, Any]:
    """The values of the rules of a line, by name."""
    rules: dict[str, Any] = {}
    for rule, words in told.items():
        try:
            rules[rule] = policy.parse(rule, [words])
        except WrongRuleError as error:
            log.warning("a rule of %s is left out: %s", did or "all lines", error)
    return rules
