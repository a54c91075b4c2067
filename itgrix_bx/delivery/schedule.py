"""When delivery has something to do for a call, and what: pure, from the call alone."""

from __future__ import annotations

import random

from itgrix_bx.calls.call import OUT, Call

IN_FLIGHT_S = 75.0  # a request with the portal is left alone this long (the cloud ends one after 60 s)
SECOND_LEG_S = 2.0  # an outbound call's other leg reports within this time, with the recording's name
_SLOWEST_S = 600.0

REGISTER, FINISH, ATTACH = "register", "finish", "attach"


def next_step(call: Call) -> str | None:
    """The step that is open: register | finish | attach, or None."""
    if call.skipped or call.failed_step:
        return None
    if not call.portal_call_id:
        # A call that never asked to be registered (its first hooks were lost) is registered when it is over.
        return REGISTER if call.over or call.register_params is not None else None
    if not call.over:
        return None
    if not call.finished:
        return FINISH
    return ATTACH if call.needs_recording and call.recording.state == "waiting" else None


def due_at(call: Call) -> float | None:
    """Unix time of the next step, None when there is none."""
    step = next_step(call)
    if step is None:
        return None
    if step == REGISTER:
        return _or_in_flight(call.registering_since, call.retry_at or call.ended_at or call.started_at)
    if step == FINISH:
        second_leg = SECOND_LEG_S if call.direction == OUT and not call.first_leg_gone else 0.0
        return _or_in_flight(call.finishing_since, call.retry_at or (call.ended_at or 0.0) + second_leg)
    return call.recording.retry_at or call.ended_at


def _or_in_flight(since: float | None, due: float) -> float:
    return due if since is None else since + IN_FLIGHT_S


def back_off(tries: int, least_s: float | None = None) -> float:
    """Seconds until try number `tries` + 1: doubling, with jitter so that a backlog does not come back at once."""
    grown = min(_SLOWEST_S, 2.0 ** min(tries, 10)) * random.uniform(0.75, 1.25)
    return max(grown, least_s or 0.0)
