"""What a hook, the worker and `status` read does not grow with the journal: counted by the database, not by a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from bench.history import History, write
from itgrix_bx.calls.events import Event, Kind
from sql import Database, Journal, Overview, tables

STEPS = ("register", "finish")
NOW = time.time()
SMALL, LARGE = 300, 6000
BACKLOG = 20


class Work:
    """How much the database did: SQLite's instructions, MariaDB's rows read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._steps = 0
        if database.engine.dialect.name == "sqlite":
            sa.event.listen(database.engine, "checkout", lambda connection, *_: self._count(connection))

    def _count(self, connection: Any) -> None:
        def step() -> int:
            self._steps += 1
            return 0

        connection.set_progress_handler(step, 1)

    def of(self, operation: Callable[[], object]) -> int:
        operation()  # what is done once (a connection, a compiled statement) is not counted
        before = self._total()
        operation()
        return self._total() - before

    def _total(self) -> int:
        if self._database.engine.dialect.name == "sqlite":
            return self._steps
        query = sa.text("SHOW GLOBAL STATUS LIKE 'Handler_read%'")
        return self._database.read(lambda c: sum(int(row[1]) for row in c.execute(query)))


def owe(journal: Journal, count: int) -> None:
    for n in range(count):
        own = {"own_channel": True, "client_number": f"+7999{n:07d}"}
        journal.append([Event(f"8.{n}", Kind.INBOUND, NOW - 500 + n, own)])
        journal.append([Event(f"8.{n}", Kind.REGISTERED, NOW - 500 + n, {"portal_call_id": f"externalCall.owed{n}"})])
        journal.append([Event(f"8.{n}", Kind.HANGUP, NOW - 400 + n, own | {"variables": {}})])
        journal.append([Event(f"8.{n}", Kind.FINISH_FAILED, NOW - 399, {"error": "ill", "retry_at": NOW - 300 + n})])


def operations(journal: Journal, overview: Overview) -> dict[str, Callable[[], object]]:
    def claim(now: float, **how: Any) -> Callable[[], object]:
        def take() -> None:
            for call_id in journal.claim("me", STEPS, now=now, lease_s=60, limit=6, **how):
                journal.release(call_id, "me")

        return take

    ring = [Event("8.1", Kind.RING, NOW, {"extensions": ["101"]}, "r" * 32)]
    return {
        "a hook": lambda: journal.append(ring),
        "claim, oldest first": claim(NOW),
        "claim, live first": claim(NOW, live_since=NOW - 120),
        "claim, nothing due": claim(NOW - 1000),
        "release_all": lambda: journal.release_all("nobody".__eq__),
        "forget": lambda: journal.forget(NOW - 10 * 365 * 86400, 25),
        "resolve an id": lambda: journal.resolve("8.1"),
        "resolve a CALL_ID": lambda: journal.resolve("externalCall.owed1"),
        "resolve what is not there": lambda: journal.resolve("nobody"),
        "without an end": lambda: journal.unended(before=NOW, limit=100),
        "newest": lambda: journal.find(limit=20),
        "failed": lambda: journal.find(state="failed"),
        "of one client in a state": lambda: journal.find(number="+79990000001", state="complete"),
        "of one client": lambda: journal.find(number="+79990000001"),
        "of an hour": lambda: journal.find(since=NOW - 3600, until=NOW),
        "backlog": lambda: overview.backlog(NOW),
        "unfinished": lambda: overview.unfinished(),
        "of the last day": lambda: overview.finished_since(NOW - 3600),
        "leases": lambda: overview.leases(NOW),
        "last trouble": lambda: overview.last_trouble(),
        "lags": lambda: overview.lags(20),
        "oldest": lambda: overview.oldest(),
    }


def test_what_is_read_does_not_grow_with_the_journal(database: Database, journal: Journal) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    write(url, History(SMALL, NOW - 400 * 86400, NOW - 300 * 86400))
    owe(journal, BACKLOG)
    work, asked = Work(database), operations(journal, Overview(database))
    small = {name: work.of(operation) for name, operation in asked.items()}
    write(url, History(LARGE, NOW - 299 * 86400, NOW - 2 * 86400))
    large = {name: work.of(operation) for name, operation in asked.items()}
    grown = {name: (small[name], large[name]) for name in asked if large[name] > 1.5 * small[name] + 150}
    assert grown == {}


def test_deleting_some_old_calls_costs_the_same_however_many_are_old(database: Database, journal: Journal) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    work, cost = Work(database), {}
    for calls, since in ((SMALL, 900), (LARGE, 700)):
        write(url, History(calls, NOW - since * 86400, NOW - (since - 100) * 86400))
        cost[calls] = work.of(lambda: journal.forget(NOW - 365 * 86400, 10))
    assert cost[LARGE] < 1.5 * cost[SMALL] + 150


def test_taking_some_calls_costs_the_same_however_long_the_backlog(database: Database, journal: Journal) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    work, cost = Work(database), {}
    for calls, since in ((SMALL, 90), (LARGE, 80)):
        write(url, History(calls, NOW - since * 86400, NOW - (since - 5) * 86400))
        with database.engine.begin() as connection:
            owed = sa.update(tables.calls).where(tables.calls.c.state == "complete")
            connection.execute(owed.values(state="ended", step="finish", due_at=tables.calls.c.ended_at))
        cost[calls] = [
            work.of(lambda since=since: journal.claim("me", STEPS, now=NOW, lease_s=60, limit=6, live_since=since))
            for since in (None, NOW - 120)
        ]
    assert all(large < 1.5 * small + 150 for small, large in zip(*cost.values(), strict=True)), cost


def test_the_overview_tells_what_is_there(database: Database, journal: Journal) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    write(url, History(100, NOW - 40 * 86400, NOW - 30 * 86400))
    owe(journal, 3)
    overview = Overview(database)
    owed = overview.backlog(NOW - 299.5)["finish"]
    assert (owed.now, owed.later, owed.oldest, owed.next_at) == (1, 2, NOW - 400, NOW - 300)
    assert overview.unfinished() == {"ended": 3}
    assert overview.finished_since(NOW - 86400) == {}
    assert overview.finished_since(NOW - 60 * 86400) == {"complete": 75, "skipped": 25}
    trouble = overview.last_trouble()
    assert trouble is not None
    assert (trouble.error, trouble.at) == ("ill", NOW - 399)
    lags = overview.lags(50)
    assert len(lags) == 50
    assert all(0.5 < lag < 0.7 for lag in lags)
    assert overview.oldest() == pytest.approx(NOW - 40 * 86400, abs=1)
    journal.claim("pbx:1:a", STEPS, now=NOW, lease_s=60, limit=2)
    (lease,) = overview.leases(NOW)
    assert (lease.owner, lease.calls, lease.until) == ("pbx:1:a", 2, NOW + 60)
    assert overview.leases(NOW + 61) == []
