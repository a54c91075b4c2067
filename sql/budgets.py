"""A portal's request budget that several processes or machines behind one address share."""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sql.database import Database
from sql.tables import budgets


class Budgets:
    """Leaky buckets by name. Every method raises DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._server_clock = database.engine.dialect.name != "sqlite"

    def claim(self, name: str, *, rate: float, room: float, timeout_s: float) -> tuple[float, float]:
        """Take a place in the bucket if there is one: (its level then, seconds until there is one; 0.0: taken)."""

        def job(connection: Connection) -> tuple[float, float]:
            now = self._now(connection)
            level = self._level(connection, name, rate, now)
            if level + 1.0 > room:
                return level, (level + 1.0 - room) / rate
            self._set(connection, name, level + 1.0, now)
            return level + 1.0, 0.0

        return self._database.write(job, timeout_s=timeout_s)

    def fill(self, name: str, level: float, *, timeout_s: float) -> None:
        """The portal said that the bucket is full."""
        self._database.write(lambda c: self._set(c, name, level, self._now(c)), timeout_s=timeout_s)

    def _level(self, connection: Connection, name: str, rate: float, now: float) -> float:
        query = sa.select(budgets.c.level, budgets.c.at).where(budgets.c.name == name).with_for_update()
        row = connection.execute(query).first()
        if row is None:
            connection.execute(sa.insert(budgets).values(name=name, level=0.0, at=now))
            return 0.0
        drained = max(0.0, now - float(row.at)) * rate
        return max(0.0, float(row.level) - drained)

    def _set(self, connection: Connection, name: str, level: float, now: float) -> None:
        connection.execute(sa.update(budgets).where(budgets.c.name == name).values(level=level, at=now))

    def _now(self, connection: Connection) -> float:
        """One clock for all machines: the database server's."""
        if not self._server_clock:
            return time.time()
        return float(connection.execute(sa.text("SELECT UNIX_TIMESTAMP(NOW(6))")).scalar_one())
