"""Every storage test runs on SQLite and on a real MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.delivery.schedule import due
from sql import Database, Journal, upgrade


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database at this version's schema."""
    url = f"sqlite:///{tmp_path}/test.db" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    opened = Database(url)
    upgrade(opened)
    yield opened
    from sql.tables import metadata

    with opened.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    opened.close()


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, due)
