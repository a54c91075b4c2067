"""A call as the administrator sees it: the contract's fields, and the story of its steps."""

from __future__ import annotations

from typing import Any

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import Call, Leg, Recording
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.times import iso
from itgrix_bx.words.routing import say

_UNSEEN = {"ami": "the end was not seen; closed when its channel was gone"}
_ADVICE = "put it right in Bitrix24 or the configuration, then run `itgrix-bx calls retry`"
# The portal may have done it, whatever it said.
_IF_MISSING = "look at the client's card in Bitrix24: only where the call is not on it, run `itgrix-bx calls retry {}`"


def summary(call: Call, directory: Directory, settings: Settings) -> dict[str, Any]:
    """The fields of `calls list --json` and `calls show --json`; unknown is None."""
    result = (
        outcome.of(call, directory, finisher=settings.calls.finisher, default_user=settings.portal.default_user)
        if call.over and not call.skipped
        else None
    )
    told = call.finish_params or {}
    extension = result.extension if result else (call.talking.extension if call.talking else "")
    return {
        "id": call.call_id,
        "linkedid": call.linkedid or None,
        "direction": call.direction,
        "client_number": call.client_number or None,
        "did": call.did or None,
        "line": call.line or None,
        "extension": extension or call.caller_extension or None,
        "user_id": told.get("USER_ID", result.user_id if result else None),
        "started_at": iso(call.started_at),
        "answered_at": iso(call.answered_at),
        "ended_at": iso(call.ended_at),
        "talk_seconds": call.talk_seconds if call.over else None,
        "status_code": told.get("STATUS_CODE", result.status_code if result else None),
        "state": call.state,
        "portal_call_id": call.portal_call_id or None,
        "entity": _entity(call),
        "recording": {"path": call.recording.path or None, "state": call.recording.state},
        "legs": [_leg(leg) for leg in call.legs],
        "last_error": _last_error(call),
    }


def details(
    call: Call, events: list[Event], directory: Directory, settings: Settings, language: str = "en"
) -> dict[str, Any]:
    """`summary` and what only `calls show` tells: the route and why (in `language`, and as steps for machines), the
    talk's source, every step."""
    result = summary(call, directory, settings)
    over = call.over and not call.skipped
    reason = outcome.of(call, directory, finisher="last", default_user=0).failed_reason if over else ""
    result["recording_files"] = _recording_files(call.recording)
    result["client_name"] = call.client_name or None
    result["skipped"] = call.skipped or None
    result["failed_reason"] = reason or None
    result["note"] = _UNSEEN.get(call.end_unseen)
    result["source"] = _source(events)
    result["talk_source"] = call.talk_source if call.answered else None
    result["route"] = say(call.routed["why"], language) if call.routed else None
    result["route_steps"] = call.routed["why"] if call.routed else None
    result["activity_id"] = call.activity_id
    result["steps"] = [_step(event, language) for event in events]
    return result


def _source(events: list[Event]) -> str:
    """Who told us of the call: the hooks, Asterisk's manager (docs/ami.md), the PBX's records (docs/catch-up.md)."""
    heard = (event for event in events if event.kind in HOOK_KINDS and event.kind is not Kind.GONE)
    told = {event.data.get("source", "hooks") for event in heard}
    records = ", ".join(sorted(source.upper() for source in told & {"ami", "cdr", "cel"}))
    if not records:
        return "hooks"
    return f"hooks, completed from {records}" if "hooks" in told else f"taken from {records}"


def _entity(call: Call) -> dict[str, Any] | None:
    if call.entity_type and call.entity_id:
        return {"type": call.entity_type, "id": call.entity_id}
    if call.entities:
        return {"type": call.entities[0]["type"], "id": call.entities[0]["id"]}
    return None


def _recording_files(recording: Recording) -> list[dict[str, Any]]:
    """All the files a call named, in order; `left_out` says why one is not in what the portal has."""
    why = {each["path"]: each["why"] for each in recording.left_out}
    return [{"path": path, "left_out": why.get(path)} for path in recording.paths]


def _leg(leg: Leg) -> dict[str, Any]:
    talked = round(leg.talk) if leg.answered_at is not None and leg.ended_at is not None else 0
    return {
        "extension": leg.extension or None,
        "rang_at": iso(leg.rang_at),
        "answered_at": iso(leg.answered_at),
        "talk_seconds": talked,
    }


def _last_error(call: Call) -> str | None:
    if call.state == "failed":
        advice = _ADVICE if call.finish_doubt is None else _IF_MISSING.format(call.call_id)
        return f"{call.failed_step}: {call.last_error}; {advice}"
    return call.last_error or None


def _step(event: Event, language: str) -> dict[str, Any]:
    """An event for people: what is empty left out, and the machine's own clock, which says nothing to them."""
    told = {key: value for key, value in event.data.items() if key != "clock" and value not in ("", None, [], {})}
    if "retry_at" in told:
        told["retry_at"] = iso(told["retry_at"])
    if event.kind is Kind.ROUTED:
        told["why"] = say(event.data["why"], language)
    if "step" in told:  # which one was given up
        told["during"] = told.pop("step")
    return {"at": iso(event.at), "step": event.kind.value, **told}
