"""A server under measurement in a process of its own, and what it used of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType


class ServerProcess:
    """`python -m MODULE ARGS…`, which prints its port and serves until its standard input ends."""

    def __init__(self, module: str, *args: str) -> None:
        command = [sys.executable, "-m", module, *args]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = ("127.0.0.1", int(self._process.stdout.readline()))
        self.last_words = ""  # what it printed at its end

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu_s(self) -> float:
        """User and system time so far, to 10 ms."""
        return cpu_s(self._process.pid)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.last_words, _ = self._process.communicate()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, to 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at its highest, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    now, peak = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def serve_until_told(port: int) -> None:
    """The child's part: say the port, wait for the end."""
    print(port, flush=True)
    sys.stdin.read()
