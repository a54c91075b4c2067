"""Reading the PBX's own database of calls (FreePBX: asteriskcdrdb, tables cdr and cel). It is only ever read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from itgrix_bx.pbx.records import Group, groups, made_at, stored, zone

_NEEDED = (
    "calldate", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration", "billsec",
    "disposition", "uniqueid", "linkedid",
)  # fmt: skip
_USEFUL = ("clid", "sequence", "did", "recordingfile", "cnum", "cnam")
_CEL = (
    "eventtype", "eventtime", "cid_num", "exten", "context", "channame", "appname", "appdata", "uniqueid", "linkedid",
    "peer", "extra",
)  # fmt: skip
_AT_ONCE = 100  # linkedids in one query
_NEWEST = 50  # rows that tell the zone
_LONGEST_S = 86400.0  # from a call's beginning to its last row's
_CLOCKS_S = 3600.0  # the zone of the newest rows may not have been that of half a year ago


class RecordsAwayError(Exception):
    """The database of calls cannot be read: one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Sight:
    """When the newest call began (unix seconds, None without any), and whether there is CEL."""

    newest: float | None
    cel: bool


class Records:
    """`url` is an SQLAlchemy URL: mysql+pymysql://user:password@host/asteriskcdrdb, or sqlite:///PATH.

    Every method but `close` raises RecordsAwayError.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._tables: tuple[sa.TableClause, sa.TableClause | None] | None = None

    def close(self) -> None:
        self._engine.dispose()

    def look(self) -> Sight:
        """What is there."""
        with self._reading() as connection:
            cdr, cel = self._known(connection)
            newest, _ = _newest(connection, cdr)
            found = groups(newest, [])
            return Sight(max((row.start for group in found for row in group.rows), default=None), cel is not None)

    def linkedids(self, since: float, until: float) -> list[str]:
        """The linkedids with a row that began in the time given (unix seconds) or near it, oldest first."""
        with self._reading() as connection:
            cdr, _ = self._known(connection)
            _, ahead = _newest(connection, cdr)
            began = cdr.c.calldate.between(stored(since - _CLOCKS_S, ahead), stored(until + _CLOCKS_S, ahead))
            query = sa.select(cdr.c.linkedid).where(began, cdr.c.linkedid != "").group_by(cdr.c.linkedid)
            return [str(one) for one in connection.execute(query.order_by(sa.func.min(cdr.c.calldate))).scalars()]

    def groups(self, linkedids: Sequence[str]) -> Iterator[tuple[int, list[Group]]]:
        """(how many of the linkedids are read so far, what is recorded under the last of them), some at a time."""
        for start in range(0, len(linkedids), _AT_ONCE):
            some = linkedids[start : start + _AT_ONCE]
            with self._reading() as connection:
                found = self._some(connection, some)
            yield start + len(some), found

    def _some(self, connection: Connection, linkedids: Sequence[str]) -> list[Group]:
        cdr, cel = self._known(connection)
        near = _near(connection, cdr, linkedids)
        rows = _all(connection, cdr, sa.and_(near, cdr.c.linkedid.in_(linkedids)))
        rows += _elsewhere(connection, cdr, near, rows)
        wanted = {row["linkedid"] for row in rows}
        events = [] if cel is None else _all(connection, cel, cel.c.linkedid.in_(wanted))
        return groups(rows, sorted(events, key=lambda event: (str(event["eventtime"]), event.get("id", 0))))

    def _known(self, connection: Connection) -> tuple[sa.TableClause, sa.TableClause | None]:
        if self._tables is None:
            self._tables = _table(connection, "cdr", _NEEDED, _USEFUL), _cel(connection)
        return self._tables

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            orig = getattr(error, "orig", None)
            said = orig.args[-1] if orig is not None and orig.args else type(error).__name__
            raise RecordsAwayError(
                f"the database of calls cannot be read: {said}; check [cdr] url and that the server runs"
            ) from error


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            # Read only: a mistyped path must not become an empty database.
            return sa.create_engine(f"sqlite:///file:{quote(parsed.database or '')}?mode=ro&uri=true")
        arguments = {"connect_timeout": 3, "read_timeout": 60, "charset": "utf8mb4"}
        return sa.create_engine(
            parsed, isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_recycle=300, connect_args=arguments
        )
    except (SQLAlchemyError, ValueError):  # its text may hold the password
        raise RecordsAwayError(
            "[cdr] url is no valid address; write mysql+pymysql://USER:PASSWORD@HOST/asteriskcdrdb"
        ) from None


def _table(connection: Connection, name: str, needed: Sequence[str], useful: Sequence[str]) -> sa.TableClause:
    """The table with those of the columns it has. Raises RecordsAwayError when one that is needed is not there."""
    columns = _columns(connection, name)
    missing = [column for column in needed if column not in columns]
    if missing:
        raise RecordsAwayError(
            f"the database of calls has no column {name}.{missing[0]}; FreePBX 13 and newer have it: update its module "
            f"{name}, or let cdr_adaptive_odbc write it"
        )
    return sa.table(name, *(sa.column(column) for column in (*needed, *useful) if column in columns))


def _cel(connection: Connection) -> sa.TableClause | None:
    return _table(connection, "cel", _CEL, ("id",)) if set(_CEL) <= _columns(connection, "cel") else None


def _columns(connection: Connection, table: str) -> set[str]:
    inspector = sa.inspect(connection)
    return {str(column["name"]) for column in inspector.get_columns(table)} if inspector.has_table(table) else set()


def _newest(connection: Connection, cdr: sa.TableClause) -> tuple[list[dict[str, Any]], float]:
    """The newest rows, and how far the times in them are ahead of UTC."""
    query = sa.select(cdr).where(cdr.c.linkedid != "").order_by(cdr.c.calldate.desc()).limit(_NEWEST)
    rows = _rows(connection, query)
    return rows, zone([(row["calldate"], str(row["uniqueid"])) for row in rows])


def _near(connection: Connection, cdr: sa.TableClause, linkedids: Sequence[str]) -> sa.ColumnElement[bool]:
    """A bound by the one column that is indexed everywhere: a search must not walk through years of calls."""
    began = [made_at(linkedid) for linkedid in linkedids]
    known = [at for at in began if at is not None]
    if len(known) < len(began) or not known:
        return sa.true()
    _, ahead = _newest(connection, cdr)
    return cdr.c.calldate.between(stored(min(known) - _LONGEST_S, ahead), stored(max(known) + _LONGEST_S, ahead))


def _elsewhere(
    connection: Connection, cdr: sa.TableClause, near: sa.ColumnElement[bool], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the same channels have under other linkedids: they were transferred into an older call."""
    known, channels = {row["linkedid"] for row in rows}, {row["uniqueid"] for row in rows}
    theirs = sa.and_(near, cdr.c.uniqueid.in_(channels), cdr.c.linkedid.not_in(known), cdr.c.linkedid != "")
    others = set(connection.execute(sa.select(cdr.c.linkedid).where(theirs)).scalars())
    return _all(connection, cdr, sa.and_(near, cdr.c.linkedid.in_(others))) if others else []


def _all(connection: Connection, table: sa.TableClause, where: Any) -> list[dict[str, Any]]:
    return _rows(connection, sa.select(table).where(where))


def _rows(connection: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()]
