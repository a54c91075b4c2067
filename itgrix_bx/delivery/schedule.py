"""When delivery has something to do for a call, and what: pure, from the call alone."""

from __future__ import annotations

import random

from itgrix_bx.calls.call import OUT, Call, Doubt

IN_FLIGHT_S = 75.0  # a request nobody saw the end of is left alone this long (the cloud ends one after 60 s)
OTHERS_S = 10.0  # within this time a server that was started again tells what it has in its spool
LEASE_S = 300.0  # longer than the requests of any step together
SECOND_LEG_S = 2.0  # an outbound call's other leg reports within this time, with the recording's name
_SLOWEST_S = 600.0
_LONGEST_S = 1800.0  # whatever a portal asks for

REGISTER, FINISH, LEAD, ATTACH = "register", "finish", "lead", "attach"


def next_step(call: Call) -> str | None:
    """The step that is open: register | finish | lead | attach, or None."""
    if call.skipped or call.failed_step:
        return None
    if not call.portal_call_id:
        # A call that never asked to be registered (its first hooks were lost) is registered when it is over.
        return REGISTER if call.over or call.register_params is not None else None
    if not call.over:
        return None
    if not call.finished:
        return FINISH
    if call.owes_lead:
        return LEAD
    return ATTACH if call.needs_recording and call.recording.state == "waiting" else None


def due(call: Call) -> tuple[str, float] | None:
    """(step, unix time it is due), None when nothing is to be done."""
    step = next_step(call)
    return None if step is None else (step, _DUE[step](call))


def _register_at(call: Call) -> float:
    at = call.retry_at or (_told_at(call) if call.over else call.started_at)
    # The portal looks for a double without a lock: a second register beside a running one makes a second call.
    return at if call.register_doubt is None else max(at, settled_at(call.register_doubt))


def _finish_at(call: Call) -> float:
    if call.finish_doubt is not None:  # the statistics may be asked while the first request may still run
        return call.retry_at or settled_at(call.finish_doubt)
    second_leg = SECOND_LEG_S if call.direction == OUT and not call.first_leg_gone else 0.0
    return call.retry_at or _told_at(call) + second_leg


def _told_at(call: Call) -> float:
    """When all that is known of a call that is over has been told."""
    return (call.over_since or 0.0) + (OTHERS_S if call.told_in_part else 0.0)


def _lead_at(call: Call) -> float:
    if call.lead_doubt is not None:
        return call.retry_at or settled_at(call.lead_doubt)
    return call.retry_at or call.over_since or 0.0


def _attach_at(call: Call) -> float:
    recording = call.recording
    if recording.doubt is not None:  # asked about while it may still run, like a finish
        return recording.retry_at or recording.doubt.since + (IN_FLIGHT_S if recording.doubt.running else 0.0)
    return recording.retry_at or call.over_since or 0.0


_DUE = {REGISTER: _register_at, FINISH: _finish_at, LEAD: _lead_at, ATTACH: _attach_at}


def settled_at(doubt: Doubt) -> float:
    """When the request in doubt is surely not being worked on any more."""
    return doubt.since + IN_FLIGHT_S + doubt.extra_s if doubt.running else doubt.since


def back_off(tries: int, least_s: float | None = None) -> float:
    """Seconds until try number `tries` + 1: doubling, with jitter so that a backlog does not come back at once."""
    grown = min(_SLOWEST_S, 2.0 ** min(tries, 10)) * random.uniform(0.75, 1.25)
    return min(max(grown, least_s or 0.0), _LONGEST_S)
