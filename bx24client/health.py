"""Whether the portal works at all, and whether it answers callers in time; learnt from every request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from bx24client.errors import AuthFailed, BitrixError, BudgetExhausted, TransportError, Unavailable, WebServerRefused

_IN_A_ROW = 3
_PROBE_EVERY_S = 1.0
# One user's missing right, or one method's, is no illness of the portal.
_ONLY_ONE_METHOD = ("AccessDenied", "ScopeMissing", "WrongAuthType")


class Health:
    """Well until some requests in a row failed for reasons that concern all of them; well again by one that worked.

    Prompt until some callers in a row were not answered by their deadline; again by one that was.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._since = 0.0
        self._missed = 0
        self._probe_at = 0.0
        self._outcomes: Counter[str] = Counter()
        self.last_error = ""

    @property
    def well(self) -> bool:
        return self._in_a_row < _IN_A_ROW

    @property
    def prompt(self) -> bool:
        """Whether it is worth a caller's time to wait for the portal."""
        return self.well and self._missed < _IN_A_ROW

    @property
    def ill_for_s(self) -> float:
        """Seconds since the first of the failures in a row, 0.0 when there was none."""
        return self._clock() - self._since if self._in_a_row else 0.0

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many requests ended how since the start: `worked`, or the name of the error."""
        with self._lock:
            return dict(self._outcomes)

    def worked(self) -> None:
        """A request gave its result."""
        self._ended("worked")
        self._in_a_row = 0

    def failed(self, error: BitrixError) -> None:
        """A request ended with `error`."""
        self._ended(type(error).__name__)
        if isinstance(error, BudgetExhausted):
            return  # our own patience, not the portal's
        ill = isinstance(error, (TransportError, Unavailable, WebServerRefused, AuthFailed))
        if not ill or type(error).__name__ in _ONLY_ONE_METHOD:
            self._in_a_row = 0  # the portal answered, be it with a refusal
            return
        with self._lock:
            self._in_a_row += 1
            self._since = self._clock() if self._in_a_row == 1 else self._since
            self.last_error = str(error)

    def missed_deadline(self) -> None:
        """A caller waited for the portal in vain."""
        with self._lock:
            self._missed += 1

    def met_deadline(self) -> None:
        """A question of the kind callers wait for was answered in time."""
        self._missed = 0

    def may_probe(self, lasting_s: float) -> bool:
        """Whether the caller of this may test the portal now, with a request of `lasting_s` at most: one at a time."""
        with self._lock:
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + max(lasting_s, _PROBE_EVERY_S)
            return True

    def probed(self) -> None:
        """The probe came back: the next may leave in a moment."""
        with self._lock:
            self._probe_at = min(self._probe_at, self._clock() + _PROBE_EVERY_S)

    def _ended(self, how: str) -> None:
        with self._lock:
            self._outcomes[how] += 1
