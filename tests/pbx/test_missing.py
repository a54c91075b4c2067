"""What the records add to a call the journal knows: what no hook told, and nothing to what the portal was told."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls.call import fold
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.pbx.reconcile import missing
from tests.pbx.test_freepbx_records import PHONE, START, TRUNK, outbound, row, told

ID = f"{START}.10"


def hook(at: float, kind: Kind, **data: Any) -> Event:
    return Event(ID, kind, START + at, data)


def entered() -> list[Event]:
    return [
        hook(0.4, Kind.INBOUND, own_channel=True, client_number="+79161234567", did="74951234567", linkedid=ID),
        hook(0.4, Kind.REGISTERING, params={"USER_ID": 1}),
        hook(0.9, Kind.REGISTERED, portal_call_id="externalCall.1"),
    ]


ANSWERED = row(0, TRUNK, PHONE, 25, 20)


def completed(known: list[Event], *rows: dict[str, Any]) -> list[Event]:
    (one,) = told(*rows)
    return missing(one.events, known)


def test_a_call_nobody_knows_is_told_whole() -> None:
    new = completed([], ANSWERED)
    assert [event.kind for event in new] == [Kind.INBOUND, Kind.RING, Kind.ANSWER, Kind.HANGUP]


def test_a_call_whose_hooks_stopped_after_the_answer_gets_its_end_only() -> None:
    known = [*entered(), hook(0.6, Kind.RING, extensions=["101"]), hook(5.7, Kind.ANSWER, extension="101")]
    new = completed(known, ANSWERED)
    assert [event.kind for event in new] == [Kind.HANGUP]
    call = fold([*known, *new])
    assert (call.state, call.talk_seconds, call.portal_call_id) == ("ended", 20, "externalCall.1")
    assert [leg.extension for leg in call.legs] == ["101"]


def test_a_call_whose_hooks_stopped_before_the_answer_gets_that_too() -> None:
    known = [*entered(), hook(0.6, Kind.RING, extensions=["101"])]
    call = fold([*known, *completed(known, ANSWERED)])
    assert (call.talk_seconds, call.talk_source) == (21, "cdr")


def test_what_the_records_tell_in_whole_seconds_stays_behind_the_hook_it_followed() -> None:
    known = [*entered(), hook(0.6, Kind.RING, extensions=["101"])]
    (answer,) = [event for event in completed(known, row(0, TRUNK, PHONE, 25, 25)) if event.kind is Kind.ANSWER]
    assert START + 0.6 < answer.at < START + 0.7


def test_a_call_that_only_its_missing_channels_ended_gets_its_true_end() -> None:
    known = [
        *entered(),
        hook(0.6, Kind.RING, extensions=["101"]),
        hook(5.7, Kind.ANSWER, extension="101"),
        hook(300, Kind.GONE, source="ami", ended_at=START + 5.7),
    ]
    assert fold(known).talk_seconds == 1
    call = fold([*known, *completed(known, ANSWERED)])
    assert (call.talk_seconds, call.end_unseen) == (20, "")


def test_of_a_group_only_the_phones_no_hook_named_are_added() -> None:
    known = [*entered(), hook(0.6, Kind.RING, extensions=["101"])]
    new = completed(known, row(0, TRUNK, PHONE, 5, 0), row(0, TRUNK, "PJSIP/102-0000000c", 25, 20))
    assert [event.data["extensions"] for event in new if event.kind is Kind.RING] == [["102"]]


def transferred() -> list[Event]:
    """What FreePBX's hooks tell of an outbound call that its extension transferred away."""
    flagged = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "15", "ATTENDEDTRANSFER": TRUNK, "HANGUPCAUSE": "16"}
    return [
        hook(0.2, Kind.OUTBOUND, own_channel=True, number="89161234567", client_number="+79161234567", extension="101"),
        hook(20.3, Kind.HANGUP, own_channel=True, direction="out", variables=flagged),
    ]


SURVIVED = outbound(
    20, "PJSIP/102-0000000c", 30, 30, channel=TRUNK, uniqueid=f"{START}.11", src="89161234567", dst="", cnum="",
    lastapp="Return", lastdata="",
)  # fmt: skip


def test_an_outbound_call_that_was_transferred_away_gets_its_true_end() -> None:
    known = transferred()
    assert fold(known).state == "open"
    call = fold([*known, *completed(known, outbound(0, TRUNK, 20, 15), SURVIVED)])
    assert (call.state, call.talk_seconds, call.ended_at) == ("ended", 46, START + 51)
    assert [leg.extension for leg in call.legs if leg.answered_at] == ["101", "102"]


def test_while_the_transferred_client_talks_on_nothing_is_added() -> None:
    """The first row is written at the transfer, the second at the end."""
    assert completed(transferred(), outbound(0, TRUNK, 20, 15)) == []


@pytest.mark.parametrize(
    "more",
    [
        [hook(26, Kind.HANGUP, own_channel=True, variables={"DIALSTATUS": "CANCEL"})],
        [hook(30, Kind.FINISHING, params={"CALL_ID": "externalCall.1"})],
        [hook(30, Kind.FINISHING, params={}), hook(31, Kind.FINISHED, activity_id=5)],
        [hook(0.5, Kind.SKIPPED, reason="a rule")],
    ],
)
def test_a_call_whose_end_is_known_or_told_stays_as_it_is(more: list[Event]) -> None:
    assert completed([*entered(), *more], ANSWERED) == []


def test_a_call_that_failed_to_be_registered_still_gets_its_end() -> None:
    known = [entered()[0], hook(1, Kind.GAVE_UP, step="register", error="no right")]
    assert fold([*known, *completed(known, ANSWERED)]).over


def test_telling_it_twice_adds_nothing() -> None:
    known = completed([], ANSWERED)
    assert completed(known, ANSWERED) == []
    assert fold([*known, *completed([], ANSWERED)]).version == len(known)
