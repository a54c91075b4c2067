"""What comes out of a call: a test a row of what was measured on running servers, and of the contract's rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from itgrix_bx.calls.call import fold
from itgrix_bx.calls.events import Kind
from tests.calls.conftest import ADMIN, ANNA, BORIS, VERA, Story, contact

ANSWERED_TALK = 95


def answered(story: Story) -> Story:
    return story.inbound().ring(1, "101").answer(5, "101")


def test_answered_inbound_belongs_to_who_talked(story: Story) -> None:
    answered(story).hangup(100, DIALSTATUS="ANSWER", CONNECTED="101", HANGUPCAUSE="16")
    result = story.outcome()
    assert (result.status_code, result.talk_seconds, result.user_id) == ("200", 95, ANNA)
    assert result.extension == "101"
    assert result.failed_reason == ""


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DIALSTATUS": "BUSY", "HANGUPCAUSE": "17", "CONNECTED": "101"}, "busy"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "21"}, "declined"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "34"}, "declined"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "20"}, "no route"),
        ({"DIALSTATUS": "NOANSWER", "HANGUPCAUSE": "16", "CONNECTED": "101"}, "no answer"),
        ({"DIALSTATUS": "CANCEL", "HANGUPCAUSE": "127", "CONNECTED": "101"}, "abandoned"),
        ({"QUEUESTATUS": "TIMEOUT", "SOURCE": "dialplan/builtin"}, "no answer"),
        ({"LASTAPP": "Queue", "HANGUPCAUSE": "0", "ANSWERED": "1700000001.5"}, "abandoned in queue"),
        ({"LASTAPP": "WaitExten", "ANSWERED": "1700000001.5", "SOURCE": "PJSIP/trunk-1"}, "abandoned in menu"),
        ({"LASTAPP": "Wait", "SOURCE": "PJSIP/trunk-1"}, "abandoned"),  # nobody and nothing had answered
        ({"DIALSTATUS": "NOANSWER", "VMSTATUS": "SUCCESS", "ANSWERED": "1700000009.1"}, "voicemail"),
        ({"SOURCE": "dialplan/builtin", "HANGUPCAUSE": "3"}, "no route"),
        ({"SOURCE": "dialplan/builtin", "ANSWERED": "1700000001.5", "LASTAPP": "Hangup"}, "no route"),  # after hours
    ],
)
def test_missed_inbound_is_304_with_the_reason_in_words(story: Story, variables: dict[str, str], reason: str) -> None:
    story.inbound().hangup(20, **variables)
    result = story.outcome()
    assert (result.status_code, result.failed_reason, result.talk_seconds) == ("304", reason, 0)


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"DIALSTATUS": "BUSY", "HANGUPCAUSE": "17"}, "486"),
        ({"DIALSTATUS": "NOANSWER", "HANGUPCAUSE": "18"}, "480"),
        ({"DIALSTATUS": "NOANSWER", "HANGUPCAUSE": "16"}, "480"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "20"}, "480"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "21"}, "603"),
        ({"DIALSTATUS": "CANCEL", "HANGUPCAUSE": "127"}, "603-S"),
        ({"DIALSTATUS": "CANCEL", "HANGUPCAUSE": "17"}, "603-S"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "1"}, "404"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "28"}, "404"),
        ({"DIALSTATUS": "CONGESTION", "HANGUPCAUSE": "34"}, "503"),
        ({"DIALSTATUS": "CONGESTION", "HANGUPCAUSE": "38"}, "503"),
        ({"DIALSTATUS": "CONGESTION", "HANGUPCAUSE": "42"}, "503"),
        ({"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "99"}, "OTHER"),
    ],
)
def test_an_outbound_call_that_failed_says_how(story: Story, variables: dict[str, str], code: str) -> None:
    story.outbound().hangup(20, direction="out", **variables)
    result = story.outcome()
    assert (result.status_code, result.talk_seconds, result.user_id) == (code, 0, ANNA)


def test_a_phone_that_only_rang_did_not_talk_though_connectedline_names_it(story: Story) -> None:
    answered(story).ring(50, "102").hangup(70, DIALSTATUS="ANSWER", CONNECTED="102")
    result = story.outcome()
    assert (result.extension, result.user_id, result.talk_seconds) == ("101", ANNA, 45)


def test_after_a_phone_driven_attended_transfer_connectedline_names_the_talker(story: Story) -> None:
    answered(story).hangup(13, DIALSTATUS="ANSWER", CONNECTED="102")
    result = story.outcome()
    assert (result.extension, result.user_id, result.talk_seconds) == ("102", BORIS, 8)


def test_after_a_queue_too_connectedline_names_who_talked_last(story: Story) -> None:
    answered(story).hangup(100, MEMBERINTERFACE="PJSIP/101", CONNECTED="102", LASTAPP="Queue")
    assert (story.outcome().extension, story.outcome().user_id) == ("102", BORIS)


def test_an_unknown_connected_number_is_no_talker(story: Story) -> None:
    answered(story).hangup(13, DIALSTATUS="ANSWER", CONNECTED="79161234567")
    assert story.outcome().extension == "101"


def test_after_a_blind_transfer_the_last_who_answered_owns_the_call(story: Story) -> None:
    answered(story).ring(7, "102").answer(9, "102").hangup(14, DIALSTATUS="ANSWER", CONNECTED="102")
    result = story.outcome()
    assert (result.user_id, result.talk_seconds) == (BORIS, 7)  # 2 s and 5 s; the ringing counts for nobody
    assert [round(leg.talk) for leg in story.call().legs] == [2, 5]


def test_a_blind_transfer_nobody_took_stays_with_the_first_talker(story: Story) -> None:
    answered(story).ring(7, "102").hangup(20, DIALSTATUS="CANCEL", CONNECTED="102", BLINDTRANSFER="PJSIP/101-1")
    result = story.outcome()
    assert (result.status_code, result.user_id, result.talk_seconds) == ("200", ANNA, 2)


@pytest.mark.parametrize(("finisher", "owner"), [("first", ANNA), ("last", VERA), ("longest", BORIS)])
def test_the_finisher_setting_chooses_among_the_talkers(story: Story, finisher: str, owner: int) -> None:
    answered(story).ring(8, "102").answer(10, "102").ring(30, "103").answer(31, "103")
    story.hangup(33, DIALSTATUS="ANSWER", CONNECTED="103")
    assert story.outcome(finisher).user_id == owner


def test_an_answered_call_lasts_at_least_a_second_and_is_rounded_to_the_nearest() -> None:
    assert answered(Story()).hangup(5.1).outcome().talk_seconds == 1
    assert answered(Story()).hangup(7.4).outcome().talk_seconds == 2
    assert answered(Story()).hangup(7.6).outcome().talk_seconds == 3


def test_a_missed_call_belongs_to_the_first_entitys_active_responsible(story: Story) -> None:
    story.inbound().found(contact(BORIS, "")).ring(1, "101").hangup(9, DIALSTATUS="NOANSWER")
    assert story.outcome().user_id == BORIS  # with an extension or not


def test_a_missed_call_of_a_dismissed_responsible_belongs_to_the_last_who_rang(story: Story) -> None:
    story.inbound().found(contact(14, "104"), contact(VERA)).ring(1, "101").ring(3, "102", "999")
    assert story.hangup(9, DIALSTATUS="NOANSWER").outcome().user_id == BORIS


def test_of_those_who_rang_together_a_missed_call_belongs_to_the_last_one_named(story: Story) -> None:
    story.inbound().found(contact(None)).ring(1, "102", "103").hangup(9, DIALSTATUS="NOANSWER")
    assert story.outcome().user_id == VERA


def test_a_missed_call_nobody_knows_belongs_to_the_default_user(story: Story) -> None:
    assert story.inbound().found().hangup(9, DIALSTATUS="NOANSWER").outcome().user_id == ADMIN


def test_a_hangup_alone_is_enough_for_an_answered_call(story: Story) -> None:
    story.hangup(30, DIALSTATUS="ANSWER", ANSWEREDTIME="12", CONNECTED="102")
    result = story.outcome()
    assert (result.status_code, result.talk_seconds, result.user_id) == ("200", 12, BORIS)
    assert story.call().talk_source == "ANSWEREDTIME"


def test_a_hangup_alone_is_enough_for_a_missed_call(story: Story) -> None:
    story.hangup(30, DIALSTATUS="NOANSWER", CONNECTED="102")
    assert story.outcome().status_code == "304"


def test_an_agent_of_a_queue_is_known_by_memberinterface(story: Story) -> None:
    story.inbound().hangup(30, MEMBERINTERFACE="PJSIP/103", BILLSEC="9", LASTAPP="Queue")
    result = story.outcome()
    assert (result.status_code, result.extension, result.talk_seconds) == ("200", "103", 9)


def test_outbound_without_an_answer_hook_takes_answeredtime(story: Story) -> None:
    story.outbound().hangup(30, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="21")
    result = story.outcome()
    assert (result.status_code, result.talk_seconds, result.user_id) == ("200", 21, ANNA)


def test_the_time_dial_measured_goes_before_what_the_record_says(story: Story) -> None:
    story.outbound().hangup(30, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="12", BILLSEC="14")
    assert (story.outcome().talk_seconds, story.call().talk_source) == (12, "ANSWEREDTIME")


def test_outbound_talk_runs_from_the_clients_answer_to_the_trunk_legs_end(story: Story) -> None:
    story.outbound().answer(4).hangup(10, own=False, direction="out", HANGUPCAUSE="16")
    story.hangup(10.2, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="6", recording="out.wav")
    assert story.call().talk_seconds == 6
    assert story.call().recording.path == "out.wav"


@pytest.mark.parametrize("extension_first", [True, False])
def test_a_transferred_outbound_call_ends_with_the_trunk_leg_in_either_order(
    story: Story, extension_first: bool
) -> None:
    story.outbound().answer(2)
    legs = [
        lambda: story.hangup(5, direction="out", DIALSTATUS="ANSWER", BLINDTRANSFER="PJSIP/trunk-1", ANSWEREDTIME="3"),
        lambda: story.hangup(12, own=False, direction="out"),
    ]
    for leg in legs if extension_first else reversed(legs):
        leg()
    call = story.call()
    assert call.ended_at == 1_700_000_012
    assert call.talk_seconds == 10


def test_a_transferred_outbound_call_is_not_over_when_only_the_extension_left(story: Story) -> None:
    story.outbound().answer(2).hangup(5, direction="out", DIALSTATUS="ANSWER", ATTENDEDTRANSFER="PJSIP/102-1")
    assert not story.call().over


def test_one_failed_trunk_of_two_is_not_the_end(story: Story) -> None:
    story.outbound().hangup(1, own=False, direction="out", HANGUPCAUSE="34").outbound(1.5)
    assert not story.call().over
    story.answer(4).hangup(9, own=False, direction="out").hangup(9.1, direction="out", DIALSTATUS="ANSWER")
    assert (story.call().talk_seconds, story.outcome().status_code) == (5, "200")


def test_what_another_channel_says_of_an_answer_is_not_the_calls(story: Story) -> None:
    story.outbound().hangup(5, own=False, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="3")
    story.hangup(9, direction="out", DIALSTATUS="BUSY", HANGUPCAUSE="17")
    assert (story.outcome().status_code, story.outcome().talk_seconds) == ("486", 0)


def test_an_inbound_call_forwarded_to_a_mobile_stays_inbound_and_ends_with_the_client(story: Story) -> None:
    story.inbound().ring(1, "101").outbound(3, extension="", number="+79990001122", own=False)
    story.answer(6).hangup(20, own=False).hangup(20.4, DIALSTATUS="ANSWER")
    call = story.call()
    assert (call.direction, call.client_number, call.talk_seconds) == ("in", "+79161234567", 14)


def test_a_call_known_by_its_route_alone_stays_inbound_when_it_is_forwarded(story: Story) -> None:
    story.tell(0, Kind.ROUTE, own_channel=True, client_number="+79161234567", did="74950000001")
    story.outbound(3, "101", "+79031112233").hangup(9, DIALSTATUS="BUSY")
    assert (story.call().direction, story.outcome().status_code) == ("in", "304")


def test_a_mobile_that_no_answer_was_told_of_talked_for_the_extension_it_was_forwarded_from(story: Story) -> None:
    """FreePBX 17 with an e-mail about the route: nothing runs on the trunk's leg, CONNECTEDLINE names nobody."""
    story.inbound().outbound(1, extension="102", number="89990001122")
    peer = {"DIALEDPEERNUMBER": "89990001122@trunk", "CONNECTED": "s"}
    story.hangup(20, DIALSTATUS="ANSWER", ANSWEREDTIME="12", **peer)
    assert (story.outcome().user_id, story.outcome().talk_seconds) == (BORIS, 12)
    assert [leg.extension for leg in story.call().legs] == ["102"]


