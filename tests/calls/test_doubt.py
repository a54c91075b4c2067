"""What is done when nobody knows what became of a request (wait while it may still run, then ask, then go on), or
whether all of a call has been told."""

from __future__ import annotations

import dataclasses

import pytest

from itgrix_bx.calls.events import Kind
from itgrix_bx.delivery import schedule
from itgrix_bx.delivery.schedule import FINISH, IN_FLIGHT_S, REGISTER, due
from tests.calls.conftest import Story

START = 1_700_000_000
SETTLED = START + 20 + IN_FLIGHT_S


def registering(story: Story) -> Story:
    return story.inbound().hangup(10, DIALSTATUS="NOANSWER").tell(20, Kind.REGISTERING, params={"USER_ID": 1})


def finishing(story: Story) -> Story:
    story.inbound().hangup(10, DIALSTATUS="NOANSWER").tell(15, Kind.REGISTERED, portal_call_id="c")
    return story.tell(20, Kind.FINISHING, params={"CALL_ID": "c"})


def failed(story: Story, kind: Kind, at: float = 21, **data: object) -> Story:
    return story.tell(at, kind, error="x", retry_at=START + at + 2, **data)


def test_a_request_nobody_saw_the_end_of_is_left_alone_until_it_is_surely_over(story: Story) -> None:
    """We were killed before the answer came."""
    assert due(registering(story).call()) == (REGISTER, SETTLED)


def test_a_finish_nobody_saw_the_end_of_is_left_alone_until_it_is_surely_over(story: Story) -> None:
    assert due(finishing(story).call()) == (FINISH, SETTLED)


def test_a_register_that_may_still_run_is_left_alone(story: Story) -> None:
    failed(registering(story), Kind.REGISTER_FAILED, doubt=True, running=True)
    assert due(story.call()) == (REGISTER, SETTLED)


def test_a_request_that_left_long_after_it_was_announced_is_left_alone_from_then_on(story: Story) -> None:
    """The journal was slow, or the gate had no place: the portal may work on it for as long as on any other."""
    failed(registering(story), Kind.REGISTER_FAILED, at=60, doubt=True, running=True, left_at=START + 50.0)
    assert due(story.call()) == (REGISTER, START + 50 + IN_FLIGHT_S)


def test_a_clock_that_was_set_back_does_not_shorten_the_wait(story: Story) -> None:
    failed(registering(story), Kind.REGISTER_FAILED, doubt=True, running=True, left_at=START - 3600.0)
    assert due(story.call()) == (REGISTER, SETTLED)


@pytest.mark.parametrize("doubt", [True, False])
def test_a_register_that_was_answered_with_rubbish_or_a_refusal_is_tried_again_soon(story: Story, doubt: bool) -> None:
    failed(registering(story), Kind.REGISTER_FAILED, doubt=doubt, running=False)
    assert due(story.call()) == (REGISTER, START + 23)
    assert (story.call().register_doubt is not None) == doubt


def test_an_outbound_call_waits_for_its_other_leg_which_knows_the_recording(story: Story) -> None:
    story.outbound().tell(1, Kind.REGISTERED, portal_call_id="c").answer(5).hangup(30, own=False, direction="out")
    assert due(story.call()) == (FINISH, START + 30 + schedule.SECOND_LEG_S)
    story.hangup(30.5, direction="out", DIALSTATUS="ANSWER", recording="out-1.wav")
    assert due(story.call()) == (FINISH, START + 30)


def test_a_large_recording_may_be_under_way_for_as_long_as_a_slow_line_takes(story: Story) -> None:
    story.tell(20, Kind.FINISHED).tell(30, Kind.ATTACHING, name="a.wav", extra_s=300.0)
    doubt = story.call().recording.doubt
    assert doubt is not None
    assert schedule.settled_at(doubt) == START + 30 + IN_FLIGHT_S + 300


def test_a_finish_that_may_still_run_is_asked_about_soon_and_repeated_late(story: Story) -> None:
    failed(finishing(story), Kind.FINISH_FAILED, doubt=True, running=True)
    call = story.call()
    assert due(call) == (FINISH, START + 23)
    assert call.finish_doubt is not None
    assert schedule.settled_at(call.finish_doubt) == SETTLED


def test_a_finish_that_was_answered_with_rubbish_may_be_repeated_once_the_statistics_were_asked(story: Story) -> None:
    failed(finishing(story), Kind.FINISH_FAILED, doubt=True, running=False)
    call = story.call()
    assert due(call) == (FINISH, START + 23)
    assert call.finish_doubt is not None
    assert schedule.settled_at(call.finish_doubt) <= START + 23


def test_a_question_without_an_answer_leaves_the_doubt_as_it_was(story: Story) -> None:
    failed(finishing(story), Kind.FINISH_FAILED, doubt=True, running=False)
    failed(story, Kind.FINISH_FAILED, at=30)
    call = story.call()
    assert due(call) == (FINISH, START + 32)
    assert call.finish_doubt is not None
    assert not call.finish_doubt.running


def test_a_new_request_is_a_new_doubt(story: Story) -> None:
    failed(finishing(story), Kind.FINISH_FAILED, doubt=True, running=False)
    story.tell(30, Kind.FINISHING, params={"CALL_ID": "c"})
    assert due(story.call()) == (FINISH, START + 30 + IN_FLIGHT_S)


def test_a_journal_of_an_earlier_version_says_nothing_of_running_and_is_waited_for(story: Story) -> None:
    failed(registering(story), Kind.REGISTER_FAILED, doubt=True)
    assert due(story.call()) == (REGISTER, SETTLED)


@pytest.mark.parametrize("doubt", [True, False])
def test_what_came_of_an_earlier_request_says_nothing_of_the_one_that_runs(story: Story, doubt: bool) -> None:
    """A worker that was frozen for longer than its lease wakes up; another one has finished the call meanwhile."""
    first = finishing(story).events[-1].event_id
    story.tell(400, Kind.FINISHING, params={"CALL_ID": "c"})
    failed(story, Kind.FINISH_FAILED, at=401, intent=first, doubt=doubt, running=False)
    call = story.call()
    assert call.finish_doubt is not None
    assert schedule.settled_at(call.finish_doubt) == START + 400 + IN_FLIGHT_S


# --- a call that was told in part ----------------------------------------------------------------


def told_by_another(story: Story) -> None:
    """What follows was learnt by another process than what came before."""
    story.events[:] = [dataclasses.replace(event, event_id=f"another{event.event_id[7:]}") for event in story.events]


def test_a_call_one_server_heard_all_of_is_delivered_at_once(story: Story) -> None:
    story.inbound().ring(1, "101").hangup(10, DIALSTATUS="NOANSWER")
    assert due(story.call()) == (REGISTER, START + 10)
    story.tell(11, Kind.REGISTERED, portal_call_id="c")
    assert due(story.call()) == (FINISH, START + 10)


def test_a_call_whose_server_was_started_again_waits_for_what_may_be_in_its_spool(story: Story) -> None:
    story.inbound().ring(1, "101").tell(1, Kind.REGISTERED, portal_call_id="c")
    told_by_another(story)
    story.hangup(10, DIALSTATUS="NOANSWER")
    assert due(story.call()) == (FINISH, START + 10 + schedule.OTHERS_S)


def test_a_call_whose_beginning_nobody_told_waits_for_the_server_that_may_know_it(story: Story) -> None:
    story.hangup(10, DIALSTATUS="NOANSWER")
    assert due(story.call()) == (REGISTER, START + 10 + schedule.OTHERS_S)
