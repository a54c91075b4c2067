"""What goes wrong: the portal's faults and absences, dismissed users, an expired webhook; processes killed and frozen,
a database that dies, disks that are full."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.emulator.portal.faults import Rule
from tests.chaos.processes import Process
from tests.chaos.product import CAP_S, HOUR_S

log = logging.getLogger("chaos")

_CALL = "telephony.externalCall."
_ATTACH = f"{_CALL}attachRecord"
_METHODS = (f"{_CALL}register", f"{_CALL}finish", _ATTACH, "*", "*")
_BORIS = {"id": 12, "name": "Борис Петров", "extension": "102"}


@dataclass(frozen=True)
class Fault:
    """What a request may meet. `longest`: of how many in a row."""

    says: str
    kind: str
    after: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    works_on: bool = False
    longest: int = 7
    methods: tuple[str, ...] = _METHODS

    def rule(self, chance: Random) -> Rule:
        return Rule(
            method=chance.choice(self.methods),
            kind=self.kind,
            times=chance.randint(1, self.longest),
            delay_s=chance.uniform(*self.delay_s),
            after_effect=self.after,
            works_on_s=chance.uniform(0.3, CAP_S - 0.2) if self.works_on else 0.0,
        )


_TO_THE_CAP = (CAP_S + 0.2, CAP_S + 0.2)
FAULTS = (
    Fault("answer lost, nothing done", "lost_answer"),
    Fault("answer lost, work done", "lost_answer", after=True),
    Fault("answer lost, still working", "lost_answer", works_on=True),
    Fault("connection reset, nothing done", "reset"),
    Fault("connection reset, work done", "reset", after=True),
    Fault("connection reset, still working", "reset", works_on=True),
    Fault("hang to the cap, nothing done", "hang", delay_s=_TO_THE_CAP, longest=3),
    Fault("hang to the cap, work done", "hang", after=True, delay_s=_TO_THE_CAP, longest=3),
    Fault("HTML 502, nothing done", "html502"),
    Fault("HTML 502, work done", "html502", after=True),
    Fault("HTML 503 burst", "html503", longest=20),
    Fault("HTML 429 burst", "html429", longest=20),
    Fault("HTML 504, still working", "html504", works_on=True),
    Fault("503 QUERY_LIMIT_EXCEEDED burst", "limit", longest=30),
    Fault("429 OPERATION_TIME_LIMIT burst", "blocked", longest=20, methods=_METHODS[:3]),
    Fault("half an answer, work done", "garbage", after=True),
    Fault("empty answer, work done", "empty", after=True),
    Fault("slow", "slow", delay_s=(0.2, CAP_S - 0.3)),
    Fault("slow, work done", "slow", after=True, delay_s=(0.2, CAP_S - 0.3)),
    Fault("slow attach", "slow", delay_s=(0.5, CAP_S - 0.3), methods=(_ATTACH,), longest=20),
    Fault("webhook refused for a moment", "auth"),
)  # fmt: skip


class DiesOrHangs(Protocol):
    """A database that can be taken away."""

    says: str

    def away(self) -> contextlib.AbstractContextManager[None]: ...


class Killed:
    """MariaDB, killed and started again."""

    says = "MariaDB killed (-9)"

    def __init__(self, server: Any) -> None:
        self._server = server

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        self._server.kill()
        try:
            yield
        finally:
            self._server.start()


class Locked:
    """SQLite, held by another program (a backup)."""

    says = "SQLite locked by another program"

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None, timeout=20)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")


class Storm:
    """Each kind of trouble in a thread of its own, until `stop`; `seen` counts what happened."""

    def __init__(self, portal: PortalEmulator, processes: list[Process], database: DiesOrHangs, seed: int) -> None:
        self._portal = portal
        self._processes = processes
        self._database = database
        self._portal_away, self._database_away = threading.Lock(), threading.Lock()
        self._seed = seed
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._coming: list[Fault] = []
        self._rule: tuple[Fault, Rule, int] | None = None
        self.seen: Counter[str] = Counter()
        self.dismissed: list[tuple[float, float]] = []
        self.failures: list[str] = []

    def start(self) -> None:
        # (name, what happens, seconds to the first time, seconds between)
        jobs: list[tuple[str, Callable[[Random], None], tuple[float, float], tuple[float, float]]] = [
            ("fault", self._fault, (0.0, 0.1), (0.2, 0.8)),
            ("absence", self._away_for_a_moment, (4.0, 8.0), (15.0, 30.0)),
            ("hour", self._away_for_an_hour, (12.0, 20.0), (90.0, 180.0)),
            ("webhook", self._expire, (5.0, 10.0), (20.0, 40.0)),
            ("dismissal", self._dismiss, (3.0, 8.0), (8.0, 15.0)),
            ("database", self._take_database, (6.0, 12.0), (15.0, 30.0)),
            ("disk", self._fill_disk, (10.0, 20.0), (30.0, 60.0)),
            ("frozen", self._freeze, (8.0, 16.0), (20.0, 40.0)),
        ]
        for process in self._processes:
            name = f"kill {process.log.stem}"
            jobs.append((name, self._killing(process), (3.0, 8.0), (6.0, 14.0)))
        for name, job, first, between in jobs:
            thread = threading.Thread(target=self._repeat, args=(name, job, first, between), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the trouble; everything is whole again afterwards."""
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        self._count_hits()
        self._portal.faults([])

    @property
    def expected(self) -> list[str]:
        """Every kind of trouble a run must have seen."""
        return [
            *(f"portal: {fault.says}" for fault in FAULTS),
            "portal: away for a moment",
            "portal: away for an hour (of shortened time)",
            "portal: webhook expired",
            "portal: a manager dismissed",
            f"database: {self._database.says}",
            "disk full for journal and spool, database away",
            "process frozen (SIGSTOP)",
            *(f"process killed (-9): {process.log.stem}" for process in self._processes),
        ]

    def _repeat(
        self, name: str, job: Callable[[Random], None], first: tuple[float, float], between: tuple[float, float]
    ) -> None:
        chance = Random(f"{self._seed}/{name}")
        pause = first
        while not self._stop.wait(chance.uniform(*pause)):
            pause = between
            try:
                job(chance)
            except Exception as error:
                log.exception("%s", name)
                self.failures.append(f"{name}: {error!r}")
                return

    # --- the portal ------------------------------------------------------------------------------

    def _fault(self, chance: Random) -> None:
        if self._portal_away.locked():
            return
        self._count_hits()
        if not self._coming:  # each kind in turn, in an order of its own each time
            self._coming = chance.sample(FAULTS, len(FAULTS))
        fault = self._coming.pop()
        rule = fault.rule(chance)
        self._rule = fault, rule, rule.times
        self._portal.portal.faults.replace([rule])

    def _count_hits(self) -> None:
        if self._rule is not None:
            fault, rule, times = self._rule
            self.seen[f"portal: {fault.says}"] += times - rule.times

    def _away_for_a_moment(self, chance: Random) -> None:
        self._away(chance.uniform(1.0, 5.0), "a moment")

    def _away_for_an_hour(self, _: Random) -> None:
        self._away(HOUR_S, "an hour (of shortened time)")

    def _away(self, seconds: float, how_long: str) -> None:
        with self._portal_away:
            self._portal.stop()
            self._stop.wait(seconds)
            self._portal.start()
        self.seen[f"portal: away for {how_long}"] += 1

    def _expire(self, chance: Random) -> None:
        secret = self._portal.state.secret
        self._portal.seed({"webhook": {"secret": "another"}})
        self._stop.wait(chance.uniform(1.0, 4.0))
        self._portal.seed({"webhook": {"secret": secret}})
        self.seen["portal: webhook expired"] += 1

    def _dismiss(self, chance: Random) -> None:
        since = time.time()
        self._portal.seed({"users": [{**_BORIS, "active": False}]})
        self._stop.wait(chance.uniform(1.0, 3.0))
        self._portal.seed({"users": [{**_BORIS, "active": True}]})
        self.dismissed.append((since, time.time()))
        self.seen["portal: a manager dismissed"] += 1

    # --- our side --------------------------------------------------------------------------------

    def _killing(self, process: Process) -> Callable[[Random], None]:
        def kill(chance: Random) -> None:
            process.crash_and_come_back(chance)
            self.seen[f"process killed (-9): {process.log.stem}"] += 1

        return kill

    def _freeze(self, chance: Random) -> None:
        # The one that answers no hooks: a call's times are those at which a server accepts its hooks.
        self._processes[-1].freeze(chance.uniform(0.5, 8.0))
        self.seen["process frozen (SIGSTOP)"] += 1

    def _take_database(self, chance: Random) -> None:
        with self._database_away, self._database.away():
            self._stop.wait(chance.uniform(0.5, 3.0))
        self.seen[f"database: {self._database.says}"] += 1

    def _fill_disk(self, chance: Random) -> None:
        with self._database_away, contextlib.ExitStack() as full:
            for process in self._processes:
                full.enter_context(process.disk_full(chance.randrange(0, 16_384)))
            with self._database.away():
                self._stop.wait(chance.uniform(0.5, 3.0))
        self.seen["disk full for journal and spool, database away"] += 1
