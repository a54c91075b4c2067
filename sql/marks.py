"""Moments that outlive a process, and turns that one machine at a time has."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sql.database import Database
from sql.tables import marks


class Marks:
    """Times are unix seconds. Every method raises DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def at(self, name: str) -> float | None:
        """When the mark stands, or None."""
        query = sa.select(marks.c.at).where(marks.c.name == name)
        return self._database.read(lambda c: c.execute(query).scalar())

    def newest(self, prefix: str) -> float | None:
        """The latest of the marks whose name begins so, or None."""
        query = sa.select(sa.func.max(marks.c.at)).where(marks.c.name.startswith(prefix, autoescape=True))
        return self._database.read(lambda c: c.execute(query).scalar())

    def set(self, name: str, at: float) -> None:
        """Move the mark."""

        def job(connection: Connection) -> None:
            if not connection.execute(sa.update(marks).where(marks.c.name == name).values(at=at)).rowcount:
                connection.execute(sa.insert(marks).values(name=name, at=at, owner=""))

        self._database.write(job)

    def take(self, name: str, owner: str, *, now: float, for_s: float) -> bool:
        """Have the turn `name` for so long from now on; False while another owner has it."""
        # A turn that ends further away than any is taken for was taken by a clock that has been put right since.
        free = sa.or_(marks.c.owner == owner, marks.c.at < now, marks.c.at > now + 2 * for_s)

        def job(connection: Connection) -> bool:
            values = {"owner": owner, "at": now + for_s}
            if connection.execute(sa.update(marks).where(marks.c.name == name, free).values(**values)).rowcount:
                return True
            known = connection.execute(sa.select(marks.c.name).where(marks.c.name == name)).first()
            if known is None:
                connection.execute(sa.insert(marks).values(name=name, **values))
            return known is None

        return self._database.write(job)

    def give_back(self, name: str, owner: str) -> None:
        """End the turn."""
        mine = sa.and_(marks.c.name == name, marks.c.owner == owner)
        self._database.write(lambda c: c.execute(sa.delete(marks).where(mine)))
