"""The product in a process of its own: a configuration, `serve`, the hooks' address, and its own word about calls."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tomli_w

from bench.server import cpu_s, memory_mib

_STARTS_S = 60.0
_STOPS_S = 20.0
_REPOSITORY = Path(__file__).parents[1]

# For a portal without a request limit: the largest budget that the configuration takes.
UNLIMITED = {"requests_per_second": 100.0, "burst": 1000}

Changes = Mapping[str, Mapping[str, Any]]


class Product:
    """Runs inside a `with`, ready for calls. `changes`: sections and keys of its configuration."""

    def __init__(self, directory: Path, webhook: str, changes: Changes | None = None) -> None:
        self.address = ("127.0.0.1", _free_port())
        self.monitor = directory / "monitor"
        self._web = _free_port()
        self._log = directory / "product.log"
        self._config = directory / "config.toml"
        self.monitor.mkdir()
        self._config.write_text(tomli_w.dumps(self._tables(directory, webhook, changes or {})), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def _tables(self, directory: Path, webhook: str, changes: Changes) -> dict[str, dict[str, Any]]:
        tables: dict[str, dict[str, Any]] = {
            "portal": {"webhook": webhook},
            "database": {"url": f"sqlite:///{directory}/journal.db"},
            "journal": {"directory": str(directory)},
            "fastagi": {"listen": f"127.0.0.1:{self.address[1]}"},
            "web": {"listen": f"127.0.0.1:{self._web}"},
            "recordings": {"directory": str(self.monitor)},
        }
        for section, keys in changes.items():
            tables[section] = tables.get(section, {}) | dict(keys)
        return tables

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the product does not run: {self._last_words()}")
        return self._process.pid

    def calls(self) -> list[dict[str, Any]]:
        """What `calls list --json` says of all calls."""
        done = subprocess.run(
            self._command("calls", "list", "--limit", "0", "--json"), cwd=_REPOSITORY, capture_output=True, check=True
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def cpu_s(self) -> float:
        """Processor time so far."""
        return cpu_s(self.pid)

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory now and at its highest."""
        return memory_mib(self.pid)

    def __enter__(self) -> Product:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command("serve", "--log-level", "warning"), cwd=_REPOSITORY, stdout=log, stderr=log
            )
        end = time.monotonic() + _STARTS_S
        while not self._knows_its_employees():
            if time.monotonic() > end:
                raise RuntimeError(f"the product is not ready: {self._last_words()}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOPS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "itgrix_bx", "--config", str(self._config), *args]

    def _knows_its_employees(self) -> bool:
        assert self.pid
        health = http.client.HTTPConnection("127.0.0.1", self._web, timeout=2)
        with contextlib.closing(health), contextlib.suppress(OSError, ValueError):
            health.request("GET", "/healthz")
            return bool(json.load(health.getresponse())["parts"]["employees"]["ok"])
        return False

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", "replace")[-500:] if self._log.exists() else "it was not started"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
