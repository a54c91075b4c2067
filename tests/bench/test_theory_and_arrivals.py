"""What the limits allow, who calls when, and how results become lines of a picture."""

from __future__ import annotations

import json
from random import Random

import pytest

from bench.arrivals import Habits, plan, poisson
from bench.office import Office
from bench.options import changes
from bench.plot import series
from bench.theory import Billing, Limits, calls_per_min, in_batches_per_min
from itgrix_bx.emulator.portal.latency import find


@pytest.mark.parametrize(
    ("latency", "billing", "per_min"),
    [
        ("quick", "off", 1200),  # 2 requests/s of 50 commands, 5 of them a call
        ("quick", "method", 137),  # 0.8 s of finish a second, 0.35 s each
        ("documented", "method", 32),  # 1.5 s each; the recording's first step and upload bind less
        ("quick", "batch", 100),
        ("documented", "batch", 43),
    ],
)
def test_what_the_limits_allow(latency: str, billing: Billing, per_min: float) -> None:
    allowed = calls_per_min(find(latency), Limits(2.0, 480, 600, billing))
    assert round(allowed) == per_min


@pytest.mark.parametrize(("billing", "per_min"), [("off", 677), ("method", 137), ("batch", 89)])
def test_callers_who_wait_no_longer_than_their_deadline_need_requests_of_their_own(
    billing: Billing, per_min: float
) -> None:
    assert round(calls_per_min(find("quick"), Limits(2.0, 480, 600, billing, deadline_s=1.5))) == per_min


def test_window_and_limit_shortened_alike_allow_the_same() -> None:
    whole, short = (calls_per_min(find("quick"), Limits(2.0, *times, "batch")) for times in ((480, 600), (48, 60)))
    assert whole == pytest.approx(short)


def test_sending_some_commands_alone_allows_more_than_batches_alone() -> None:
    limits = Limits(2.0, 480, 600, "batch")
    assert in_batches_per_min(find("quick"), limits) < calls_per_min(find("quick"), limits)
    assert round(in_batches_per_min(find("quick"), limits)) == 72  # 0.8 s in 0.67 s a call


def test_without_any_limit_nothing_binds() -> None:
    assert calls_per_min(find("quick"), Limits(0.0, 480, 600, "off")) > 10_000


def test_arrivals_are_the_same_for_the_same_seed_and_as_many_as_the_rate_says() -> None:
    assert poisson(60, 30, Random(7)) == poisson(60, 30, Random(7)) != poisson(60, 30, Random(8))
    many = poisson(240, 3600, Random(1))
    assert abs(len(many) - 14_400) < 400
    assert many == sorted(many)
    assert many[-1] < 3600


def test_cold_callers_call_once_and_regulars_in_turn() -> None:
    moments = poisson(600, 60, Random(1))
    office = Office(5, 10 + len(moments))
    numbers = {}
    for cold in (0.0, 0.5, 1.0):
        calls = plan(moments, office, Habits(), Random(1), regulars=10, cold=cold)
        numbers[cold] = [call.client.number for call in calls]
        assert len({call.call_id for call in calls}) == len(moments)
    regulars = {office.client(n).number for n in range(10)}
    assert set(numbers[0.0]) == regulars
    assert len(set(numbers[1.0])) == len(moments)
    assert regulars.isdisjoint(numbers[1.0])
    assert 0.4 < sum(number in regulars for number in numbers[0.5]) / len(moments) < 0.6


def test_the_employee_responsible_sits_where_the_seed_says() -> None:
    office = Office(3, 7)
    seed = office.seed()
    users = {user["id"]: user.get("extension") for user in seed["users"]}
    for n, contact in enumerate(seed["contacts"]):
        assert contact["phones"] == [office.client(n).number]
        assert users[contact["responsible"]] == office.client(n).extension
    assert office.group(1, 2) == ["103", "101"]
    assert office.group(0, 9) == ["101", "102", "103"]


def test_the_products_configuration_is_changed_by_name() -> None:
    found = changes(["inbound.answer=cache", "portal.requests_per_second=5", "recordings.mp3=true", "pbx.name=a=b"])
    assert found == {
        "inbound": {"answer": "cache"},
        "portal": {"requests_per_second": 5},
        "recordings": {"mp3": True},
        "pbx": {"name": "a=b"},
    }


def test_of_a_trial_repeated_the_last_one_is_drawn() -> None:
    trial = {"client": "product", "latency": "quick", "cold": 1.0, "billing": "off", "offered_per_min": 40.0,
             "arrived_per_min": 41.0, "delivered_per_min": 40.0, "p95_s": 0.3}  # fmt: skip
    others = [trial | {"delivered_per_min": 39.0}, trial | {"offered_per_min": 20.0, "arrived_per_min": 22.0}]
    ignored = [trial | {"cold": 0.5}, trial | {"billing": "method"}]
    found = series(map(json.dumps, [trial, *others, *ignored]), 1.0)
    assert found == {"quick": {"product": [(22.0, 40.0, 0.3), (41.0, 39.0, 0.3)]}}
