"""Who rings and who talks in one call, from what its channels do, whoever tells of it: CEL afterwards, AMI at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from itgrix_bx.calls.call import OUT
from itgrix_bx.calls.events import Kind
from itgrix_bx.pbx.channels import Channels, other_half
from itgrix_bx.pbx.story import CEL, End, Moment, Story

_DECLINED = "21"
# Both sides of a call end together: within the second that CEL keeps, within moments as the manager tells it.
_TOGETHER_S = {CEL: 1.0}
_AT_ONCE_S = 0.1
NOT_TOGETHER = "holding_bridge"  # a bridge's technology: who is parked or waits there does not hear the others


@dataclass(frozen=True, slots=True)
class Gone:
    """The end of a channel: Q.850 cause, and what is known of the Dial() it waited in and of who hung up."""

    at: float
    cause: str = ""
    dialstatus: str = ""
    source: str = ""


class Bridges:
    """Which channels hear each other: those in one bridge, and through Local channels those in the next one."""

    def __init__(self) -> None:
        self._members: dict[str, set[str]] = {}
        self._in: dict[str, set[str]] = {}

    def enter(self, bridge: str, *channels: str) -> None:
        """These are in the bridge now, whoever was before."""
        for channel in channels:
            self._members.setdefault(bridge, set()).add(channel)
            self._in.setdefault(channel, set()).add(bridge)

    def leave(self, bridge: str, channel: str) -> None:
        """It is no longer in the bridge."""
        members, bridges = self._members.get(bridge, set()), self._in.get(channel, set())
        members.discard(channel)
        bridges.discard(bridge)
        if not members:
            self._members.pop(bridge, None)
        if not bridges:
            self._in.pop(channel, None)

    def forget(self, channel: str) -> None:
        """The channel is gone."""
        for bridge in list(self._in.get(channel, ())):
            self.leave(bridge, channel)

    def of(self, channel: str) -> set[str]:
        """The bridges a channel is in."""
        return set(self._in.get(channel, ()))

    def reached(self, channels: Iterable[str]) -> set[str]:
        """Everybody who hears one of `channels` that are in a bridge, themselves included."""
        reached: set[str] = set()
        waiting = [channel for channel in channels if channel in self._in]
        while waiting:
            channel = waiting.pop()
            if channel not in reached:
                reached.add(channel)
                waiting += [other_half(channel)] if other_half(channel) else []
                waiting += [one for bridge in self._in.get(channel, ()) for one in self._members[bridge]]
        return reached


class Listener:
    """Follows a call with the client in view, and adds what happens to the story.

    `clients` are the client's channels: the first one inbound, those of the trunks outbound. `rung` are the phones
    dialled for them, `connected` all who hear a client now. `talker` is whom the call belongs to now: an extension, ""
    for the far side of a trunk and for who dialled outbound (the hooks name neither), None for nobody.
    """

    def __init__(self, story: Story, channels: Channels, bridges: Bridges) -> None:
        self.story = story
        self.clients: list[str] = []
        self._channels = channels
        self._bridges = bridges
        self._dialled: set[str] = set()
        self._rung: set[str] = set()
        self._connected: set[str] = set()
        self._talker: str | None = None
        self._answered_at: float | None = None
        self._talked_with = ""
        self._gone: dict[str, Gone] = {}

    def began(self) -> None:
        """The call's first channel is there: what was dialled before was not for its client."""
        if self.story.direction != OUT:  # of an internal call who dials is followed as clients are
            self.clients.append(self.story.channel)

    def dialled(self, at: float, channel: str, number: str) -> None:
        """Dial() or Queue() calls `channel`; `number` is whom it asked the network for, where it leads there; "" when
        that was not heard."""
        if channel in self._dialled:
            return
        self._dialled.add(channel)
        extension = self._channels.extension(channel)
        if extension and self.clients:
            self.story.moments.append(Moment(at, Kind.RING, {"extensions": [extension]}, channel))
            self._rung.add(channel)
            self._talker = extension if self._talker == extension else None
        elif self._channels.is_outside(channel):
            if number:
                self.story.moments.append(self.outbound(at, number, channel))
            if self.story.direction == OUT:
                self.clients.append(channel)

    def outbound(self, at: float, number: str, mark: str = "") -> Moment:
        return Moment(at, Kind.OUTBOUND, {"number": number, "extension": self.story.extension}, mark)

    def answered(self, at: float) -> None:
        """The channel the call began on was answered, be it by a menu."""
        self._answered_at = at if self._answered_at is None else self._answered_at

    def entered(self, at: float, channel: str, bridge: str = "") -> None:
        """Somebody entered a bridge: a phone that rang was picked up; who is connected with the client now and was
        not before, talks."""
        reached = self._bridges.reached(self.clients)
        new = {self._who(one) for one in reached - self._connected}
        if channel in self._rung:
            new.add(self._who(channel))
        for talker in sorted(str(who) for who in new - {None, self._talker}):
            self._talker = talker
            self.story.moments.append(
                Moment(at, Kind.ANSWER, {"extension": talker}, self._mark(f"{bridge} {channel} {talker}"))
            )
        self._talked_with = next((c for c in self.clients if c in reached and len(reached) > 1), self._talked_with)
        self._connected = reached

    def parked(self, at: float, channel: str) -> None:
        """A channel was put where nobody hears it: whoever talked with this client does so no more."""
        if channel in self.clients and self._talker is not None:
            self._talker = None
            self.story.moments.append(Moment(at, Kind.PARKED, {}, self._mark(channel)))

    def _mark(self, mark: str) -> str:
        """Who was put on hold comes back to the same bridge, and who was fetched may be parked again."""
        before = sum(moment.mark.startswith(mark) for moment in self.story.moments)
        return f"{mark} {before}" if before else mark

    def left(self) -> None:
        """Somebody left a bridge."""
        self._connected = self._bridges.reached(self.clients)

    def ended(self, channel: str, gone: Gone) -> None:
        """A channel is no more."""
        self._gone.setdefault(channel, gone)

    @property
    def over(self) -> bool:
        """Whether every channel the call lives on is gone."""
        return self.story.channel in self._gone and (not self._talked_with or self._talked_with in self._gone)

    def finish(self) -> None:
        """Add the end. To be asked once, of a call that is over."""
        first, client = self._gone[self.story.channel], self._gone.get(self._talked_with)
        # Transferred away, the client's channel outlives the one that called.
        together_s = _TOGETHER_S.get(self.story.source, _AT_ONCE_S)
        away = client is not None and client.at > first.at + together_s and self._has_talked()
        last = client if client is not None and away else first
        self.story.end(max(last.at, self.story.ended_at), self._end(first, own=last is first))

    def _has_talked(self) -> bool:
        """Without an answer the end of a trunk's channel ends nothing."""
        return any(moment.kind is Kind.ANSWER for moment in self.story.moments)

    def _end(self, first: Gone, *, own: bool) -> End:
        # Whoever was dialled last knows better why nothing came of it than the channel that dialled.
        dialled = [gone for channel, gone in self._gone.items() if channel in self._dialled]
        cause, status = (dialled or [first])[-1].cause, first.dialstatus
        if (status, cause) == ("NOANSWER", _DECLINED):
            status = "CHANUNAVAIL"  # what Dial() calls it; CEL has no word for it
        return End(own=own, status=status, cause=cause, source=first.source, answered_at=self._answered_at)

    def _who(self, channel: str) -> str | None:
        if channel in self.clients:
            return None
        extension = "" if channel == self.story.channel else self._channels.extension(channel)
        outside = channel == self.story.channel or self._channels.is_outside(channel)
        return extension if extension or outside else None
