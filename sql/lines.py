"""The rules of lines, as stored."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from itgrix_bx.calls.lines import Leads, Line, Lines
from sql.database import Database
from sql.notes import LINES_AND_STAFF, renew
from sql.tables import lines


class LineRules:
    """Reads and changes what the administrator says of DIDs and trunks. All raise DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lines(self) -> Lines:
        """All rules."""
        return Lines.of(self._database.read(_everything))

    def set(self, line: Line) -> None:
        """Take `line` as the rules of its DID, whole."""

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(lines).where(lines.c.did == line.did))
            connection.execute(sa.insert(lines).values(**_row(line)))
            renew(connection, LINES_AND_STAFF)

        self._database.write(job)

    def remove(self, did: str) -> None:
        """Take the rules of a DID away."""

        def job(connection: Connection) -> None:
            connection.execute(sa.delete(lines).where(lines.c.did == did))
            renew(connection, LINES_AND_STAFF)

        self._database.write(job)


def _row(line: Line) -> dict[str, Any]:
    return {
        "did": line.did, "line": line.number, "name": line.name[:255], "source": line.source,
        "default_user": line.default_user, "leads": line.leads.value, "caller_name": line.caller_name,
        "latin": line.latin, "longest": line.longest,
    }  # fmt: skip


def _everything(connection: Connection) -> list[Line]:
    return [
        Line(
            row["did"], row["line"], row["name"], row["source"], row["default_user"], _leads(row["leads"]),
            row["caller_name"], bool(row["latin"]), row["longest"],
        )
        for row in connection.execute(sa.select(lines).order_by(lines.c.did)).mappings()
    ]  # fmt: skip


def _leads(stored: str) -> Leads:
    """What a newer version wrote, and we do not know, is the usual policy."""
    return Leads(stored) if stored in Leads._value2member_map_ else Leads.LEAD
