"""The employees, their extensions and the lines, as stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from itgrix_bx.calls.directory import Directory, Employee
from sql.database import Database
from sql.numbers import known_extensions
from sql.tables import extensions, lines, users


class Staff:
    """Reads and replaces the snapshot of the portal's users and the administrator's own map."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def directory(self) -> Directory:
        """The snapshot as the call logic uses it. Raises DatabaseAwayError."""
        (employees, mapped, _), on_pbx = self._database.read(lambda c: (_everything(c), known_extensions(c)))
        return Directory.of(employees, mapped, synced=bool(employees), on_pbx=on_pbx)

    def lines(self) -> dict[str, str]:
        """DID -> line."""
        query = sa.select(lines.c.did, lines.c.line)
        return self._database.read(lambda c: {row.did: row.line for row in c.execute(query)})

    def set_line(self, did: str, line: str | None) -> None:
        """Map a DID to a line; None takes the mapping away."""

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(lines).where(lines.c.did == did))
            if line:
                connection.execute(sa.insert(lines).values(did=did, line=line, name=""))

        self._database.write(job)

    def replace_users(self, employees: Iterable[Employee]) -> None:
        """Take a complete list of the portal's users as the new snapshot, in one transaction."""
        now = time.time()
        rows = [
            {
                "user_id": e.user_id,
                "name": e.name[:255],
                "active": e.active,
                "extension": e.extension[:40],
                "phones": json.dumps(e.phones, ensure_ascii=False),
                "synced_at": now,
            }
            for e in employees
        ]
        if not rows:
            raise ValueError("an empty list of users is no answer: the snapshot stays as it was")

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(users))
            connection.execute(sa.insert(users), rows)

        self._database.write(job)

    def map_extension(self, extension: str, user_id: int | None) -> None:
        """Say whose extension it is; None takes the mapping away."""

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(extensions).where(extensions.c.extension == extension))
            if user_id is not None:
                connection.execute(sa.insert(extensions).values(extension=extension, user_id=user_id))

        self._database.write(job)

    def synced_at(self) -> float | None:
        """When the portal's users were last read, or None."""
        return self._database.read(_everything)[2]


def _everything(connection: Connection) -> tuple[list[Employee], dict[str, int], float | None]:
    employees, synced_at = [], None
    for row in connection.execute(sa.select(users)).mappings():
        phones = tuple(json.loads(row["phones"]))
        employees.append(Employee(row["user_id"], row["name"], bool(row["active"]), row["extension"], phones))
        synced_at = row["synced_at"]
    mapped = {row.extension: row.user_id for row in connection.execute(sa.select(extensions))}
    return employees, mapped, synced_at
