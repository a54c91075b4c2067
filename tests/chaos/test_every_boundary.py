"""The program killed at every boundary between two steps of a call: before and after each commit and each request."""

from __future__ import annotations

import itertools
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.calls import Player, Truth
from tests.chaos.processes import Process
from tests.chaos.run import drain, process, rule_lines, shortened_portal
from tests.chaos.verdict import Verdict, judge

_AT_ONCE = 8
_NEVER = 1000


@dataclass
class Lived:
    """One call, and what the program went through during it."""

    boundary: int
    truth: Truth
    verdict: Verdict
    died: bool
    passed: int  # boundaries before it died


def _play(boundary: int, kind: str, known: bool, recorded: bool, directory: Path) -> Lived:
    """A call during which the program dies there and is started again, as systemd would."""
    directory /= str(boundary)
    monitor, url = directory / "monitor", f"sqlite:///{directory}/journal.db"
    monitor.mkdir(parents=True)
    shutil.copy(directory.parent / "ruled.db", directory / "journal.db")
    with shortened_portal() as portal:
        served = process(portal, url, directory, monitor, "one", spool="spool")
        served.die_at = boundary
        served.start()
        try:
            _await_employees(served)
            player = Player([("127.0.0.1", served.port or 0)], monitor, seed=0, recorded=float(recorded))
            number = _number(player, kind, known)
            portal.seed(player.crm(number))
            truth, died = _keep_alive_while(served, player, number, url)
            passed = int(served.log.with_suffix(".boundaries").read_text() or 0)
            return Lived(boundary, truth, judge([truth], portal.dump(), False), died, passed)
        finally:
            served.stop()


def _await_employees(served: Process) -> None:
    end = time.monotonic() + 30
    while "users read" not in served.log.read_text():
        assert time.monotonic() < end, served.log.read_text()[-1000:]
        time.sleep(0.05)


def _number(player: Player, kind: str, known: bool) -> int:
    """The first call of this kind whose client is to get a lead, and has a contact or not."""

    def fits(number: int) -> bool:
        client = player.client(number)
        return player.kind(number) == kind and client.wants_lead and (client.responsible is not None) == known

    return next(filter(fits, itertools.count(1)))


def _keep_alive_while(served: Process, player: Player, number: int, url: str) -> tuple[Truth, bool]:
    """Play this call until all of it is delivered; whether the program died meanwhile."""
    died = False
    with ThreadPoolExecutor(1) as pool:
        delivered = pool.submit(lambda: (player.play(number), drain(url, 60)))
        while not delivered.done():
            if not served.alive:
                died = True
                served.start()
            time.sleep(0.02)
        truth, seconds = delivered.result()
    assert seconds is not None, f"{truth} is never delivered"
    return truth, died


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "known", "recorded"),
    [("answered", False, True), ("answered", True, False), ("outbound", False, False)],
    ids=["answered and recorded", "a known client's, who gets a lead", "outbound"],
)
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    kind: str, known: bool, recorded: bool, tmp_path: Path
) -> None:
    rule_lines(f"sqlite:///{tmp_path}/ruled.db")
    whole = _play(_NEVER, kind, known, recorded, tmp_path)
    assert whole.verdict.clean, whole
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = [pool.submit(_play, n, kind, known, recorded, tmp_path) for n in range(1, whole.passed + 1)]
        found = [run.result() for run in runs]
    assert [(lived.boundary, dict(lived.verdict.bad)) for lived in found if not lived.verdict.clean] == []
    # The call has a boundary more or less from one time to the next; but for the last ones it died at each.
    assert sum(lived.died for lived in found) >= whole.passed - 4
    assert sum(lived.truth.end_told for lived in found) > whole.passed // 2
