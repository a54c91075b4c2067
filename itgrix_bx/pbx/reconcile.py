"""What the hooks never told us: the records of one linkedid in, the journal's missing events out. No I/O.

The events are those the hooks would have made, with ids of their own that are the same every time, so telling a
call twice changes nothing. The rules are those of the records' facts, measured on real calls (docs/catch-up.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agi.channel import extension as clean_extension
from agi.channel import known, text
from agi.channel import number as clean_number
from itgrix_bx.calls.call import IN, OUT, Call, fold
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from itgrix_bx.calls.facts import AMI, is_same, without
from itgrix_bx.calls.lines import Lines
from itgrix_bx.calls.number_rules import Where
from itgrix_bx.calls.numbering import Numbering
from itgrix_bx.calls.numbers import trunk
from itgrix_bx.pbx.by_cdr import by_cdr
from itgrix_bx.pbx.by_cel import by_cel, usable
from itgrix_bx.pbx.channels import Channels
from itgrix_bx.pbx.records import Group
from itgrix_bx.pbx.story import First, Moment, Story, firsts

_FORGOTTEN_S = 6 * 3600.0  # CEL without an end for so long: Asterisk died in the middle of the call
_ONE_MOMENT_S = 3.0
_TICK_S = 0.001  # what happened in the same second keeps its order


@dataclass(frozen=True, slots=True)
class House:
    """What makes records into calls of ours: who has which extension, what numbers mean, the lines."""

    directory: Directory
    numbers: Numbering = field(default_factory=lambda: Numbering("RU"))
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class Told:
    """A call as the journal's events; of the records only when it is over."""

    call_id: str
    linkedid: str
    source: str  # "cel" | "cdr" | "ami"
    events: tuple[Event, ...]

    @property
    def started_at(self) -> float:
        return self.events[0].at

    @property
    def ended_at(self) -> float:
        return self.events[-1].at


def calls_of(group: Group, house: House, now: float) -> list[Told]:
    """The calls of a group that are for the CRM and over; `now` in unix seconds."""
    channels = Channels(house.directory)
    stories = (_story(first, group, channels, now) for first in firsts(group, channels))
    return [told for story in stories if story is not None and (told := told_by(story, house)) is not None]


def missing(told: Sequence[Event], known: Sequence[Event]) -> list[Event]:
    """What of `told` the journal must get that has `known` of the call.

    Nothing when it knows how the call ended: what the portal has been told, or is about to be, stays as it is. And
    nothing that would leave the call open.
    """
    if not known:
        return list(told)
    call = fold(known)
    ended = call.over and not call.end_unseen  # what only its missing channels told may be known better
    if ended or call.skipped or call.finished or call.finish_doubt is not None:
        return []
    new = _untold(told, [event for event in known if event.kind in HOOK_KINDS])
    return new if fold([*known, *new]).over else []


def news(told: Sequence[Event], known: Sequence[Event]) -> list[Event]:
    """What of `told`, heard while the call goes on or just ended, changes the call the journal has `known` of.

    Nothing of a call nobody opened or that is not for the CRM, and nothing once the portal may know the outcome.
    """
    if not known:
        return []
    call = fold(known)
    if call.skipped or call.finished or call.finish_doubt is not None:
        return []
    kept: list[Event] = []
    for event in _untold(told, [event for event in known if event.kind in HOOK_KINDS]):
        after = fold([*known, *kept, event])
        if event.kind is Kind.INBOUND or (after.over, after.legs) != (call.over, call.legs):
            kept.append(event)
            call = after
    return kept


def _untold(told: Sequence[Event], hooks: Sequence[Event]) -> list[Event]:
    """What no hook has told, in its order with what one has: the records' whole seconds lie before the hooks' times."""
    new: list[Event] = []
    reached = 0.0
    for event in told:
        same = [hook for hook in hooks if is_same(event, hook)]
        reached = max(reached, min((hook.at for hook in same), default=0.0))
        left = without(event, same)
        if left is not None:
            at = reached + _TICK_S if left.at <= reached <= left.at + _ONE_MOMENT_S else left.at
            new.append(replace(left, at=at))
            reached = max(reached, at)
    return new


