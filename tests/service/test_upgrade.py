"""An older version's database, left in the middle of calls: it is migrated at the start, and its calls arrive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from bx24client import Bitrix24, telephony
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.portal import iso
from itgrix_bx.emulator.portal import PortalEmulator
from sql import Database, check, schema
from tests.service.conftest import CLIENT, DID, Office, eventually

NOW = time.time()
COLUMNS = {
    "0001": ["call_id", "linkedid", "state", "direction", "client_number", "started_at", "portal_call_id", "due_at"],
    "0002": ["call_id", "linkedid", "state", "direction", "client_number", "started_at", "portal_call_id", "due_at",
             "ended_at", "step", "last_error"],
}  # fmt: skip
STATES = {"open": None, "unregistered": "register", "ended": "finish", "finished": "attach", "done": None}


class Older:
    """A database as version `revision` made it, with a call in every stage, which the portal knows as far as told."""

    def __init__(self, url: str, revision: str, portal: PortalEmulator) -> None:
        self.revision = revision
        self.database = Database(url)
        self.client = Bitrix24(portal.webhook_url)
        with self.database.engine.begin() as connection:
            config = schema._config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def leave(self) -> None:
        for name, step in STATES.items():
            self._leave(f"17.{name}", name, step)
        self.client.close()
        self.database.close()

    def _leave(self, call_id: str, name: str, step: str | None) -> None:
        params = {
            "USER_ID": 1, "PHONE_NUMBER": CLIENT, "TYPE": 2, "CRM_CREATE": 1, "SHOW": 0, "ADD_TO_CHAT": 0,
            "CALL_START_DATE": iso(NOW - 60), "EXTERNAL_CALL_ID": call_id,
        }  # fmt: skip
        own = {"own_channel": True, "client_number": CLIENT, "did": DID, "linkedid": call_id}
        ended = own | {"direction": "in", "recording": f"{name}.wav", "variables": {"DIALSTATUS": "ANSWER"}}
        events = [Event(call_id, Kind.INBOUND, NOW - 60, own)]
        portal_call_id = None
        if name != "unregistered":
            portal_call_id = self.client.execute(telephony.register(params)).call_id
            events.append(Event(call_id, Kind.REGISTERING, NOW - 60, {"params": params}))
            events.append(Event(call_id, Kind.REGISTERED, NOW - 59, {"portal_call_id": portal_call_id}))
        events.append(Event(call_id, Kind.ANSWER, NOW - 50, {"extension": "101"}))
        if name != "open":
            events.append(Event(call_id, Kind.HANGUP, NOW - 30, ended))
        if name in ("finished", "done"):
            finish = {"CALL_ID": portal_call_id, "USER_ID": 11, "DURATION": 20, "STATUS_CODE": "200", "ADD_TO_CHAT": 0}
            activity = self.client.execute(telephony.finish(finish)).activity_id
            events.append(Event(call_id, Kind.FINISHING, NOW - 29, {"params": finish}))
            events.append(Event(call_id, Kind.FINISHED, NOW - 28, {"activity_id": activity}))
        if name == "done":
            events.append(Event(call_id, Kind.RECORDING, NOW - 27, {"state": "missing", "detail": "never came"}))
        state = {"unregistered": "ended", "open": "registered", "done": "complete"}.get(name, name)
        row = {
            "call_id": call_id, "linkedid": call_id, "state": state, "direction": "in", "client_number": CLIENT,
            "started_at": NOW - 60, "portal_call_id": portal_call_id, "due_at": step and NOW - 30, "step": step,
            "ended_at": None if name == "open" else NOW - 30, "last_error": None,
        }  # fmt: skip
        self._insert("calls", {column: row[column] for column in COLUMNS[self.revision]})
        for event in events:
            self._insert("events", {"event_id": event.event_id, "call_id": call_id, "kind": event.kind.value,
                                    "at": event.at, "data": json.dumps(event.data)})  # fmt: skip

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        names = ", ".join(row)
        text = f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + name for name in row)})"
        with self.database.engine.begin() as connection:
            connection.execute(sa.text(text), row)


@pytest.mark.parametrize("revision", list(COLUMNS))
def test_calls_an_older_version_left_in_every_stage_arrive_once(
    make_office: Callable[..., Office], portal: PortalEmulator, database_url: str, revision: str
) -> None:
    Older(database_url, revision, portal).leave()
    office = make_office(database={"url": database_url})
    for name in STATES:
        office.record(f"{name}.wav")
    office.hook("hangup", "17.open", "in", DIALSTATUS="ANSWER", CONNECTED="101", MIXMONITOR_FILENAME="open.wav")
    for name in STATES:
        eventually(lambda name=name: office.call(f"17.{name}").state == "complete", 40)
    rows = {row["EXTERNAL_CALL_ID"]: row for row in office.statistics()}
    assert sorted(rows) == sorted(f"17.{name}" for name in STATES)
    assert len(office.statistics()) == len(office.known()["activities"]) == len(STATES)
    assert {rows[f"17.{name}"]["CALL_DURATION"] for name in STATES if name != "open"} == {"20"}
    assert len(office.known()["files"]) == len(STATES) - 1  # the one that was given up stays so
    assert check(office.service.database) is None


def test_two_processes_that_find_an_old_database_at_once_migrate_it_once(database_url: str) -> None:
    old = Database(database_url)
    with old.engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    program = f"import sql; print(sql.upgrade(sql.Database({database_url!r}))[1])"
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]  # fmt: skip
    told = [process.communicate(timeout=60) for process in both]
    assert [error for _, error in told] == ["", ""]
    assert check(old) is None
    old.close()


@pytest.mark.parametrize("done", range(1, 10))
def test_a_migration_that_died_half_way_is_completed(database_url: str, done: int) -> None:
    """MySQL keeps what a killed process had done of a migration, statement by statement."""
    database = Database(database_url)
    with database.engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in STATEMENTS[:done]:
            connection.exec_driver_sql(statement[database.engine.dialect.name == "sqlite"])
    schema.upgrade(database)
    assert check(database) is None
    found = {index["name"]: index["unique"] for index in sa.inspect(database.engine).get_indexes("calls")}
    assert "calls_due" not in found
    assert found["calls_portal"] == 1
    assert found["calls_step"] == 0
    database.close()


# What the migrations from 0002 on do, one after the other: (MySQL, SQLite).
STATEMENTS = [
    ("ALTER TABLE calls ADD COLUMN ended_at DOUBLE",) * 2,
    ("ALTER TABLE calls ADD COLUMN step VARCHAR(10)",) * 2,
    ("ALTER TABLE calls ADD COLUMN last_error VARCHAR(255)",) * 2,
    ("DROP INDEX calls_portal ON calls", "DROP INDEX calls_portal"),
    ("CREATE UNIQUE INDEX calls_portal ON calls (portal_call_id)",) * 2,
    ("CREATE TABLE marks (name VARCHAR(80) PRIMARY KEY, at DOUBLE NOT NULL, owner VARCHAR(64) NOT NULL)",) * 2,
    ("CREATE TABLE budgets (name VARCHAR(80) PRIMARY KEY, level DOUBLE NOT NULL, at DOUBLE NOT NULL)",) * 2,
    ("ALTER TABLE calls ADD COLUMN error_at DOUBLE",) * 2,
    ("CREATE INDEX calls_step ON calls (step, ended_at, due_at, lease_until)",) * 2,
]
