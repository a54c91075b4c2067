"""`make lab`: Asterisk, MariaDB and the emulated portal with everything wired, until Ctrl-C."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from tests.mariadb_server import mariadb
from tests.real import site
from tests.real.office import office


def main() -> None:
    """Start, say where everything is, wait."""
    with tempfile.TemporaryDirectory() as directory, mariadb() as url, office(Path(directory), url) as where:
        host, port = where.asterisk.sip
        print(f"SIP        {host}:{port}, phones {site.extension(1, 1)} to {site.extension(39, 3)}, no password")
        print(f"outbound   8 and ten digits; the trunk answers at {where.asterisk.trunk[0]}:{where.asterisk.trunk[1]}")
        print(f"portal     {where.portal.url}")
        print(f"program    .venv/bin/itgrix-bx --config {where.program.config} calls list")
        print(f"Asterisk   log {where.asterisk.log}")
        print("Ctrl-C ends.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
