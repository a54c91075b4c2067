"""The working-time limit, learnt from answers and refusals."""

from __future__ import annotations

import math

import pytest

from bx24client import Durations
from bx24client.worktime import Worktime

FINISH, REGISTER = "telephony.externalCall.finish", "telephony.externalCall.register"


class Portal:
    """A clock and answers that tell of `operating`."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0
        self.durations = Durations()
        self.worktime = Worktime(self.durations, clock=lambda: self.now)

    def answers(self, method: str, took: float, spent: float, reset_in: float | None = 600.0) -> None:
        time = {"duration": took, "operating": spent}
        self.durations.learn(method, time | ({} if reset_in is None else {"operating_reset_at": self.now + reset_in}))


@pytest.fixture
def portal() -> Portal:
    return Portal()


def test_a_portal_that_tells_nothing_limits_nothing(portal: Portal) -> None:
    assert portal.worktime.room(FINISH) > 1000
    assert portal.worktime.batch_room_s() == math.inf


def test_what_callers_wait_for_is_held_back_before_the_lower_of_the_known_limits(portal: Portal) -> None:
    portal.answers(REGISTER, 0.2, 400.0)
    assert 50 <= portal.worktime.room(REGISTER) <= 60
    portal.answers(REGISTER, 0.2, 415.0)
    assert portal.worktime.room(REGISTER) == 0


def test_the_true_limit_is_learnt_from_a_refusal_and_kept_from_then_on(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 480.2, reset_in=30.0)
    assert portal.worktime.room(FINISH) > 0
    portal.worktime.blocked(FINISH, portal.now + 30.0)
    assert portal.worktime.room(FINISH) == 0
    assert portal.worktime.opens_in(FINISH) == pytest.approx(30.0)
    portal.now += 31.0
    assert portal.worktime.room(FINISH) == 1  # one asks how much dropped out of the window
    portal.answers(FINISH, 0.35, 440.0, reset_in=60.0)
    assert 80 <= portal.worktime.room(FINISH) <= 90


def test_what_is_on_its_way_is_counted(portal: Portal) -> None:
    portal.answers(REGISTER, 0.2, 400.0)
    free = portal.worktime.room(REGISTER)
    portal.worktime.left([REGISTER] * 10)
    assert portal.worktime.room(REGISTER) in (free - 10, free - 11)
    portal.worktime.came_back([REGISTER] * 10)
    assert portal.worktime.room(REGISTER) == free


def test_a_portal_that_bills_batches_as_a_whole_is_noticed_by_its_answers(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 20.0, reset_in=30.0)
    portal.worktime.blocked(FINISH, portal.now + 30)  # the limit is known from now on: about 20 s
    portal.answers("batch", 2.0, 15.0)
    assert 3.0 < portal.worktime.batch_room_s() < 6.0
    portal.worktime.blocked("batch", portal.now + 5.0)
    assert portal.worktime.batch_room_s() == 0.0
