"""`answer,id,extension`: an extension answered; empty when the client did, outbound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi.channel import Channel, argument, extension
from agi.replies import acknowledge
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard


def answer(session: Session, channel: Channel, switchboard: Switchboard, until: float) -> None:
    """Note who talks from now on."""
    facts = {"own_channel": channel.own, "extension": extension(argument(session, 1))}
    switchboard.answer(channel.call_id, channel.at, facts)
    acknowledge(session)