def test_who_transferred_an_outbound_call_away_talked_no_longer_than_that(story: Story) -> None:
    """FreePBX: no `answer` on the trunk's leg, the extension's end is the transfer."""
    gone = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "4", "BLINDTRANSFER": "PJSIP/trunk-1"}
    story.outbound().ring(6, "102").hangup(6, direction="out", **gone)
    story.answer(9, "102").hangup(12, own=False, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="10")
    assert [leg.talk for leg in story.call().legs] == [4, 3]
    assert story.outcome().talk_seconds == 7


def test_who_asked_a_colleague_in_vain_talked_on(story: Story) -> None:
    """*2 to a phone that is busy: the client's channel never left the first one's Dial()."""
    answered(story).ring(50, "102").hangup(70, DIALSTATUS="ANSWER", CONNECTED="101")
    assert (story.outcome().user_id, story.outcome().talk_seconds) == (ANNA, 65)
    assert [leg.talk for leg in story.call().legs] == [65, 0]


@pytest.mark.parametrize("how", ["BLINDTRANSFER", "ATTENDEDTRANSFER"])
def test_who_transferred_a_call_did_not_talk_on(story: Story, how: str) -> None:
    answered(story).ring(50, "102").hangup(70, DIALSTATUS="ANSWER", CONNECTED="101", **{how: "PJSIP/101-1"})
    assert story.outcome().talk_seconds == 45


