"""A call by its CEL events: who was in one bridge with the client, and since when."""

from __future__ import annotations

from itgrix_bx.calls.call import IN
from itgrix_bx.pbx.channels import Channels
from itgrix_bx.pbx.listener import NOT_TOGETHER, Bridges, Gone, Listener
from itgrix_bx.pbx.records import Group, Happening
from itgrix_bx.pbx.story import CEL, First, Story, began, dialled_number

_ENDS = ("HANGUP", "CHAN_END")


def usable(first: First, group: Group) -> bool:
    """Whether CEL saw this call from its beginning, and bridges too where there must have been one."""
    kinds = {h.kind for h in group.happenings}
    entered = any(h.kind == "CHAN_START" and h.uniqueid == first.uniqueid for h in group.happenings)
    talked = any(row.answered and row.dstchannel for row in group.rows)
    return entered and bool(kinds.intersection(_ENDS)) and ("BRIDGE_ENTER" in kinds or not talked)


def by_cel(first: First, group: Group, channels: Channels) -> Story | None:
    """The call's story; None while it goes on."""
    reader = _Reader(first, group, channels)
    for happening in group.happenings:
        reader.read(happening)
    return reader.story()


class _Reader:
    """Tells the listener what the events of a group say."""

    def __init__(self, first: First, group: Group, channels: Channels) -> None:
        self._first = first
        self._rows = {row.dstchannel: row for row in group.rows}
        self._dialled = {h.channel: h.number for h in group.happenings if h.dialled}
        self._bridges = Bridges()
        self._listener = Listener(began(first, CEL, group, channels), channels, self._bridges)

    def read(self, happening: Happening) -> None:
        channel, bridge = happening.channel, str(happening.extra.get("bridge_id", ""))
        if happening.kind == "CHAN_START" and channel in self._dialled:
            row = self._rows.get(channel)
            self._listener.dialled(happening.at, channel, dialled_number(row) if row else self._dialled[channel])
        elif happening.kind == "CHAN_START" and channel == self._first.channel:
            self._listener.began()
        elif happening.kind == "ANSWER" and channel == self._first.channel:
            self._listener.answered(happening.at)
        elif happening.kind == "BRIDGE_ENTER" and happening.extra.get("bridge_technology") == NOT_TOGETHER:
            self._listener.parked(happening.at, channel)
        elif happening.kind == "BRIDGE_ENTER":
            # The others in it are named too: they may have entered under another linkedid.
            self._bridges.enter(bridge, channel, *happening.peers)
            self._listener.entered(happening.at, channel)
        elif happening.kind == "BRIDGE_EXIT":
            self._bridges.leave(bridge, channel)
            self._listener.left()
        elif happening.kind in _ENDS:
            self._listener.ended(channel, _gone(happening))

    def story(self) -> Story | None:
        """What was read, and the end; None when a channel the call lives on is still there."""
        if not self._listener.over:
            return None
        story = self._listener.story
        if self._first.direction != IN and not self._listener.clients:  # no trunk was to be had
            story.moments.insert(0, self._listener.outbound(story.started_at, story.number))
        self._listener.finish()
        return story


def _gone(happening: Happening) -> Gone:
    def extra(name: str) -> str:
        found = happening.extra.get(name)
        return "" if found is None else str(found)

    return Gone(happening.at, extra("hangupcause"), extra("dialstatus"), extra("hangupsource"))
