"""Which recordings a call has, and what is known of their delivery."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls.events import Kind
from itgrix_bx.calls.recording_names import same_file
from itgrix_bx.delivery import schedule
from tests.calls.conftest import Story

FIRST = "/var/spool/asterisk/monitor/2026/11/23/external-101-79161234567-20261123-140501-1700000000.1.wav"
SECOND = "/var/spool/asterisk/monitor/2026/11/23/exten-102-101-20261123-140733-1700000000.1.wav"


def talked(story: Story, recording: str = "", **more: Any) -> Story:
    story.inbound().answer(5, "101")
    data = {"own_channel": True, "recording": recording, "variables": {"DIALSTATUS": "ANSWER"}} | more
    return story.tell(60, Kind.HANGUP, **data).tell(61, Kind.FINISHED)


def recording(story: Story, at: float, state: str, **data: Any) -> Story:
    return story.tell(at, Kind.RECORDING, state=state, **data)


def test_a_file_begun_after_a_transfer_is_a_second_one(story: Story) -> None:
    call = talked(story, SECOND, recordingfile=FIRST.rpartition("/")[2]).call()
    assert call.recording.paths == [FIRST.rpartition("/")[2], SECOND]
    assert (call.recording.path, call.recording.state) == (FIRST.rpartition("/")[2], "waiting")


def test_the_cdr_without_and_mixmonitor_with_the_directory_name_one_file(story: Story) -> None:
    assert talked(story, FIRST, recordingfile=FIRST.rpartition("/")[2]).call().recording.paths == [FIRST]


def test_each_leg_may_name_a_recording_and_the_time_in_the_names_tells_the_order(story: Story) -> None:
    story.outbound().answer(5)
    story.tell(30, Kind.HANGUP, own_channel=True, recording=SECOND, variables={"ATTENDEDTRANSFER": "PJSIP/trunk-1"})
    story.tell(60, Kind.HANGUP, own_channel=False, recording=FIRST)
    assert story.call().recording.paths == [FIRST, SECOND]


def test_without_times_in_the_names_the_order_is_that_of_the_events(story: Story) -> None:
    story.outbound().answer(5)
    story.tell(30, Kind.HANGUP, own_channel=True, recording="b.wav", variables={"BLINDTRANSFER": "PJSIP/trunk-1"})
    story.tell(60, Kind.HANGUP, own_channel=False, recording="a.wav")
    assert story.call().recording.paths == ["b.wav", "a.wav"]


def test_any_event_may_name_a_recording(story: Story) -> None:
    talked(story).tell(90, Kind.ROUTE, recording="found-later.wav")
    assert story.call().recording.paths == ["found-later.wav"]


@pytest.mark.parametrize("name", [None, 7, ["x.wav"], ""])
def test_what_is_no_name_is_none(story: Story, name: object) -> None:
    assert talked(story, recordingfile=name).call().recording.paths == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/x.wav", "x.mp3", True),
        ("a/x.wav", "a/x.WAV", True),
        ("a/x.wav", "b/x.wav", False),
        ("11/23/x.wav", "/monitor/2026/11/23/x.wav", True),
        ("/11/23/x.wav", "/monitor/2026/11/23/x.wav", False),
        ("x.wav", "y.wav", False),
        ("1700000000.1", "1700000000.2", False),
        ("1700000000.1", "1700000000.1.wav", True),
    ],
)
def test_names_of_one_file_are_recognised(one: str, other: str, same: bool) -> None:
    assert same_file(one, other) is same


def test_a_missed_call_has_nothing_worth_keeping(story: Story) -> None:
    story.inbound().hangup(30, recording="in.wav", DIALSTATUS="CANCEL")
    assert (story.call().recording.path, story.call().recording.state) == ("in.wav", "none")


# --- what became of it ----------------------------------------------------------------------------


def test_an_attach_that_left_is_asked_about_when_it_is_surely_over(story: Story) -> None:
    talked(story, "in.wav").tell(2, Kind.REGISTERED, portal_call_id="x")
    at = 1_700_000_000 + 70
    story.tell(70, Kind.ATTACHING, name="n.wav", paths=["in.wav"], extra_s=40.0)
    call = story.call()
    assert schedule.due(call) == ("attach", at + schedule.IN_FLIGHT_S)
    assert call.recording.doubt is not None
    assert schedule.settled_at(call.recording.doubt) == at + schedule.IN_FLIGHT_S + 40.0


def test_a_doubt_stays_until_an_answer_is_known(story: Story) -> None:
    talked(story, "in.wav").tell(70, Kind.ATTACHING, name="n.wav", paths=["in.wav"])
    recording(story, 71, "waiting", error="lost", doubt=True, retry_at=1.0)
    doubt = story.call().recording.doubt
    assert doubt is not None
    assert doubt.since == 1_700_000_070
    recording(story, 72, "waiting", error="refused for now", doubt=False, retry_at=2.0)
    assert story.call().recording.doubt is None
    assert story.call().recording.tries == 2


def test_waiting_for_a_file_does_not_lengthen_the_pauses_after_trouble_at_the_portal(story: Story) -> None:
    for at in range(70, 80):
        recording(story, at, "waiting", detail="the recording is not there yet", retry_at=1.0)
    assert talked(story, "in.wav").call().recording.tries == 0


def test_a_recording_that_comes_to_light_after_the_first_was_sent_is_due(story: Story) -> None:
    talked(story, "a.wav").tell(70, Kind.ATTACHING, name="n.wav", paths=["a.wav"])
    recording(story, 71, "uploaded", file_id=5)
    assert story.call().state == "complete"
    story.tell(90, Kind.ROUTE, recording="b.wav")
    assert (story.call().state, story.call().recording.state) == ("finished", "waiting")


def test_what_the_portal_has_is_what_was_sent_last(story: Story) -> None:
    talked(story, "a.wav").tell(70, Kind.ATTACHING, name="n.wav", paths=["a.wav"], sha256="one")
    recording(story, 71, "uploaded", file_id=5)
    story.tell(90, Kind.ATTACHING, name="m.wav", paths=["a.wav", "b.wav"], sha256="two")
    assert (story.call().recording.sent, story.call().recording.sending) == ("one", "two")


def test_another_spelling_of_what_was_sent_is_nothing_new(story: Story) -> None:
    talked(story, FIRST).tell(70, Kind.ATTACHING, name="n.wav", paths=[FIRST])
    recording(story, 71, "uploaded", file_id=5).tell(90, Kind.ROUTE, recording=FIRST.rpartition("/")[2])
    assert story.call().state == "complete"


def test_a_verdict_of_an_older_version_stands(story: Story) -> None:
    assert recording(talked(story, "a.wav"), 71, "uploaded", file_id=5).call().state == "complete"


@pytest.mark.parametrize("state", ["missing", "refused"])
def test_retry_lets_a_recording_given_up_be_looked_for_again(story: Story, state: str) -> None:
    recording(talked(story, "a.wav"), 71, state, detail="why", paths=["a.wav"])
    assert (story.call().state, story.call().last_error) == ("complete", "why")
    story.tell(99, Kind.RETRY)
    assert (story.call().state, story.call().recording.state) == ("finished", "waiting")


def test_retry_completes_a_recording_of_which_a_part_was_left_out(story: Story) -> None:
    left_out = [{"path": "b.wav", "why": "the recording is not there yet"}]
    talked(story, "a.wav", recordingfile="b.wav")
    story.tell(70, Kind.ATTACHING, name="n.wav", paths=["b.wav", "a.wav"], left_out=left_out)
    recording(story, 71, "uploaded", file_id=5)
    assert (story.call().state, story.call().recording.left_out) == ("complete", left_out)
    assert story.tell(99, Kind.RETRY).call().recording.state == "waiting"


# --- fetched by the portal -----------------------------------------------------------------------


def told_to_fetch(story: Story, at: float = 70, name: str = "a.wav") -> Story:
    return story.tell(at, Kind.ATTACHING, name=name, paths=[FIRST], by_link=True)


def test_a_file_may_be_fetched_while_the_portal_has_not_answered(story: Story) -> None:
    assert not talked(story, FIRST).call().recording.fetchable
    assert told_to_fetch(story).call().recording.fetchable == "a.wav"
    recording(story, 130, "waiting", error="no answer", doubt=True)
    assert story.call().recording.fetchable == "a.wav"
    assert not recording(story, 140, "uploaded", file_id=1).call().recording.fetchable


def test_a_file_may_be_fetched_once_whatever_clock_the_machine_has_that_gave_it(story: Story) -> None:
    told_to_fetch(talked(story, FIRST)).tell(65, Kind.FETCHED, name="a.wav")
    assert not story.call().recording.fetchable
    assert told_to_fetch(story, 80, "b.wav").call().recording.fetchable == "b.wav"


def test_a_file_that_is_sent_instead_may_not_be_fetched(story: Story) -> None:
    told_to_fetch(talked(story, FIRST)).tell(71, Kind.ATTACHING, name="b.wav", paths=[FIRST])
    assert not story.call().recording.fetchable


def test_a_call_remembers_that_fetching_was_in_vain_until_a_person_asks(story: Story) -> None:
    told_to_fetch(talked(story, FIRST)).tell(71, Kind.ATTACHING, name="b.wav", paths=[FIRST])
    assert recording(story, 72, "waiting", error="x", doubt=False).call().recording.linked
    assert not story.tell(80, Kind.RETRY).call().recording.linked


def test_a_request_turned_away_before_it_began_says_nothing_about_fetching(story: Story) -> None:
    told_to_fetch(talked(story, FIRST))
    assert not recording(story, 72, "waiting", error="too many requests", doubt=False).call().recording.linked


# --- a voice message -----------------------------------------------------------------------------

MESSAGE = "/var/spool/asterisk/voicemail/default/101/INBOX/msg0003"


def left_a_message(story: Story, **more: Any) -> Story:
    story.tell(2, Kind.REGISTERED, portal_call_id="p")
    data = {"own_channel": True, "message": MESSAGE, "variables": {"DIALSTATUS": "NOANSWER", "VMSTATUS": "SUCCESS"}}
    return story.tell(40, Kind.HANGUP, **data | more)


def test_the_message_a_missed_call_left_is_its_recording_and_not_what_was_armed_for_the_talk(story: Story) -> None:
    call = left_a_message(story.inbound().ring(1, "101"), recording=FIRST).tell(41, Kind.FINISHED).call()
    assert (call.recording.paths, call.recording.voicemail) == ([MESSAGE], True)
    assert (call.recording.state, call.state, schedule.next_step(call)) == ("waiting", "finished", schedule.ATTACH)
    assert (story.outcome().status_code, story.outcome().failed_reason) == ("304", "voicemail")


def test_a_call_that_was_answered_has_the_recording_of_the_talk(story: Story) -> None:
    call = left_a_message(story.inbound().answer(5, "101"), recording=FIRST).call()
    assert (call.recording.paths, call.recording.voicemail) == ([FIRST], False)


def test_a_message_that_has_arrived_makes_the_call_complete(story: Story) -> None:
    left_a_message(story.inbound()).tell(41, Kind.FINISHED)
    call = recording(story, 42, "uploaded", paths=[MESSAGE], file_id=1).call()
    assert (call.state, schedule.next_step(call)) == ("complete", None)


def test_what_another_channel_left_in_a_box_is_no_part_of_an_outbound_call(story: Story) -> None:
    assert left_a_message(story.outbound()).call().recording.paths == []
