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

    def goes_and_comes(self, method: str, took: float, spent: float, reset_in: float | None = 600.0) -> None:
        departure = self.worktime.left([method])
        self.answers(method, took, spent, reset_in)
        self.worktime.came_back(departure, let_in=True)


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
    portal.goes_and_comes(FINISH, 0.35, 480.2, reset_in=30.0)
    assert portal.worktime.room(FINISH) > 0
    refused = portal.worktime.left([FINISH])
    portal.worktime.blocked(FINISH, portal.now + 30.0)
    portal.worktime.came_back(refused, let_in=False)
    assert portal.worktime.room(FINISH) == 0
    assert portal.worktime.opens_in(FINISH) == pytest.approx(30.0)
    portal.now += 31.0
    assert portal.worktime.room(FINISH) == 1  # one asks how much dropped out of the window
    portal.answers(FINISH, 0.35, 440.0, reset_in=60.0)
    assert 80 <= portal.worktime.room(FINISH) <= 90


def test_what_is_on_its_way_is_counted(portal: Portal) -> None:
    portal.answers(REGISTER, 0.2, 400.0)
    free = portal.worktime.room(REGISTER)
    departure = portal.worktime.left([REGISTER] * 10)
    assert portal.worktime.room(REGISTER) in (free - 10, free - 11)
    portal.worktime.came_back(departure, let_in=False)
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
    departure = portal.worktime.left([FINISH] * 4, batch=True)
    portal.worktime.left([FINISH])
    assert portal.worktime.batch_room_s() == pytest.approx(free - 2.0)
    portal.worktime.came_back(departure, let_in=False)
    assert portal.worktime.batch_room_s() == pytest.approx(free)


def test_what_callers_will_want_until_something_drops_out_is_theirs(portal: Portal) -> None:
    portal.answers("batch", 0.5, 300.0, reset_in=100.0)
    assert portal.worktime.batch_room_s(0.5) == pytest.approx(portal.worktime.batch_room_s() - 50.0)
    assert portal.worktime.batch_room_s(5.0) == 0.0


def test_once_something_has_dropped_out_what_is_kept_free_pays_for_the_question_how_much(portal: Portal) -> None:
    portal.answers("batch", 0.5, 415.0, reset_in=10.0)
    assert portal.worktime.batch_room_s() == 0.0
    assert not portal.worktime.asks("batch")
    portal.now += 10.0
    assert portal.worktime.batch_room_s() == pytest.approx(5.0)  # refused would be who comes after 420 s
    assert portal.worktime.batch_room_s(0.1) == pytest.approx(1.0)  # a short question is answered soon
    assert portal.worktime.asks("batch")
    portal.worktime.left([REGISTER], batch=True)
    assert not portal.worktime.asks("batch")


def test_who_was_refused_asks_when_something_has_dropped_out_whatever_was_spent(portal: Portal) -> None:
    portal.answers("batch", 0.5, 425.0, reset_in=10.0)
    portal.worktime.blocked("batch", portal.now + 10.0)
    assert not portal.worktime.asks("batch")
    portal.now += 10.0
    assert portal.worktime.batch_room_s() == 0.0
    assert portal.worktime.asks("batch")


def test_what_was_let_in_is_below_the_limit(portal: Portal) -> None:
    portal.answers(REGISTER, 0.2, 415.0)
    assert portal.worktime.room(REGISTER) == 0
    portal.goes_and_comes(FINISH, 0.35, 470.0)
    assert portal.worktime.room(REGISTER) > 200


def test_what_others_worked_meanwhile_was_not_spent_when_it_was_let_in(portal: Portal) -> None:
    portal.answers("batch", 8.0, 400.0)
    portal.answers(FINISH, 1.0, 1.0)
    earlier = portal.worktime.left([FINISH] * 8, batch=True)
    late = portal.worktime.left([FINISH] * 2, batch=True)
    later = portal.worktime.left([FINISH] * 40, batch=True)
    portal.answers("batch", 2.0, 450.0)
    for departure in (earlier, later, late):
        portal.worktime.came_back(departure, let_in=True)
    assert portal.worktime.limit_s == 420.0  # at 400 s they came


