"""Recorded calls, ten at once, told by the manager: who rang, who talked, how it ended; with the hooks and without."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import IN, OUT, Call, fold
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.facts import AMI
from itgrix_bx.pbx.channels import Channels
from itgrix_bx.pbx.listener import Bridges, Gone, Listener
from itgrix_bx.pbx.messages import Message
from itgrix_bx.pbx.reconcile import House, news, told_by
from itgrix_bx.pbx.scene import EVENTS, Live, Scene
from itgrix_bx.pbx.story import Story
from tests.pbx import recorded_ami
from tests.pbx.test_recorded import ADMIN, PEOPLE

NAMES = list(recorded_ami.CALLS)
BY_ID = {call_id: name for name, (call_id, _, _) in recorded_ami.CALLS.items()}
FACTS = (Kind.RING, Kind.ANSWER)
# Nobody but the hook knows that a voicemail box took the call, or what a menu is.
ONLY_THE_HOOK_KNOWS = {"voicemail"}


class Watched:
    """A scene that hears what it is given; `told` is what it made of each recorded call."""

    def __init__(self) -> None:
        self.lives: dict[str, Live] = {}
        self.scene = Scene(lambda: Channels(PEOPLE), self._direction, self._changed)

    def _direction(self, call_id: str) -> str:
        name = BY_ID.get(call_id, "")
        return (OUT if name.startswith("outbound") else IN) if name else ""

    def _changed(self, live: Live) -> None:
        self.lives[live.story.call_id] = live

    def hear(self, messages: Iterable[Message]) -> Watched:
        for message in messages:
            self.scene.hear(message)
        return self

    def told(self, name: str) -> list[Event]:
        live = self.lives.get(recorded_ami.CALLS[name][0])
        told = told_by(live.story, House(PEOPLE)) if live is not None else None
        return list(told.events) if told is not None else []


def recorded() -> list[Message]:
    return [Message([("Event", name), *headers.items()], at) for at, name, headers in recorded_ami.EVENTS]


def hooks_of(name: str) -> list[Event]:
    call_id, told, _ = recorded_ami.CALLS[name]
    return [Event(call_id, Kind(kind), at, data, f"hook {n}") for n, (kind, at, data) in enumerate(told)]


def come_out(call: Call) -> dict[str, Any]:
    result = outcome.of(call, PEOPLE, finisher="last", default_user=ADMIN)
    legs = [(leg.extension, leg.answered_at is not None) for leg in call.legs]
    return {"status_code": result.status_code, "talk_seconds": call.talk_seconds, "user_id": result.user_id,
            "legs": legs}  # fmt: skip


def expected(name: str) -> dict[str, Any]:
    return dict(recorded_ami.CALLS[name][2])


def check(call: Call, name: str, *, within_s: int = 0) -> None:
    found, right = come_out(call), expected(name)
    assert abs(found.pop("talk_seconds") - right.pop("talk_seconds")) <= within_s
    assert found == right


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched().hear(recorded())


@pytest.mark.parametrize("name", NAMES)
def test_with_the_fewest_hooks_a_call_comes_out_right(watched: Watched, name: str) -> None:
    hooks = hooks_of(name)
    check(fold([*hooks, *news(watched.told(name), hooks)]), name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONLY_THE_HOOK_KNOWS])
def test_without_a_hangup_hook_it_ends_as_well(watched: Watched, name: str) -> None:
    opened = [event for event in hooks_of(name) if event.kind is not Kind.HANGUP]
    call = fold([*opened, *news(watched.told(name), opened)])
    check(call, name, within_s=1)
    assert call.over
    hangups = [event.at for event in hooks_of(name) if event.kind is Kind.HANGUP]
    assert call.ended_at >= hangups[-1] - 0.5


def as_hooks(events: Sequence[Event], offset_s: float) -> list[Event]:
    """The same facts reported by hooks, so much earlier or later."""
    return [
        replace(e, at=e.at + offset_s, event_id=f"told {n}", data={k: v for k, v in e.data.items() if k != "source"})
        for n, e in enumerate(events)
    ]


@pytest.mark.parametrize("offset_s", [-0.08, -0.001, 0.0, 0.001, 0.08])
@pytest.mark.parametrize("name", NAMES)
def test_what_hooks_and_manager_both_tell_happened_once(watched: Watched, name: str, offset_s: float) -> None:
    told = watched.told(name)
    facts = [event for event in told if event.kind in FACTS or event.data.get("own_channel") is False]
    hooks = [*hooks_of(name), *as_hooks(facts, offset_s)]
    assert news(told, hooks) == []
    alone, both = fold(hooks), fold([*told, *hooks])
    assert both.legs == alone.legs
    assert come_out(both) == come_out(alone)


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_that_is_missing_leaves_no_hole(watched: Watched, name: str) -> None:
    """Any one of ring and answer is told by the manager only, the others by both."""
    told = watched.told(name)
    facts = [event for event in told if event.kind in FACTS]
    for lost in facts:
        hooks = [*hooks_of(name), *as_hooks([event for event in facts if event is not lost], -0.0001)]
        call = fold([*hooks, *news(told, hooks)])
        check(call, name, within_s=1)


def test_calls_nobody_opened_stay_unknown(watched: Watched) -> None:
    assert news(watched.told("blind_transfer"), []) == []


def test_a_call_that_is_not_for_the_crm_gets_nothing(watched: Watched) -> None:
    hooks = hooks_of("blind_transfer")[:1]
    skipped = Event(hooks[0].call_id, Kind.SKIPPED, hooks[0].at, {"reason": "a rule"})
    assert news(watched.told("blind_transfer"), [*hooks, skipped]) == []


def test_what_was_told_once_is_no_news(watched: Watched) -> None:
    for name in NAMES:
        hooks = hooks_of(name)
        first = news(watched.told(name), hooks)
        assert news(watched.told(name), [*hooks, *first]) == []
        assert Watched().hear(recorded()).told(name) == watched.told(name)


def test_nothing_is_left_of_calls_that_are_over(watched: Watched) -> None:
    scene = watched.scene
    assert (len(scene), scene._calls, scene._belongs, scene._bridges._in, scene._bridges._members) == (
        0,
        {},
        {},
        {},
        {},
    )


# --- a link that was lost ----------------------------------------------------------------------------


def listed(messages: Sequence[Message]) -> list[Message]:
    """CoreShowChannels as Asterisk would answer it after these events."""
    channels: dict[str, dict[str, str]] = {}
    by_name: dict[str, str] = {}
    dialled: set[str] = set()
    at = messages[-1].at if messages else 0.0
    for message in messages:
        uniqueid = message.get("Uniqueid")
        if message.event == "Newchannel":
            channels[uniqueid] = {
                name: message.get(name) for name in ("Channel", "Uniqueid", "Linkedid", "CallerIDNum")
            }
            by_name[message.get("Channel")] = uniqueid
        elif message.event == "DialBegin":
            dialled.add(message.get("DestChannel"))
        elif message.event == "BridgeEnter" and uniqueid in channels:
            channels[uniqueid] |= {"BridgeId": message.get("BridgeUniqueid"), "Linkedid": message.get("Linkedid")}
        elif message.event == "BridgeLeave" and channels.get(uniqueid, {}).get("BridgeId") == message.get(
            "BridgeUniqueid"
        ):
            del channels[uniqueid]["BridgeId"]
        elif message.event == "Hangup":
            channels.pop(uniqueid, None)
    for channel in channels.values():
        channel["ApplicationData"] = "(Outgoing Line)" if channel["Channel"] in dialled else ""
    return [Message([("Event", "CoreShowChannel"), *channel.items()], at) for channel in channels.values()]


@pytest.mark.parametrize("seed", range(12))
def test_after_a_gap_the_list_of_channels_closes_it(watched: Watched, seed: int) -> None:
    """What the list cannot show (who rang and stopped, when somebody answered) may be lost; nothing is invented."""
    random_ = random.Random(seed)
    messages = recorded()
    begin = random_.randrange(len(messages))
    end = min(len(messages), begin + random_.randrange(1, 120))
    again = Watched().hear(messages[:begin])
    again.scene.look(listed(messages[:end]))
    again.hear(messages[end:])
    lost_at, back_at = messages[begin].at, messages[end - 1].at
    for name in NAMES:
        hooks = hooks_of(name)
        call = fold([*hooks, *news(again.told(name), hooks)])
        found, right = come_out(call), expected(name)
        if watched.told(name)[-1].at < lost_at or hooks[0].at > back_at:
            assert found == right, name
        else:
            known = {leg for leg, _ in (*right["legs"], *come_out(fold(hooks))["legs"])}
            assert {leg for leg, _ in found["legs"]} <= known, name
            assert found["talk_seconds"] <= watched.told(name)[-1].at - hooks[0].at + 1, name
            assert found["status_code"] == right["status_code"], name
    assert len(again.scene) == 0


def test_whoever_talks_when_the_link_comes_is_known_to_talk() -> None:
    messages = recorded()
    talks = next(n for n, m in enumerate(messages) if m.event == "BridgeEnter")
    watched = Watched()
    watched.scene.look(listed(messages[: talks + 60]))
    told = [event for name in NAMES for event in watched.told(name) if event.kind is Kind.ANSWER]
    assert told
    assert {round(event.at - messages[talks + 59].at, 1) for event in told} == {0.0}


def test_a_trunk_that_only_heard_an_announcement_does_not_end_the_call() -> None:
    """Nobody talked: the call is over with who dialled, however long the trunk's channel lives on."""
    dials, trunk, bridges = "PJSIP/1011-1", "PJSIP/trunk-2", Bridges()
    story = Story(AMI, OUT, dials, "1.1", "1.1", 1.0, number="89161234567", extension="1011")
    listener = Listener(story, Channels(PEOPLE), bridges)
    listener.began()
    listener.dialled(1.0, trunk, "89161234567")
    bridges.enter("b", trunk, "CBAnn/room-3")
    listener.entered(2.0, trunk, "b")
    listener.ended(dials, Gone(3.0, "16"))
    listener.ended(trunk, Gone(9.0, "16"))
    assert listener.over
    listener.finish()
    end = story.moments[-1]
    assert (end.kind, end.at, end.data["own_channel"]) == (Kind.HANGUP, 3.0, True)


