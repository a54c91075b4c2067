"""When a call owes its client a lead, and when what is known settles it."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.lines import Leads, Line, Lines
from itgrix_bx.delivery import schedule
from itgrix_bx.delivery.schedule import due, next_step
from tests.calls.conftest import ID, Story, contact

CONTACT = {"portal_call_id": "c", "entity_type": "CONTACT", "entity_id": 7}


def finished(leads: Leads = Leads.NOTHING_OPEN, **registered: Any) -> Story:
    facts = Lines.of([Line("1", leads=leads)]).facts("1")
    story = Story().tell(0.0, Kind.INBOUND, own_channel=True, client_number="+79161234567", did="1", **facts)
    story.found(contact()).tell(0.3, Kind.REGISTERED, **(CONTACT | registered))
    return story.hangup(9, DIALSTATUS="NOANSWER").tell(9.5, Kind.FINISHED, activity_id=1)


def test_a_known_clients_call_owes_a_lead_after_its_finish_until_that_is_settled() -> None:
    story = finished()
    call = story.call()
    assert (next_step(call), call.state, due(call)) == ("lead", "finished", ("lead", call.over_since))
    assert story.tell(10, Kind.LEAD, lead_id=5).call().state == "complete"


@pytest.mark.parametrize(
    "story",
    [
        finished(Leads.LEAD),
        finished(Leads.NONE),
        finished(created=[{"type": "LEAD", "id": 9}]),
        finished(entity_type="LEAD"),
        finished(entity_type=None, entity_id=None),
    ],
)
def test_others_owe_none(story: Story) -> None:
    assert (next_step(story.call()), story.call().state) == (None, "complete")


def test_while_an_answer_may_still_come_nothing_is_added_a_second_time() -> None:
    story = finished()
    story.events.append(leading := Event(ID, Kind.LEADING, 1_700_000_010.0, {"params": {}}))
    assert due(story.call()) == ("lead", 1_700_000_010.0 + schedule.IN_FLIGHT_S)
    refused = story.tell(11, Kind.LEAD_FAILED, error="x", retry_at=5.0, intent=leading.event_id, doubt=False).call()
    assert (refused.lead_doubt, due(refused), refused.lead_tries) == (None, ("lead", 5.0), 1)


def test_a_lead_that_could_not_be_added_leaves_its_reason_and_does_not_keep_the_recording() -> None:
    story = finished().tell(10, Kind.LEAD, lead_id=None, error="no lead was added: no right")
    call = story.call()
    assert (call.state, call.last_error) == ("complete", "no lead was added: no right")
