"""What goes on at the PBX, by the events of its manager: its channels, who hears whom, and a story for each call.

No I/O, one thread. A call is known by the channel it began on, whose uniqueid is the linkedid of what it leads to; a
channel that is dialled, through however many Local channels, belongs to the call of the one that dials.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from itgrix_bx.calls.call import IN, OUT
from itgrix_bx.calls.facts import AMI
from itgrix_bx.pbx.channels import Channels, is_short, other_half
from itgrix_bx.pbx.listener import NOT_TOGETHER, Bridges, Gone, Listener
from itgrix_bx.pbx.messages import Message
from itgrix_bx.pbx.story import DIALLED, Story

EVENTS = (
    "Newchannel", "Newstate", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Hangup", "QueueCallerJoin",
    "QueueCallerAbandon",
)  # fmt: skip
_UP = "6"
_MOST_IDS = 100  # channels of one call that are remembered


@dataclass(eq=False, slots=True)
class Live:
    """A call that goes on. `ids`: the uniqueids of its channels, `told`: how many moments `changed` has heard of,
    `over_at`: when it ended (monotonic)."""

    listener: Listener
    ids: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    told: int = 0
    over_at: float | None = None
    dialstatus: str = ""

    @property
    def story(self) -> Story:
        return self.listener.story


class Scene:
    """`channels` tells phones from trunks as known now; `direction` what the hooks said of a call, "" for nothing.
    `changed` is called with a call that has got another moment, or is over."""

    def __init__(
        self, channels: Callable[[], Channels], direction: Callable[[str], str], changed: Callable[[Live], None]
    ) -> None:
        self._channels = channels
        self._direction = direction
        self._changed = changed
        self._names: dict[str, str] = {}  # uniqueid -> the name a channel began with
        self._calls: dict[str, Live] = {}  # uniqueid of the first channel -> its call
        self._belongs: dict[str, Live] = {}  # name of a channel -> the call it is part of
        self._bridges = Bridges()
        self._hear: Mapping[str, Callable[[Message], None]] = {
            "Newchannel": self._begin,
            "Newstate": self._state,
            "DialBegin": self._dial,
            "DialEnd": self._dialled,
            "BridgeEnter": self._enter,
            "BridgeLeave": self._leave,
            "Hangup": self._hang_up,
            "QueueCallerJoin": self._queue,
            "QueueCallerAbandon": self._queue,
        }

    def __len__(self) -> int:
        """How many channels are known."""
        return len(self._names)

    def hear(self, message: Message) -> None:
        """Take the next event of `EVENTS`."""
        self._hear[message.event](message)

    # --- events ----------------------------------------------------------------------------------

    def _begin(self, message: Message) -> None:
        uniqueid, name = message.get("Uniqueid"), message.get("Channel")
        if not uniqueid or uniqueid in self._names:
            return
        self._names[uniqueid] = name
        linkedid = message.get("Linkedid")
        if uniqueid == linkedid:
            self._calls[uniqueid] = self._call(message)
        live = self._calls.get(linkedid)
        if live is not None and len(live.ids) < _MOST_IDS:
            live.ids.add(uniqueid)

    def _call(self, message: Message) -> Live:
        """A new one, that begins on this channel."""
        channels, name = self._channels(), message.get("Channel")
        inbound = channels.is_outside(name)
        story = Story(
            AMI, IN if inbound else OUT, name, message.get("Uniqueid"), message.get("Linkedid"), message.at,
            number=message.get("CallerIDNum") if inbound else "", name=message.get("CallerIDName") if inbound else "",
        )  # fmt: skip
        if inbound:
            story.did = message.get("Exten") if DIALLED.fullmatch(message.get("Exten")) else ""
        else:
            story.extension = channels.extension(name) or _if_short(message.get("CallerIDNum"))
        live = Live(Listener(story, channels, self._bridges))
        live.listener.began()
        self._join(live, name)
        return live

    def _join(self, live: Live, name: str) -> None:
        self._belongs[name] = live
        live.names.add(name)

    def _state(self, message: Message) -> None:
        live = self._calls.get(message.get("Uniqueid"))
        if live is not None and message.get("ChannelState") == _UP:
            live.listener.answered(message.at)

    def _dial(self, message: Message) -> None:
        caller, name = message.get("Channel"), message.get("DestChannel")
        live = self._call_of(caller, message.get("DestLinkedid"))
        if live is None or name in live.names:
            return
        self._join(live, name)
        self._as_the_hooks_say(live)
        number = _dialled_number(message)
        live.story.number = live.story.number or number
        live.listener.dialled(message.at, name, number)
        self._note(live)

    def _call_of(self, caller: str, linkedid: str) -> Live | None:
        return self._belongs.get(caller) or self._belongs.get(other_half(caller)) or self._calls.get(linkedid)

    def _as_the_hooks_say(self, live: Live) -> None:
        """The dialplan knows which way a call goes; a channel's name only lets us guess."""
        story = live.story
        said = self._direction(story.call_id)
        if not said or said == story.direction or story.moments:
            return
        story.direction, story.number, story.extension = said, "", ""
        live.listener.clients.clear()
        live.listener.began()

    def _dialled(self, message: Message) -> None:
        live = self._belongs.get(message.get("Channel"))
        if live is not None and live.story.channel == message.get("Channel"):
            live.dialstatus = message.get("DialStatus")

    def _enter(self, message: Message) -> None:
        if message.get("BridgeTechnology") == NOT_TOGETHER:
            self._parked(message.at, message.get("Channel"))
        else:
            self._entered(message.at, message.get("Channel"), message.get("BridgeUniqueid"))

    def _parked(self, at: float, name: str) -> None:
        if (live := self._belongs.get(name)) is not None:
            live.listener.parked(at, name)
            self._note(live)

    def _entered(self, at: float, name: str, bridge: str) -> None:
        self._bridges.enter(bridge, name)
        for live in self._concerned(name):
            live.listener.entered(at, name, bridge)
            self._note(live)

    def _leave(self, message: Message) -> None:
        name = message.get("Channel")
        concerned = self._concerned(name)
        self._bridges.leave(message.get("BridgeUniqueid"), name)
        for live in concerned:
            live.listener.left()

    def _concerned(self, name: str) -> set[Live]:
        """The calls that hear what a channel does: those of whom it hears, and its own."""
        lives = (self._belongs.get(one) for one in self._bridges.reached([name]) | {name})
        return {live for live in lives if live is not None}

    def _queue(self, message: Message) -> None:
        live = self._belongs.get(message.get("Channel"))
        if live is not None:
            live.story.queued = True
            live.story.lastapp = "Queue" if message.event == "QueueCallerAbandon" else ""

    def _hang_up(self, message: Message) -> None:
        self._end(message.get("Uniqueid"), message.get("Channel"), message.at, message.get("Cause"))

    def _end(self, uniqueid: str, now_called: str, at: float, cause: str = "", *, seen: bool = True) -> None:
        name = self._names.pop(uniqueid, now_called)
        self._bridges.forget(name)
        live = self._belongs.pop(name, None)
        if live is None:
            return
        live.names.discard(name)
        live.listener.ended(name, Gone(at, cause, live.dialstatus if name == live.story.channel else ""))
        if live.listener.over and live.over_at is None:
            self._over(live, seen=seen)

    def _over(self, live: Live, *, seen: bool) -> None:
        live.over_at = time.monotonic()
        self._calls.pop(live.story.call_id, None)
        for name in live.names:
            self._belongs.pop(name, None)
        if seen:  # else its end is told by whom it was seen, or by nobody: pbx/closing.py
            live.listener.finish()
        self._changed(live)

    def _note(self, live: Live) -> None:
        if len(live.story.moments) > live.told:
            live.told = len(live.story.moments)
            self._changed(live)

    # --- the whole picture -----------------------------------------------------------------------

    def look(self, listed: Sequence[Message]) -> None:
        """These channels exist, and no others. What was missed is taken for having happened now."""
        for channel in listed:
            self._begin(channel)
        for channel in listed:
            self._dial_again(channel)
        for channel in listed:
            self._place(channel)
        for uniqueid in self._names.keys() - {channel.get("Uniqueid") for channel in listed}:
            self._end(uniqueid, "", time.time(), seen=False)

    def _dial_again(self, channel: Message) -> None:
        live = self._calls.get(channel.get("Linkedid"))
        name = channel.get("Channel")
        if live is None or name in live.names or channel.get("ApplicationData") != "(Outgoing Line)":
            return
        self._join(live, name)
        self._as_the_hooks_say(live)
        live.listener.dialled(channel.at, name, "")
        self._note(live)

    def _place(self, channel: Message) -> None:
        name, bridge = channel.get("Channel"), channel.get("BridgeId")
        for other in self._bridges.of(name) - {bridge}:
            self._bridges.leave(other, name)
        if bridge and channel.get("Application") == "Park":
            self._parked(channel.at, name)
        elif bridge:
            self._entered(channel.at, name, bridge)


def _dialled_number(message: Message) -> str:
    """89161234567 of 89161234567@trunk or trunk/89161234567."""
    found = DIALLED.findall(message.get("DialString").split("@")[0])
    return found[-1] if found else message.get("DestCallerIDNum")


def _if_short(number: str) -> str:
    return number if is_short(number) else ""
