"""Which rules a call comes under, and what they change for register and for who owns the call."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls import portal
from itgrix_bx.calls.events import Kind
from itgrix_bx.calls.lines import Leads, Line, Lines
from tests.calls.conftest import ADMIN, ANNA, BORIS, GONE, VERA, Story, contact

DID = "74950000001"
RULES = Lines.of([Line(DID, "office"), Line("+74950000002", "sales"), Line("trunk/telecom", "T1")])


@pytest.mark.parametrize(
    ("did", "came_by", "number"),
    [
        (DID, "telecom", "office"),
        ("+" + DID, "", "office"),
        ("74950000002", "", "sales"),
        ("", "telecom", "T1"),
        ("74950000009", "telecom", "T1"),
        ("", "", ""),
        ("telecom", "", ""),
    ],
)
def test_the_did_decides_then_the_trunk(did: str, came_by: str, number: str) -> None:
    assert RULES.of_call(did, came_by).number == number


def test_every_other_call_may_have_rules_too() -> None:
    rules = Lines.of([Line("*", "rest"), Line(DID, "office")])
    assert (rules.of_call("123").number, rules.of_call("").number, rules.of_call(DID).number) == (
        "rest", "rest", "office",
    )  # fmt: skip


def test_a_trunk_goes_before_every_other_and_a_did_before_its_trunk() -> None:
    rules = Lines.of([Line("*", "rest"), Line("trunk/mts", "mts"), Line(DID, "office")])
    assert (rules.of_call("123", "mts").number, rules.of_call(DID, "mts").number) == ("mts", "office")


def test_a_line_is_called_by_its_name_else_by_its_number() -> None:
    assert (Line(DID, "office", "Продажи").label, Line(DID, "office").label) == ("Продажи", "office")


def test_deals_are_wanted_only_where_the_name_on_the_phone_shows_one() -> None:
    assert Line(DID, caller_name="{client}: {deal}").wants_deals
    assert not Line(DID, caller_name="{client}").wants_deals


def test_before_the_rules_are_read_a_call_says_nothing_of_its_line() -> None:
    assert Lines().facts(DID) == {}
    assert Lines.of([]).facts(DID) == {"line": "", "line_rules": {}}


def came_in(**rules: Any) -> Story:
    facts = Lines.of([Line(DID, "office", **rules)]).facts(DID)
    return Story().tell(0.0, Kind.INBOUND, own_channel=True, client_number="+79990001122", did=DID, **facts)


def params(story: Story) -> dict[str, Any]:
    return portal.register_params(story.call(), user_id=1, pbx_name="")


def test_register_says_the_line_its_source_and_whether_a_client_is_made() -> None:
    usual = params(came_in())
    assert (usual["LINE_NUMBER"], usual["CRM_CREATE"], "CRM_SOURCE" in usual) == ("office", 1, False)
    assert params(came_in(source="WEB"))["CRM_SOURCE"] == "WEB"
    none = params(came_in(source="WEB", leads=Leads.NONE))
    assert (none["CRM_CREATE"], "CRM_SOURCE" in none) == (0, False)


def test_an_outbound_call_never_makes_a_client_whatever_its_line_says() -> None:
    facts = Lines.of([Line("*", "office", source="WEB")]).facts("")
    story = Story().tell(0.0, Kind.OUTBOUND, own_channel=True, client_number="+79990001122", extension="101", **facts)
    assert (params(story)["CRM_CREATE"], "CRM_SOURCE" in params(story)) == (0, False)


def test_a_stranger_nobody_took_belongs_to_the_lines_default_user_not_to_who_was_rung_last() -> None:
    story = came_in(default_user=VERA).found().ring(1, "101", "102").hangup(9, DIALSTATUS="NOANSWER")
    assert story.outcome().user_id == VERA
    assert came_in().found().ring(1, "101", "102").hangup(9, DIALSTATUS="NOANSWER").outcome().user_id == BORIS


def test_a_stranger_somebody_took_belongs_to_him_and_a_known_client_to_the_responsible() -> None:
    taken = came_in(default_user=VERA).found().ring(1, "101").answer(2, "101").hangup(9, DIALSTATUS="ANSWER")
    assert taken.outcome().user_id == ANNA
    known = came_in(default_user=VERA).found(contact(BORIS, "102")).ring(1, "101").hangup(9, DIALSTATUS="NOANSWER")
    assert known.outcome().user_id == BORIS


def test_what_is_nobodys_is_the_lines_default_users_unless_he_was_dismissed() -> None:
    assert came_in(default_user=VERA).hangup(9, DIALSTATUS="ANSWER", ANSWEREDTIME="5").outcome().user_id == VERA
    assert came_in(default_user=GONE).hangup(9, DIALSTATUS="ANSWER", ANSWEREDTIME="5").outcome().user_id == ADMIN


def test_rules_that_change_while_people_talk_do_not_change_the_call() -> None:
    story = came_in()
    facts = Lines.of([Line(DID, "sales", default_user=VERA)]).facts(DID)
    story.tell(9.0, Kind.HANGUP, own_channel=True, direction="in", variables={"DIALSTATUS": "NOANSWER"}, **facts)
    call = story.call()
    assert (call.line, call.line_rules) == ("office", {})
