"""The wall clock may be set while calls go on; the machine's own clock counts from its start and is never set."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

log = logging.getLogger("itgrix_bx.clock")

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
_SET_S = 10.0  # less than this between two looks is a slow look, or a clock that is being slewed


def stamp(at: float) -> dict[str, Any]:
    """Event data that says by the machine's own clock when `at` was (unix seconds, a moment ago)."""
    return {"clock": [_BOOT, round(time.monotonic() - (time.time() - at), 3)]}


class WallClock:
    """Notices that the wall clock was set: what is in flight and who has what in hand is told by its times."""

    def __init__(self) -> None:
        self._ahead = _ahead()
        self._quiet_until = 0.0

    def quiet(self, rest_s: float) -> bool:
        """Whether it was set less than `rest_s` ago, as far as looks tell."""
        ahead = _ahead()
        by, self._ahead = ahead - self._ahead, ahead
        if abs(by) > _SET_S:
            self._quiet_until = time.monotonic() + rest_s
            way = "forward" if by > 0 else "back"
            log.warning("the clock was set %s by %.0f s: delivery rests for %.0f s", way, abs(by), rest_s)
        return time.monotonic() < self._quiet_until


def _ahead() -> float:
    """Seconds from the machine's own clock to the wall clock; constant as long as nobody sets it."""
    return time.time() - time.monotonic()
