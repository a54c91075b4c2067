"""What the journal records about a call: one `Event` for each thing that happened.

Everything else (legs, talk time, state, what is due) is derived from a call's events, so an event that
comes twice, late or out of order cannot put a call into an impossible state.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The first block comes from the telephone side, the second from the portal and from delivery."""

    INBOUND = "inbound"
    ROUTE = "route"
    RING = "ring"
    ANSWER = "answer"
    OUTBOUND = "outbound"
    PARKED = "parked"  # no hook tells it: the client was put where nobody hears them, until somebody answers
    HANGUP = "hangup"
    GONE = "gone"  # {source, ended_at}: no hook told the end, and no channel of the call is there any more

    SKIPPED = "skipped"  # {reason}
    LINE = "line"  # {line, line_rules}: of a call whose hooks came before the rules had been read
    CLIENT = (
        "client"  # {entities: [...], deals: [...]}: what the search found; the open deals where they were asked for
    )
    ROUTED = "routed"  # {extension, seconds, why: [steps]}: what the dialplan was told; see calls/routing.py
    REGISTERING = "registering"  # {params}: written before the request leaves
    REGISTERED = "registered"  # {portal_call_id, entity_type, entity_id, ...}
    REGISTER_FAILED = "register_failed"  # {error, retry_at; intent, doubt, running}: see delivery/trouble.py
    FINISHING = "finishing"  # {params}
    FINISHED = "finished"  # {activity_id, ...}
    FINISH_FAILED = "finish_failed"  # likewise
    FORGOTTEN = "forgotten"  # the portal does not know the call it registered, and did not finish it either
    LEADING = "leading"  # {params}: a lead is about to be added for a known client (lines.py: nothing-open)
    LEAD = "lead"  # {lead_id} of the one added, or {why} none was
    LEAD_FAILED = "lead_failed"  # like register_failed
    ATTACHING = "attaching"  # {name, paths, left_out, bytes, sha256, extra_s, by_link}: before the request leaves
    FETCHED = "fetched"  # {name}: that file left our web server whole, for whoever had its link
    RECORDING = "recording"  # {state, detail | error, doubt, paths; retry_at while waiting}
    GAVE_UP = "gave_up"  # {step, error; intent, doubt, running}: needs a person
    RETRY = "retry"  # a person asked to try again
    CLOCK = "clock"  # {now}: the wall clock was found put back; times after `now` are not true


HOOK_KINDS = frozenset({
    Kind.INBOUND, Kind.ROUTE, Kind.RING, Kind.ANSWER, Kind.OUTBOUND, Kind.PARKED, Kind.HANGUP, Kind.GONE,
})  # fmt: skip


# Ids that begin so are test calls of `dialplan check`: they prove the way to the journal, the portal hears of none.
CHECK_ID = "b24-check-"

# As unique as a UUID each, without asking the kernel for each.
_PROCESS = uuid.uuid4().hex[:20]
_count = itertools.count()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to call `call_id` at `at` (unix seconds, this server's clock)."""

    call_id: str
    kind: Kind
    at: float
    data: dict[str, Any] = field(default_factory=dict)
    event_id: str = field(default_factory=lambda: f"{_PROCESS}{next(_count):012x}")

    @property
    def teller(self) -> str:
        """The process that learnt it first."""
        return self.event_id[: len(_PROCESS)]
