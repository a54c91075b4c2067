"""The client's card on the managers' screens: shown to those who ring, hidden for those who lost.

A card is worth nothing when it is late: what should be on screen is computed from the call as it is now, and
only the difference is sent, a moment later so that a ring group costs one request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from bx24client import Bitrix24, BitrixError, telephony
from itgrix_bx.calls.call import OUT, Call
from itgrix_bx.calls.directory import Directory

log = logging.getLogger("itgrix_bx.cards")

_GATHER_S = 0.1
_REMEMBERED = 10_000


def wanted(call: Call, directory: Directory) -> frozenset[int]:
    """The users who should see the card of `call` now."""
    if call.over or call.skipped:
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


class Cards:
    """Keeps the screens as `wanted` says; one thread, one request at a time."""

    def __init__(self, portal: Bitrix24, directory: Callable[[], Directory]) -> None:
        self._portal = portal
        self._directory = directory
        self._shown: dict[str, frozenset[int]] = {}
        self._changed: dict[str, Call] = {}
        self._versions: OrderedDict[str, float] = OrderedDict()
        self._wake = threading.Condition()
        self._sending = threading.Lock()
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
        """The users whose card is still open at the end, except the finisher's, which finish takes itself."""
        with self._wake:
            self._changed.pop(call.call_id, None)
            self._remember(call.call_id, float("inf"))  # nobody shows the card of a call that has ended
        with self._sending:  # a show that is on its way must not land after the hide
            shown = self._shown.pop(call.call_id, None)
        if shown is None:  # not by this process: whoever rang may have one
            rang = [leg.extension for leg in call.legs if leg.rang_at is not None and leg.answered_at is None]
            directory = self._directory()
            shown = frozenset(user for e in rang if (user := directory.user_of(e)) is not None)
        return sorted(shown - {finisher})

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._changed or self._stopping)
                if self._stopping:
                    return
            time.sleep(_GATHER_S)
            with self._sending:
                with self._wake:
                    changed, self._changed = self._changed, {}
                for call in changed.values():
                    self._bring_up_to_date(call)

    def _bring_up_to_date(self, call: Call) -> None:
        want = wanted(call, self._directory())
        have = self._shown.get(call.call_id, frozenset())
        commands = {}
        if have - want:
            commands["hide"] = telephony.hide(call.portal_call_id, sorted(have - want))
        if want - have:
            commands["show"] = telephony.show(call.portal_call_id, sorted(want - have))
        if not commands:
            return
        self._shown[call.call_id] = want
        try:
            if len(commands) == 1:
                self._portal.execute(next(iter(commands.values())), timeout_s=5, lane="card")
            else:
                self._portal.batch(commands, halt=False, timeout_s=5, lane="card")
        except BitrixError as error:
            log.info("call %s: its card was not moved: %s", call.call_id, error)