def test_who_handed_the_client_over_by_a_feature_code_did_not_end_the_call(story: Story) -> None:
    """*2 leaves neither BLINDTRANSFER nor ATTENDEDTRANSFER: only CONNECTEDLINE names the colleague."""
    story.outbound().answer(4).ring(9, "102").answer(10, "102")
    story.hangup(12, direction="out", DIALSTATUS="ANSWER", CONNECTED="102")
    assert not story.call().over
    story.hangup(20, own=False, direction="out")
    assert (story.outcome().talk_seconds, story.outcome().user_id) == (15, ANNA)


def test_who_came_back_from_a_consultation_ends_the_call(story: Story) -> None:
    story.outbound().answer(4).ring(9, "102").answer(10, "102")
    story.hangup(20, direction="out", DIALSTATUS="ANSWER", CONNECTED="+79161234567")
    assert story.call().over


def test_who_talked_through_a_trunk_nobody_announced_is_the_number_dialled(story: Story) -> None:
    """FreePBX's ext-trunk: CONNECTEDLINE is the dialplan's extension, no employee."""
    story.inbound().hangup(
        20, DIALSTATUS="ANSWER", ANSWEREDTIME="9", CONNECTED="1", DIALEDPEERNUMBER="89990001122@trunk"
    )
    assert [leg.extension for leg in story.call().legs] == ["89990001122"]


