"""The portal's clock: it can be set ahead, and its waits end at once when the portal stops."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone


class Clock:
    """Real time plus an offset, or a time that stands still until it is advanced (`frozen_at`)."""

    def __init__(self, frozen_at: float | None = None) -> None:
        self._frozen_at = frozen_at
        self._offset_s = 0.0
        self._stopped = threading.Event()

    def now(self) -> float:
        """Seconds since 1970 by the portal."""
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._offset_s

    def advance(self, seconds: float) -> None:
        """Set the clock ahead."""
        self._offset_s += seconds

    def freeze(self) -> None:
        """Let time stand still: limits can then be tested to the unit."""
        self._frozen_at, self._offset_s = self.now(), 0.0

    def sleep(self, seconds: float) -> None:
        """Wait in real time; never while a lock is held."""
        if seconds > 0:
            self._stopped.wait(seconds)

    def stop(self) -> None:
        """End every wait."""
        self._stopped.set()

    def restart(self) -> None:
        """Let waits last again."""
        self._stopped.clear()


def iso(moment: float, utc_offset_min: int) -> str:
    """ISO 8601 in the portal's zone, whole seconds."""
    zone = timezone(timedelta(minutes=utc_offset_min))
    return datetime.fromtimestamp(int(moment), zone).isoformat()


def parse_date(text: str, utc_offset_min: int) -> float | None:
    """Seconds since 1970 as strtotime() reads them, without fractions; None when it cannot.

    Without a zone the portal's own applies. Bare digits are no date, `@1700000000` is.
    """
    text = text.strip()
    if text.startswith("@") and text[1:].lstrip("-").isdecimal() and len(text) < 15:
        return float(int(text[1:]))
    if text.isdecimal() and len(text) != 8:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=timezone(timedelta(minutes=utc_offset_min)))
        return float(int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()))
    except (ValueError, OverflowError):
        return None
