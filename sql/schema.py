"""Bringing a database to the schema of this version (Alembic)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from sql.database import Database


def upgrade(database: Database) -> tuple[str | None, str]:
    """Create or migrate the schema; (revision before, revision now). Safe to repeat."""
    before = current(database)
    head = _head()
    if before != head:
        with database.engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before, head


def check(database: Database) -> str | None:
    """None when the schema is this version's, else one sentence that says what to do."""
    found = current(database)
    if found == _head():
        return None
    if found is None:
        return "the database has no tables yet: run `itgrix-bx db upgrade`"
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found not in known:
        return "the database belongs to a newer version of itgrix-bx: update the program"
    return "the database is of an older version: run `itgrix-bx db upgrade`"


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