def said(event: str, name: str, **more: str) -> Message:
    """An event of a channel of call 1.1, at second 1."""
    headers = {"Channel": name, "Uniqueid": "1.1" if "trunk" in name else name[-1], "Linkedid": "1.1"} | more
    return Message([("Event", event), *headers.items()], 1.0)


def rung(direction: dict[str, str]) -> tuple[Scene, list[Live]]:
    """A client's call that rings at 1011, whose direction the hooks say."""
    lives: list[Live] = []
    scene = Scene(lambda: Channels(PEOPLE), lambda call_id: direction.get(call_id, ""), lives.append)
    dest = {"DestChannel": "PJSIP/1011-2", "DestLinkedid": "1.1", "DialString": "1011"}
    for message in (said("Newchannel", "PJSIP/trunk-1"), said("DialBegin", "PJSIP/trunk-1", **dest)):
        scene.hear(message)
    return scene, lives


def test_a_direction_told_late_takes_nothing_back() -> None:
    direction: dict[str, str] = {}
    scene, lives = rung(direction)
    direction["1.1"] = OUT
    again = {"DestChannel": "PJSIP/1012-3", "DestLinkedid": "1.1", "DialString": "1012"}
    scene.hear(said("DialBegin", "PJSIP/trunk-1", **again))
    assert lives[-1].story.direction == IN
    assert [moment.kind for moment in lives[-1].story.moments] == [Kind.RING, Kind.RING]


