"""The budget against a model of the portal's own bucket."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24client import LANES, Budget, BudgetExhausted


class Clock:
    """Time that only moves when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, _: threading.Condition, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


class PortalBucket:
    """The reference: each request adds 1, the count falls by `rate` a second, above `burst` it refuses."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst, self.level, self.at = rate, burst, 0.0, now

    def accepts(self, now: float) -> bool:
        self.level = max(0.0, self.level - (now - self.at) * self.rate)
        self.at = now
        self.level += 1.0
        return self.level <= self.burst + 1e-6


rates = st.sampled_from([0.5, 2.0, 5.0])
bursts = st.sampled_from([1.0, 2.0, 10.0, 50.0, 250.0])
asks = st.lists(
    st.tuples(
        st.floats(0, 5), st.sampled_from(list(LANES)), st.sampled_from([0.0, 0.3, 1.5, 30.0]), st.integers(1, 40)
    ),
    max_size=30,
)


@settings(deadline=None)
@given(rates, bursts, asks)
def test_the_portal_never_refuses_what_the_budget_let_go(
    rate: float, burst: float, steps: list[tuple[float, str, float, int]]
) -> None:
    clock = Clock()
    budget = Budget(rate, burst, clock=clock, wait=clock.wait)
    bucket = PortalBucket(rate, burst, clock.now)
    for pause, lane, timeout_s, count in steps:
        clock.now += pause
        for _ in range(count):
            asked_at = clock.now
            let_go = True
            try:
                budget.take(lane, timeout_s)
            except BudgetExhausted:
                let_go = False
            assert clock.now <= asked_at + timeout_s + 1e-6
            assert not let_go or bucket.accepts(clock.now)


@settings(deadline=None)
@given(rates, bursts)
def test_the_whole_bucket_and_the_whole_rate_are_used(rate: float, burst: float) -> None:
    clock = Clock()
    budget = Budget(rate, burst, clock=clock, wait=clock.wait)
    for _ in range(200):
        budget.take("caller", 1e6)
    ideal = max(0.0, 200 - max(1.0, burst - 1)) / rate
    assert clock.now - 1000.0 == pytest.approx(ideal, rel=0.01, abs=0.01)


def test_who_cannot_be_served_in_time_does_not_wait() -> None:
    clock = Clock()
    budget = Budget(2.0, 3.0, clock=clock, wait=clock.wait)
    for _ in range(2):
        budget.take("caller")
    with pytest.raises(BudgetExhausted) as caught:
        budget.take("caller", 0.4)
    assert caught.value.retry_after_s == pytest.approx(0.5)
    assert not caught.value.maybe_done
    assert clock.slept == []
    budget.take("caller", 0.6)
    assert sum(clock.slept) == pytest.approx(0.5)


def test_lower_lanes_leave_a_reserve_for_callers() -> None:
    clock = Clock()
    taken = {}
    for lane in LANES:
        budget = Budget(2.0, 50.0, clock=clock, wait=clock.wait)
        count = 0
        while budget.delay(lane) == 0:
            budget.take(lane)
            count += 1
        taken[lane] = count
        budget.take("caller") if lane != "caller" else None
    assert list(taken.values()) == sorted(taken.values(), reverse=True)
    assert taken["caller"] == 49
    assert taken["background"] < taken["outcome"] < 49


def test_a_low_lane_that_waited_long_is_served_under_full_load() -> None:
    clock = Clock()
    budget = Budget(2.0, 50.0, clock=clock, wait=clock.wait)
    for _ in range(49):
        budget.take("caller")
    budget.take("background", 60.0)
    assert sum(clock.slept) < 31


def test_a_refusal_fills_the_bucket_and_a_gift_empties_a_place() -> None:
    clock = Clock()
    budget = Budget(2.0, 50.0, clock=clock, wait=clock.wait)
    budget.refused()
    assert budget.level() == 50.0
    assert budget.fullness() == 1.0
    with pytest.raises(BudgetExhausted):
        budget.take("caller", 0.1)
    clock.now += 1.0
    budget.take("caller")
    budget.give_back()
    budget.take("caller")


def test_an_urgent_request_overtakes_those_who_wait() -> None:
    budget = Budget(20.0, 2.0)
    budget.take("caller")
    order: list[str] = []
    threads = [threading.Thread(target=_take, args=(budget, "recording", order)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(budget._waiting) < 3:
        threading.Event().wait(0.001)
    urgent = threading.Thread(target=_take, args=(budget, "caller", order))
    urgent.start()
    for thread in [urgent, *threads]:
        thread.join(10)
    assert sorted(order) == ["caller", "recording", "recording", "recording"]
    assert "caller" in order[:2]


def _take(budget: Budget, lane: str, order: list[str]) -> None:
    budget.take(lane, 10)
    order.append(lane)


def test_many_threads_together_stay_within_the_bucket() -> None:
    budget = Budget(1e-6, 50.0)
    passed: list[str] = []

    def run() -> None:
        for _ in range(20):
            try:
                budget.take("caller", 0.0)
            except BudgetExhausted:
                return
            passed.append("x")

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(passed) == 49


@pytest.mark.parametrize(("rate", "burst"), [(0, 50), (-1, 50), (2, 0), (float("nan"), 50)])
def test_a_budget_that_lets_nothing_through_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        Budget(rate, burst)


def test_an_unknown_lane_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no such lane"):
        Budget().take("express")
