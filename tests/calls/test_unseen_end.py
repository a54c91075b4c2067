"""A call whose end no hook told: closed at its last sign of life, open to correction until the portal knows."""

from __future__ import annotations

from itgrix_bx.calls.events import Kind
from itgrix_bx.delivery.schedule import FINISH, due
from tests.calls.conftest import ANNA, Story

T0 = 1_700_000_000.0


def gone(story: Story, at: float, ended: float) -> Story:
    return story.tell(at, Kind.GONE, source="ami", ended_at=T0 + ended)


def answered(story: Story) -> Story:
    return story.inbound().ring(1, "101").answer(5, "101").tell(0.5, Kind.REGISTERED, portal_call_id="P")


def test_an_answered_call_is_answered_until_its_last_sign_of_life(story: Story) -> None:
    gone(answered(story), 500, ended=65)
    call, result = story.call(), story.outcome()
    assert (call.state, call.ended_at, call.end_unseen) == ("ended", T0 + 65, "ami")
    assert (result.status_code, result.talk_seconds, result.user_id) == ("200", 60, ANNA)
    assert call.talk_source == "last sign of life"
    assert (due(call) or ("",))[0] == FINISH


def test_an_unanswered_call_is_missed_and_nobody_pretends_to_know_why(story: Story) -> None:
    gone(story.inbound().ring(1, "101"), 500, ended=3)
    result = story.outcome()
    assert (result.status_code, result.failed_reason, result.user_id) == ("304", "end not seen", ANNA)


def test_an_outbound_call_nobody_answered_is_not_connected(story: Story) -> None:
    gone(story.outbound(), 500, ended=3)
    result = story.outcome()
    assert (result.status_code, result.failed_reason) == ("OTHER", "end not seen")


def test_an_outbound_call_transferred_out_of_sight_lasts_until_its_last_channel(story: Story) -> None:
    """FreePBX, attended transfer by the phone: the extension's handler reports, the client talks on (dialplan 5)."""
    story.outbound().hangup(13, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="10", ATTENDEDTRANSFER="PJSIP/t")
    assert not story.call().over
    gone(story, 400, ended=103)
    assert (story.outcome().status_code, story.outcome().talk_seconds) == ("200", 100)


def test_a_real_hangup_wins_while_the_portal_is_not_told(story: Story) -> None:
    gone(answered(story), 500, ended=65).hangup(510, DIALSTATUS="ANSWER", recording="/r.wav")
    call = story.call()
    assert (call.ended_at, call.end_unseen, call.talk_seconds) == (T0 + 510, "", 505)
    assert call.recording.state == "waiting"


def test_a_failed_attempt_to_tell_the_portal_binds_nobody(story: Story) -> None:
    gone(answered(story), 500, ended=65).tell(501, Kind.FINISHING, params={"CALL_ID": "P"})
    story.tell(502, Kind.FINISH_FAILED, error="refused", retry_at=T0 + 600)
    story.hangup(510, DIALSTATUS="ANSWER")
    assert story.call().ended_at == T0 + 510


def test_what_the_portal_was_told_stays_and_the_recording_still_comes(story: Story) -> None:
    gone(answered(story), 500, ended=65).tell(501, Kind.FINISHING, params={"CALL_ID": "P"})
    story.tell(502, Kind.FINISHED, activity_id=3).hangup(510, DIALSTATUS="ANSWER", recording="/r.wav")
    story.ring(505, "102").answer(506, "102")
    call = story.call()
    assert (call.ended_at, call.talk_seconds, len(call.legs)) == (T0 + 65, 60, 1)
    assert (call.state, call.recording.path) == ("finished", "/r.wav")


def test_a_missed_call_told_as_such_does_not_become_answered(story: Story) -> None:
    gone(story.inbound().ring(1, "101"), 500, ended=3).tell(501, Kind.FINISHING, params={"CALL_ID": "P"})
    story.tell(502, Kind.FINISHED).hangup(510, DIALSTATUS="ANSWER", ANSWEREDTIME="9")
    assert (story.call().state, story.call().answered) == ("complete", False)


def test_a_hook_after_it_shows_that_the_call_was_alive(story: Story) -> None:
    gone(story.inbound().ring(1, "101"), 100, ended=3).answer(110, "101")
    assert (story.call().state, story.call().over) == ("open", False)
    gone(story, 200, ended=170)
    assert story.call().talk_seconds == 60


def test_coming_twice_or_in_any_order_changes_nothing(story: Story) -> None:
    gone(gone(answered(story), 500, ended=65), 500.5, ended=65)
    forwards = story.call()
    story.events.reverse()
    assert (story.call().ended_at, story.call().talk_seconds) == (forwards.ended_at, forwards.talk_seconds)
