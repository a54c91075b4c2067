"""The double as a program."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

from itgrix_bx.emulator.portal.double import PortalEmulator


def run(listen: str, latency: str = "none", seed_path: str | None = None) -> None:
    """Serve on `host:port` until SIGINT or SIGTERM. Raises ValueError with a sentence, OSError."""
    emulator = PortalEmulator(_address(listen), _read_seed(seed_path), latency=latency)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with emulator:
        print(f"Webhook: {emulator.webhook_url}", flush=True)
        print(f"Page:    {emulator.url}", flush=True)
        over.wait()


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"listen must be host:port, such as 127.0.0.1:8099, not {listen!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _read_seed(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object")
    return found
