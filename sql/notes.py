"""Notes: short texts by name that every process of every machine reads and changes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sql.database import Database
from sql.tables import notes

# The versions of what running programs keep copies of: another text after every change.
ROUTING, LINES_AND_STAFF = "routing version", "lines and staff version"


class Notes:
    """Both methods raise DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> str | None:
        """The note, or None."""
        return self._database.read(lambda c: c.execute(_of(name)).scalar())

    def change(self, name: str, make: Callable[[str | None], str]) -> str:
        """Put what `make` makes of the note (None: there is none) in its place, nobody else between; the new note."""

        def job(connection: Connection) -> str:
            old = connection.execute(_of(name).with_for_update()).scalar()
            new = make(old)
            if old is None:  # another machine that was quicker makes this fail, and the job runs again
                connection.execute(sa.insert(notes).values(name=name, value=new))
            elif new != old:
                connection.execute(sa.update(notes).where(notes.c.name == name).values(value=new))
            return new

        return self._database.write(job)


def renew(connection: Connection, name: str) -> None:
    """Give what was just changed another version."""
    version = uuid.uuid4().hex
    if not connection.execute(sa.update(notes).where(notes.c.name == name).values(value=version)).rowcount:
        connection.execute(sa.insert(notes).values(name=name, value=version))


def _of(name: str) -> sa.Select[Any]:
    return sa.select(notes.c.value).where(notes.c.name == name)
