"""`outbound,id,number,extension`: before a trunk is dialled, once per trunk tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi import variables as v
from agi.channel import Channel, argument, extension, number, text
from agi.replies import tell
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def outbound(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Register the call, or add a leg to the call that is known."""
    facts = {
        "own_channel": channel.own,
        "channel": channel.name,
        "number": number(argument(session, 1)),
        "extension": extension(argument(session, 2) or (channel.caller if channel.own else "")),
        "trunk": trunk(session),
        "linkedid": session.get_variable(v.LINKEDID)[:80],
    }
    tell(session, switchboard.outbound(channel.call_id, channel.at, facts, until), v.SETS["outbound"])


def trunk(session: Session) -> str:
    """The trunk as the PBX names it, "" where the dialplan does not tell."""
    get = session.get_variable
    if given := get(v.TRUNK):
        return text(given)
    number_of_it = get(v.DIAL_TRUNK)
    if not number_of_it.isalnum():
        return ""
    return text(get(v.TRUNK_SUFFIX_OF.format(number_of_it)).lstrip("@")) or text(
        get(v.TRUNK_OF.format(number_of_it)).rpartition("/")[2]
    )
