"""Telling the dialplan: every variable of a hook, empty where there is nothing, and B24_RC last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agi import variables as v
from agi.channel import text
from agi.session import Session

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Reply


def tell(session: Session, reply: Reply, names: Iterable[str]) -> None:
    """Set `names` from `reply`, then B24_RC=ok."""
    route = reply.route
    values = {
        v.STATE: reply.state,
        v.PORTAL_CALL_ID: reply.portal_call_id,
        v.ROUTE: route.extension,
        v.ROUTE_SECONDS: str(route.seconds) if route.extension else "",
        v.CLIENT: text(route.client_name),
    }
    for name in names:
        session.set_variable(name, values[name])
    acknowledge(session)


def acknowledge(session: Session) -> None:
    """B24_RC=ok: the journal has it."""
    session.set_variable(v.RC, v.OK)


def refuse(session: Session, names: Iterable[str]) -> None:
    """`names` empty, B24_RC=error: the journal does not have it."""
    for name in names:
        session.set_variable(name, "")
    session.set_variable(v.RC, v.ERROR)
