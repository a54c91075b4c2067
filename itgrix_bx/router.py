"""What routing knows of a call beyond the portal's answer, all of it in memory, and the decision made of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from itgrix_bx.calls import routing
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.outcome import line_user
from itgrix_bx.calls.routing import Devices, Known, Route
from itgrix_bx.clients import Clients
from itgrix_bx.reception import Heard
from itgrix_bx.rules import LiveRules
from itgrix_bx.talks import Talks

_REMEMBERED = 5000  # calls whose client is kept in memory for their `route` hook


class Router:
    """Decides where calls go; asks nobody, so it takes no time."""

    def __init__(
        self, directory: Callable[[], Directory], clients: Clients, live: LiveRules, talks: Talks, devices: Devices
    ) -> None:
        self._directory = directory
        self._clients = clients
        self._live = live
        self._talks = talks
        self._devices = devices
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()

    def wants_deals(self, call: Call) -> bool:
        """Whether the portal must be asked for the open deals of the caller."""
        return self._live.rules.wants_deals(call.did, call.trunk)

    def decide(self, call: Call, heard: Heard) -> Route:
        """Where a call goes; what the portal told of it is kept for its `route` hook."""
        known = Known(
            number=call.client_number,
            did=call.did,
            trunk=call.trunk,
            at=0.0,
            entities=heard.entities,
            deals=heard.deals,
            line_user=line_user(call, self._directory()),
            workday=self._clients.workday,
            lack=heard.lack,
        )
        if heard.entities is not None:
            self._remember(call.call_id, known)
        return self._decide(known)

    def again(self, call_id: str) -> Route | None:
        """Where a call goes by what is known of it, as rules and phones are now; None when nothing is known."""
        with self._lock:
            known = self._known.get(call_id)
        return self._decide(known) if known is not None else None

    def _decide(self, known: Known) -> Route:
        now = replace(known, at=time.time(), talk=self._talks.last(known.number))
        return routing.decide(now, self._directory(), self._live.rules, self._devices)

    def _remember(self, call_id: str, known: Known) -> None:
        with self._lock:
            self._known[call_id] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
