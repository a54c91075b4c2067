"""`route,id,did`: where the administrator wants the responsible tried (Custom Destination)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi import variables as v
from agi.channel import Channel, argument
from agi.inbound import caller_facts
from agi.replies import tell
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def route(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Tell the dialplan whom to try first, from what `inbound` learnt."""
    facts = caller_facts(session, channel, argument(session, 1))
    tell(session, switchboard.route(channel.call_id, channel.at, facts, until), v.SETS["route"])
