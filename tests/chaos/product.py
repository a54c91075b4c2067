"""The program with its long waits shortened, so that an hour's outage fits into a minute. Nothing else is changed.

A request of the double lasts at most CAP_S, as a cloud portal's lasts at most 60 s, and has an effect until WORK_S at
the latest, however slow the machine; everything derived from that shrinks with it.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

from bx24client.errors import MethodBlocked
from itgrix_bx import logbook
from itgrix_bx.calls import events
from itgrix_bx.cli import main
from itgrix_bx.delivery import attach, finishing, registering, schedule, trouble, worker
from tests.chaos import dying

CAP_S = 3.0
WORK_S = CAP_S + 1.0
WINDOW_S = 16.0  # in which the portal finds a registered call again: 30 minutes in life
HOUR_S = 2 * WINDOW_S

_PR_SET_PDEATHSIG = 1


def _hurry() -> None:
    schedule.IN_FLIGHT_S = CAP_S + 2.5
    # A killed process may be slow to come back on a machine that plays the whole storm.
    schedule.OTHERS_S = 25.0
    schedule._SLOWEST_S = 4.0
    trouble._FOR_ALL_AGAIN_S = 3.0
    registering._FOUND_AGAIN_S = WINDOW_S - 3.0
    registering._REQUEST_S = finishing._REQUEST_S = attach._REQUEST_S = CAP_S + 0.5
    worker._LEASE_S = 25.0
    worker._LIVE_S = 10.0
    worker._SLOWEST_PROBE_S = 2.0
    logbook._TRY_AGAIN_S = 0.5
    MethodBlocked.retry_after_s = 2.0


def run(arguments: Sequence[str], log: Path, die_at: int = 0) -> None:
    """`itgrix-bx ARGUMENTS` with its output in `log`; `die_at`: see dying.py, 0 is never."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a test that is killed leaves nothing behind
    # What a program started by itself has of its own, a forked one shares.
    _hurry()
    events._PROCESS = uuid.uuid4().hex[:20]
    random.seed()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if die_at:
        dying.arm(die_at, log.with_suffix(".boundaries"))
    main(list(arguments))
