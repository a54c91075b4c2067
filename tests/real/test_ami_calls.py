"""A plain Asterisk as the installer leaves it: only inbound, outbound and hangup are reported by the dialplan; who
rings, who answers and where a call is transferred to is told by the manager alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.real.more_scenarios import MORE
from tests.real.office import Office, office
from tests.real.scenarios import ALL, Measured, play
from tests.real.site import bare, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

PLAYS = {name: how for name, how in (ALL | MORE).items() if not name.startswith("responsible") and name != "internal"}
# What the phones measured is the client's whole time, of which the ringing of a colleague is not talk.
NOT_TALK = {"consultation_refused": 1.0}


@dataclass
class Day:
    """All scenarios played, with what the phones measured."""

    office: Office
    measured: dict[str, Measured]
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)

    def call(self, name: str) -> dict[str, Any]:
        if name not in self.shown:
            (call,) = [call for call in self.office.calls_of(PLAYS[name][0]) if call["state"] != "skipped"]
            self.shown[name] = self.office.program.json("calls", "show", call["id"])
        return self.shown[name]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with office(tmp_path_factory.mktemp("bare"), pbx=bare) as where:
        measured = asyncio.run(play(where, PLAYS | {"internal": MORE["internal"]}))
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(
            call["state"] in ("complete", "skipped") for call in where.program.json("calls", "list", "--limit", "0")
        ):
            time.sleep(0.5)
        yield Day(where, measured)


@pytest.mark.parametrize("name", list(PLAYS))
def test_a_call_comes_out_right_with_three_hooks_and_the_manager(day: Day, name: str) -> None:
    expected, call, number = day.measured[name], day.call(name), PLAYS[name][0]
    (row,) = day.office.statistics_of(number)
    assert call["state"] == "complete", call
    assert (row["CALL_FAILED_CODE"], row["CALL_FAILED_REASON"]) == (expected.code, expected.reason), call
    assert abs(call["talk_seconds"] + NOT_TALK.get(name, 0.0) - expected.talk) <= 1.0, (expected.talk, call)
    assert int(row["CALL_DURATION"]) == call["talk_seconds"], call
    talked = [leg["extension"] for leg in call["legs"] if leg["answered_at"]]
    if name != "forwarded_to_a_mobile":
        assert talked == [extension(number, which) for which in expected.legs], call
    if expected.owner:
        assert int(row["PORTAL_USER_ID"]) == user(number, expected.owner), call
    shown = {card["user_id"] for card in day.office.portal.dump()["cards"]
             if card["call_id"] == row["CALL_ID"] and card["action"] == "show"}  # fmt: skip
    assert shown >= {user(number, which) for which in expected.shown}, call


def test_the_dialplan_told_of_beginnings_and_ends_only(day: Day) -> None:
    for name in PLAYS:
        by_hooks = [step["step"] for step in day.call(name)["steps"] if "source" not in step]
        assert {"ring", "answer"}.isdisjoint(by_hooks), name


def test_calls_within_the_house_are_not_there(day: Day) -> None:
    assert day.office.calls_of(MORE["internal"][0]) == []


def test_no_event_was_lost_and_the_link_held(day: Day) -> None:
    ami = day.office.program.health()["parts"]["ami"]
    assert (ami["ok"], ami["events_lost"], ami["links_lost"], ami["waiting"]) == (True, 0, 0, 0)
    assert ami["told_the_journal"] > len(PLAYS)
    (found,) = [check for check in day.office.program.json("doctor") if check["part"] == "AMI"]
    assert found["result"] == "ok", found
