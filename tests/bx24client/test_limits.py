"""The budget against a model of the portal's own bucket."""

from __future__ import annotations

import pytest

from bx24client import LANES, Budget


class Clock:
    """Time that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("rate", "burst"), [(2.0, 50.0), (5.0, 250.0), (0.5, 1.0), (2.0, 2.0)])
def test_the_whole_bucket_and_the_whole_rate_are_used(rate: float, burst: float) -> None:
    clock = Clock()
    budget = Budget(rate, burst, clock=clock)
    for _ in range(200):
        clock.now += budget.delay("caller")
        budget.take()
    ideal = max(0.0, 200 - max(1.0, burst - 1)) / rate
    assert clock.now - 1000.0 == pytest.approx(ideal, rel=0.01, abs=0.01)


def test_lower_lanes_leave_a_reserve_for_callers() -> None:
    taken = {}
    for lane in LANES:
        budget = Budget(2.0, 50.0, clock=Clock())
        count = 0
        while budget.delay(lane) == 0:
            budget.take()
            count += 1
        taken[lane] = count
        assert lane == "caller" or budget.delay("caller") == 0
    assert list(taken.values()) == sorted(taken.values(), reverse=True)
    assert taken["caller"] == 49
    assert taken["background"] < taken["outcome"] < 49


def test_who_waited_long_gets_the_reserve_too() -> None:
    budget = Budget(2.0, 50.0, clock=Clock())
    while budget.delay("background") == 0:
        budget.take()
    assert budget.delay("background", waited_s=30.0) == 0


def test_a_refusal_fills_the_bucket_and_a_gift_empties_a_place() -> None:
    clock = Clock()
    budget = Budget(2.0, 50.0, clock=clock)
    budget.refused()
    assert budget.level() == 50.0
    assert budget.fullness() == 1.0
    assert budget.delay("caller") == pytest.approx(1.0)
    clock.now += 1.0
    assert budget.delay("caller") == 0
    budget.take()
    budget.give_back()
    assert budget.delay("caller") == 0


def test_after_a_refusal_less_is_taken_for_a_while() -> None:
    clock = Clock()
    budget = Budget(2.0, 50.0, clock=clock)
    assert budget.pace() == 2.0
    budget.refused()
    eased = budget.pace()
    assert eased < 1.5
    for _ in range(20):
        budget.refused()
    assert 0.4 < budget.pace() < eased
    clock.now += 120.0
    assert budget.pace() == 2.0


@pytest.mark.parametrize(("rate", "burst"), [(0, 50), (-1, 50), (2, 0), (float("nan"), 50)])
def test_a_budget_that_lets_nothing_through_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        Budget(rate, burst)
