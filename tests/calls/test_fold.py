"""What comes twice, late or out of order changes a call no further than it should."""

from __future__ import annotations

import pytest

from itgrix_bx.calls.events import Kind
from tests.calls.conftest import ID, Story

START = 1_700_000_000


def test_who_is_reported_twice_has_one_leg(story: Story) -> None:
    call = story.inbound().ring(1, "101").ring(2, "101").answer(5, "101").answer(9, "101").hangup(20).call()
    assert [(leg.extension, leg.rang_at, leg.answered_at) for leg in call.legs] == [("101", START + 1, START + 5)]


def test_the_end_of_another_channel_is_not_the_clients(story: Story) -> None:
    call = story.inbound().ring(1, "101").answer(5, "101").hangup(60, own=False).hangup(100).call()
    assert (call.ended_at, call.talk_seconds) == (START + 100, 95)


def test_the_trunk_leg_of_a_forwarded_call_does_not_end_it(story: Story) -> None:
    story.inbound().ring(1, "101").outbound(3, "101", "+79160000000", own=False).hangup(50, own=False)
    assert not story.call().over


def test_of_a_call_known_by_its_hangups_alone_the_first_channel_tells_the_start(story: Story) -> None:
    for at, began in ((30, 7), (31, 2), (32, 9)):
        story.tell(at, Kind.HANGUP, own_channel=True, direction="in", variables={}, channel_start=START + began)
    assert story.call().started_at == START + 2


def test_a_late_answer_does_not_replace_the_registration_there_is(story: Story) -> None:
    story.inbound().tell(1, Kind.REGISTERING, params={}).tell(2, Kind.REGISTERED, portal_call_id="externalCall.a")
    story.tell(3, Kind.REGISTERED, portal_call_id="externalCall.b")
    call = story.call()
    assert (call.portal_call_id, call.register_doubt) == ("externalCall.a", None)


def test_the_id_the_portal_was_told_at_the_end_is_the_calls(story: Story) -> None:
    story.inbound().tell(1, Kind.REGISTERED, portal_call_id="externalCall.a").hangup(5)
    story.tell(6, Kind.FINISHING, params={"CALL_ID": "externalCall.b"})
    assert story.call().portal_call_id == "externalCall.b"


def test_a_call_the_portal_has_forgotten_is_in_no_doubt(story: Story) -> None:
    story.inbound().tell(1, Kind.REGISTERED, portal_call_id="externalCall.a").tell(2, Kind.REGISTERING, params={})
    call = story.hangup(5).tell(6, Kind.FINISHING, params={}).tell(7, Kind.FORGOTTEN, error="not found").call()
    assert (call.portal_call_id, call.register_doubt, call.finish_doubt) == ("", None, None)


def test_the_first_reason_to_skip_a_call_stays(story: Story) -> None:
    story.inbound().tell(1, Kind.SKIPPED, reason="black list").tell(2, Kind.SKIPPED, reason="internal")
    assert story.call().skipped == "black list"


@pytest.mark.parametrize(("kind", "step"), [(Kind.REGISTERING, "register"), (Kind.FINISHING, "finish")])
def test_what_was_surely_not_done_is_in_no_doubt_when_it_is_given_up(story: Story, kind: Kind, step: str) -> None:
    story.inbound().hangup(5).tell(6, kind, params={})
    intent = story.events[-1].event_id
    call = story.tell(7, Kind.GAVE_UP, step=step, error="refused", intent=intent, doubt=False).call()
    assert (call.failed_step, call.register_doubt, call.finish_doubt) == (step, None, None)


def test_an_end_a_clock_that_ran_ahead_told_is_now_at_the_latest(story: Story) -> None:
    call = story.inbound().hangup(7200).tell(7201, Kind.CLOCK, now=START + 60.0).call()
    assert call.over_since == START + 60


def test_what_the_portal_may_have_been_told_of_an_unseen_end_stays(story: Story) -> None:
    story.inbound().answer(5, "101").tell(50, Kind.GONE, source="ami", ended_at=START + 40)
    story.tell(60, Kind.FINISHING, params={}).tell(61, Kind.FINISH_FAILED, error="no answer", doubt=True)
    assert story.hangup(70).call().ended_at == START + 40


def test_the_portal_has_what_the_last_word_says_was_sent(story: Story) -> None:
    story.inbound().answer(5, "101").hangup(9, recording="in.wav")
    story.tell(10, Kind.ATTACHING, name="a.wav", sha256="first", paths=["in.wav"])
    story.tell(11, Kind.RECORDING, state="uploaded", sha256="second")
    call = story.call()
    assert (call.call_id, call.recording.sent) == (ID, "second")
