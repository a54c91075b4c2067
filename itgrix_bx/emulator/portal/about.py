"""What the portal tells about itself, and methods that webhooks may not call."""

from __future__ import annotations

from typing import Any

from itgrix_bx.emulator.portal import php
from itgrix_bx.emulator.portal.context import Context, Method
from itgrix_bx.emulator.portal.php import Params


def app_info(context: Context, params: Params) -> dict[str, Any]:
    """The webhook's rights, and a licence whose ending says that this is a self-hosted portal."""
    del params
    return {"SCOPE": sorted(context.caller.scopes), "LICENSE": "ru_emulator_selfhosted"}


def scope(context: Context, params: Params) -> list[str]:
    """The webhook's rights."""
    del params
    return sorted(context.caller.scopes)


def server_time(context: Context, params: Params) -> str:
    """The portal's time."""
    del params
    return context.store.iso(context.store.clock.now())


def event_bind(context: Context, params: Params) -> bool:
    """Never reached: webhooks are refused before."""
    raise NotImplementedError


def is_existing(known: dict[str, Method], context: Context, params: Params) -> dict[str, bool]:
    """`method.get`: whether a method exists and this webhook may call it."""
    method = known.get(php.text(php.folded(params).get("NAME")).lower())
    allowed = method is not None and (method.scope is None or method.scope in context.caller.scopes)
    return {"isExisting": method is not None, "isAvailable": allowed}


METHODS = (
    Method("app.info", app_info),
    Method("scope", scope),
    Method("server.time", server_time),
    Method("event.bind", event_bind, never_webhook=True),
    Method("event.unbind", event_bind, never_webhook=True),
    Method("event.get", event_bind, never_webhook=True),
)
