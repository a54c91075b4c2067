"""The rules of routing in memory: a change works on the next call, and no call waits for the database."""

from __future__ import annotations

import logging
import threading

from itgrix_bx.calls.policy import Rules
from sql.database import DatabaseAwayError
from sql.routing import Routing

log = logging.getLogger("itgrix_bx.routing")

_LOOK_S = 0.2  # one row by its key


class LiveRules:
    """`rules` is what was set last, without rules the contract's; kept when the database is away."""

    def __init__(self, stored: Routing) -> None:
        self._stored = stored
        self._version: str | None = None
        self.rules = Rules()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_for_ever, name="rules", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Read the rules again if they were changed."""
        try:
            version = self._stored.version()
            if version != self._version:
                self.rules, self._version = self._stored.rules(), version
        except DatabaseAwayError as error:
            log.debug("rules: %s", error)

    def _look_for_ever(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("the rules could not be read; the last ones stay in use")