def test_who_was_refused_was_not_let_in(portal: Portal) -> None:
    departure = portal.worktime.left([FINISH])
    portal.answers(FINISH, 0.35, 470.0)
    portal.worktime.came_back(departure, let_in=False)
    assert portal.worktime.limit_s == 420.0


def test_a_limit_found_out_from_an_old_answer_is_corrected_by_what_is_let_in(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 200.0, reset_in=30.0)  # more was on its way
    portal.worktime.blocked(FINISH, portal.now + 30.0)
    portal.now += 31.0
    assert portal.worktime.room(FINISH) == 1
    portal.goes_and_comes(FINISH, 0.35, 440.0, reset_in=60.0)
    portal.answers(FINISH, 0.35, 400.0, reset_in=60.0)
    assert 80 <= portal.worktime.room(FINISH) <= 90


def test_a_limit_that_became_lower_is_believed(portal: Portal) -> None:
    portal.goes_and_comes(FINISH, 0.35, 470.0, reset_in=600.0)
    portal.answers(FINISH, 0.35, 300.5, reset_in=30.0)
    portal.worktime.blocked(FINISH, portal.now + 30.0)
    assert portal.worktime.limit_s == pytest.approx(300.15)


def test_a_batch_tells_of_its_last_command_what_was_spent_when_it_was_let_in(portal: Portal) -> None:
    departure = portal.worktime.left([FINISH] * 40, batch=True)
    portal.answers(FINISH, 0.35, 470.0)
    portal.worktime.came_back(departure, let_in=True)
    assert portal.worktime.limit_s == pytest.approx(469.65, abs=0.2)


def test_a_limit_higher_than_told_is_found_out_by_the_first_refusal(portal: Portal) -> None:
    refused = portal.worktime.left([FINISH] * 40, batch=True)
    portal.answers(FINISH, 0.35, 480.2, reset_in=-5.0)  # the answer of a batch is old when it comes, and still
    portal.worktime.blocked(FINISH, portal.now + 30.0, just_told=True)  # the rest of the batch was refused after it
    portal.worktime.came_back(refused, let_in=False)
    assert portal.worktime.limit_s == pytest.approx(479.85)


def test_a_limit_taken_for_too_low_is_put_right_by_the_batch_that_used_it_up(portal: Portal) -> None:
    portal.answers(FINISH, 0.35, 450.0)
    batch = portal.worktime.left([FINISH] * 100, batch=True)
    alone = portal.worktime.left([FINISH])
    portal.worktime.blocked(FINISH, portal.now + 30.0)  # while the batch has not yet told what it spent
    portal.worktime.came_back(alone, let_in=False)
    portal.answers(FINISH, 0.35, 480.2)
    portal.worktime.blocked(FINISH, portal.now + 30.0, just_told=True)
    portal.worktime.came_back(batch, let_in=False)
    assert portal.worktime.limit_s == pytest.approx(479.85)


@pytest.mark.parametrize("reset_in", [0.0, 30.0])
def test_what_does_not_tell_exactly_raises_no_limit(portal: Portal, reset_in: float) -> None:
    """An old answer; and of batches, of which one is let in whatever it works, any."""
    method = "batch" if reset_in else FINISH
    portal.answers(method, 0.35, 505.0, reset_in=reset_in)
    portal.worktime.blocked(method, portal.now + 30.0)
    assert portal.worktime.limit_s == 420.0
    portal.now += 31.0
    refused = portal.worktime.left([FINISH] * 2, batch=True)
    portal.answers(FINISH, 0.35, 450.2)
    portal.worktime.blocked(FINISH, portal.now + 30.0, just_told=True)  # this tells
    portal.worktime.came_back(refused, let_in=False)
    assert portal.worktime.limit_s == pytest.approx(449.85)


def test_what_was_so_before_but_is_heard_of_later_changes_nothing(portal: Portal) -> None:
    """A batch answers when it has come to its end, of a command that it began with."""
    for spent, ago in ((300.0, 1.0), (290.0, 12.0), (250.0, 3600.0)):
        time = {"duration": 0.35, "operating": spent, "finish": portal.now - ago}
        portal.durations.learn(FINISH, time)
        told = portal.durations.operating(FINISH)
        assert told is not None
        assert told.spent_s == (300.0 if ago < 60 else spent)  # the portal's clock may be set
