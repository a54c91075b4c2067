"""A database that is locked or gone never holds a caller."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from itgrix_bx.logbook import Logbook
from itgrix_bx.spool import Spool, SpoolError
from sql import Database, DatabaseAwayError, Journal, upgrade


def event(n: int) -> Event:
    return Event(f"1.{n}", Kind.INBOUND, 1.7e9 + n, {"client_number": "+79161234567"})


def logbook(tmp_path: Path) -> Logbook:
    database = Database(f"sqlite:///{tmp_path}/journal.db", busy_timeout_s=0.05)
    upgrade(database)
    return Logbook(Journal(database, due), Spool(tmp_path))


def test_a_locked_database_sends_events_to_the_spool_and_they_come_back_in_order(tmp_path: Path) -> None:
    book = logbook(tmp_path)
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert [book.record([event(n)]) for n in range(3)] == [None, None, None]
    assert book.spool.size() > 0
    blocker.execute("ROLLBACK")
    book.recover()
    assert book.away_since is None
    assert [c.call_id for c in book.journal.find(limit=0)] == ["1.2", "1.1", "1.0"]
    assert book.spool.size() == 0


def test_while_the_database_is_away_nobody_waits_for_it_again(tmp_path: Path) -> None:
    book = logbook(tmp_path)
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    book.record([event(0)])
    queued = book.journal._database._jobs.qsize()
    book.record([event(1)])
    assert book.journal._database._jobs.qsize() <= queued
    blocker.execute("ROLLBACK")


def test_an_event_both_spooled_and_written_late_is_one(tmp_path: Path) -> None:
    book = logbook(tmp_path)
    one = event(0)
    book.spool.append([one])
    book.journal.append([one])
    book.recover()
    assert len(book.journal.events("1.0")) == 1


def test_what_comes_later_of_a_call_does_not_get_into_the_database_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is back in the very moment in which an answer is on its way to the spool."""
    book = logbook(tmp_path)
    book.record([event(1)])
    append, writing, go_on = book.spool.append, threading.Event(), threading.Event()

    def slowly(events: Sequence[Event]) -> None:
        writing.set()
        go_on.wait(5)
        append(events)

    monkeypatch.setattr(book.spool, "append", slowly)
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    hook = threading.Thread(target=book.record, args=([Event("1.1", Kind.ANSWER, 1.7e9 + 2, {"extension": "101"})],))
    hook.start()
    assert writing.wait(5)
    blocker.execute("ROLLBACK")
    book.recover()
    assert book.away_since is None
    monkeypatch.setattr(book.spool, "append", append)
    assert book.record([Event("1.1", Kind.HANGUP, 1.7e9 + 5, {"direction": "in"})]) is None
    assert book.record([event(2)]) is not None  # of another call nothing waits
    assert [e.kind for e in book.journal.events("1.1")] == [Kind.INBOUND]
    go_on.set()
    hook.join(5)
    book.recover()
    assert [e.kind for e in book.journal.events("1.1")] == [Kind.INBOUND, Kind.ANSWER, Kind.HANGUP]
    book.recover()
    assert book.record([event(1)]) is not None


def test_a_call_is_behind_before_the_database_can_be_found_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = logbook(tmp_path)
    book.record([event(1)])
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    lose, meanwhile = book._lose, []

    def back_at_once(error: Exception) -> None:
        lose(error)
        blocker.execute("ROLLBACK")
        book.recover()
        meanwhile.append(book.record([Event("1.1", Kind.HANGUP, 1.7e9 + 5, {"direction": "in"})]))

    monkeypatch.setattr(book, "_lose", back_at_once)
    assert book.record([Event("1.1", Kind.ANSWER, 1.7e9 + 2, {"extension": "101"})], patience_s=0.5) is None
    assert meanwhile == [None]
    book.recover()
    assert [e.kind for e in book.journal.events("1.1")] == [Kind.INBOUND, Kind.ANSWER, Kind.HANGUP]


def test_of_a_call_that_waits_in_the_spool_all_is_stored_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = logbook(tmp_path)
    book.spool.append([event(1), event(2), Event("1.1", Kind.HANGUP, 1.7e9 + 5, {"direction": "in"})])
    seen: list[list[Kind]] = []
    append_soon = book.journal.append_soon
    monkeypatch.setattr(
        book.journal, "append_soon", lambda e, done: (seen.append([x.kind for x in e]), append_soon(e, done))
    )
    book.recover()
    assert seen == [[Kind.INBOUND, Kind.HANGUP], [Kind.INBOUND]]


def test_a_replay_that_broke_off_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itgrix_bx.spool._AT_ONCE", 1)
    spool = Spool(tmp_path)
    spool.append([event(0)])
    spool.append([event(1)])
    taken: list[str] = []

    def store(events: list[Event]) -> None:
        if taken:
            raise DatabaseAwayError("gone again")
        taken.append(events[0].call_id)

    with pytest.raises(DatabaseAwayError):
        spool.replay(store)
    spool.append([event(2)])
    again: list[str] = []
    for left in (2, 1):
        assert spool.replay(lambda events: again.append(events[0].call_id)) == left
    assert again == ["1.0", "1.1", "1.2"]
    assert spool.size() == 0


def test_hooks_that_never_pause_do_not_keep_the_database_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replay takes a while, and a busy PBX has something new to tell in the meantime."""
    book = logbook(tmp_path)
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    book.record([event(0)])
    blocker.execute("ROLLBACK")
    append_soon, numbers = book.journal.append_soon, itertools.count(1)

    def meanwhile(*told: Any) -> None:
        if (number := next(numbers)) < 500:
            book.record([event(number)])
        append_soon(*told)

    monkeypatch.setattr(book.journal, "append_soon", meanwhile)
    book.recover()
    assert book.away_since is None
    assert next(numbers) < 10
    book.recover()
    assert book.caught_up


def test_a_damaged_line_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path)
    spool.append([event(0)])
    with spool.path.open("ab") as file:
        file.write(b'{"half": \n')
    spool.append([event(1)])
    found: list[str] = []
    spool.replay(lambda events: found.extend(event.call_id for event in events))
    assert found == ["1.0", "1.1"]
    assert "damaged" in caplog.text


def test_without_database_and_disk_the_hook_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "not-there")
    with pytest.raises(SpoolError):
        spool.append([event(0)])


def test_a_write_that_hangs_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/journal.db")
    done = []
    with pytest.raises(DatabaseAwayError, match="within"):
        database.write(lambda _: (time.sleep(0.3), done.append(1)), timeout_s=0.01)
    database.close()
    assert done == [1]  # it happened all the same: jobs are safe to repeat


def test_a_server_that_is_gone_is_not_tried_for_each_call_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database("mysql+pymysql://user:password@127.0.0.1:1/itgrix_bx")
    connect, tries = database.engine.connect, []
    monkeypatch.setattr(database.engine, "connect", lambda: (tries.append(1), connect())[1])
    ensure, told = database._ensure_writer, SimpleQueue[Exception | None]()
    monkeypatch.setattr(database, "_ensure_writer", lambda: None)
    for _ in range(5):
        database.submit(lambda _: None, lambda _, error: told.put(error))
    ensure()
    errors = [told.get(timeout=10) for _ in range(5)]
    assert all(isinstance(error, DatabaseAwayError) for error in errors)
    assert len(tries) == 2  # the second for a connection that was only cut
    database.close()
