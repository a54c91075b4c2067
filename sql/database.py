"""One way into the database for every thread.

Writes go through one writer thread that takes whatever waits and commits it as one transaction: the disk is
waited for once for many calls (SQLite allows one writer anyway), and a caller's thread never hangs in the
database: it waits for its write as long as it chose to, and no longer.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
import tenacity
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

T = TypeVar("T")

_Job = tuple[Callable[[Connection], Any], Callable[[Any, Exception | None], None]]

_AT_ONCE = 64  # writes in one transaction: more only makes the first of them wait
_DEADLOCK_CODES = {1205, 1213}  # MySQL: lock wait timeout, deadlock
_CLOSE = None
_QUEUE_S = 1.0  # the longest a write waits behind others


class DatabaseAwayError(Exception):
    """The database did not take the write, or not in time. What was to be written must go elsewhere."""


class Database:
    """`url` is an SQLAlchemy URL: sqlite:///PATH or mysql+pymysql://user:password@host/name."""

    def __init__(self, url: str, *, busy_timeout_s: float = 1.0) -> None:
        self.engine = _engine(url, busy_timeout_s)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._start = threading.Lock()
        self._last_commit = 0.0
        self._connection: Connection | None = None  # the writer's own

    def write(self, job: Callable[[Connection], T], *, timeout_s: float = 10.0) -> T:
        """Run `job` in a transaction of the writer; its result once committed.

        Raises DatabaseAwayError when it fails, or when the database has shown no life for `timeout_s`: a writer that
        commits one transaction after the other is busy, not away, and is waited for up to _QUEUE_S. The write may
        still happen afterwards, so jobs must be safe to repeat.
        """
        # The cheapest way to hand a value from thread to thread.
        box: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
        self.submit(job, lambda result, error: box.put((result, error)))
        result, error = self._await(box, timeout_s)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def submit(self, job: Callable[[Connection], T], done: Callable[[T | None, Exception | None], None]) -> None:
        """Queue `job` for the writer, which calls `done` after the commit, with the result or why there is none."""
        self._ensure_writer()
        self._jobs.put((job, done))

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
            if batch:
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

    def _commit(self, batch: list[_Job]) -> None:
        try:
            results = self._transact([job for job, _ in batch])
            self._last_commit = time.monotonic()
        except Exception as error:
            if len(batch) == 1:
                batch[0][1](None, away(error))
                return
            # One bad job must not take the others down: each again, alone.
            for one in batch:
                self._commit([one])
            return
        for (_, done), result in zip(batch, results, strict=True):
            done(result, None)

    def _transact(self, jobs: list[Callable[[Connection], Any]]) -> list[Any]:
        try:
            return self._once(jobs)
        except DBAPIError as error:
            if not _is_race(error):
                raise
            return _again(self._once, jobs)

    def _once(self, jobs: list[Callable[[Connection], Any]]) -> list[Any]:
        # The writer keeps its connection: checking one out of the pool costs as much as a statement.
        if self._connection is None:
            self._connection = self.engine.connect()
        try:
            with self._connection.begin():
                return [job(self._connection) for job in jobs]
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Prepared:
    """A statement compiled once: what runs several times for every call need not be compiled for each.

    `names` are the parameters of an INSERT; other statements name theirs with bindparam.
    """

    def __init__(self, database: Database, statement: Any, names: Sequence[str] | None = None) -> None:
        self._dialect = database.engine.dialect
        self._driver: Any = self._dialect.dbapi
        compiled = statement.compile(dialect=self._dialect, column_keys=names)
        self._sql = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup  # None: the driver takes them by name

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> Any:
        """Execute with one or several rows of parameters; the driver's cursor."""
        order = self._order
        values: list[Any] = [dict(row) if order is None else tuple(row[name] for name in order) for row in rows]
        cursor = connection.connection.cursor()
        try:
            if len(values) == 1:
                cursor.execute(self._sql, values[0])
            else:
                cursor.executemany(self._sql, values)
        except self._driver.Error as error:
            # What SQLAlchemy would have raised had it executed the statement.
            raise DBAPIError.instance(self._sql, None, error, self._driver.Error, dialect=self._dialect) from error
        return cursor


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
    return DatabaseAwayError(
        f"the database refused: {orig.args[-1] if orig is not None and orig.args else type(error).__name__}"
    )


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    """A Database for the length of a command."""
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
