"""The program's processes, killed and started again: one that answers the dialplan and works, one that only works."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Process:
    """`serve` with these arguments, its output in `log`."""

    config: Path
    arguments: list[str]
    log: Path
    port: int | None = None
    kills: int = 0
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.product", "--config", str(self.config), "serve", *self.arguments]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        if self.port is not None:
            self._await_port()

    def _await_port(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.running is not None and self.running.poll() is not None:
                raise RuntimeError(f"the program ended; {self.log} says why")
            time.sleep(0.02)
        raise RuntimeError(f"the program does not listen; see {self.log}")

    def kill(self) -> None:
        """kill -9."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.kills += 1

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.running is None:
            return 0
        self.running.send_signal(signal.SIGTERM)
        try:
            return self.running.wait(30)
        except subprocess.TimeoutExpired:
            self.running.kill()
            return self.running.wait()

    def crash_and_come_back(self, chance: Random) -> None:
        """Killed at any instant, sometimes again while it starts."""
        self.kill()
        time.sleep(chance.uniform(0.0, 0.8))
        self.start()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
