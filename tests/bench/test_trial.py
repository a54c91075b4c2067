"""A whole trial, a second long: every figure adds up, for the product and for the reference clients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bench.arrivals import Habits
from bench.portal import Portal
from bench.trial import CLIENTS, PRODUCT, Conditions, Score, Trial

HABITS = Habits(ring_s=(0.1, 0.2), talk_s=(0.5, 0.7), recording_bytes=(2_000, 3_000))
SMALL = Conditions(per_min=480, seconds=1, regulars=2, employees=4, habits=HABITS, sound="wav", rate=0)


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with Portal("none") as running:
        yield running


def trial(portal: Portal, **changes: Any) -> Score:
    return Trial(portal, replace(SMALL, **changes)).run()


@pytest.fixture(scope="module", params=CLIENTS)
def score(portal: Portal, request: pytest.FixtureRequest) -> Score:
    return trial(portal, client=request.param)


def test_every_call_of_a_portal_without_limits_is_delivered_once(score: Score) -> None:
    fates = score.fates
    assert fates.offered > 2
    assert fates.delivered == fates.offered
    assert (fates.wrong, fates.doubled, fates.waiting, fates.lost) == (0, 0, 0, 0)
    assert fates.hitches == {}
    assert fates.unrouted == 0
    assert fates.carried + fates.late_card == fates.offered


def test_the_requests_by_method_and_batch_add_up_to_all(score: Score) -> None:
    asked, calls = score.asked, score.fates.offered
    alone = sum(count for method, count in asked.methods.items() if not method.startswith("+"))
    batched = sum(count for method, count in asked.methods.items() if method.startswith("+"))
    assert alone == asked.requests
    assert asked.methods.get("batch", 0) == sum(asked.batches.values())
    assert batched == sum(length * count for length, count in asked.batches.items())
    for method in ("register", "finish"):
        assert asked.methods.get(method, 0) + asked.methods.get(f"+{method}", 0) == calls
    assert asked.refused == {}


def test_clients_who_have_called_before_are_not_counted_again(portal: Portal) -> None:
    score = trial(portal, client=PRODUCT, cold=0.0)
    assert score.fates.delivered == score.fates.offered
    finished = score.asked.methods.get("finish", 0) + score.asked.methods.get("+finish", 0)
    assert finished == score.fates.offered


def test_a_client_that_may_ask_nothing_more_still_owes_its_calls(portal: Portal) -> None:
    score = trial(portal, client="go-like", rate=0.001, burst=2, caller_s=0.5, patience_s=0.5)
    assert score.fates.delivered == 0
    assert score.fates.waiting == score.fates.offered
    assert score.asked.refused["QUERY_LIMIT_EXCEEDED"] == score.asked.requests
