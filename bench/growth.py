"""Hook and delivery time with millions of rows in the journal beside an empty one: `python -m bench.growth`.

Both journals are measured in the same run, in turns; medians and their ratio, on SQLite and on MariaDB (a server of its
own with its default settings). The portal's double answers without latency and has a process of its own.
Goal: at most 1.2 times the empty journal's time. `--rows` makes a smaller run.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from bench.history import EVENTS_A_CALL, History, write
from bench.inbound_hook import portal_webhook
from bench.server import ServerProcess
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import from_tables
from itgrix_bx.emulator.asterisk import AgiCall
from itgrix_bx.service import Service
from sql import Database, upgrade
from tests.mariadb_server import server

GOAL = 1.2
_JUDGED = ("inbound hook", "ring hook", "delivery")
_ANSWERS = {"FROM_DID": "74950000001", "CHANNEL(linkedid)": "1700000000.1"}
_WARM = 20  # of each that are not counted
_DAY_S = 86400.0

Times = dict[str, list[float]]  # measure -> milliseconds


class Journal:
    """A journal under measurement: its database, and a directory for the rest."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.times: Times = {}
        directory.mkdir()
        database = Database(url)
        upgrade(database)
        database.close()

    def note(self, measure: str, ms: float) -> None:
        self.times.setdefault(measure, []).append(ms)


class Delivery:
    """The program's own worker, one step at a time."""

    def __init__(self, journal: Journal, webhook: str) -> None:
        tables = {
            "portal": {"webhook": webhook, "requests_per_second": 100.0, "burst": 1000},
            "database": {"url": journal.url},
            "journal": {"directory": str(journal.directory)},
        }
        self._journal = journal
        self._service = Service(from_tables(tables), frozenset())
        self._service.employees.sync()
        self._service.employees.reread()

    def deliver(self, number: int) -> None:
        """A call that ended is registered and finished: twice claim, step, journal."""
        now, call_id = time.time(), f"19000.{number}"
        own = {"own_channel": True, "client_number": f"+7916{number:07d}", "linkedid": call_id}
        steps = [
            Event(call_id, Kind.INBOUND, now - 9, own),
            Event(call_id, Kind.HANGUP, now - 1, own | {"variables": {}}),
        ]
        self._service.journal.append(steps)
        worker = self._service.worker
        started = time.perf_counter()
        for _ in range(2):
            (mine,) = worker._claim(worker._crews[0], 1, None)
            worker._do_next_step(mine)
        self._journal.note("delivery", (time.perf_counter() - started) * 1e3)

    def look(self) -> None:
        """What a scrape and `status` read."""
        started = time.perf_counter()
        overview, now = self._service.overview, time.time()
        overview.backlog(now), overview.unfinished(), overview.leases(now)
        self._journal.note("metrics scrape", (time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
        overview.last_trouble(), overview.lags(100), overview.oldest(), overview.finished_since(now - _DAY_S)
        self._journal.note("status, the rest", (time.perf_counter() - started) * 1e3)

    def close(self) -> None:
        self._service.stop(0.1)


def hook(journal: Journal, process: ServerProcess, name: str, number: int) -> None:
    """One hook from connect to close. Raises RuntimeError when it was not answered whole."""
    call_id = f"18000.{number}"
    args = [call_id, "74950000001" if name == "inbound" else "101"]
    env = {"agi_uniqueid": call_id, "agi_callerid": f"+7999{number:07d}", "agi_channel": "PJSIP/trunk-1"}
    started = time.perf_counter()
    told = AgiCall(process.address, name, args, env=env, variables=_ANSWERS).run()
    journal.note(f"{name} hook", (time.perf_counter() - started) * 1e3)
    if told.get("B24_RC") != "ok":
        raise RuntimeError(f"the hook {name} was answered {told}")


def measure(empty: Journal, full: Journal, webhook: str, calls: int) -> None:
    """Every measure `calls` times, hook by hook and call by call in turns: what else the machine does hits both."""
    both = (empty, full)
    with contextlib.ExitStack() as stack:
        processes = {
            journal: stack.enter_context(
                ServerProcess("bench.hook_server", webhook, str(journal.directory), journal.url)
            )
            for journal in both
        }
        for number in range(_WARM + calls):
            for name in ("inbound", "ring"):
                for journal in both if number % 2 else reversed(both):
                    hook(journal, processes[journal], name, number)
    workers = [Delivery(journal, webhook) for journal in both]
    for number in range(_WARM + calls):
        for worker in workers if number % 2 else reversed(workers):
            worker.deliver(number)
            worker.look()
    for worker in workers:
        worker.close()


def compare(name: str, empty: Journal, full: Journal) -> bool:
    """Print the table; whether the goal was reached."""
    print(f"  {'median':<26}{'empty':>10}{'full':>10}{'ratio':>8}")
    reached = True
    for what in full.times:
        small, large = (statistics.median(journal.times[what][_WARM:]) for journal in (empty, full))
        judged = what in _JUDGED
        reached = reached and (not judged or large / small <= GOAL)
        print(f"  {what:<26}{small:>7.2f} ms{large:>7.2f} ms{large / small:>8.2f}{'' if judged else '   (not judged)'}")
    print(f"  {name}: goal at most {GOAL} times the empty journal's time: {'reached' if reached else 'MISSED'}\n")
    return reached


def fill(journal: Journal, rows: int) -> None:
    """`rows` events and their calls, of the last 350 days."""
    started, now = time.monotonic(), time.time()
    write(journal.url, History(round(rows / EVENTS_A_CALL), now - 350 * _DAY_S, now - 3600))
    database = Database(journal.url)
    counts = [
        database.read(lambda c, t=table: c.execute(sa.text(f"SELECT count(*) FROM {t}")).scalar())  # type: ignore[misc]
        for table in ("events", "calls")
    ]
    database.close()
    took = time.monotonic() - started
    print(f"  {counts[0]:,} events of {counts[1]:,} calls, written in {took:.0f} s", flush=True)


@contextlib.contextmanager
def on_sqlite(directory: Path) -> Iterator[Callable[[str], str]]:
    """URLs of databases by name."""
    yield lambda name: f"sqlite:///{directory}/{name}.db"


@contextlib.contextmanager
def on_mariadb(_directory: Path) -> Iterator[Callable[[str], str]]:
    """Likewise, on a server of its own."""
    with server() as running:
        database = Database(running.url)
        with database.engine.begin() as connection:
            for name in ("empty", "full"):
                connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        database.close()
        yield lambda name: running.url.rsplit("/", 1)[0] + f"/{name}"


ON = {"sqlite": on_sqlite, "mariadb": on_mariadb}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="events in the full journal")
    parser.add_argument("--calls", type=int, default=1000, help="hooks of a kind and delivered calls, for each journal")
    parser.add_argument("--database", choices=list(ON), action="append", help="only this one; repeatable")
    options = parser.parse_args()
    for name in options.database or ON:
        with (
            tempfile.TemporaryDirectory(prefix="itgrix-bx-growth-") as place,
            ON[name](Path(place)) as url,
            ServerProcess("bench.portal_server") as portal,
        ):
            print(f"{name}:", flush=True)
            empty, full = (Journal(url(which), Path(place) / which) for which in ("empty", "full"))
            fill(full, options.rows)
            measure(empty, full, portal_webhook(portal), options.calls)
            compare(name, empty, full)


if __name__ == "__main__":
    main()
