"""Recordings this process holds ready while the portal is asked to fetch them.

The web part of the same process need not join and convert them a second time; any other makes them anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from itgrix_bx.delivery.recording.collect import Ready


class Shelf:
    """By file name. Safe to share between threads."""

    def __init__(self) -> None:
        self._ready: dict[str, Ready] = {}
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, name: str, ready: Ready) -> Iterator[None]:
        """Have the recording at hand as long as the context lasts."""
        with self._lock:
            self._ready[name] = ready
        try:
            yield
        finally:
            with self._lock:
                del self._ready[name]

    def take(self, name: str) -> BinaryIO | None:
        """The recording, opened anew for the caller to read and close; None when it is not here."""
        with self._lock:
            ready = self._ready.get(name)
            return ready.path.open("rb") if ready else None
