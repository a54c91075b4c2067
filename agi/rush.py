"""In a rush of calls the threads that serve them keep to one core.

Python runs one thread at a time. On several cores every system call of a busy thread lets another one begin elsewhere,
and the two then wait for each other: that costs a hook half as much again (`python -m bench.inbound_hook`). While few
hooks are in hand there is nothing to gain, and the kernel's own choice is left alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

MANY, FEW = 8, 3  # hooks in hand: a rush begins with so many, and is over with less than so few
_LOOK_S = 0.5
_BUSY = ("agi-", "bx24-", "journal-")  # names of the threads a hook runs through


class Rush:
    """Watches `in_hand`, the number of hooks under way; `notice` is to be called when one begins."""

    def __init__(self, in_hand: Callable[[], int]) -> None:
        self._in_hand = in_hand
        self._begun = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rush", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._begun.set()

    def notice(self) -> None:
        """Costs next to nothing."""
        if not self._begun.is_set() and self._in_hand() >= MANY:
            self._begun.set()

    def _run(self) -> None:
        while self._begun.wait() and not self._stopping.is_set():
            with _on_one_core():
                while self._in_hand() >= FEW and not self._stopping.wait(_LOOK_S):
                    pass
            if not self._stopping.is_set():
                self._begun.clear()


@contextlib.contextmanager
def _on_one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    one = {_core_of_this_thread(cores)}
    for thread in threading.enumerate():
        if thread.native_id is not None and thread.name.startswith(_BUSY):
            _keep(thread.native_id, one)
    try:
        yield
    finally:
        # Threads begun meanwhile have it from those that began them.
        for task in os.listdir("/proc/self/task"):
            _keep(int(task), cores)


def _core_of_this_thread(cores: Collection[int]) -> int:
    """It has just been woken, where the kernel saw most room."""
    fields = Path("/proc/thread-self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    core = int(fields[36])  # proc(5), "processor"
    return core if core in cores else min(cores)


def _keep(task: int, cores: Collection[int]) -> None:
    with contextlib.suppress(OSError):  # it may have ended
        os.sched_setaffinity(task, cores)
