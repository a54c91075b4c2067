"""`make chaos SEED=…`: calls through the real program between a portal, a database and processes that fail at random.

Prints what was made, what the portal ended with, and what is lost, doubled or wrong; exit code 1 unless all of that
is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from itgrix_bx.emulator.portal import PortalEmulator
from tests.chaos.calls import Player, Truth
from tests.chaos.processes import Process, free_port
from tests.chaos.product import CAP_S, WINDOW_S
from tests.chaos.storm import Storm
from tests.chaos.verdict import Verdict, judge

_AT_ONCE = 40
_DRAIN_S = 240.0


@dataclass
class Outcome:
    verdict: Verdict
    storm: Storm
    seconds: float
    drained_s: float | None
    stuck: list[Any]
    directory: Path


def run(calls: int, seed: int, database: str, directory: Path, *, at_once: int = _AT_ONCE) -> Outcome:
    """One run on `database` (sqlite | mariadb), everything it leaves in `directory`."""
    started = time.monotonic()
    monitor = directory / "monitor"
    monitor.mkdir()
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(_portal())
        server, url = stack.enter_context(_database(database, directory))
        processes = _processes(portal, url, directory, monitor)
        for process in processes:
            stack.callback(process.stop)
            process.start()
        storm = Storm(portal, processes, server, seed)
        storm.start()
        address = ("127.0.0.1", processes[0].port or 0)
        truths = _play(Player(lambda: address, monitor, seed), calls, at_once)
        storm.stop()
        drained = _drain(url)
        stuck = [] if drained is not None else _due(url)
        verdict = judge(truths, portal.dump(), storm.dismissed_between)
    return Outcome(verdict, storm, time.monotonic() - started, drained, stuck, directory)


@contextlib.contextmanager
def _portal() -> Iterator[PortalEmulator]:
    settings = {"request_cap_s": CAP_S, "dedupe_window_s": WINDOW_S, "register_race_s": 0.02,
                "finish_delete_delay_s": 0.05}  # fmt: skip
    with PortalEmulator(seed={"settings": settings}, rate=0) as portal:
        yield portal


@contextlib.contextmanager
def _database(kind: str, directory: Path) -> Iterator[tuple[Any, str]]:
    if kind == "sqlite":
        yield None, f"sqlite:///{directory}/journal.db"
        return
    from tests.mariadb_server import server

    with server() as running:
        yield running, running.url


def _processes(portal: PortalEmulator, url: str, directory: Path, monitor: Path) -> list[Process]:
    made = []
    for name, arguments in (("one", []), ("two", ["--only", "worker"])):
        port, config = free_port(), directory / f"{name}.toml"
        (directory / name).mkdir()
        config.write_text(
            f'[portal]\nwebhook = "{portal.webhook_url}"\nrequests_per_second = 100\nburst = 1000\n'
            f'[database]\nurl = "{url}"\n[journal]\ndirectory = "{directory / name}"\n'
            f'[fastagi]\nlisten = "127.0.0.1:{port}"\n[web]\nlisten = "127.0.0.1:{free_port()}"\n'
            f'[inbound]\ndeadline = 1.0\n[recordings]\ndirectory = "{monitor}"\nwait = 60\n',
            encoding="utf-8",
        )
        config.chmod(0o600)
        made.append(Process(config, arguments, directory / f"{name}.log", None if arguments else port))
    return made


def _play(player: Player, calls: int, at_once: int) -> list[Truth]:
    numbers = itertools.count(1)
    done = 0
    lock = threading.Lock()

    def one(_: int) -> Truth:
        nonlocal done
        truth = player.play(next(numbers))
        with lock:
            done += 1
            if done % 500 == 0:
                print(f"  {done} of {calls} calls", flush=True)
        return truth

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(calls)))


def _drain(url: str) -> float | None:
    """Seconds until delivery owes nothing more; None when that did not come."""
    began = time.monotonic()
    quiet_since = None
    while time.monotonic() - began < _DRAIN_S:
        waiting = len(_due(url))
        quiet_since = None if waiting else quiet_since or time.monotonic()
        if quiet_since and time.monotonic() - quiet_since > 2.0:
            return time.monotonic() - began
        time.sleep(0.5)
    return None


def _due(url: str) -> list[Any]:
    query = "SELECT call_id, state, step, due_at, lease_owner, last_error FROM calls WHERE due_at IS NOT NULL"
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection:
            return connection.execute(query).fetchall()
    port = int(url.rpartition(":")[2].partition("/")[0])
    with (
        contextlib.closing(
            pymysql.connect(host="127.0.0.1", port=port, user="root", database="itgrix_bx")
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        return list(cursor.fetchall())


def report(outcome: Outcome, seed: int, database: str) -> None:
    verdict = outcome.verdict
    print(f"\n{database}, seed {seed}: {outcome.seconds:.0f} s")
    for what, count in sorted(outcome.storm.seen.items()):
        print(f"    {count:6,}  {what}")
    print("  " + "-" * 60)
    for what, count in verdict.table():
        print(f"    {count:6,}  {what}")
    drained = "never" if outcome.drained_s is None else f"{outcome.drained_s:.0f} s after the last call"
    print(f"    delivered: {drained}")
    for kind, texts in verdict.bad.items():
        for text in texts[:10]:
            print(f"  {kind}: {text}")
    for row in outcome.stuck[:10]:
        print(f"  stuck: {row}")
    for failure in outcome.storm.failures:
        print(f"  the storm itself failed: {failure}")


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000, help="on each database")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", choices=("sqlite", "mariadb", "both"), default="both")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE)
    parser.add_argument("--keep", action="store_true", help="keep the logs and the journal")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    clean = True
    for database in ("sqlite", "mariadb") if options.database == "both" else (options.database,):
        directory = Path(tempfile.mkdtemp(prefix="itgrix-bx-chaos-"))
        print(f"{database}: {options.calls:,} calls, seed {options.seed}, logs in {directory}", flush=True)
        outcome = run(options.calls, options.seed, database, directory, at_once=options.at_once)
        report(outcome, options.seed, database)
        good = outcome.verdict.clean and outcome.drained_s is not None and not outcome.storm.failures
        clean = clean and good
        if good and not options.keep:
            shutil.rmtree(directory)
        else:
            print(f"  kept: {directory}")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
