"""A call by its CEL events: who was in one bridge with the client, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itgrix_bx.calls.call import IN
from itgrix_bx.calls.events import Kind
from itgrix_bx.pbx.channels import Channels, other_half
from itgrix_bx.pbx.records import Group, Happening
from itgrix_bx.pbx.story import CEL, End, First, Moment, Story, began, dialled_number

_ENDS = ("HANGUP", "CHAN_END")
_DECLINED = "21"
_TOGETHER_S = 1.0  # both sides of a call end within the second the table keeps


def usable(first: First, group: Group) -> bool:
    """Whether CEL saw this call from its beginning, and bridges too where there must have been one."""
    kinds = {h.kind for h in group.happenings}
    entered = any(h.kind == "CHAN_START" and h.uniqueid == first.uniqueid for h in group.happenings)
    talked = any(row.answered and row.dstchannel for row in group.rows)
    return entered and bool(kinds.intersection(_ENDS)) and ("BRIDGE_ENTER" in kinds or not talked)


def by_cel(first: First, group: Group, channels: Channels) -> Story | None:
    """The call's story; None while it goes on."""
    listener = _Listener(first, group, channels)
    for happening in group.happenings:
        listener.hear(happening)
    return listener.story()


class _Listener:
    """Follows the events of a group with the client in view.

    `clients` are the client's channels: the first one inbound, those of the trunks outbound. `rung` are the phones
    dialled for them, `connected` all who hear a client now. `talker` is whom the call belongs to now: an extension, ""
    for the far side of a trunk and for who dialled outbound (the hooks name neither), None for nobody.
    """

    def __init__(self, first: First, group: Group, channels: Channels) -> None:
        self._first, self._channels = first, channels
        self._rows = {row.dstchannel: row for row in group.rows}
        self._story = began(first, CEL, group, channels)
        self._dialled = {h.channel: h.number for h in group.happenings if h.dialled}
        self._clients: list[str] = []
        self._rung: set[str] = set()
        self._bridges: dict[str, set[str]] = {}
        self._connected: set[str] = set()
        self._talker: str | None = None
        self._answered_at: float | None = None
        self._talked_with = ""
        self._gone: dict[str, Happening] = {}

    def hear(self, happening: Happening) -> None:
        """Take the next event."""
        channel, bridge = happening.channel, str(happening.extra.get("bridge_id", ""))
        if happening.kind == "CHAN_START" and channel in self._dialled:
            self._dial(happening)
        elif happening.kind == "CHAN_START" and channel == self._first.channel and self._first.direction == IN:
            self._clients.append(channel)
        elif happening.kind == "ANSWER" and channel == self._first.channel:
            self._answered_at = happening.at
        elif happening.kind == "BRIDGE_ENTER":
            # The others in it are named too: they may have entered under another linkedid.
            self._bridges.setdefault(bridge, set()).update((channel, *happening.peers))
            self._listen(happening)
        elif happening.kind == "BRIDGE_EXIT":
            self._bridges.get(bridge, set()).discard(channel)
            self._connected = self._reached()
        elif happening.kind in _ENDS:
            self._gone.setdefault(channel, happening)

    def story(self) -> Story | None:
        """What was heard, and the end; None when a channel the call lives on is still there."""
        first, client = self._gone.get(self._first.channel), self._gone.get(self._talked_with)
        if first is None or (self._talked_with and client is None):
            return None
        if self._first.direction != IN and not self._clients:  # no trunk was to be had
            self._story.moments.insert(0, self._outbound(self._story.started_at, self._story.number))
        # Transferred away, the client's channel outlives the one that called.
        last = client if client is not None and client.at > first.at + _TOGETHER_S else first
        self._story.end(max(last.at, self._story.ended_at), self._end(first.extra, own=last is first))
        return self._story

    def _end(self, extra: Mapping[str, Any], *, own: bool) -> End:
        # Whoever was dialled last knows better why nothing came of it than the channel that dialled.
        dialled = [end.extra for channel, end in self._gone.items() if channel in self._dialled]
        cause = str((dialled or [extra])[-1].get("hangupcause", ""))
        status = str(extra.get("dialstatus") or "")
        if (status, cause) == ("NOANSWER", _DECLINED):
            status = "CHANUNAVAIL"  # what Dial() calls it; CEL has no word for it
        source = str(extra.get("hangupsource") or "")
        return End(own=own, status=status, cause=cause, source=source, answered_at=self._answered_at)

    # --- who rings, who talks --------------------------------------------------------------------

    def _dial(self, happening: Happening) -> None:
        extension = self._channels.extension(happening.channel)
        if extension and self._clients:
            self._story.moments.append(Moment(happening.at, Kind.RING, {"extensions": [extension]}))
            self._rung.add(happening.channel)
            self._talker = extension if self._talker == extension else None
        elif self._channels.is_outside(happening.channel):
            row = self._rows.get(happening.channel)
            number = dialled_number(row) if row else self._dialled[happening.channel]
            self._story.moments.append(self._outbound(happening.at, number))
            if self._first.direction != IN:
                self._clients.append(happening.channel)

    def _outbound(self, at: float, number: str) -> Moment:
        return Moment(at, Kind.OUTBOUND, {"number": number, "extension": self._story.extension})

    def _listen(self, entered: Happening) -> None:
        """Somebody entered a bridge: a phone that rang was picked up; who is connected with the client now and was
        not before, talks."""
        reached = self._reached()
        new = {self._who(channel) for channel in reached - self._connected}
        if entered.channel in self._rung:
            new.add(self._who(entered.channel))
        for talker in sorted(str(who) for who in new - {None, self._talker}):
            self._talker = talker
            self._story.moments.append(Moment(entered.at, Kind.ANSWER, {"extension": talker}))
        self._talked_with = next((c for c in self._clients if c in reached and len(reached) > 1), self._talked_with)
        self._connected = reached

    def _who(self, channel: str) -> str | None:
        if channel in self._clients:
            return None
        extension = "" if channel == self._first.channel else self._channels.extension(channel)
        outside = channel == self._first.channel or self._channels.is_outside(channel)
        return extension if extension or outside else None

    def _reached(self) -> set[str]:
        """Everybody who hears a client that is in a bridge, through Local channels too."""
        reached: set[str] = set()
        waiting = [c for c in self._clients if any(c in members for members in self._bridges.values())]
        while waiting:
            channel = waiting.pop()
            if channel not in reached:
                reached.add(channel)
                waiting += [other_half(channel)] if other_half(channel) else []
                waiting += [c for members in self._bridges.values() if channel in members for c in members]
        return reached
