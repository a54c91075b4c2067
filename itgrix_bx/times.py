"""Times for people and for the contract."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def iso(at: float | None) -> str | None:
    """ISO 8601 with this machine's offset, milliseconds kept; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="milliseconds")


def unix(text: str) -> float:
    """Unix seconds from ISO 8601 (this machine's zone when none is given). Raises ValueError."""
    return datetime.fromisoformat(text).astimezone().timestamp()


def ago(at: float) -> str:
    """How long ago."""
    return span(time.time() - at)


def span(seconds: float) -> str:
    """A length of time in its largest unit; below a minute with a tenth."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{max(0.0, seconds):.3g} s" if seconds < 10 else f"{seconds:.0f} s"
