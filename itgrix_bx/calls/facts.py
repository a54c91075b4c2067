"""When two events tell the same: hooks, the manager (AMI) and the PBX's records all report on one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from itgrix_bx.calls.events import Event, Kind

AMI = "ami"  # the source of what Asterisk's manager told

_SAME_S = 3.0  # a hook's time and the record's whole seconds for one moment differ by less
_BEFORE_DIAL_S = 15.0  # before the trunk is dialled its hook may wait for the portal


def of_manager(event: Event) -> bool:
    """Whether the manager told it as it happened."""
    return event.data.get("source") == AMI and event.kind is not Kind.GONE


def is_same(event: Event, hook: Event) -> bool:
    """Whether the hook told of what the event does, or of a part of it."""
    if event.kind is Kind.INBOUND:
        return hook.kind in (Kind.INBOUND, Kind.ROUTE)
    if event.kind is not hook.kind:
        return False
    if event.kind is Kind.HANGUP:
        return bool(hook.data.get("own_channel", True) == event.data["own_channel"])
    before_s = _BEFORE_DIAL_S if event.kind is Kind.OUTBOUND else _SAME_S
    if not -_SAME_S <= event.at - hook.at <= before_s:
        return False
    if event.kind is Kind.RING:
        return not set(event.data["extensions"]).isdisjoint(hook.data.get("extensions", []))
    return event.kind is not Kind.ANSWER or hook.data.get("extension", "") == event.data["extension"]


def without(event: Event, same: Sequence[Event]) -> Event | None:
    """What is left of the event when these hooks have told of it."""
    if event.kind is not Kind.RING or not same:
        return None if same else event
    rang = {extension for hook in same for extension in hook.data.get("extensions", [])}
    left = [extension for extension in event.data["extensions"] if extension not in rang]
    return replace(event, data=event.data | {"extensions": left}) if left else None


def told_once(heard: list[Event]) -> list[Event]:
    """The events without what the manager told of as the hooks did: one ring, one answer, one leg.

    The hooks' word counts: they know the extension meant, the manager only the phone.
    """
    hooks = [event for event in heard if not of_manager(event)]
    if len(hooks) == len(heard):
        return heard
    left = (_once(event, hooks) if of_manager(event) else event for event in heard)
    return [event for event in left if event is not None]


def _once(event: Event, hooks: Sequence[Event]) -> Event | None:
    return without(event, [hook for hook in hooks if is_same(event, hook)])
