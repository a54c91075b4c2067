"""One way into the database for every thread.

Writes go through one writer thread that takes whatever waits and commits it as one transaction: the disk is
waited for once for many calls (SQLite allows one writer anyway), and a caller's thread never hangs in the
database: it waits for its write as long as it chose to, and no longer.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import operator
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
import tenacity
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from itgrix_bx.words import Phrase

T = TypeVar("T")

Together = Callable[[Connection, list[Any]], Sequence[Any]]
Done = Callable[[Any, Exception | None], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What to do, what with, who hears of it, and whose it is: of one key nothing overtakes what failed before it."""

    together: Together
    item: Any
    done: Done
    key: object
    queued_at: float  # monotonic


_AT_ONCE = 64  # writes in one transaction: more only makes the first of them wait
_DEADLOCK_CODES = {1205, 1213}  # MySQL: lock wait timeout, deadlock
_NO_CONNECTION_CODES = {2002, 2003, 2006, 2013}  # MySQL: no server there, or no longer
_CLOSE = None
_GROUP = re.compile(r"(?:VALUES|IN) \(([^()]*)\)")  # what is repeated for several rows or values
_QUEUE_S = 1.0  # the longest a write waits behind others


_UNREACHED = Phrase("check [database] url and that the server runs")
_CURES = {  # by what the driver says; for a file "that the server runs" is no help
    "database is locked": Phrase("another program holds the database file: end it, or let its backup come to an end"),
    "unable to open database file": Phrase(
        "create its directory and give it to the service's user, or run `itgrix-bx setup`"
    ),
    "readonly database": Phrase("give the file and its directory to the service's user"),
    "disk is full": Phrase("free space on its disk"),
}


class DatabaseAwayError(Exception):
    """The database did not take the write, or not in time. What was to be written must go elsewhere. `cure`: what a
    person may do about it."""

    def __init__(self, said: str, cure: Phrase = _UNREACHED) -> None:
        super().__init__(said)
        self.cure = cure


