"""A thread that looks after something now and then, and at once when the link to Asterisk comes up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from itgrix_bx.pbx.ami import Ami


class Looking:
    """Calls `look` from `start` to `stop`; it gives the seconds until the next time. The first is after `first_s`, and
    each comes at once when the link comes up or `soon` is called. What `look` raises ends the thread."""

    def __init__(self, name: str, look: Callable[[], float], ami: Ami, *, first_s: float = 0.0) -> None:
        self._look = look
        self._first_s = first_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        ami.on_link(lambda there: self.soon() if there else None)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A look under way comes to its end."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def soon(self) -> None:
        """Look now, or once more after the look under way."""
        self._wake.set()

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._stopping.is_set():
            self._wake.wait(pause_s)
            self._wake.clear()
            if not self._stopping.is_set():
                pause_s = self._look()
