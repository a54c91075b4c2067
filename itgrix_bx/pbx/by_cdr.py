"""A call by its CDR rows alone: good for who, when and how it ended; what it cannot tell is in docs/catch-up.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from itgrix_bx.calls.call import IN
from itgrix_bx.calls.events import Kind
from itgrix_bx.pbx.channels import Channels, other_half
from itgrix_bx.pbx.records import Group, Row
from itgrix_bx.pbx.story import CDR, End, First, Moment, Story, began, dialled_number, dials_out, rows_of

_CUT_S = 0.5  # durations are cut to whole seconds: of each talk half a second is missing on the average
_STATUS = {"BUSY": "BUSY", "NO ANSWER": "NOANSWER", "FAILED": "CONGESTION", "CONGESTION": "CONGESTION"}
_CAUSE = {"BUSY": "17"}


def by_cdr(first: First, group: Group, channels: Channels) -> Story:
    """The call's story."""
    story = began(first, CDR, group, channels)
    own = rows_of(first.uniqueid, group)
    if first.direction != IN:
        # What the phone did before it dialled out is no part of the client's call.
        own = own[next(i for i, row in enumerate(own) if dials_out(row, channels)) :]
    away = [] if first.direction == IN else _after_a_transfer(own, group)
    legs = [leg for row in [*own, *away] for leg in _legs(row, group.rows)]
    story.moments = sorted(
        (moment for leg in legs for moment in _moments(leg, story, channels)),
        key=lambda moment: (moment.at, moment.kind is Kind.ANSWER),
    )
    ended_at = max(row.end for row in [*own, *away])
    talks = sum(moment.kind is Kind.ANSWER for moment in story.moments)
    story.end(ended_at + _CUT_S * talks, _end(own, own_channel=not away))
    return story


def _after_a_transfer(own: list[Row], group: Group) -> list[Row]:
    """The client's channel goes on with rows of its own once it is transferred away."""
    trunks = {row.dstchannel for row in own if row.dstchannel}
    return [row for row in group.rows if row.channel in trunks]


def _legs(row: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """The row itself or, where it leads into a Local channel (a queue's member, follow-me), what came out of it."""
    half = other_half(row.dstchannel)
    beyond = [other for other in rows if half and other.channel == half]
    if not beyond:
        yield row
    for other in beyond:
        yield from _legs(other, [left for left in rows if left is not other])


def _moments(leg: Row, story: Story, channels: Channels) -> Iterator[Moment]:
    extension = channels.extension(leg.dstchannel)
    if extension:
        yield Moment(leg.start, Kind.RING, {"extensions": [extension]})
    elif dials_out(leg, channels):
        yield Moment(leg.start, Kind.OUTBOUND, {"number": dialled_number(leg), "extension": story.extension})
    else:
        return
    if leg.answered and leg.dstchannel:
        yield Moment(leg.answer, Kind.ANSWER, {"extension": extension})


def _end(own: list[Row], *, own_channel: bool) -> End:
    last = own[-1]
    dial = next((row for row in reversed(own) if row.lastapp == "Dial"), None)
    status = ""
    if dial is not None:
        # Nothing came after Dial(): the caller left while it rang.
        status = "CANCEL" if dial is last and dial.disposition == "NO ANSWER" else _STATUS.get(dial.disposition, "")
    answered = next((row.answer for row in own if row.answered), None)
    return End(own=own_channel, status=status, cause=_CAUSE.get(last.disposition, ""), source="", answered_at=answered)
