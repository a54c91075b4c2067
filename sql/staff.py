"""The employees, their extensions, and who stands for whom, as stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from itgrix_bx.calls.directory import (
    ALWAYS,
    Absence,
    Department,
    Deputy,
    Directory,
    Employee,
    Period,
    Structure,
)
from sql.database import Database
from sql.notes import LINES_AND_STAFF, Notes, renew
from sql.numbers import known_extensions
from sql.tables import absences, departments, deputies, extensions, heads, mobiles, notes, users

_UNTOLD = "what the portal did not tell"  # the note with what of HEADS and ABSENCES


class Staff:
    """Reads and replaces the snapshot of the portal's users, and the administrator's own tables beside it.

    All raise DatabaseAwayError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def directory(self) -> Directory:
        """The snapshot as the call logic uses it."""
        return self._database.read(_directory)

    def version(self) -> str:
        """Another text after every change here or of the lines; empty before the first."""
        return Notes(self._database).read(LINES_AND_STAFF) or ""

    def synced_at(self) -> float | None:
        """When the portal's users were last read, or None."""
        return self._database.read(lambda c: c.execute(sa.select(sa.func.max(users.c.synced_at))).scalar())

    # --- what the portal says --------------------------------------------------------------------

    def replace_users(
        self,
        employees: Iterable[Employee],
        *,
        structure: Iterable[Department] | None = None,
        away: Iterable[Absence] | None = None,
        untold: Iterable[str] = (),
    ) -> None:
        """Take a complete list of the portal's users as the new snapshot, in one transaction.

        With it its `structure` and who is `away`; None where the portal did not tell: what was known stays. `untold`:
        what of HEADS and ABSENCES it should have told.
        """
        now = time.time()
        rows = [_user_row(e, now) for e in employees]
        if not rows:
            raise ValueError("an empty list of users is no answer: the snapshot stays as it was")
        nodes = None if structure is None else [_department_row(d) for d in structure]
        gone = None if away is None else [_absence_row(a.user_id, a.period, by_portal=True) for a in away]
        missing = " ".join(untold)

        def job(connection: Connection) -> None:
            _replace(connection, users, rows)
            if nodes is not None:
                _replace(connection, departments, nodes)
            if gone is not None:
                _replace(connection, absences, gone, absences.c.by_portal.is_(True))
            _replace(connection, notes, [{"name": _UNTOLD, "value": missing}], notes.c.name == _UNTOLD)
            renew(connection, LINES_AND_STAFF)

        self._database.write(job)

    # --- what the administrator says -------------------------------------------------------------

    def map_extension(self, extension: str, user_id: int | None) -> None:
        """Say whose extension it is; None takes the mapping away."""
        rows = [] if user_id is None else [{"extension": extension, "user_id": user_id}]
        self._set(extensions, extensions.c.extension == extension, rows)

    def map_mobile(self, number: str, user_id: int | None) -> None:
        """Say whose mobile (E.164) it is; None takes the mapping away."""
        rows = [] if user_id is None else [{"number": number[:32], "user_id": user_id}]
        self._set(mobiles, mobiles.c.number == number[:32], rows)

    def set_head(self, user_id: int, head_id: int | None) -> None:
        """Say who somebody's head is; None leaves it to the structure."""
        rows = [] if head_id is None else [{"user_id": user_id, "head_id": head_id}]
        self._set(heads, heads.c.user_id == user_id, rows)

    def set_deputy(self, user_id: int, deputy_id: int, period: Period = ALWAYS) -> None:
        """Say who stands in for somebody in a period, in place of whoever was said for the same one."""
        same = sa.and_(deputies.c.user_id == user_id, _same(deputies.c.since, period.since),
                       _same(deputies.c.until, period.until))  # fmt: skip
        row = {"user_id": user_id, "deputy_id": deputy_id, "since": period.since, "until": period.until}
        self._set(deputies, same, [row])

    def remove_deputies(self, user_id: int) -> None:
        """Nobody stands in for somebody any more."""
        self._set(deputies, deputies.c.user_id == user_id, [])

    def add_absence(self, user_id: int, period: Period) -> None:
        """Say that somebody is away."""
        self._set(absences, sa.false(), [_absence_row(user_id, period, by_portal=False)])

    def remove_absences(self, user_id: int) -> None:
        """What the administrator said of somebody's absences is taken back; the portal's word stays."""
        self._set(absences, sa.and_(absences.c.user_id == user_id, absences.c.by_portal.is_(False)), [])

    def _set(self, table: sa.Table, instead_of: sa.ColumnElement[bool], rows: list[dict[str, Any]]) -> None:
        def job(connection: Connection) -> None:
            _replace(connection, table, rows, instead_of)
            renew(connection, LINES_AND_STAFF)

        self._database.write(job)


def _replace(
    connection: Connection,
    table: sa.Table,
    rows: list[dict[str, Any]],
    instead_of: sa.ColumnElement[bool] | None = None,
) -> None:
    connection.execute(sa.delete(table) if instead_of is None else sa.delete(table).where(instead_of))
    if rows:
        connection.execute(sa.insert(table), rows)


def _same(column: sa.Column[Any], moment: float | None) -> sa.ColumnElement[bool]:
    return column.is_(None) if moment is None else column == moment


# --- rows ------------------------------------------------------------------------------------------


def _user_row(employee: Employee, now: float) -> dict[str, Any]:
    return {
        "user_id": employee.user_id,
        "name": employee.name[:255],
        "active": employee.active,
        "extension": employee.extension[:40],
        "phones": json.dumps(employee.phones, ensure_ascii=False),
        "departments": json.dumps(employee.departments),
        "synced_at": now,
    }


def _department_row(department: Department) -> dict[str, Any]:
    return {
        "id": department.id, "parent": department.parent, "head": department.head, "name": department.name[:255],
    }  # fmt: skip


def _absence_row(user_id: int, period: Period, *, by_portal: bool) -> dict[str, Any]:
    return {"user_id": user_id, "since": period.since, "until": period.until, "by_portal": by_portal}


def _directory(connection: Connection) -> Directory:
    employees = [_employee(row) for row in connection.execute(sa.select(users)).mappings()]
    return Directory.of(
        employees,
        {row.extension: row.user_id for row in connection.execute(sa.select(extensions))},
        synced=bool(employees),
        on_pbx=known_extensions(connection),
        mobiles={row.number: row.user_id for row in connection.execute(sa.select(mobiles))},
        structure=_structure(connection),
    )


def _employee(row: sa.RowMapping) -> Employee:
    phones, in_departments = json.loads(row["phones"]), json.loads(row["departments"] or "[]")
    return Employee(
        row["user_id"], row["name"], bool(row["active"]), row["extension"], tuple(phones), tuple(in_departments)
    )


def _untold(connection: Connection) -> frozenset[str]:
    noted = connection.execute(sa.select(notes.c.value).where(notes.c.name == _UNTOLD)).scalar()
    return frozenset(str(noted or "").split())


def _structure(connection: Connection) -> Structure:
    return Structure(
        tuple(Department(r.id, r.parent, r.head, r.name) for r in connection.execute(sa.select(departments))),
        {r.user_id: r.head_id for r in connection.execute(sa.select(heads))},
        tuple(
            Deputy(r.user_id, r.deputy_id, Period(r.since, r.until))
            for r in connection.execute(sa.select(deputies).order_by(deputies.c.id))
        ),
        tuple(
            Absence(r.user_id, Period(r.since, r.until), bool(r.by_portal))
            for r in connection.execute(sa.select(absences).order_by(absences.c.id))
        ),
        _untold(connection),
    )
