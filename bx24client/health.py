"""Whether the portal works at all, learnt from every request of every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bx24client.errors import AuthFailed, BitrixError, BudgetExhausted, TransportError, Unavailable, WebServerRefused

_IN_A_ROW = 3
# One user's missing right, or one method's, is no illness of the portal.
_ONLY_ONE_METHOD = ("AccessDenied", "ScopeMissing", "WrongAuthType")


class Health:
    """Well until some requests in a row failed for reasons that concern all of them; well again by one that worked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._since = 0.0
        self.last_error = ""

    @property
    def well(self) -> bool:
        return self._in_a_row < _IN_A_ROW

    @property
    def ill_for_s(self) -> float:
        """Seconds since the first of the failures in a row, 0.0 when there was none."""
        return self._clock() - self._since if self._in_a_row else 0.0

    def worked(self) -> None:
        """The portal answered, be it with a refusal."""
        self._in_a_row = 0

    def failed(self, error: BitrixError) -> None:
        """A request ended with `error`."""
        if isinstance(error, BudgetExhausted):
            return  # our own patience, not the portal's
        ill = isinstance(error, (TransportError, Unavailable, WebServerRefused, AuthFailed))
        if not ill or type(error).__name__ in _ONLY_ONE_METHOD:
            self.worked()
            return
        with self._lock:
            self._in_a_row += 1
            self._since = self._clock() if self._in_a_row == 1 else self._since
            self.last_error = str(error)