def colleagues(story: Story) -> Story:
    return story.outbound(number="102", internal=True).ring(1, "102")


def test_a_call_among_colleagues_belongs_to_who_dialled_and_lasts_as_the_other_talked(story: Story) -> None:
    colleagues(story).answer(4, "102").hangup(20, direction="out", DIALSTATUS="ANSWER", CONNECTED="102")
    call, result = story.call(), story.outcome()
    assert (call.direction, call.over, result.status_code) == ("internal", True, "200")
    assert (result.user_id, result.talk_seconds) == (ANNA, 16)


def test_a_call_among_colleagues_ends_with_the_one_who_dialled_transferred_or_not(story: Story) -> None:
    colleagues(story).answer(4, "102")
    story.hangup(20, direction="out", DIALSTATUS="ANSWER", CONNECTED="102", BLINDTRANSFER="PJSIP/102-2")
    assert (story.call().over, story.outcome().talk_seconds) == (True, 16)


def test_a_colleague_who_is_busy_is_told_as_a_client_would_be(story: Story) -> None:
    colleagues(story).hangup(6, direction="out", DIALSTATUS="BUSY", HANGUPCAUSE="17")
    assert (story.outcome().status_code, story.outcome().user_id) == ("486", ANNA)


def test_a_call_among_colleagues_that_no_answer_was_told_of_is_the_others_talk(story: Story) -> None:
    colleagues(story).hangup(20, direction="out", DIALSTATUS="ANSWER", ANSWEREDTIME="12", CONNECTED="102")
    assert [(leg.extension, leg.talk) for leg in story.call().legs if leg.answered_at] == [("102", 12)]


