"""Whether the portal may be asked to fetch a recording from us, by what it has shown so far.

It costs one small command that shares a request with others, but one that hangs would hold those up. So until a fetch
has worked, and after each that failed, one call at a time tries it, in a request of its own; the others' recordings are
sent. What has shown is in the database: a restart forgets nothing, and `doctor` and `status` can tell.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

from bx24client import BitrixError
from itgrix_bx.delivery.recording.links import Links
from itgrix_bx.delivery.recording.shelf import Shelf
from sql.database import DatabaseAwayError
from sql.notes import Notes

log = logging.getLogger("itgrix_bx.delivery")

MOST_FAILURES = 3  # in a row
REST_S = 600.0
# The portal fetches while it answers, and a request ends after 60 s: this takes 34 s from behind a line of 5 Mbit/s.
LARGEST = 20 * 1024 * 1024  # bytes

How = Literal["", "alone", "together"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the portal has shown: unix seconds, 0.0 for never; `failures` since it last worked."""

    worked_at: float = 0.0
    failures: int = 0
    failed_at: float = 0.0
    error: str = ""

    @classmethod
    def of(cls, note: str | None) -> Shown:
        return cls(**json.loads(note)) if note else cls()

    @property
    def proven(self) -> bool:
        return self.worked_at > 0 and not self.failures

    @property
    def gave_up(self) -> bool:
        """It has failed too often in a row."""
        return self.failures >= MOST_FAILURES

    @property
    def trouble(self) -> str:
        """What the administrator should know, "" when there is nothing."""
        if not self.gave_up:
            return ""
        return f"the portal could not fetch the last {self.failures} recordings ({self.error}), so they are sent"

    @property
    def rests(self) -> bool:
        # A failure that lies ahead was noted by a clock that has been put right since.
        return self.gave_up and abs(time.time() - self.failed_at) < REST_S


class Fetching:
    """`public_url`: as in `[recordings]`, "" where the portal cannot reach us. Safe to share between threads."""

    def __init__(self, public_url: str, notes: Notes) -> None:
        self.public_url = public_url
        self.links = Links(public_url)
        self.shelf = Shelf()
        self._notes = notes
        self._name = f"fetching from {public_url}"  # another address has all its chances
        self._trying = threading.Lock()

    def prepare(self) -> None:
        """Once, when the database is there. Raises DatabaseAwayError."""
        if self.public_url:
            self.links.prepare(self._notes)

    def trouble(self) -> str:
        """What the administrator should know, "" when there is nothing. Raises DatabaseAwayError."""
        return self.shown().trouble

    @property
    def cure(self) -> str:
        return f'let the portal reach {self.public_url} from outside, or set [recordings] public_url to ""'

    def shown(self) -> Shown:
        """What has shown on all machines. Raises DatabaseAwayError."""
        return Shown.of(self._notes.read(self._name))

    @contextmanager
    def turn(self, size: int) -> Iterator[How]:
        """How a recording of `size` bytes may be fetched: in a request of its own, together with others, or not at all.

        What the body does with it is noted when it works, or when no answer comes. Raises DatabaseAwayError.
        """
        shown = self.shown() if self.public_url and size <= LARGEST else None
        if shown is None or shown.rests or not (shown.proven or self._trying.acquire(blocking=False)):
            yield ""
            return
        try:
            yield "together" if shown.proven else "alone"
        except BitrixError as error:
            if error.maybe_running:
                self.failed(str(error))
            raise
        else:
            if not shown.proven:
                self._worked()
        finally:
            if not shown.proven:
                self._trying.release()

    def failed(self, error: str) -> None:
        """The portal could not fetch a file that it took when it was sent, or could not in time."""
        now = time.time()
        shown = self._note(lambda known: Shown(known.worked_at, known.failures + 1, now, error))
        if shown is not None and shown.failures == MOST_FAILURES:
            log.warning("%s; tried again every %.0f minutes; %s", shown.trouble, REST_S / 60, self.cure)

    def _worked(self) -> None:
        now = time.time()
        self._note(lambda _: Shown(worked_at=now))
        log.info("the portal fetches recordings from [recordings] public_url")

    def _note(self, change: Callable[[Shown], Shown]) -> Shown | None:
        try:
            note = self._notes.change(self._name, lambda known: json.dumps(asdict(change(Shown.of(known)))))
        except DatabaseAwayError as error:  # the call matters, this does not
            log.debug("how fetching went is not noted: %s", error)
            return None
        return Shown.of(note)
