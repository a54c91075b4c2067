import tempfile
from pathlib import Path

import pytest

from tests.mariadb_server import server


@pytest.mark.mariadb
def test_a_server_that_starts_takes_no_temporary_table_from_another() -> None:
    table = Path(tempfile.gettempdir(), "#sql-temptable-of-another-server.MAI")
    table.touch()
    try:
        with server():
            assert table.exists()
    finally:
        table.unlink(missing_ok=True)