def test_a_colleague_whose_calls_go_on_to_a_mobile_is_a_colleague_still(story: Story) -> None:
    colleagues(story).outbound(3, extension="102", number="+79031112233", own=False).answer(6)
    story.hangup(20, direction="out", DIALSTATUS="ANSWER")
    assert (story.call().direction, story.call().client_number) == ("internal", "102")


def test_a_hangup_alone_is_enough_for_a_call_among_colleagues(story: Story) -> None:
    said = {"client_number": "102", "internal": True, "caller": "101", "direction": "out", "own_channel": True}
    story.tell(20, Kind.HANGUP, variables={"DIALSTATUS": "BUSY", "HANGUPCAUSE": "17"}, **said)
    assert (story.call().direction, story.outcome().user_id, story.outcome().status_code) == ("internal", ANNA, "486")


def test_who_parked_the_client_talks_until_then_and_who_fetches_them_from_then_on(story: Story) -> None:
    answered(story).tell(20, Kind.PARKED, source="ami").answer(50, "102")
    story.hangup(60, DIALSTATUS="ANSWER", CONNECTED="102", BLINDTRANSFER="PJSIP/101-1")
    before = 20 - (story.call().answered_at or 0) + story.events[0].at
    assert [(leg.extension, leg.talk) for leg in story.call().legs] == [("101", before), ("102", 10)]
    assert (story.outcome().talk_seconds, story.outcome().user_id) == (before + 10, BORIS)


def test_who_fetches_the_client_they_parked_talks_in_a_second_leg(story: Story) -> None:
    answered(story).tell(20, Kind.PARKED, source="ami").answer(50, "101").hangup(60, DIALSTATUS="ANSWER")
    assert [leg.extension for leg in story.call().legs if leg.answered_at] == ["101", "101"]
    assert story.call().legs[-1].talk == 10


@pytest.mark.parametrize("how", [{"BLINDTRANSFER": "PJSIP/101-1"}, {}], ids=["by a transfer", "by a feature code"])
def test_a_client_who_gives_up_while_parked_talked_until_then(story: Story, how: dict[str, str]) -> None:
    """A feature code leaves the client in the first Dial(), as a vain consultation does."""
    answered(story).tell(20, Kind.PARKED, source="ami").hangup(60, DIALSTATUS="ANSWER", CONNECTED="101", **how)
    (leg,) = story.call().legs
    assert (leg.ended_at, story.call().ended_at) == (story.events[0].at + 20, story.events[0].at + 60)
    assert (story.outcome().status_code, story.outcome().user_id) == ("200", ANNA)


def test_a_parked_call_that_rings_back_is_talk_again_when_it_is_answered(story: Story) -> None:
    answered(story).tell(20, Kind.PARKED, source="ami").ring(45, "101").answer(50, "101")
    story.hangup(60, DIALSTATUS="ANSWER", CONNECTED="101")
    assert [leg.talk for leg in story.call().legs][1:] == [10]