class Database:
    """`url` is an SQLAlchemy URL: sqlite:///PATH or mysql+pymysql://user:password@host/name."""

    def __init__(self, url: str, *, busy_timeout_s: float = 1.0) -> None:
        self.engine = _engine(url, busy_timeout_s)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._start = threading.Lock()
        self._last_commit = 0.0
        self._failed: dict[object, tuple[float, Exception]] = {}  # key -> when something of it failed, and why
        self._connection: Connection | None = None  # the writer's own
        self._memory: dict[str, Any] = {}
        self._version: int | None = None

    def write(self, job: Callable[[Connection], T], *, timeout_s: float = 10.0) -> T:
        """Run `job` in a transaction of the writer; its result once committed.

        Raises DatabaseAwayError when it fails, or when the database has shown no life for `timeout_s`: a writer that
        commits one transaction after the other is busy, not away, and is waited for up to _QUEUE_S. The write may
        still happen afterwards, so jobs must be safe to repeat.
        """
        return self.write_together(_each_alone, job, job, timeout_s=timeout_s)  # type: ignore[no-any-return]

    def write_together(self, together: Together, item: Any, key: object, *, timeout_s: float = 10.0) -> Any:
        """Like write, for what many threads do at the same time: `together` gets the items of all that wait, as they
        came, and gives their results in that order. When it fails, the items of each `key` are tried again alone; what
        waits behind one of its key that failed then, fails too."""
        # The cheapest way to hand a value from thread to thread.
        box: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        self.submit_together(together, item, key, lambda result, error: box.put((result, error)))
        result, error = self._await(box, timeout_s)
        if error is not None:
            raise error
        return result

    def submit(self, job: Callable[[Connection], T], done: Callable[[T | None, Exception | None], None]) -> None:
        """Queue `job` for the writer, which calls `done` after the commit, with the result or why there is none."""
        self.submit_together(_each_alone, job, job, done)

    def submit_together(self, together: Together, item: Any, key: object, done: Done) -> None:
        """Likewise for what many threads do at the same time; see write_together."""
        self._ensure_writer()
        self._jobs.put(_Job(together, item, done, key, time.monotonic()))

    def _await(self, box: queue.SimpleQueue[T], timeout_s: float) -> T:
        asked = time.monotonic()
        wait = timeout_s
        while True:
            try:
                return box.get(timeout=max(0.0, wait))
            except queue.Empty:
                now = time.monotonic()
                wait = max(asked, self._last_commit) + timeout_s - now
                if wait <= 0 or now - asked > max(timeout_s, _QUEUE_S):
                    raise DatabaseAwayError(f"the database did not answer within {timeout_s:g} s") from None

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` on a connection of its own. Raises DatabaseAwayError."""
        try:
            with self.engine.connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            raise away(error) from error

    def memory(self, connection: Connection) -> dict[str, Any]:
        """What writes have noted here and is still true: nobody else has written since, and none of them failed.

        For the writer's transactions. Only SQLite tells whether anybody else has written; elsewhere it is always empty.
        """
        if self.engine.dialect.name != "sqlite":
            return {}
        version = connection.connection.cursor().execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._memory, self._version = {}, version
        return self._memory

    def close(self) -> None:
        """Commit what waits, then let go of the database."""
        if self._writer is not None:
            self._jobs.put(_CLOSE)
            self._writer.join(10)
        self.engine.dispose()

    # --- the writer ------------------------------------------------------------------------------

    def _ensure_writer(self) -> None:
        if self._writer is None:
            with self._start:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._write_for_ever, name="journal-writer", daemon=True)
                    self._writer.start()

    def _write_for_ever(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._take_waiting()
            if batch := self._none_overtaking(batch):
                self._commit(batch)
        self._let_go()

    def _take_waiting(self) -> tuple[list[_Job], bool]:
        batch = []
        job = self._jobs.get()
        while job is not _CLOSE:
            batch.append(job)
            if len(batch) == _AT_ONCE:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _none_overtaking(self, batch: list[_Job]) -> list[_Job]:
        """The batch without what was queued before something of its key had failed: that fails too."""
        if not batch or not self._failed:
            return batch
        left = []
        for job in batch:
            failed_at, error = self._failed.get(job.key, (0.0, None))
            if error is None or job.queued_at > failed_at:
                left.append(job)
            else:
                job.done(None, error)
        if batch[-1].queued_at > max(failed_at for failed_at, _ in self._failed.values()):
            self._failed.clear()
        return left

    def _commit(self, batch: list[_Job]) -> None:
        try:
            results = self._transact(batch)
            self._last_commit = time.monotonic()
        except Exception as error:
            # One bad job must not take the others down: what belongs together again, alone.
            parts = _parted(batch)
            if len(parts) == 1 or _is_gone(error):
                for job in batch:
                    job.done(None, away(error))
                    self._failed[job.key] = time.monotonic(), away(error)
                return
            for part in parts:
                self._commit(part)
            return
        for job, result in zip(batch, results, strict=True):
            job.done(result, None)

    def _transact(self, jobs: list[_Job]) -> list[Any]:
        try:
            return self._once(jobs)
        except DBAPIError as error:
            if _is_gone(error):  # perhaps only this connection, cut while nobody used it
                return self._once(jobs)
            if not _is_race(error):
                raise
            return _again(self._once, jobs)

    def _once(self, jobs: list[_Job]) -> list[Any]:
        # The writer keeps its connection: checking one out of the pool costs as much as a statement.
        if self._connection is None:
            self._connection = self.engine.connect()
        try:
            with self._connection.begin():
                results: list[Any] = []
                for together, group in itertools.groupby(jobs, key=operator.attrgetter("together")):
                    results += together(self._connection, [job.item for job in group])
                return results
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self._version = None
        if connection is not None:
            connection.close()


def _parted(jobs: list[_Job]) -> list[list[_Job]]:
    parts: dict[object, list[_Job]] = {}
    for job in jobs:
        parts.setdefault(job.key, []).append(job)
    return list(parts.values())


def _each_alone(connection: Connection, jobs: list[Callable[[Connection], T]]) -> list[T]:
    return [job(connection) for job in jobs]


class Prepared:
    """A statement compiled once: what runs several times for every call need not be compiled for each.

    `names` are the parameters of an INSERT; other statements name theirs with bindparam.
    """

    def __init__(self, database: Database, statement: Any, names: Sequence[str] | None = None) -> None:
        self._dialect = database.engine.dialect
        self._driver: Any = self._dialect.dbapi
        compiled = statement.compile(dialect=_positional(self._dialect), column_keys=names)
        self._sql = str(compiled)
        self._order: Sequence[str] = compiled.positiontup
        self._group = _GROUP.search(self._sql)

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> Any:
        """Execute with one or several rows of parameters; the driver's cursor."""
        values = [tuple(row[name] for name in self._order) for row in rows]
        return self._execute(connection, self._sql, values)

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """An INSERT of all rows in one statement: every statement gives other threads the processor, and the whole
        journal waits until this one has it back."""
        values = tuple(row[name] for row in rows for name in self._order)
        self._execute(connection, self._repeated("({0})", len(rows)), [values])

    def among(self, connection: Connection, values: Sequence[Any]) -> Any:
        """A statement with one `IN (?)`, for all values; the driver's cursor."""
        return self._execute(connection, self._repeated("{0}", len(values), around="({0})"), [tuple(values)])

    def _repeated(self, each: str, count: int, around: str = "{0}") -> str:
        assert self._group is not None
        group = ", ".join([each.format(self._group[1])] * count)
        return self._sql[: self._group.start(1) - 1] + around.format(group) + self._sql[self._group.end(1) + 1 :]

    def _execute(self, connection: Connection, sql: str, values: Sequence[tuple[Any, ...]]) -> Any:
        cursor = connection.connection.cursor()
        try:
            if len(values) == 1:
                cursor.execute(sql, values[0])
            else:
                cursor.executemany(sql, values)
        except self._driver.Error as error:
            # What SQLAlchemy would have raised had it executed the statement.
            raise DBAPIError.instance(sql, None, error, self._driver.Error, dialect=self._dialect) from error
        return cursor


def _positional(dialect: Dialect) -> Dialect:
    """The dialect, with parameters that go by their place."""
    if dialect.positional:
        return dialect
    positional = copy.copy(dialect)
    positional.paramstyle, positional.positional = "format", True
    return positional


def _engine(url: str, busy_timeout_s: float) -> Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_recycle=300,
            pool_timeout=2,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": 3, "read_timeout": 20, "write_timeout": 20, "charset": "utf8mb4"},
        )
    engine = sa.create_engine(parsed, connect_args={"timeout": busy_timeout_s})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # our BEGIN, not the driver's: it would not take the write lock
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")
        # NORMAL wins benches and loses calls: a power cut may drop committed transactions.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer fails at once when another wrote meanwhile: writers say so at the start.
    writer = threading.current_thread().name == "journal-writer" or connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


def _is_race(error: BaseException) -> bool:
    """A deadlock, or another machine inserted the same call between our look and our insert."""
    if isinstance(error, IntegrityError):
        return True
    args = error.orig.args if isinstance(error, DBAPIError) and error.orig is not None else ()
    return bool(args) and args[0] in _DEADLOCK_CODES


def _is_gone(error: Exception) -> bool:
    """There is no connection, so nothing fails by its own fault, and trying each alone would take a timeout each."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    return error.connection_invalidated or (bool(error.orig.args) and error.orig.args[0] in _NO_CONNECTION_CODES)


_again = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_is_race),
    stop=tenacity.stop_after_attempt(5),
    wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.2),
    reraise=True,
)


def away(error: Exception) -> Exception:
    """For an error of the database its own words, without SQL, parameters or the password in the URL."""
    if not isinstance(error, SQLAlchemyError):
        return error
    orig = getattr(error, "orig", None)
    said = str(orig.args[-1] if orig is not None and orig.args else type(error).__name__)
    cure = next((cure for words, cure in _CURES.items() if words in said), _UNREACHED)
    return DatabaseAwayError(f"the database refused: {said}", cure)


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    """A Database for the length of a command."""
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
