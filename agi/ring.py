"""`ring,id,extension(s)`: extensions are about to ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi.channel import Channel, argument
from agi.replies import acknowledge
from agi.session import Session
from itgrix_bx.calls.numbers import extensions

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def ring(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Note who rings, so that they see the client's card."""
    facts = {
        "own_channel": channel.own,
        "caller": channel.caller if channel.own else "",
        "extensions": extensions(argument(session, 1)),
    }
    switchboard.ring(channel.call_id, channel.at, facts)
    acknowledge(session)
