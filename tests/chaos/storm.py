"""What goes wrong: the portal's faults, its absences, dismissed users, killed processes, a database that dies."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from itgrix_bx.emulator.portal import PortalEmulator
from tests.chaos.processes import Process
from tests.chaos.product import CAP_S

log = logging.getLogger("chaos")

_CALL = "telephony.externalCall."
_METHODS = (f"{_CALL}register", f"{_CALL}finish", f"{_CALL}attachRecord", "voximplant.statistic.get", "*")
# (kind, after the side effect, share)
_FAULTS = (
    ("lost_answer", True, 6),
    ("reset", False, 3),
    ("reset", True, 3),
    ("html502", False, 2),
    ("html502", True, 3),
    ("html503", False, 2),
    ("html429", False, 1),
    ("limit", False, 2),
    ("hang", False, 1),
    ("hang", True, 1),
    ("slow", True, 2),
    ("garbage", True, 2),
    ("empty", True, 1),
    ("auth", False, 1),
)
_DISMISSED = {"id": 12, "name": "Борис Петров", "extension": "102"}


class Storm:
    """Each kind of trouble in a thread of its own, until `stop`; `seen` counts what happened."""

    def __init__(self, portal: PortalEmulator, processes: list[Process], database: Any, seed: int) -> None:
        self._portal = portal
        self._processes = processes
        self._database = database
        self._seed = seed
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.seen: Counter[str] = Counter()
        self.dismissed_between: list[tuple[float, float]] = []
        self.failures: list[str] = []

    def start(self) -> None:
        jobs: list[tuple[str, Callable[[Random], None], tuple[float, float]]] = [
            ("fault", self._fault, (0.05, 0.4)),
            ("away", self._away, (12.0, 25.0)),
            ("dismissal", self._dismiss, (8.0, 15.0)),
        ]
        jobs += [(f"kill {n}", self._killing(process), (4.0, 10.0)) for n, process in enumerate(self._processes)]
        if self._database is not None:
            jobs.append(("database", self._kill_database, (15.0, 30.0)))
        for name, job, pause in jobs:
            thread = threading.Thread(target=self._repeat, args=(name, job, pause), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the trouble; everything is whole again afterwards."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        self._portal.faults([])
        self._portal.seed({"users": [{**_DISMISSED, "active": True}]})

    def _repeat(self, name: str, job: Callable[[Random], None], pause: tuple[float, float]) -> None:
        chance = Random(f"{self._seed}/{name}")
        while not self._stop.wait(chance.uniform(*pause)):
            try:
                job(chance)
            except Exception as error:
                log.exception("%s", name)
                self.failures.append(f"{name}: {error!r}")
                return

    def _fault(self, chance: Random) -> None:
        kind, after, _ = chance.choices(_FAULTS, weights=[share for *_, share in _FAULTS])[0]
        method, times = chance.choice(_METHODS), chance.randrange(1, 8)
        rule: dict[str, Any] = {"method": method, "kind": kind, "after_effect": after, "times": times}
        if kind in ("hang", "slow"):
            rule["delay_s"] = CAP_S + 0.2 if kind == "hang" else chance.uniform(0.2, 1.5)
        self._portal.faults([rule])
        self.seen[f"portal: {kind}{', work done' if after else ''}"] += 1

    def _away(self, chance: Random) -> None:
        """Nobody answers; one absence in three is longer than the portal's memory of open calls."""
        self._portal.stop()
        self._stop.wait(chance.choice((2.0, 4.0, 24.0)))
        self._portal.start()
        self.seen["portal: away"] += 1

    def _dismiss(self, chance: Random) -> None:
        since = time.time()
        self._portal.seed({"users": [{**_DISMISSED, "active": False}]})
        self._stop.wait(chance.uniform(1.0, 3.0))
        self._portal.seed({"users": [{**_DISMISSED, "active": True}]})
        self.dismissed_between.append((since, time.time()))
        self.seen["portal: a user dismissed"] += 1

    def _killing(self, process: Process) -> Callable[[Random], None]:
        def kill(chance: Random) -> None:
            process.crash_and_come_back(chance)
            self.seen[f"killed: serve {' '.join(process.arguments)}".strip()] += 1

        return kill

    def _kill_database(self, chance: Random) -> None:
        self._database.kill()
        self._stop.wait(chance.uniform(0.5, 3.0))
        self._database.start()
        self.seen["killed: MariaDB"] += 1