def test_in_a_conference_the_last_one_known_to_have_joined_owns_the_call(story: Story) -> None:
    """CONNECTEDLINE names whoever the client came from: a room does not change it."""
    answered(story).answer(20, "102").hangup(60, DIALSTATUS="ANSWER", CONNECTED="101", **{"CDR(lastapp)": "ConfBridge"})
    assert story.outcome().user_id == BORIS


def test_what_the_trunk_said_counts_where_the_pbx_says_circuits_are_busy(story: Story) -> None:
    """FreePBX tries further trunks after a refusal, and ends with a congestion tone of its own: cause 34."""
    said = {"DIALSTATUS": "CHANUNAVAIL", "HANGUPCAUSE": "34", "HANGUPCAUSE(trunk)": "21"}
    story.outbound().hangup(9, direction="out", **said)
    assert (story.outcome().status_code, story.outcome().failed_reason) == ("603", "declined")


def test_hooks_that_come_twice_change_nothing(story: Story) -> None:
    answered(story).hangup(100, DIALSTATUS="ANSWER", CONNECTED="101")
    once = story.outcome()
    story.ring(30, "101").answer(40, "101").hangup(100.3, DIALSTATUS="ANSWER", CONNECTED="101")
    assert story.outcome() == once


@given(st.permutations(range(6)))
def test_the_order_in_which_events_arrive_changes_nothing(order: list[int]) -> None:
    story = answered(Story()).ring(20, "102").answer(22, "102").hangup(30, DIALSTATUS="ANSWER", CONNECTED="102")
    shuffled = [story.events[i] for i in order]
    assert fold([*shuffled, *shuffled]) == fold(story.events)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["inbound", "ring", "answer", "outbound", "parked", "hangup", "gone"]),
        st.sampled_from(["101", "102", ""]),
    ),
    min_size=1,
    max_size=12,
)


@given(STEPS)
@example([("hangup", "102"), ("answer", "101"), ("inbound", ""), ("answer", "102"), ("ring", "101")])
def test_any_sequence_of_hooks_makes_a_call_the_portal_can_be_told(steps: list[tuple[str, str]]) -> None:
    story = Story()
    for at, (hook, extension) in zip(itertools.count(), steps, strict=False):
        {
            "inbound": lambda at=at: story.inbound(at),
            "ring": lambda at=at, e=extension: story.ring(at, *([e] if e else [])),
            "answer": lambda at=at, e=extension: story.answer(at, e),
            "outbound": lambda at=at, e=extension: story.outbound(at, e),
            "parked": lambda at=at: story.tell(at, Kind.PARKED, source="ami"),
            "hangup": lambda at=at, e=extension: story.hangup(at, own=bool(e), DIALSTATUS="ANSWER", CONNECTED=e),
            "gone": lambda at=at: story.tell(at, Kind.GONE, source="ami", ended_at=1_700_000_000.0 + at),
        }[hook]()
    call, result = story.call(), story.outcome()
    assert result.user_id in (ADMIN, ANNA, BORIS)
    assert (result.talk_seconds >= 1) == (result.status_code == "200" and call.over)
    assert call.talk_seconds <= len(steps)


def test_a_lead_our_own_registration_made_has_no_responsible_to_ask(story: Story) -> None:
    """Another server registered the call and could not write it down: its lead looks like a client we know."""
    made = contact(ADMIN, "", type="LEAD", id=20)
    story.ring(1, "101").hangup(9, DIALSTATUS="NOANSWER").found(made)
    story.tell(10, Kind.REGISTERED, portal_call_id="c", created=[{"type": "LEAD", "id": 20}])
    assert story.outcome().user_id == ANNA


def test_the_client_is_who_was_found_first(story: Story) -> None:
    """Before the call was registered, that is: what is found later may have come of it."""
    story.inbound().found().ring(1, "101").hangup(9, DIALSTATUS="NOANSWER")
    story.tell(10, Kind.CLIENT, entities=[contact(ADMIN, "")])
    assert story.outcome().user_id == ANNA
