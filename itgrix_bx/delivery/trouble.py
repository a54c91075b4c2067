"""What a portal's refusal means for the call that met it."""

from __future__ import annotations

import time

from bx24client import AuthFailed, BitrixError, MethodNotFound, MovedTooFar
from itgrix_bx.calls.call import Call, Doubt
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import back_off

# A person must act, but on the portal or the configuration and for all calls: they wait, none of them is given up.
_FOR_ALL = (AuthFailed, MethodNotFound, MovedTooFar)
_FOR_ALL_AGAIN_S = 60.0


def retry_in(error: BitrixError, tries: int) -> float | None:
    """Seconds until the next try; None when this call needs a person."""
    if isinstance(error, _FOR_ALL):
        return back_off(tries, _FOR_ALL_AGAIN_S)
    return back_off(tries, error.retry_after_s) if error.retryable else None


def failed(call: Call, kind: Kind, step: str, error: BitrixError, tries: int, **fate: object) -> Event:
    """The event for a step that failed: `kind` with the time of the next try, or GAVE_UP.

    `fate`: of the request that failed; without it a question failed, and what was in doubt stays so.
    """
    wait = retry_in(error, tries)
    now = time.time()
    if wait is None:
        return Event(call.call_id, Kind.GAVE_UP, now, {"step": step, "error": str(error), **fate})
    return Event(call.call_id, kind, now, {"error": str(error), "retry_at": now + wait, **fate})


def fate(error: BitrixError, intent: str, earlier: Doubt | None) -> dict[str, object]:
    """What is known of a request that ended with `error`; what was not known of an earlier one stays unknown.

    `intent`: the id of the event that announced the request.
    """
    doubt = error.maybe_done or earlier is not None
    running = doubt and error.maybe_running
    left = {"left_at": error.left_at} if running and error.left_at else {}
    return {"intent": intent, "doubt": doubt, "running": running, **left}