def _story(first: First, group: Group, channels: Channels, now: float) -> Story | None:
    if usable(first, group):
        story = by_cel(first, group, channels)
        if story is not None or now - group.last_at < _FORGOTTEN_S:
            return story
    return by_cdr(first, group, channels)


# --- events --------------------------------------------------------------------------------------


def told_by(story: Story, house: House) -> Told | None:
    """The story as the journal's events; None for what is not for the CRM: kept from it by a list, or one of ours after
    all, by way of the network. What the manager tells of, a hook has decided about."""
    events = tuple(_events(story, _client_number(story, house), house))
    if story.source != AMI and _is_skipped(fold(events), house):
        return None
    return Told(story.call_id, story.linkedid, story.source, events)


def _is_skipped(call: Call, house: House) -> bool:
    return bool(call.client_number and house.numbers.skip(call, house.directory))


def _client_number(story: Story, house: House) -> str:
    way = Where(story.direction, _trunk(story), clean_number(story.did))
    return house.numbers.read(clean_number(known(story.number)), way, house.directory).number


def _trunk(story: Story) -> str:
    """Inbound the client's channel is the trunk's; of outbound calls the records do not say it as the hooks do."""
    return trunk(story.channel) if story.direction == IN else ""


def _events(story: Story, number: str, house: House) -> Iterator[Event]:
    about: dict[str, Any] = {"source": story.source, "linkedid": story.linkedid[:80]}
    at, counts = 0.0, dict.fromkeys(Kind, 0)
    moments = [*_beginning(story, number, house), *story.moments]
    # An event names one recording; their order is in the names.
    named = dict(zip(reversed(range(len(moments))), story.recordings, strict=False))
    for n, moment in enumerate(moments):
        at = max(moment.at, at + _TICK_S)
        data = about | _data(moment, story, number, house) | ({"recording": named[n][:1024]} if n in named else {})
        mark = moment.mark or str(counts[moment.kind])
        yield Event(story.call_id, moment.kind, at, data, _event_id(story, moment.kind, mark))
        counts[moment.kind] += 1


def _beginning(story: Story, number: str, house: House) -> list[Moment]:
    if story.direction != IN:
        return []
    did = clean_number(story.did)
    facts = {
        "own_channel": True,
        "channel": story.channel[:120],
        "caller": clean_number(known(story.number)),
        "client_number": number,
        "client_name": text(known(story.name)),
        "did": did,
        "trunk": _trunk(story),
        **house.lines.facts(did, _trunk(story)),
    }
    return [Moment(story.started_at, Kind.INBOUND, facts)]


def _data(moment: Moment, story: Story, number: str, house: House) -> dict[str, Any]:
    """A moment's data as the hook's would be, nothing of it longer or stranger than a hook lets pass."""
    data = dict(moment.data)
    if moment.kind is Kind.RING:
        data["extensions"] = [clean_extension(extension) for extension in data["extensions"]]
    elif moment.kind is Kind.ANSWER:
        data["extension"] = clean_extension(data["extension"])
    elif moment.kind is Kind.OUTBOUND:
        dialled = clean_number(data["number"])
        outbound = story.direction == OUT
        data |= {
            "own_channel": outbound,
            "number": dialled,
            "client_number": number if outbound else house.numbers.read(dialled, Where(OUT), house.directory).number,
            "extension": clean_extension(data["extension"]),
        }
    elif moment.kind is Kind.HANGUP:
        data["direction"] = story.direction
    return data


def _event_id(story: Story, kind: Kind, mark: str) -> str:
    """CDR and CEL are the same records, told with more or less detail; what the manager tells is another's word."""
    teller = AMI if story.source == AMI else "records"
    return hashlib.sha256(f"{teller} {story.call_id} {kind.value} {mark}".encode()).hexdigest()[:32]
