"""What the portal is told, clamped to what it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from itgrix_bx.calls import portal
from tests.calls.conftest import Story


def test_an_inbound_register_lets_the_portal_make_a_lead_and_shows_no_card(story: Story) -> None:
    params = portal.register_params(story.inbound().call(), user_id=1, pbx_name="office-")
    assert params["PHONE_NUMBER"] == "+79161234567"
    assert (params["TYPE"], params["CRM_CREATE"], params["SHOW"], params["USER_ID"]) == (2, 1, 0, 1)
    assert params["ADD_TO_CHAT"] == 0
    assert params["EXTERNAL_CALL_ID"] == "office-1700000000.1"
    assert "LINE_NUMBER" not in params
    assert datetime.fromisoformat(params["CALL_START_DATE"]).timestamp() == 1_700_000_000


def test_an_outbound_register_makes_no_lead(story: Story) -> None:
    params = portal.register_params(story.outbound().call(), user_id=11, pbx_name="")
    assert (params["TYPE"], params["CRM_CREATE"]) == (1, 0)


def test_a_mapped_did_names_the_line(story: Story) -> None:
    story.inbound()
    story.events[0].data["line"] = "office"
    assert portal.register_params(story.call(), user_id=1, pbx_name="")["LINE_NUMBER"] == "office"


def test_a_long_pbx_name_is_cut_never_the_id() -> None:
    assert portal.external_call_id("x" * 60, "1700000000.123456") == "x" * 47 + "1700000000.123456"
    assert len(portal.external_call_id("pbx-", "9" * 80)) == 64


def test_two_calls_whose_long_ids_differ_at_the_end_are_two_calls() -> None:
    told = {portal.external_call_id("pbx-", f"{'a-long-system-name-' * 3}1700000000.{n}") for n in (1, 2)}
    assert (len(told), {len(each) for each in told}) == (2, {64})


def test_a_reason_is_cut_to_what_the_portals_table_takes(story: Story) -> None:
    call = story.inbound().hangup(8, DIALSTATUS="NOANSWER").call()
    outcome = replace(story.outcome(), failed_reason="x" * 300)
    assert portal.finish_params(call, outcome)["FAILED_REASON"] == "x" * 255


@pytest.fixture
def in_the_urals() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TZ", "Asia/Yekaterinburg")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_the_urals")
def test_the_start_is_told_with_the_offset_of_this_machine(story: Story) -> None:
    params = portal.register_params(story.inbound().call(), user_id=1, pbx_name="")
    assert params["CALL_START_DATE"] == "2023-11-15T03:13:20+05:00"


def test_a_finish_says_owner_talk_and_code(story: Story) -> None:
    story.inbound().ring(1, "101").answer(5, "101").hangup(8, DIALSTATUS="ANSWER")
    params = portal.finish_params(story.call(), story.outcome())
    assert (params["USER_ID"], params["DURATION"], params["STATUS_CODE"], params["ADD_TO_CHAT"]) == (11, 3, "200", 0)
    assert "FAILED_REASON" not in params
