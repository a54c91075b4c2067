"""The client's card on the managers' screens: shown to those who ring, hidden for those who lost.

A card is worth nothing when it is late: what should be on screen is computed from the call as it is now, and
only the difference is sent, a moment later so that a ring group costs one request.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from bx24client import BatchResult, Bitrix24, Command, telephony
from itgrix_bx.calls.call import INTERNAL, OUT, Call
from itgrix_bx.calls.directory import Directory

log = logging.getLogger("itgrix_bx.cards")

_GATHER_S = 0.1
_LATEST_S = 5.0
_REMEMBERED = 10_000


def wanted(call: Call, directory: Directory) -> frozenset[int]:
    """The users who should see the card of `call` now."""
    if call.over or call.skipped or call.direction == INTERNAL:  # a colleague has no card
        return frozenset()
    talking = call.talking
    if talking is not None:
        extensions = [talking.extension]
    elif call.direction == OUT and call.answered_at is None:
        extensions = [call.caller_extension]
    else:  # the one who transferred keeps the card until somebody takes the call
        extensions = [leg.extension for leg in call.legs if leg.answered_at is None][-50:]
        extensions += [leg.extension for leg in call.legs if leg.ended_at is not None][-1:]
    return frozenset(user for extension in extensions if (user := directory.user_of(extension)) is not None)


class _StaleError(Exception):
    """The call is over: its card is not wanted any more."""


class Cards:
    """Keeps the screens as `wanted` says."""

    def __init__(self, portal: Bitrix24, directory: Callable[[], Directory]) -> None:
        self._portal = portal
        self._directory = directory
        self._shown: dict[str, frozenset[int]] = {}
        self._changed: dict[str, Call] = {}
        self._versions: OrderedDict[str, float] = OrderedDict()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="cards", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def follow(self, call: Call) -> None:
        """`call` changed: look soon whether the screens must.

        Threads tell of their writes in any order, so an older picture of a call never replaces a newer one.
        """
        if not call.portal_call_id or call.over:
            return
        with self._wake:
            if self._versions.get(call.call_id, 0) < call.version:
                self._remember(call.call_id, call.version)
                self._changed[call.call_id] = call
                self._wake.notify()

    def _remember(self, call_id: str, version: float) -> None:
        self._versions[call_id] = version
        self._versions.move_to_end(call_id)
        if len(self._versions) > _REMEMBERED:
            self._versions.popitem(last=False)

    def close(self, call: Call, finisher: int) -> list[int]:
        """The users whose card is still open at the end, except the finisher's, which finish takes itself.

        A show that has not left yet stays; one that is on its way was asked for before the hide that follows.
        """
        with self._wake:
            self._changed.pop(call.call_id, None)
            self._remember(call.call_id, math.inf)  # nobody shows the card of a call that has ended
            shown = self._shown.pop(call.call_id, None)
        if shown is None:  # not by this process: whoever rang may have one
            rang = [leg.extension for leg in call.legs if leg.rang_at is not None and leg.answered_at is None]
            directory = self._directory()
            shown = frozenset(user for e in rang if (user := directory.user_of(e)) is not None) | set(call.carded)
        return sorted(shown - {finisher})

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._changed or self._stopping)
                if self._stopping:
                    return
            time.sleep(_GATHER_S)
            with self._wake:
                changed, self._changed = self._changed, {}
                moves = [(call, self._move(call)) for call in changed.values()]
            for call, commands in moves:
                if commands:
                    self._send(call, commands)

    def _move(self, call: Call) -> dict[str, Command[Any]]:
        """What must be told to bring the screens up to date; from here on it counts as told."""
        have = self._shown.get(call.call_id, frozenset(call.carded))
        directory = self._directory()
        want = wanted(call, directory) if call.legs else have & _expected(call, directory, have)
        self._shown[call.call_id] = want
        commands: dict[str, Command[Any]] = {}
        if have - want:
            commands["hide"] = telephony.hide(call.portal_call_id, sorted(have - want))
        if want - have:
            commands["show"] = telephony.show(call.portal_call_id, sorted(want - have))
        return commands

    def _send(self, call: Call, commands: dict[str, Command[Any]]) -> None:
        def still_wanted() -> None:
            if self._versions.get(call.call_id) == math.inf:
                raise _StaleError

        parcel = self._portal.parcel(commands, lane="card", timeout_s=_LATEST_S, on_leaving=still_wanted)
        parcel.future.add_done_callback(lambda future: _told(call, future))
        self._portal.submit(parcel)


def _expected(call: Call, directory: Directory, have: frozenset[int]) -> frozenset[int]:
    """Whom the dialplan was told to ring first; until that is known, whoever has a card."""
    if call.routed is None:
        return have
    user = directory.user_of(call.routed["extension"])
    return frozenset() if user is None else frozenset({user})


def _told(call: Call, future: Future[BatchResult]) -> None:
    error = future.exception() or next(iter(future.result().errors.values()), None)
    if error is not None and not isinstance(error, _StaleError):
        log.info("call %s: its card was not moved: %s", call.call_id, error)
