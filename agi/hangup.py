"""`hangup,id,in|out`: hangup handler of a leg.

The other party's release waits for this hook: it reads, journals and closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agi import variables as v
from agi.channel import Channel, argument, extension, number, text
from agi.replies import acknowledge
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def hangup(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Note how the leg ended and where its recording is."""
    switchboard.hangup(channel.call_id, channel.at, facts(session, channel, argument(session, 1)))
    acknowledge(session)


def facts(session: Session, channel: Channel, direction: str) -> dict[str, Any]:
    """Everything the call's end, its outcome and its recording need; enough alone for a correct call."""
    get = session.get_variable
    variables = {name: value[:200] for name in v.AT_HANGUP if (value := get(name))}
    found: dict[str, Any] = {
        "own_channel": channel.own,
        "channel": channel.name,
        "direction": direction if direction in ("in", "out") else "",
        "caller": channel.caller if direction != "out" else extension(channel.caller),
        "client_name": channel.caller_name if direction != "out" else "",
        "did": number(get(v.FROM_DID)),
        "linkedid": get(v.LINKEDID)[:80],
        # FreePBX 16 may begin a second file after a transfer: the CDR still names the first then.
        "recording": get(v.MIXMONITOR_FILENAME)[:1024],
        "recordingfile": get(v.CDR_RECORDINGFILE)[:1024],
        "variables": variables,
    }
    if variables.get("VMSTATUS"):
        found["message"] = get(v.VM_MESSAGEFILE)[:1024]
    if direction == "out":
        found["number"] = _dialled(session, channel)
        found["trunk"] = text(variables.get("DIALEDPEERNUMBER", "").rpartition("@")[2])  # 8903…@mts
        if cause := v.CAUSES.get(get(v.TRUNK_CAUSE)):
            variables["HANGUPCAUSE(trunk)"] = cause
    start = get(v.CHANNEL_START)
    if start.replace(".", "", 1).isdigit():
        found["channel_start"] = float(start)
    return found


def _dialled(session: Session, channel: Channel) -> str:
    candidates = (number(session.get_variable(name).split("@")[0].split("/")[0]) for name in v.DIALLED)
    return next((n for n in candidates if any(c.isdigit() for c in n)), channel.dialled)
