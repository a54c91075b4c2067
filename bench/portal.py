"""The portal's double in a process of its own, driven by its control addresses."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import requests

from bench.server import ServerProcess

_PATIENCE_S = 120.0  # the state of a long run is tens of megabytes


class Portal:
    """Runs inside a `with`. `latency`: none, quick or documented."""

    def __init__(self, latency: str) -> None:
        self.latency = latency
        self._server = ServerProcess("bench.portal_server", latency)
        self._http = requests.Session()
        self._http.trust_env = False
        self.url = f"http://127.0.0.1:{self._server.address[1]}/"

    @property
    def webhook(self) -> str:
        """The address a client is configured with."""
        return f"{self.url}rest/1/emulator-secret/"

    def reset(self, seed: Mapping[str, Any]) -> None:
        """Forget all, limits and faults too, and begin with `seed`."""
        self._control("reset", seed)

    def settings(self, **values: Any) -> None:
        """Change switches of the double by name."""
        self._control("seed", {"settings": values})

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """New faults instead of the earlier ones."""
        self._control("faults", list(rules))

    def fill_bucket(self, level: float) -> None:
        """The next request finds the request limit's bucket at `level`."""
        self._control("bucket", {"level": level})

    def counts(self) -> dict[str, Any]:
        """How many requests, calls, statistics rows and files there are."""
        return self._get("counts")

    def state(self) -> dict[str, Any]:
        """All it knows."""
        return self._get("state")

    def freeze(self) -> None:
        """It accepts connections and answers nothing, as a host does whose program hangs."""
        os.kill(self._server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        os.kill(self._server.pid, signal.SIGCONT)

    def _control(self, action: str, body: object) -> None:
        answer = self._http.post(f"{self.url}_emulator/{action}", json=body, timeout=_PATIENCE_S)
        if answer.status_code != 200:
            raise RuntimeError(f"the double refused {action}: {answer.text}")

    def _get(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(f"{self.url}_emulator/{what}", timeout=_PATIENCE_S).json()
        return found

    def __enter__(self) -> Portal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()
        self.thaw()
        self._server.__exit__(kind, error, at)
