"""Old calls leave the journal: those that are complete or skipped, a few at a time. What is not delivered stays."""

from __future__ import annotations

import logging
import threading
import time

from sql.database import DatabaseAwayError
from sql.journal import Journal

log = logging.getLogger("itgrix_bx.retention")

_AT_ONCE = 25  # calls in one transaction: hooks write between two of them, and wait for none longer than a few ms
_PAUSE_S = 0.25
_REST_S = 600.0
_DAY_S = 86400.0


class Retention:
    """Deletes calls that were over `keep_days` ago. Any number of processes may do it at once."""

    def __init__(self, journal: Journal, keep_days: int) -> None:
        self._journal = journal
        # A day more than catch-up looks back: what it asks about must still be known.
        self._keep_s = (keep_days + 1) * _DAY_S
        # A wall clock set years ahead for a moment must not empty the journal.
        self._ahead = time.time() - time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def forget_some(self) -> int:
        """One small step; how many calls were deleted. Raises DatabaseAwayError."""
        now = time.monotonic() + self._ahead
        return self._journal.forget(now - self._keep_s, _AT_ONCE)

    def _run(self) -> None:
        deleted = 0
        while not self._stop.is_set():
            some = self._try()
            deleted += some
            if deleted and not some:
                log.info("%d old calls were deleted ([journal] keep_days)", deleted)
                deleted = 0
            self._stop.wait(_PAUSE_S if some else _REST_S)

    def _try(self) -> int:
        try:
            return self.forget_some()
        except DatabaseAwayError as error:
            log.debug("retention waits for the database: %s", error)
        except Exception:
            log.exception("old calls could not be deleted; it is tried again later")
        return 0
