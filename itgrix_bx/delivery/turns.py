"""One new client at a time: the portal looks whether a client is there and makes one without a lock in between. Two
calls of one unknown number at the same moment would make two.

What is under way is in the journal, whoever does it: each says there that a request leaves before it looks who else has
said so. Of two at the same moment at least one sees the other and stands back; it is told at its next try.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from bx24client import BitrixError
from itgrix_bx.calls.call import IN, Call, Doubt
from itgrix_bx.delivery.schedule import IN_FLIGHT_S, settled_at

log = logging.getLogger("itgrix_bx.delivery")

# The calls of a number that began since (unix seconds), but one: Journal.beside.
Beside = Callable[[Call, float], list[Call]]

_BACKLOG_S = 30 * 86400.0  # how old a call may be that is registered late


class AnotherFirst(BitrixError):  # noqa: N818 - named after what happened, as its kin in bx24client
    """Another call of this number is with the portal: this one follows. Nothing was sent."""

    retryable = True

    def __init__(self) -> None:
        super().__init__("another call of this number is being registered: this one follows")


class Turns:
    """The numbers whose registration this machine has under way. The journal tells of those of all machines, but not
    while it is away; then the programs of one machine know by locks in the directory they share, which end with them.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "turns.lock"
        self._lock = threading.Lock()
        self._taken: dict[str, tuple[str, float]] = {}  # number -> whose it is, until when at most (monotonic)
        self._file: int | None = None

    def take(self, call: Call) -> bool:
        """Whether it is this call's turn now."""
        now = time.monotonic()
        with self._lock:
            whose, until = self._taken.get(call.client_number, (call.call_id, 0.0))
            if (whose != call.call_id and now < until) or not self._locked(call.client_number):
                return False
            self._taken[call.client_number] = call.call_id, now + IN_FLIGHT_S
            return True

    def give_back(self, call: Call) -> None:
        """The registration has been answered, or never left."""
        with self._lock:
            if self._taken.get(call.client_number, ("", 0.0))[0] == call.call_id:
                del self._taken[call.client_number]
                with contextlib.suppress(OSError):  # nothing was locked then
                    self._range(call.client_number, fcntl.LOCK_UN)

    def _locked(self, number: str) -> bool:
        """Whether no other program of this machine has the number. A directory that takes no file locks nothing."""
        try:
            self._range(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            log.debug("%s: %s: other programs are not asked whose turn it is", self._path, error)
        return True

    def _range(self, number: str, operation: int) -> None:
        """One byte of the file is a number's; the file is never closed, for that would end every lock."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self._file, operation, 1, zlib.crc32(number.encode()))


def again_at() -> float:
    """When who stood back tries again, unix seconds: soon however often, and not at the same moment as the other."""
    return time.time() + random.uniform(0.3, 2.0)


def makes_a_client(call: Call) -> bool:
    """Whether the registration of a call makes a client of whom nobody knows."""
    return call.direction == IN and bool((call.register_params or {}).get("CRM_CREATE"))


def register_turn(call: Call, own: Turns, beside: Beside) -> None:
    """To be called when it is in the journal that the call's registration leaves; `own.give_back` after the answer.

    Raises AnotherFirst.
    """
    if makes_a_client(call) and (not own.take(call) or is_registered_beside(call, beside, time.time() - _BACKLOG_S)):
        raise AnotherFirst


def is_registered_beside(call: Call, beside: Beside, since: float) -> bool:
    """Whether another call of the number that began after `since` is being registered now."""
    return any(
        makes_a_client(other) and not other.portal_call_id and _is_under_way(other.register_doubt)
        for other in beside(call, since)
    )


def _is_under_way(doubt: Doubt | None) -> bool:
    return doubt is not None and time.time() < settled_at(doubt)
