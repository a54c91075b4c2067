"""One new client at a time: the portal looks whether a client is there and makes one without a lock in between. Two
calls of one unknown number at the same moment would make two.

What is under way is in the journal, whoever does it: each says there that a request leaves before it looks who else has
said so. Of two at the same moment at least one sees the other and stands back; it is told at its next try.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from bx24client import BitrixError
from itgrix_bx.calls.call import IN, Call, Doubt
from itgrix_bx.delivery.schedule import settled_at

# The calls of a number that began since (unix seconds), but one: Journal.beside.
Beside = Callable[[Call, float], list[Call]]

_BACKLOG_S = 30 * 86400.0  # how old a call may be that is registered late


class AnotherFirst(BitrixError):  # noqa: N818 - named after what happened, as its kin in bx24client
    """Another call of this number is with the portal: this one follows. Nothing was sent."""

    retryable = True

    def __init__(self) -> None:
        super().__init__("another call of this number is being registered: this one follows")


def again_at() -> float:
    """When who stood back tries again, unix seconds: soon however often, and not at the same moment as the other."""
    return time.time() + random.uniform(0.3, 2.0)


def makes_a_client(call: Call) -> bool:
    """Whether the registration of a call makes a client of whom nobody knows."""
    return call.direction == IN and bool((call.register_params or {}).get("CRM_CREATE"))


def register_turn(call: Call, beside: Beside) -> None:
    """To be called when it is in the journal that the call's registration leaves. Raises AnotherFirst."""
    if makes_a_client(call) and is_registered_beside(call, beside, time.time() - _BACKLOG_S):
        raise AnotherFirst


def is_registered_beside(call: Call, beside: Beside, since: float) -> bool:
    """Whether another call of the number that began after `since` is being registered now."""
    return any(
        makes_a_client(other) and not other.portal_call_id and _is_under_way(other.register_doubt)
        for other in beside(call, since)
    )


def _is_under_way(doubt: Doubt | None) -> bool:
    return doubt is not None and time.time() < settled_at(doubt)
