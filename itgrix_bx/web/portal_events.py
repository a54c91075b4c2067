"""POST /bitrix24/events: what the portal tells us of its own accord, form-encoded, once, in any order.

Bitrix24 does not repeat an event and slows down those whose handler is slow, so it is acknowledged at once and only
in-memory knowledge is touched. Everybody can reach this address: without the portal's application token nothing is
believed, and nothing of the body is logged.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable

from flask import Blueprint, abort, request

log = logging.getLogger("itgrix_bx.web")

_LARGEST = 65_536  # bytes; the events read here have a few hundred
_ENTITY = re.compile(r"ONCRM(CONTACT|COMPANY|LEAD|DEAL)(?:ADD|UPDATE|DELETE)")

Changed = Callable[[str, int], None]


def portal_events(token: str, changed: Changed) -> Blueprint:
    """The page; there is none without a `token`. `changed(entity_type, id)` hears of CRM entities."""
    pages = Blueprint("portal_events", __name__)
    if not token:
        return pages

    @pages.post("/bitrix24/events")
    def event() -> str:
        if (request.content_length or 0) > _LARGEST or request.content_length is None:
            abort(413)
        if not hmac.compare_digest(request.form.get("auth[application_token]", "").encode(), token.encode()):
            log.warning("an event without the portal's application token was refused")
            abort(403)
        entity = _ENTITY.fullmatch(request.form.get("event", "").upper())
        number = request.form.get("data[FIELDS][ID]", "")
        if entity and re.fullmatch("[0-9]{1,18}", number):
            changed(entity[1], int(number))
        return ""

    return pages
