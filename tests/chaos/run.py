"""`make chaos SEED=…`: calls through the real program between a portal, a database and processes that fail at random.

Prints what was made, what the portal ended with, and what is lost, doubled or wrong; exit code 1 unless all of that
is 0. What a failure left (logs, the story of each call that went wrong) is kept under build/chaos.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import tomli_w

from itgrix_bx.delivery.schedule import due
from itgrix_bx.emulator.portal import PortalEmulator
from sql.database import Database, DatabaseAwayError, opened
from sql.journal import Journal
from sql.lines import LineRules
from sql.schema import upgrade
from sql.tables import calls as calls_table
from tests.chaos.calls import LINES, Player, Truth
from tests.chaos.processes import Process
from tests.chaos.product import CAP_S, WINDOW_S, WORK_S
from tests.chaos.storm import DiesOrHangs, Killed, Locked, Storm
from tests.chaos.verdict import Verdict, judge
from tests.mariadb_server import server
from tests.ports import free_port

DATABASES = ("sqlite", "mariadb")
AT_ONCE = 40
_PATIENCE_S = 120.0
_KEPT = Path("build/chaos")
_SHOWN = 10
_COUNTED = {"rate_per_s": 30.0, "rate_burst": 60.0}  # so many that a storm of minutes is delivered, too few for all
Changes = dict[str, dict[str, Any]]


@dataclass
class Outcome:
    """`drained_s`: from the last call until nothing was owed any more, None when that never came."""

    database: str
    seed: int
    verdict: Verdict
    storm: Storm
    seconds: float
    drained_s: float | None
    owed: list[Any]

    @property
    def clean(self) -> bool:
        return self.verdict.clean and self.drained_s is not None and not self.storm.failures

    def __str__(self) -> str:
        """The table."""
        delivered = "never" if self.drained_s is None else f"{self.drained_s:.0f} s after the last call"
        lines = [f"{self.database}, seed {self.seed}: {self.seconds:.0f} s, delivered {delivered}"]
        lines += [f"    {count:7,}  {what}" for what, count in sorted(self.storm.seen.items())]
        lines += ["    " + "-" * 70]
        lines += [f"    {count:7,}  {what}" for what, count in self.verdict.table()]
        lines += [f"  {kind}: {text}" for kind, texts in self.verdict.bad.items() for text in texts[:_SHOWN]]
        lines += [f"  still owed: {row}" for row in self.owed[:_SHOWN]]
        return "\n".join(lines + [f"  the storm itself failed: {failure}" for failure in self.storm.failures])


def run(
    calls: int, seed: int, database: str, directory: Path, *, at_once: int = AT_ONCE, everything: bool = False
) -> Outcome:
    """One run on `database` (sqlite | mariadb), all it leaves in `directory`. `everything`: with whatever can be
    switched on, and a portal that counts requests."""
    started = time.monotonic()
    monitor = directory / "monitor"
    monitor.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(shortened_portal(**(_COUNTED if everything else {})))
        url, trouble = stack.enter_context(_database(database, directory))
        changes = _everything(free_port()) if everything else {}
        processes = _processes(portal, url, directory, monitor, changes, one_machine=database == "sqlite")
        servers = [("127.0.0.1", process.port) for process in processes if process.port is not None]
        player = Player(servers, monitor, seed, mp3=everything)
        portal.seed(player.crm(calls))
        rule_lines(url)
        for process in processes:
            stack.callback(process.stop)
            process.start()
        storm = Storm(portal, processes, trouble, seed)
        storm.start()
        truths = _play(player, calls, at_once)
        storm.stop()
        drained = drain(url)
        verdict = judge(truths, portal.dump(), bool(storm.dismissed))
        outcome = Outcome(database, seed, verdict, storm, time.monotonic() - started, drained, owed(url))
        if not outcome.clean:
            _tell(outcome, url, portal.dump(), directory)
    return outcome


def _everything(web: int) -> Changes:
    """The budget shared by all processes, callers answered from memory, recordings made MP3 and fetched by the portal
    from the first process, whose web part listens at port `web`."""
    return {
        "portal": {"requests_per_second": _COUNTED["rate_per_s"], "burst": int(_COUNTED["rate_burst"]),
                   "shared_budget": True},
        "inbound": {"answer": "cache"},
        "recordings": {"mp3": True, "public_url": f"http://127.0.0.1:{web}/recordings/"},
    }  # fmt: skip


@contextlib.contextmanager
def shortened_portal(**more: float) -> Iterator[PortalEmulator]:
    """The double, whose cap and memory of open calls fit product.py; with the races of the real one."""
    settings = {"request_cap_s": CAP_S, "work_cap_s": WORK_S, "dedupe_window_s": WINDOW_S, "register_race_s": 0.02,
                "finish_delete_delay_s": 0.05, **more}  # fmt: skip
    with PortalEmulator(seed={"settings": settings}, rate=0) as portal:
        yield portal


def rule_lines(url: str) -> None:
    """What the administrator wants of each line."""
    with opened(url) as database:
        upgrade(database)
        for line in LINES:
            LineRules(database).set(line)


@contextlib.contextmanager
def _database(kind: str, directory: Path) -> Iterator[tuple[str, DiesOrHangs]]:
    if kind == "sqlite":
        yield f"sqlite:///{directory}/journal.db", Locked(directory / "journal.db")
        return
    with server() as running:
        yield running.url, Killed(running)


def _processes(
    portal: PortalEmulator, url: str, directory: Path, monitor: Path, changes: Changes, *, one_machine: bool
) -> list[Process]:
    """Two that answer the dialplan and deliver, one that only delivers; on one machine they share the spool."""
    fetched_from = changes.get("recordings", {}).get("public_url", "")
    return [
        process(
            portal, url, directory, monitor, name, spool="spool" if one_machine else f"spool-{name}", only=only,
            changes=changes, web=urlsplit(fetched_from).port if name == "one" else None,
        )
        for name, only in (("one", ""), ("two", ""), ("worker", "worker"))
    ]  # fmt: skip


def process(
    portal: PortalEmulator,
    url: str,
    directory: Path,
    monitor: Path,
    name: str,
    *,
    spool: str,
    only: str = "",
    changes: Changes | None = None,
    web: int | None = None,
) -> Process:
    """`serve`, configured and not yet started; its web part at port `web`, or any."""
    port, config = free_port(), directory / f"{name}.toml"
    tables: dict[str, dict[str, Any]] = {
        "portal": {"webhook": portal.webhook_url, "requests_per_second": 100, "burst": 1000},
        "database": {"url": url},
        "journal": {"directory": str(directory / spool)},
        "fastagi": {"listen": f"127.0.0.1:{port}"},
        "web": {"listen": f"127.0.0.1:{web or free_port()}"},
        "inbound": {"deadline": 1.0},
        "recordings": {"directory": str(monitor), "wait": 60},
    }
    for section, keys in (changes or {}).items():
        tables[section] |= keys
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")
    config.chmod(0o600)
    arguments = ["--only", only] if only else []
    return Process(config, arguments, directory / f"{name}.log", None if only else port)


def _play(player: Player, calls: int, at_once: int) -> list[Truth]:
    done = itertools.count(1)
    lock = threading.Lock()

    def one(number: int) -> Truth:
        truth = player.play(number)
        with lock:
            if (count := next(done)) % 1000 == 0:
                print(f"  {count:,} of {calls:,} calls", flush=True)
        return truth

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(1, calls + 1)))


def drain(url: str, patience_s: float = _PATIENCE_S) -> float | None:
    """Seconds until delivery owes nothing more; None when it owes something and that does not become less."""
    began = progress_at = time.monotonic()
    least, quiet_since = float("inf"), None
    while (now := time.monotonic()) - progress_at < patience_s:
        count = len(owed(url))
        if count < least:
            least, progress_at = count, now
        quiet_since = None if count else quiet_since or now
        if quiet_since and now - quiet_since > 2.0:
            return now - began
        time.sleep(0.5)
    return None


def owed(url: str) -> list[Any]:
    """What delivery still has to do."""
    c = calls_table.c
    query = sa.select(c.call_id, c.state, c.step, c.due_at, c.lease_owner, c.last_error).where(c.due_at.is_not(None))
    with opened(url) as database:
        try:
            return database.read(lambda connection: list(connection.execute(query)))
        except DatabaseAwayError as error:
            return [str(error)]


def _tell(outcome: Outcome, url: str, known: dict[str, Any], directory: Path) -> None:
    """The story of every call that went wrong: its events, and what the portal has of it."""
    bad = {text.split(maxsplit=1)[0].rstrip(":") for texts in outcome.verdict.bad.values() for text in texts}
    with opened(url) as database, (directory / "stories.txt").open("w", encoding="utf-8") as stories:
        print(outcome, file=stories)
        for call_id in sorted(bad):
            _tell_one(call_id, database, known, stories)


def _tell_one(call_id: str, database: Database, known: dict[str, Any], stories: Any) -> None:
    print(f"\n=== {call_id}", file=stories)
    for event in Journal(database, due).events(call_id):
        print(f"{event.at:.3f} {event.kind} {json.dumps(event.data, ensure_ascii=False)}", file=stories)
    rows = [row for row in known["statistics"] if row["EXTERNAL_CALL_ID"] == call_id]
    ids = {row["CALL_ID"] for row in rows}
    ids |= {call["call_id"] for call in known["calls"] if call["external_call_id"] == call_id}
    for row in [*rows, *(a for a in known["activities"] if a["call_id"] in ids)]:
        print(f"portal: {row}", file=stories)
    for request in known["requests"]:
        if (text := str(request)) and (call_id in text or any(one in text for one in ids)):
            print(f"asked: {text}", file=stories)


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000, help="on each database")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", choices=DATABASES, action="append", help="this one alone")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument(
        "--everything", action="store_true",
        help="shared budget on a portal that counts, answers from memory, MP3, recordings fetched by the portal",
    )  # fmt: skip
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    clean = True
    for database in options.database or DATABASES:
        directory = _KEPT.absolute() / f"{database}-{options.seed}"
        shutil.rmtree(directory, ignore_errors=True)
        print(f"{database}: {options.calls:,} calls, seed {options.seed}, logs in {directory}", flush=True)
        outcome = run(
            options.calls, options.seed, database, directory, at_once=options.at_once, everything=options.everything
        )
        print(f"\n{outcome}\n", flush=True)
        if outcome.clean:
            shutil.rmtree(directory)
        else:
            again = f"make chaos SEED={options.seed} CALLS={options.calls}{' EVERYTHING=1' * options.everything}"
            print(f"kept: {directory}; again: {again}", flush=True)
        clean = clean and outcome.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
