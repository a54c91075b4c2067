"""What we tell the portal about a call: the parameters of register and finish, clamped to what it takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from itgrix_bx.calls.call import IN, Call
from itgrix_bx.calls.lines import Leads
from itgrix_bx.calls.numbers import LONGEST
from itgrix_bx.calls.outcome import Outcome

TYPE_OUTBOUND, TYPE_INBOUND = 1, 2
_LONGEST_EXTERNAL_ID = 64  # the column's width; bitrix24-rest 5.1
_LONGEST_REASON = 255


def register_params(call: Call, *, user_id: int, pbx_name: str) -> dict[str, Any]:
    """Parameters of telephony.externalCall.register; a retry repeats them byte for byte.

    No card is asked for: one opened by a late retry would be a card for a call that has ended.
    """
    outbound = call.direction != IN  # the portal has no type for a call among colleagues: it is one's, to the other
    params: dict[str, Any] = {
        "USER_ID": user_id,
        "PHONE_NUMBER": call.client_number[:LONGEST],
        "TYPE": TYPE_OUTBOUND if outbound else TYPE_INBOUND,
        "CALL_START_DATE": iso(call.started_at),
        "CRM_CREATE": 0 if outbound or call.line_rules.get("leads") == Leads.NONE else 1,
        "SHOW": 0,
        "ADD_TO_CHAT": 0,
        "EXTERNAL_CALL_ID": external_call_id(pbx_name, call.call_id),
    }
    if call.line:
        params["LINE_NUMBER"] = call.line
    if params["CRM_CREATE"] and call.line_rules.get("source"):
        params["CRM_SOURCE"] = call.line_rules["source"]
    return params


def external_call_id(pbx_name: str, call_id: str) -> str:
    """Unique by its end: a long PBX name is cut, and of an id that is too long by itself the beginning."""
    room = _LONGEST_EXTERNAL_ID - len(call_id)
    return pbx_name[: max(0, room)] + call_id[-_LONGEST_EXTERNAL_ID:]


def finish_params(call: Call, outcome: Outcome) -> dict[str, Any]:
    """Parameters of telephony.externalCall.finish."""
    params: dict[str, Any] = {
        "CALL_ID": call.portal_call_id,
        "USER_ID": outcome.user_id,
        "DURATION": outcome.talk_seconds,
        "STATUS_CODE": outcome.status_code,
        "ADD_TO_CHAT": 0,
    }
    if outcome.failed_reason:
        params["FAILED_REASON"] = outcome.failed_reason[:_LONGEST_REASON]
    return params


def iso(at: float) -> str:
    """ISO 8601 with the offset of this machine's zone, whole seconds (the portal drops the fraction)."""
    return datetime.fromtimestamp(int(at), UTC).astimezone().isoformat()
