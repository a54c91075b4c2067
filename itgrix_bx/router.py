"""What routing knows of a call beyond the portal's answer, all of it in memory, and the decision made of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from itgrix_bx.calls import routing
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.routing import Devices, Known, Route
from itgrix_bx.clients import Clients
from itgrix_bx.reception import Heard
from itgrix_bx.rules import LiveRules
from itgrix_bx.talks import Talks

_REMEMBERED = 5000  # calls whose client is kept in memory for their `route` hook


@dataclass(frozen=True, slots=True)
class _Enquiry:
    number: str
    did: str
    heard: Heard


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
        self._enquiries: OrderedDict[str, _Enquiry] = OrderedDict()
        self._lock = threading.Lock()

    def wants_deals(self, did: str) -> bool:
        """Whether the portal must be asked for the open deals of a caller to this line."""
        return self._live.rules.wants_deals(did)

    def decide(self, call_id: str, number: str, did: str, heard: Heard) -> Route:
        """Where a call goes; what the portal told of it is kept for its `route` hook."""
        enquiry = _Enquiry(number, did, heard)
        if heard.entities is not None:
            with self._lock:
                self._enquiries[call_id] = enquiry
                if len(self._enquiries) > _REMEMBERED:
                    self._enquiries.popitem(last=False)
        return self._decide(enquiry)

    def again(self, call_id: str) -> Route | None:
        """Where a call goes by what is known of it, as rules and phones are now; None when nothing is known."""
        with self._lock:
            enquiry = self._enquiries.get(call_id)
        return self._decide(enquiry) if enquiry is not None else None

    def _decide(self, enquiry: _Enquiry) -> Route:
        known = Known(
            number=enquiry.number,
            did=enquiry.did,
            at=time.time(),
            entities=enquiry.heard.entities,
            deals=enquiry.heard.deals,
            talk=self._talks.last(enquiry.number),
            workday=self._clients.workday,
        )
        return routing.decide(known, self._directory(), self._live.rules, self._devices)
