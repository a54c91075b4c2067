"""The rules and lists for numbers in memory, refreshed behind the calls' back."""

from __future__ import annotations

import logging
import threading

from itgrix_bx.calls.number_lists import Lists
from itgrix_bx.calls.numbering import Numbering
from itgrix_bx.config import Numbers as Settings
from sql.database import DatabaseAwayError
from sql.numbers import Numbers as Store

log = logging.getLogger("itgrix_bx.numbers")

ANONYMOUS_BLOCKED = ""  # among what the PBX blocks: callers without a number
_LOOK_S = 1.0  # so that `numbers …` works on the next call


def numbering(store: Store, settings: Settings) -> Numbering:
    """What is stored now. Raises DatabaseAwayError."""
    return _numbering(store, settings)[1]


def _numbering(store: Store, settings: Settings) -> tuple[str, Numbering]:
    stored = store.read()
    plain = Numbering(settings.country, settings.anonymous, stored.rules, Lists(stored.entries), stored.internal)
    blocked = plain.with_blocked(stored.blocked, no_anonymous=ANONYMOUS_BLOCKED in stored.blocked)
    return stored.version, blocked


class Numbers:
    """`current` is what hooks and delivery go by, without any I/O; `known` once the rules have been read."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._version = ""
        self.current = Numbering(settings.country, settings.anonymous)
        self.known = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh_for_ever, name="numbers", daemon=True)

    def start(self) -> None:
        self.reread()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def reread(self) -> None:
        """Take what has changed; keep what we have when the database is away."""
        try:
            if self._store.version() != self._version:
                self._version, self.current = _numbering(self._store, self._settings)
            self.known = True
        except DatabaseAwayError as error:
            log.debug("numbers: %s", error)

    def _refresh_for_ever(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self.reread()
            except Exception:  # a row nobody understands must not end it: the next change may be the cure
                log.exception("the rules for numbers could not be read; the last ones stay in use")
