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
    assert portal.worktime.bills_batches
    assert 3.0 < portal.worktime.batch_room_s() < 6.0
    portal.worktime.blocked("batch", portal.now + 5.0)
    assert portal.worktime.batch_room_s() == 0.0


def test_a_portal_that_bills_batches_to_their_methods_leaves_them_free(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 400.0)
    portal.answers("batch", 2.0, 0.0)
    assert not portal.worktime.bills_batches
    assert portal.worktime.batch_room_s() == math.inf


def test_batches_on_their_way_are_counted_as_a_whole(portal: Portal) -> None:
    portal.answers(FINISH, 0.5, 1.0)
    portal.answers("batch", 2.0, 400.0)
    free = portal.worktime.batch_room_s()
    portal.worktime.left([FINISH] * 4, batch=True)
    portal.worktime.left([FINISH])
    assert portal.worktime.batch_room_s() == pytest.approx(free - 2.0)
    portal.worktime.came_back([FINISH] * 4, batch=True)
    assert portal.worktime.batch_room_s() == pytest.approx(free)


def test_what_callers_will_want_until_something_drops_out_is_theirs(portal: Portal) -> None:
    portal.answers("batch", 0.5, 300.0, reset_in=100.0)
    assert portal.worktime.batch_room_s(0.5) == pytest.approx(portal.worktime.batch_room_s() - 50.0)
    assert portal.worktime.batch_room_s(5.0) == 0.0


def test_only_shortly_before_something_drops_out_is_it_tried_whether_batches_may_work_longer(portal: Portal) -> None:
    portal.answers("batch", 0.5, 415.0, reset_in=10.0)
    assert portal.worktime.batch_room_s(0.1) == 0.0
    portal.now += 9.5
    assert 0.0 < portal.worktime.batch_room_s(0.1) < 10.0
    assert portal.worktime.batch_room_s() == 0.0  # callers try nothing out


def test_once_something_has_dropped_out_callers_need_not_wait_to_be_told_how_much(portal: Portal) -> None:
    portal.answers("batch", 0.5, 415.0, reset_in=10.0)
    portal.worktime.left([REGISTER], batch=True)
    portal.now += 10.0
    assert portal.worktime.batch_room_s() == math.inf
    assert portal.worktime.batch_room_s(0.1) < 10.0


def test_what_was_let_in_is_below_the_limit(portal: Portal) -> None:
    portal.answers(REGISTER, 0.2, 415.0)
    assert portal.worktime.room(REGISTER) == 0
    portal.worktime.left([FINISH])
    portal.answers(FINISH, 0.35, 470.0)
    portal.worktime.came_back([FINISH])
    assert portal.worktime.room(REGISTER) > 200


def test_a_limit_found_out_from_an_old_answer_is_corrected_by_what_is_let_in(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 200.0, reset_in=30.0)  # more was on its way
    portal.worktime.blocked(FINISH, portal.now + 30.0)
    portal.now += 31.0
    assert portal.worktime.room(FINISH) == 1
    portal.worktime.left([FINISH])
    portal.answers(FINISH, 0.35, 440.0, reset_in=60.0)
    portal.worktime.came_back([FINISH])
    portal.answers(FINISH, 0.35, 400.0, reset_in=60.0)
    assert 80 <= portal.worktime.room(FINISH) <= 90
