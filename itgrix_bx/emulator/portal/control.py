"""The double's own addresses, outside of /rest: its state, its seed, its faults, and the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from itgrix_bx.emulator.portal.http import Request, Response
from itgrix_bx.emulator.portal.page import render
from itgrix_bx.emulator.portal.records import sniff

if TYPE_CHECKING:
    from itgrix_bx.emulator.portal.double import PortalEmulator

# The page shows what strangers typed into a telephone: no script, nothing from elsewhere.
_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def handle(emulator: PortalEmulator, request: Request) -> Response:
    """Answer a request that is not for the REST server."""
    path = request.target.partition("?")[0]
    if request.method in ("GET", "HEAD"):
        if path == "/":
            return Response(200, render(emulator).encode("utf-8", "replace"), "text/html; charset=utf-8", dict(_POLICY))
        if path == "/_emulator/state":
            return _json(emulator.dump())
        if path == "/_emulator/counts":
            return _json(emulator.state.counts())
        return _recording(emulator, path.removeprefix("/records/"))
    action = _actions(emulator).get(path)
    if action is None:
        return _json({"error": "there is nothing here"}, 404)
    if request.body and "json" not in request.content_type:
        # A page of another site can send a form here, but not JSON.
        return _json({"error": "send JSON with Content-Type: application/json"}, 415)
    return _act(action, request.body)


def _recording(emulator: PortalEmulator, file_id: str) -> Response:
    content = emulator.state.contents.get(int(file_id)) if file_id.isdecimal() and len(file_id) < 19 else None
    if content is None:
        return _json({"error": "there is nothing here"}, 404)
    kind = sniff(content)
    # A recording with a page inside must not run as a page.
    return Response(200, content, kind if kind.startswith("audio/") else "application/octet-stream", dict(_POLICY))


def _act(action: Callable[[Any], None], body: bytes) -> Response:
    try:
        action(json.loads(body) if body.strip() else None)
    except ValueError as error:
        return _json({"error": str(error)}, 400)
    return _json({"ok": True})


def _actions(emulator: PortalEmulator) -> dict[str, Callable[[Any], None]]:
    return {
        "/_emulator/reset": lambda body: emulator.reset(_object(body) if body is not None else None),
        "/_emulator/seed": lambda body: emulator.seed(_object(body)),
        "/_emulator/faults": lambda body: emulator.faults(body),
        "/_emulator/clock": lambda body: emulator.advance(_number(body, "advance_s")),
        "/_emulator/bucket": lambda body: emulator.portal.requests.fill(_number(body, "level")),
    }


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ValueError("send a JSON object")
    return body


def _number(body: Any, name: str) -> float:
    number = _object(body).get(name)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"{name} must be a number")
    return float(number)


def _json(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
