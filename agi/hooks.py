"""The hooks by the name the dialplan calls them, ready for the FastAGI server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from agi import variables as v
from agi.answer import answer
from agi.channel import Channel, MalformedError, channel
from agi.hangup import hangup
from agi.inbound import inbound
from agi.outbound import outbound
from agi.replies import refuse
from agi.ring import ring
from agi.route import route
from agi.session import Session
from fastagi_server import Hook
from itgrix_bx.spool import SpoolError

if TYPE_CHECKING:
    from itgrix_bx.switchboard import Switchboard

log = logging.getLogger("itgrix_bx.agi")

Handler = Callable[[Session, Channel, "Switchboard", float], None]

_WAITING: dict[str, Handler] = {"inbound": inbound, "route": route, "outbound": outbound}
_SHORT: dict[str, Handler] = {"ring": ring, "answer": answer, "hangup": hangup}


def hooks(switchboard: Switchboard, deadline_s: Callable[[], float]) -> dict[str, Hook]:
    """name -> Hook. `deadline_s` tells how long a caller may wait for the portal, now."""
    return {
        name: Hook(_bound(handler, switchboard, deadline_s), waits=name in _WAITING, sets=v.SETS.get(name, ()))
        for name, handler in (_WAITING | _SHORT).items()
    }


def _bound(handler: Handler, switchboard: Switchboard, deadline_s: Callable[[], float]) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        try:
            handler(session, channel(session), switchboard, session.accepted_at + deadline_s())
        except MalformedError as error:
            log.error("hook %s was called wrongly: %s; correct the dialplan, the call goes on", session.hook, error)
            refuse(session, v.SETS.get(session.hook, ()))
        except SpoolError as error:
            log.error("hook %s could not be journalled: %s", session.hook, error)
            refuse(session, v.SETS.get(session.hook, ()))

    return run
