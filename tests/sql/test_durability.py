"""A commit is on the disk before a hook is told that its event is stored."""

from __future__ import annotations

import sqlalchemy as sa

from itgrix_bx.setup.checks import durability
from sql import Database


def test_sqlite_waits_for_the_disk_in_every_connection(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/journal.db")
    full, wal = 2, "wal"

    def pragmas(connection: sa.Connection) -> tuple[int, str]:
        ask = connection.exec_driver_sql
        return int(ask("PRAGMA synchronous").scalar_one()), str(ask("PRAGMA journal_mode").scalar_one())

    assert database.read(pragmas) == (full, wal)
    assert database.write(pragmas) == (full, wal)
    assert list(durability(database)) == []
    database.close()


def test_doctor_warns_of_a_server_that_does_not_wait_for_the_disk(mariadb_url: str) -> None:
    database = Database(mariadb_url)
    assert list(durability(database)) == []
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        (check,) = durability(database)
    finally:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        database.close()
    assert (check.result, "is 2" in check.found) == ("warning", True)
    assert "innodb_flush_log_at_trx_commit = 1" in check.cure
