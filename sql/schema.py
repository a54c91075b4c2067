"""Bringing a database to the schema of this version (Alembic)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from itgrix_bx.words import Phrase
from sql.database import Database, DatabaseAwayError, away


def upgrade(database: Database) -> tuple[str | None, str]:
    """Create or migrate the schema; (revision before, revision now). Safe to repeat, and by several processes at once.

    Raises DatabaseAwayError.
    """
    before, head = current(database), _head()
    if before == head:
        return before, head
    try:
        with database.engine.connect().execution_options(writes=True) as connection, _alone(connection):
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise away(error) from error
    return before, head


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """A transaction beside which no other process migrates; who comes second finds it done."""
    if connection.dialect.name == "sqlite":
        with connection.begin():
            yield
        return
    # MySQL commits every DDL statement by itself: a transaction keeps nobody away.
    if not connection.execute(sa.text("SELECT GET_LOCK('itgrix_bx.schema', 60)")).scalar():
        raise DatabaseAwayError("another process has been migrating the database for a minute")
    try:
        yield
        connection.commit()
    finally:
        connection.execute(sa.text("SELECT RELEASE_LOCK('itgrix_bx.schema')"))


def check(database: Database) -> Phrase | None:
    """None when the schema is this version's, else one sentence that says what to do."""
    found = current(database)
    if found == _head():
        return None
    if found is None:
        return Phrase("the database has no tables yet: run `itgrix-bx db upgrade`")
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found not in known:
        return Phrase("the database belongs to a newer version of itgrix-bx: update the program")
    return Phrase("the database is of an older version: run `itgrix-bx db upgrade`")


def current(database: Database) -> str | None:
    """The schema revision the database has; None for an empty database."""
    return database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


__all__ = ["check", "current", "upgrade"]