def test_who_waited_in_a_queue_until_its_time_was_over_is_known() -> None:
    scene, lives = rung({})
    scene.hear(said("QueueCallerJoin", "PJSIP/trunk-1"))
    scene.hear(said("Hangup", "PJSIP/trunk-1", Cause="16"))
    assert lives[-1].story.moments[-1].data["variables"]["QUEUESTATUS"] == "TIMEOUT"


def test_who_changed_bridges_while_the_link_was_lost_is_in_the_new_one_only() -> None:
    scene, _ = rung({})
    scene.hear(said("BridgeEnter", "PJSIP/trunk-1", BridgeUniqueid="b1"))
    scene.look([said("CoreShowChannel", "PJSIP/trunk-1", BridgeId="b2")])
    assert scene._bridges.of("PJSIP/trunk-1") == {"b2"}


# --- what no Asterisk says ---------------------------------------------------------------------------

_NASTY = st.one_of(
    st.sampled_from(["", "Local/1@x-1;1", "Local/1@x-1;2", "PJSIP/1011-1", "PJSIP/trunk-1", "1.1", "2.2", "6", "B",
                     "'; DROP", "\udcff", "x" * 500]),
    st.text(max_size=12),
)  # fmt: skip
_HEADERS = ("Channel", "Uniqueid", "Linkedid", "ChannelState", "DestChannel", "DestLinkedid", "DialString", "Exten",
            "BridgeUniqueid", "BridgeId", "ApplicationData", "CallerIDNum", "Cause")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*EVENTS, "look"]), st.dictionaries(st.sampled_from(_HEADERS), _NASTY)),
                max_size=40))  # fmt: skip
def test_whatever_is_said_is_borne(said: list[tuple[str, dict[str, str]]]) -> None:
    watched = Watched()
    for n, (name, headers) in enumerate(said):
        message = Message([("Event", name), *headers.items()], 1795660000.0 + n)
        if name == "look":
            watched.scene.look([message])
        else:
            watched.scene.hear(message)
    for live in watched.lives.values():
        told_by(live.story, House(PEOPLE))
    watched.scene.look([])
    assert len(watched.scene) == 0
