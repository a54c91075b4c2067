"""Which calls are talks, and whose."""

from __future__ import annotations

from itgrix_bx.calls.events import Kind
from itgrix_bx.calls.routing import Talk
from itgrix_bx.talks import talk_of
from tests.calls.conftest import ANNA, BORIS, Story, contact, people

START = 1_700_000_000.0


def talk(story: Story) -> Talk | None:
    return talk_of(story.call(), people(), "last")


def test_a_talk_is_whose_the_call_was_at_its_end() -> None:
    answered = Story().inbound().found(contact()).ring(1, "102").answer(4, "102")
    assert talk(answered) is None  # it is not over
    assert talk(answered.hangup(60, DIALSTATUS="ANSWER")) == Talk(BORIS, START + 60)


def test_a_call_nobody_took_is_no_talk_of_the_responsible() -> None:
    assert talk(Story().inbound().found(contact()).ring(1, "101").hangup(20, DIALSTATUS="NOANSWER")) is None


def test_a_call_that_was_not_for_the_crm_or_has_no_number_or_no_known_talker_is_none() -> None:
    def ended(number: str = "+79161234567") -> Story:
        story = Story().inbound(number=number).ring(1, "101").answer(2, "101")
        return story.hangup(9, DIALSTATUS="ANSWER")

    assert talk(ended()) == Talk(ANNA, START + 9)
    assert talk(ended().tell(10, Kind.SKIPPED, reason="x")) is None
    assert talk(ended(number="")) is None
    assert talk(Story().inbound().ring(1, "999").answer(2, "999").hangup(9, DIALSTATUS="ANSWER")) is None
