"""The program's processes: killed, frozen, without disk space, and started again.

They are forked from a server that has the program imported, so that starting one costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

from tests.chaos import product

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["tests.chaos.product", "itgrix_bx.cli.serve", "itgrix_bx.service"])


@dataclass
class Process:
    """`serve` with these arguments, its output in `log`."""

    config: Path
    arguments: list[str]
    log: Path
    port: int | None = None
    die_at: int = 0  # the step boundary at which it ends, once; 0: never
    running: ForkServerProcess | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.is_alive()

    def start(self) -> None:
        arguments = ["--config", str(self.config), "serve", *self.arguments]
        forked = _forking.Process(target=product.run, args=(arguments, self.log, self.die_at), daemon=True)
        forked.start()
        self.running, self.die_at = forked, 0
        if self.port is not None:
            self._await_port()

    def _await_port(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port or 0), 1):
                return
            if not self.alive:
                raise RuntimeError(f"the program ended; {self.log} says why")
            time.sleep(0.02)
        raise RuntimeError(f"the program does not listen; see {self.log}")

    def kill(self) -> None:
        """kill -9."""
        if self.running is not None:
            self.running.kill()
            self.running.join()

    def stop(self) -> None:
        """SIGTERM."""
        if self.running is not None:
            self.running.terminate()
            self.running.join(30)
            self.running.kill()
            self.running.join()

    def crash_and_come_back(self, chance: Random) -> None:
        """Killed at any instant, sometimes again while it starts."""
        self.kill()
        if chance.random() < 0.25:
            time.sleep(chance.uniform(0.0, 0.5))
            self.start()
            time.sleep(chance.uniform(0.0, 0.5))
            self.kill()
        time.sleep(chance.uniform(0.0, 0.8))
        self.start()

    def freeze(self, seconds: float) -> None:
        """Stopped in the middle of whatever it does, as a paused virtual machine is."""
        if (pid := self._pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(seconds)
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def disk_full(self, room: int) -> Iterator[None]:
        """None of its files grows beyond `room` bytes."""
        pid = self._pid
        self._limit_files(pid, room)
        try:
            yield
        finally:
            self._limit_files(pid, resource.RLIM_INFINITY)

    def _limit_files(self, pid: int | None, size: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if pid is not None:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    @property
    def _pid(self) -> int | None:
        return self.running.pid if self.running is not None else None
