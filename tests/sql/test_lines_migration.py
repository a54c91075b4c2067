"""An older database's lines and users under 0009: nothing is lost, half done is completed, and there is a way back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from itgrix_bx.calls.lines import Leads
from sql import Database, LineRules, Staff, check, schema

BEFORE = str(ScriptDirectory.from_config(schema._config()).get_revision("0009").down_revision)
LINE = "INSERT INTO `lines` (did, line, name) VALUES ('74950000001', 'office', '')"
USER = "INSERT INTO users (user_id, name, active, extension, phones, synced_at) VALUES (1, 'A', 1, '101', '[]', 5.0)"
HALF_DONE = (
    "ALTER TABLE `lines` ADD COLUMN source VARCHAR(50) NOT NULL DEFAULT ''",
    "ALTER TABLE `lines` ADD COLUMN default_user BIGINT",
    "CREATE TABLE mobiles (number VARCHAR(32) PRIMARY KEY, user_id BIGINT NOT NULL)",
)


@pytest.fixture
def old(database: Database) -> Iterator[Database]:
    """A database of the version before, with a line and a user."""
    _to(database, "downgrade", BEFORE)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(LINE)
        connection.exec_driver_sql(USER)
    yield database
    schema.upgrade(database)


def _to(database: Database, direction: str, revision: str) -> None:
    with database.engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        getattr(command, direction)(config, revision)


@pytest.mark.parametrize("done", range(len(HALF_DONE) + 1))
def test_what_there_was_stays_and_gets_the_usual_rules(old: Database, done: int) -> None:
    with old.engine.begin() as connection:
        for statement in HALF_DONE[:done]:
            connection.exec_driver_sql(statement)
    schema.upgrade(old)
    assert check(old) is None
    line = LineRules(old).lines().of_call("74950000001")
    assert (line.number, line.leads, line.caller_name, line.longest, line.default_user) == (
        "office", Leads.LEAD, "", 40, None,
    )  # fmt: skip
    assert Staff(old).directory().employees[1].departments == ()


def test_the_way_back_leaves_what_the_older_version_knew(old: Database) -> None:
    schema.upgrade(old)
    _to(old, "downgrade", BEFORE)
    columns = {column["name"] for column in sa.inspect(old.engine).get_columns("lines")}
    assert columns == {"did", "line", "name"}
    assert "deputies" not in sa.inspect(old.engine).get_table_names()
    assert old.read(lambda c: c.execute(sa.text("SELECT line FROM `lines`")).scalar()) == "office"


def test_a_policy_of_a_newer_version_is_the_usual_one_here(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO `lines` (did, line, name, leads) VALUES ('1', 'x', '', 'deal')")
    assert LineRules(database).lines().of_call("1").leads is Leads.LEAD
