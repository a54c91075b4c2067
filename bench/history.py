"""The past of a journal: calls and events as the program writes them, made as fast as the database takes them.

Four stories (answered, missed, outbound, internal) are told once, by the program's own events, and copied with other
ids, numbers and times: about seven events a call.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from itgrix_bx.calls.call import fold
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from itgrix_bx.delivery.schedule import due
from sql import tables

EVENTS_A_CALL = 7.1  # by the stories' shares
_CALL_ID, _NUMBER, _PORTAL_ID = "@call@", "@number@", "@portal@"
_NUMBERS = 50_000  # different clients
_AT_ONCE = 5_000  # calls written in one go
_DAY_S = 86_400.0
_EVENT_COLUMNS = ("event_id", "call_id", "kind", "at", "data")
_CALL_COLUMNS = tuple(column.name for column in tables.calls.columns if column.name != "id")


@dataclass(frozen=True)
class Story:
    """A call told once; `share` of a hundred calls are like it."""

    share: int
    call: dict[str, Any]
    events: list[tuple[str, float, str]]  # kind, seconds after the start, data as JSON


def story(share: int, *steps: tuple[float, Kind, dict[str, Any]]) -> Story:
    """A Story of (seconds, kind, data)."""
    told = [
        Event(_CALL_ID, kind, at + 1.0, data | ({"clock": ["a1b2c3d4", at]} if kind in HOOK_KINDS else {}))
        for at, kind, data in steps
    ]
    call = fold(told)
    assert due(call) is None, "only what is delivered is history"
    row = {
        "call_id": _CALL_ID, "linkedid": call.linkedid, "state": call.state, "direction": call.direction,
        "client_number": call.client_number, "portal_call_id": call.portal_call_id or None,
        "started_at": call.started_at - 1.0, "ended_at": (call.over_since or 0) - 1.0,
    }  # fmt: skip
    text = [(e.kind.value, e.at - 1.0, json.dumps(e.data, ensure_ascii=False, separators=(",", ":"))) for e in told]
    return Story(share, {name: row.get(name) for name in _CALL_COLUMNS}, text)


def stories() -> list[Story]:
    """What calls are like."""
    own = {"own_channel": True, "channel": "PJSIP/trunk-0000001a", "caller": _NUMBER, "linkedid": _CALL_ID}
    client = own | {"client_name": "Иван Клиентов", "did": "74950000001", "client_number": _NUMBER, "line": "office"}
    params = {
        "USER_ID": 1, "PHONE_NUMBER": _NUMBER, "TYPE": 2, "CALL_START_DATE": "2026-01-31T12:00:00+03:00",
        "CRM_CREATE": 1, "SHOW": 0, "ADD_TO_CHAT": 0, "EXTERNAL_CALL_ID": _CALL_ID,
    }  # fmt: skip
    responsible = {"user_id": 11, "extension": "101", "workday": "OPENED"}
    entity = {"type": "CONTACT", "id": 7, "name": "Иван Клиентов", "responsible": responsible}
    registered = {"portal_call_id": _PORTAL_ID, "entity_type": "CONTACT", "entity_id": 7, "created": []}
    finish = {"CALL_ID": _PORTAL_ID, "USER_ID": 11, "DURATION": 93, "STATUS_CODE": "200", "ADD_TO_CHAT": 0}
    finished = {"activity_id": 4711, "entity_type": "CONTACT", "entity_id": 7}
    ended = client | {"direction": "in", "recording": "2026/01/31/in-@call@.wav"}
    variables = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "93", "CONNECTEDLINE(num)": "101", "HANGUPCAUSE": "16"}
    recording = {"state": "uploaded", "detail": "", "file_id": 99, "bytes": 1_488_044, "sha256": "0" * 64}
    before: list[tuple[float, Kind, dict[str, Any]]] = [
        (0.0, Kind.INBOUND, client), (0.0, Kind.REGISTERING, {"params": params}),
        (0.4, Kind.CLIENT, {"entities": [entity]}), (0.4, Kind.REGISTERED, registered),
        (0.6, Kind.RING, own | {"extensions": ["101", "102"]}),
    ]  # fmt: skip
    return [
        story(
            30, *before, (6.0, Kind.ANSWER, own | {"extension": "101"}),
            (99.0, Kind.HANGUP, ended | {"variables": variables}), (99.1, Kind.FINISHING, {"params": finish}),
            (99.6, Kind.FINISHED, finished), (101.0, Kind.RECORDING, recording),
        ),
        story(
            20, *before, (30.0, Kind.HANGUP, ended | {"variables": {"DIALSTATUS": "NOANSWER"}, "recording": ""}),
            (30.1, Kind.FINISHING, {"params": finish}), (30.6, Kind.FINISHED, finished),
        ),
        story(
            25, (0.0, Kind.OUTBOUND, client | {"extension": "102", "number": _NUMBER}),
            (0.0, Kind.REGISTERING, {"params": params}), (0.4, Kind.REGISTERED, registered),
            (60.0, Kind.HANGUP, ended | {"direction": "out", "variables": variables}),
            (60.1, Kind.FINISHING, {"params": finish}), (60.6, Kind.FINISHED, finished),
            (62.0, Kind.RECORDING, recording),
        ),
        story(
            25, (0.0, Kind.OUTBOUND, client | {"extension": "102", "number": _NUMBER, "client_number": _NUMBER}),
            (0.0, Kind.SKIPPED, {"reason": "an internal call", "internal": True}),
            (40.0, Kind.HANGUP, own | {"direction": "out", "variables": {"DIALSTATUS": "ANSWER"}}),
        ),
    ]  # fmt: skip


class History:
    """Rows of `calls` calls, evenly over the time from `since` to `until` (unix seconds)."""

    def __init__(self, calls: int, since: float, until: float) -> None:
        self._calls, self._since = calls, since
        self._apart_s = (until - since) / max(1, calls)
        self._order = [one for one in stories() for _ in range(one.share)]
        self._prefix = uuid.uuid4().hex[:20]
        self._count = itertools.count()

    def chunks(self) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
        """(rows of calls, rows of events), some thousand calls at a time."""
        for start in range(0, self._calls, _AT_ONCE):
            calls: list[tuple[Any, ...]] = []
            events: list[tuple[Any, ...]] = []
            for number in range(start, min(start + _AT_ONCE, self._calls)):
                self._tell(number, calls, events)
            yield calls, events

    def _tell(self, number: int, calls: list[tuple[Any, ...]], events: list[tuple[Any, ...]]) -> None:
        like = self._order[number * 37 % 100]  # 37: the stories take turns
        at = round(self._since + number * self._apart_s, 3)
        names = {
            _CALL_ID: f"{int(at)}.{number}",
            _NUMBER: f"+7916{number * 7919 % _NUMBERS:07d}",
            _PORTAL_ID: f"externalCall.{number:032x}.{int(at)}",
        }
        calls.append(tuple(_filled(value, names, at) for value in like.call.values()))
        for kind, offset, data in like.events:
            for name, value in names.items():
                data = data.replace(name, value)
            events.append((f"{self._prefix}{next(self._count):012x}", names[_CALL_ID], kind, at + offset, data))


def _filled(value: Any, names: dict[str, str], at: float) -> Any:
    return names.get(value, value) if not isinstance(value, float) else at + value


def write(url: str, history: History) -> None:
    """Put `history` into the database at `url`, whose tables are there."""
    parsed = sa.make_url(url)
    into = _into_sqlite if parsed.get_backend_name() == "sqlite" else _into_mariadb
    into(parsed, history)


def _into_sqlite(url: sa.URL, history: History) -> None:
    with contextlib.closing(sqlite3.connect(str(url.database), isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        for calls, events in history.chunks():
            connection.execute("BEGIN")
            connection.executemany(_insert("calls", _CALL_COLUMNS), calls)
            connection.executemany(_insert("events", _EVENT_COLUMNS), events)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous=FULL")  # else the first hook waits until all of it is on the disk
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _into_mariadb(url: sa.URL, history: History) -> None:
    connection = pymysql.connect(
        host=url.host or "127.0.0.1", port=url.port or 3306, user=url.username, password=url.password or "",
        database=url.database, charset="utf8mb4", local_infile=True, autocommit=True,
    )  # fmt: skip
    with contextlib.closing(connection), connection.cursor() as cursor, tempfile.TemporaryDirectory() as directory:
        cursor.execute("SET unique_checks=0, foreign_key_checks=0")
        for calls, events in history.chunks():
            _load(cursor, Path(directory), "calls", _CALL_COLUMNS, calls)
            _load(cursor, Path(directory), "events", _EVENT_COLUMNS, events)
        cursor.execute("ANALYZE TABLE calls, events")


def _load(cursor: Any, directory: Path, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    # Our own rows: nothing in them needs escaping but the absent value.
    lines = ("\t".join("\\N" if value is None else str(value) for value in row) for row in rows)
    path = directory / "rows"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} CHARACTER SET utf8mb4 ({', '.join(columns)})")
    os.unlink(path)
