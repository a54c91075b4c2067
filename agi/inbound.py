"""`inbound,id,did`: an external call enters, before any route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi import variables as v
from agi.channel import Channel, argument, did
from agi.replies import tell
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def inbound(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Register the call and tell the dialplan whom to try first."""
    facts = caller_facts(session, channel, argument(session, 1))
    reply = switchboard.inbound(channel.call_id, channel.at, facts, until)
    if reply.caller_name:
        session.set_variable(v.CALLER_NAME, reply.caller_name)
    tell(session, reply, v.SETS["inbound"])


def caller_facts(session: Session, channel: Channel, given_did: str) -> dict[str, object]:
    """The facts of a client's channel, as event data."""
    return {
        "own_channel": channel.own,
        "channel": channel.name,
        "caller": channel.caller,
        "client_name": channel.caller_name,
        "did": did(session, given_did),
        "linkedid": session.get_variable(v.LINKEDID)[:80],
    }
