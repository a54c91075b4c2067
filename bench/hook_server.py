"""The whole program against the portal's address given: `python -m bench.hook_server WEBHOOK DIRECTORY [URL [spread]]`.

URL is the database's; without one (or with an empty one) the journal is on SQLite in the directory. With `spread` the
threads of a rush are left on all cores. At its end it prints the processor time since its start by part, as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from agi import rush
from bench.server import serve_until_told
from bx24client import Budget
from itgrix_bx import service as program
from itgrix_bx.config import from_tables

_PARTS = {
    "agi-": "the conversation, the decisions and the commands for the portal",
    "bx24-": "the request and its answer",
    "journal-": "the journal",
}
_REST = "the rest"


def main() -> None:
    """Serve on a free port, with delivery and web as in life."""
    webhook, directory = sys.argv[1:3]
    url = (sys.argv[3] if len(sys.argv) > 3 else "") or f"sqlite:///{directory}/journal.db"
    tables = {
        "portal": {"webhook": webhook},
        "database": {"url": url},
        "journal": {"directory": directory},
        "fastagi": {"listen": "127.0.0.1:0"},
        "web": {"listen": "127.0.0.1:0"},
        "recordings": {"directory": directory},
    }
    if "spread" in sys.argv[4:]:
        rush.MANY = sys.maxsize
    # The request limit is not what is measured here; bench.capacity measures it.
    program._budget = lambda *_: Budget(1e6, 1e6)
    service = program.Service(from_tables(tables))
    service.start()
    while not service.employees.directory.synced:
        time.sleep(0.01)
    at_start = _processor_time()
    serve_until_told(service.agi_address[1])
    print(json.dumps({part: seconds - at_start[part] for part, seconds in _processor_time().items()}))
    service.stop()


def _processor_time() -> dict[str, float]:
    """Seconds by what the threads are for."""
    spent = dict.fromkeys([*_PARTS.values(), _REST], 0.0)
    for thread in threading.enumerate():
        clock = time.pthread_getcpuclockid(thread.ident or 0)
        part = next((part for name, part in _PARTS.items() if thread.name.startswith(name)), _REST)
        spent[part] += time.clock_gettime(clock)
    return spent


if __name__ == "__main__":
    main()
