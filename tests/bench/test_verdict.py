"""A call that did not come out right is counted as what it is."""

from __future__ import annotations

from typing import Any

import pytest

from bench.arrivals import Arrival
from bench.callers import Made
from bench.office import Office
from bench.verdict import Fates, Judge, Waits, share_of

OFFICE = Office(3, 3)
CLIENT = OFFICE.client(0)


def made() -> Made:
    arrival = Arrival(0, 0.0, "17.1", CLIENT, 1.0, 5.0, 100)
    return Made(
        arrival, came_at=100.0, route="101", ringing=["101"], first_ring_at=101.0, extension="101",
        answered_at=103.0, ended_at=108.0, sha256="sound",
    )  # fmt: skip


def portal(**changes: Any) -> dict[str, Any]:
    row = {"EXTERNAL_CALL_ID": "17.1", "CALL_ID": "c1", "CALL_FAILED_CODE": "200", "PORTAL_USER_ID": "11",
           "CALL_DURATION": "5", "finished_at": 109.0}  # fmt: skip
    file = {"call_id": "c1", "sha256": "sound", "deleted": False, "at": 110.0}
    card = {"call_id": "c1", "user_id": 11, "action": "show", "at": 102.0}
    state = {"statistics": [row], "calls": [], "files": [file], "activities": [{"call_id": "c1"}], "cards": [card]}
    return state | changes


def judged(state: dict[str, Any], pending: set[str] | None = None) -> Fates:
    return Judge(OFFICE, state, pending or set()).judge([made()])


def test_a_call_with_its_row_and_recording_is_delivered_and_carried() -> None:
    fates = judged(portal())
    assert (fates.delivered, fates.carried, fates.delivered_at, fates.cards_s) == (1, 1, [110.0], [1.0])


@pytest.mark.parametrize(
    ("key", "value"), [("CALL_FAILED_CODE", "304"), ("PORTAL_USER_ID", "12"), ("CALL_DURATION", "8")]
)
def test_another_outcome_is_wrong(key: str, value: str) -> None:
    state = portal()
    state["statistics"][0][key] = value
    assert (judged(state).wrong, judged(state).delivered) == (1, 0)


@pytest.mark.parametrize("table", ["statistics", "files", "activities"])
def test_two_of_anything_is_doubled(table: str) -> None:
    state = portal()
    state[table] *= 2
    assert (judged(state).doubled, judged(state).delivered) == (1, 0)


def test_a_registration_left_open_beside_a_finished_one_is_doubled() -> None:
    assert judged(portal(calls=[{"external_call_id": "17.1", "call_id": "c2"}])).doubled == 1


def test_without_its_recording_a_call_is_lost_unless_somebody_still_means_to_deliver_it() -> None:
    other = {"call_id": "c1", "sha256": "another", "deleted": False, "at": 110.0}
    for files in ([], [other]):
        assert judged(portal(files=files)).lost == 1
        assert judged(portal(files=files), {"17.1"}).waiting == 1


def test_a_card_after_two_seconds_or_of_another_employee_carries_nothing() -> None:
    late = {"call_id": "c1", "user_id": 11, "action": "show", "at": 103.1}
    for card in (late, late | {"at": 101.0, "user_id": 12}):
        assert (judged(portal(cards=[card])).carried, judged(portal(cards=[card])).late_card) == (0, 1)


def test_the_card_of_a_call_that_is_still_open_counts() -> None:
    open_call = {"external_call_id": "17.1", "call_id": "c1"}
    fates = judged(portal(statistics=[], calls=[open_call]), {"17.1"})
    assert (fates.carried, fates.waiting) == (1, 1)


def test_waits_are_counted_from_the_deadline_and_what_the_hook_itself_may_take() -> None:
    waits = Waits.of([0.1] * 97 + [1.55, 1.61, 9.0], 1.5)
    assert (waits.p50, waits.p95, waits.p99, waits.longest, waits.late) == (0.1, 0.1, 1.61, 9.0, 2)
    assert share_of([], 0.95) == 0.0
