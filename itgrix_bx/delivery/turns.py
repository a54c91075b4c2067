"""One new client at a time: the portal looks whether a client is there and makes one without a lock in between. Two
calls of one unknown number at the same moment would make two.

What is under way is in the journal, whoever does it: each says there that a request leaves before it looks who else has
said so. Of two at the same moment at least one sees the other and stands back; it is told at its next try. Who cannot
say so, the database being away, registers nobody the portal does not know.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from bx24client import BitrixError
from itgrix_bx.calls.call import IN, Call, Doubt
from itgrix_bx.delivery.schedule import IN_FLIGHT_S, settled_at

# The calls of a number that began since (unix seconds), but one: Journal.beside.
Beside = Callable[[Call, float], list[Call]]

_BACKLOG_S = 30 * 86400.0  # how old a call may be that is registered late


class NotItsTurn(BitrixError):  # noqa: N818 - named after what happened, as its kin in bx24client
    """The portal is not to make a client for this call now. Nothing was sent."""

    retryable = True


def another_first() -> NotItsTurn:
    """Another call of the number is with the portal."""
    return NotItsTurn("another call of this number is being registered: this one follows")


def others_unknown() -> NotItsTurn:
    """Whether another call of the number is with the portal cannot be known."""
    return NotItsTurn("the database is away: a new client is registered when it is back")


class Turns:
    """The numbers whose registration this program has under way: of two of its own, one is first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, tuple[str, float]] = {}  # number -> whose it is, until when at most (monotonic)

    def take(self, call: Call) -> bool:
        """Whether it is this call's turn now."""
        now = time.monotonic()
        with self._lock:
            whose, until = self._taken.get(call.client_number, (call.call_id, 0.0))
            if whose != call.call_id and now < until:
                return False
            self._taken[call.client_number] = call.call_id, now + IN_FLIGHT_S
            return True

    def give_back(self, call: Call) -> None:
        """The registration has been answered, or never left."""
        with self._lock:
            if self._taken.get(call.client_number, ("", 0.0))[0] == call.call_id:
                del self._taken[call.client_number]


def again_at() -> float:
    """When who stood back tries again, unix seconds: soon however often, and not at the same moment as the other."""
    return time.time() + random.uniform(0.3, 2.0)


def makes_a_client(call: Call) -> bool:
    """Whether the registration of a call makes a client of whom nobody knows."""
    return call.direction == IN and bool((call.register_params or {}).get("CRM_CREATE"))


def take(call: Call, own: Turns, beside: Beside, since: float | None = None) -> None:
    """To be called when it is in the journal that the call's registration leaves; `own.give_back` after the answer.

    `since` (unix seconds): no call that began earlier can be with the portal; the backlog's may. Raises NotItsTurn, and
    what `beside` raises; the turn is the call's all the same then.
    """
    if not own.take(call):
        raise another_first()
    if is_registered_beside(call, beside, time.time() - _BACKLOG_S if since is None else since):
        own.give_back(call)
        raise another_first()


def is_registered_beside(call: Call, beside: Beside, since: float) -> bool:
    """Whether another call of the number that began after `since` is being registered now."""
    return any(
        makes_a_client(other) and not other.portal_call_id and _is_under_way(other.register_doubt)
        for other in beside(call, since)
    )


def _is_under_way(doubt: Doubt | None) -> bool:
    return doubt is not None and time.time() < settled_at(doubt)
