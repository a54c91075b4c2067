"""The rules and lists for numbers, and what the PBX itself knows, as stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from itgrix_bx.calls.number_lists import Entry
from itgrix_bx.calls.number_rules import Rule, check
from sql.database import Database
from sql.tables import notes, number_lists, number_rules, pbx_lists

EXTENSION, BLOCKED = "extension", "blocked"  # kinds of what the PBX knows
LONGEST = 40
_VERSION, _INTERNAL = "numbers version", "internal calls"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything, and the version it is of."""

    version: str
    rules: tuple[Rule, ...]
    entries: frozenset[Entry]
    blocked: frozenset[str]
    internal: bool


class Numbers:
    """Every method raises DatabaseAwayError. A change gives a new version: who keeps a copy looks at that alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> str:
        """Of what is stored; "" before the first change."""
        return self._database.read(_version)

    def read(self) -> Stored:
        """Everything, of one moment."""
        return self._database.read(
            lambda c: Stored(
                _version(c),
                tuple(_rules(c)),
                frozenset(Entry(row.kind, row.what, row.value) for row in c.execute(sa.select(number_lists))),
                _known(c, BLOCKED),
                _note(c, _INTERNAL) == "on",
            )
        )

    def add_rule(self, rule: Rule, position: int | None = None) -> int:
        """Put a rule at a position (from 1; None: the last), the others below it; its id. Raises RuleError."""

        def job(connection: Connection) -> int:
            rules = _rules(connection)
            check(rule, rules)
            values = {column: getattr(rule, _OF_RULE.get(column, column)) for column in _COLUMNS}
            made = connection.execute(sa.insert(number_rules).values(position=0, **values)).inserted_primary_key
            rule_id = int(made[0]) if made is not None else 0
            _order(connection, _placed([r.rule_id for r in rules], rule_id, position))
            return rule_id

        return self._change(job)

    def remove_rule(self, rule_id: int) -> bool:
        """Whether there was such a rule."""
        query = sa.delete(number_rules).where(number_rules.c.id == rule_id)
        return self._change(lambda c: c.execute(query).rowcount > 0)

    def move_rule(self, rule_id: int, position: int) -> bool:
        """Put a rule at another position (from 1); whether there was such a rule."""

        def job(connection: Connection) -> bool:
            ids = [rule.rule_id for rule in _rules(connection)]
            if rule_id not in ids:
                return False
            ids.remove(rule_id)
            _order(connection, _placed(ids, rule_id, position))
            return True

        return self._change(job)

    def add_entry(self, entry: Entry) -> bool:
        """Whether it was not there yet."""

        def job(connection: Connection) -> bool:
            if connection.execute(sa.select(number_lists.c.id).where(_is(entry))).first():
                return False
            connection.execute(sa.insert(number_lists).values(kind=entry.kind, what=entry.what, value=entry.value))
            return True

        return self._change(job)

    def remove_entry(self, entry: Entry) -> bool:
        """Whether it was there."""
        return self._change(lambda c: c.execute(sa.delete(number_lists).where(_is(entry))).rowcount > 0)

    def set_internal(self, on: bool) -> None:
        """Whether calls among our own phones are for the CRM."""
        self._change(lambda c: _set_note(c, _INTERNAL, "on" if on else "off"))

    def pbx(self, kind: str) -> frozenset[str]:
        """What the PBX knows: EXTENSION or BLOCKED."""
        return self._database.read(lambda c: _known(c, kind))

    def replace_pbx(self, kind: str, values: Iterable[str]) -> bool:
        """Take a complete list as what the PBX knows; whether that is news."""
        # MySQL takes values that differ in case for equal; the PBX compares numbers, which have none.
        new = {value.casefold(): value for value in values if 0 <= len(value) <= LONGEST}
        if frozenset(new.values()) == self.pbx(kind):
            return False

        def job(connection: Connection) -> bool:
            connection.execute(sa.delete(pbx_lists).where(pbx_lists.c.kind == kind))
            if new:
                connection.execute(sa.insert(pbx_lists), [{"kind": kind, "value": value} for value in new.values()])
            return True

        return self._change(job)

    def _change(self, job: Callable[[Connection], T]) -> T:
        def changed(connection: Connection) -> T:
            result = job(connection)
            _set_note(connection, _VERSION, uuid.uuid4().hex)
            return result

        return self._database.write(changed)


_OF_RULE = {"replacement": "to"}
_COLUMNS = [column.name for column in number_rules.columns if column.name not in ("id", "position")]


def known_extensions(connection: Connection) -> frozenset[str]:
    """The extensions the PBX itself names."""
    return _known(connection, EXTENSION)


def _known(connection: Connection, kind: str) -> frozenset[str]:
    return frozenset(connection.execute(sa.select(pbx_lists.c.value).where(pbx_lists.c.kind == kind)).scalars())


def _version(connection: Connection) -> str:
    return _note(connection, _VERSION)


def _note(connection: Connection, name: str) -> str:
    return connection.execute(sa.select(notes.c.value).where(notes.c.name == name)).scalar() or ""


def _set_note(connection: Connection, name: str, value: str) -> None:
    query = sa.select(notes.c.name).where(notes.c.name == name).with_for_update()
    if connection.execute(query).first():
        connection.execute(sa.update(notes).where(notes.c.name == name).values(value=value))
    else:
        connection.execute(sa.insert(notes).values(name=name, value=value))


def _rules(connection: Connection) -> list[Rule]:
    query = sa.select(number_rules).order_by(number_rules.c.position, number_rules.c.id)
    rows = connection.execute(query).mappings()
    return [replace(_rule({c: row[c] for c in _COLUMNS}), rule_id=row["id"]) for row in rows]


def _rule(columns: dict[str, object]) -> Rule:
    values = {_OF_RULE.get(column, column): value for column, value in columns.items()}
    return Rule(**values | {"extension": bool(values["extension"])})  # type: ignore[arg-type]


def _placed(ids: list[int], rule_id: int, position: int | None) -> list[int]:
    at = len(ids) if position is None else max(0, position - 1)
    return [*ids[:at], rule_id, *ids[at:]]


def _order(connection: Connection, ids: list[int]) -> None:
    for position, rule_id in enumerate(ids, 1):
        connection.execute(sa.update(number_rules).where(number_rules.c.id == rule_id).values(position=position))


def _is(entry: Entry) -> sa.ColumnElement[bool]:
    columns = number_lists.c
    return sa.and_(columns.kind == entry.kind, columns.what == entry.what, columns.value == entry.value)
