"""When a step that failed is tried again: later each time, never all at once, and for whom a person must act."""

from __future__ import annotations

import pytest

from bx24client import AuthFailed, BitrixError, MethodNotFound, MovedTooFar, PortalError
from itgrix_bx.delivery.schedule import back_off
from itgrix_bx.delivery.trouble import retry_in


def test_a_backlog_does_not_come_back_at_once() -> None:
    seconds = {back_off(8) for _ in range(50)}
    assert len(seconds) > 40
    assert min(seconds) < 250 < 260 < max(seconds)


def test_each_try_waits_longer_than_the_one_before_up_to_some_minutes() -> None:
    assert [back_off(tries + 1) > back_off(tries) for tries in range(8)] == [True] * 8
    assert 400 < back_off(100) <= 750


def test_what_the_portal_asks_for_is_granted_up_to_half_an_hour() -> None:
    assert (back_off(0, 90.0), back_off(0, 86_400.0)) == (90.0, 1800.0)


def made(kind: type[BitrixError]) -> BitrixError:
    return kind("x")


@pytest.mark.parametrize("kind", [AuthFailed, MethodNotFound, MovedTooFar])
def test_what_is_wrong_for_all_calls_makes_none_of_them_fail(kind: type[BitrixError]) -> None:
    wait = retry_in(made(kind), 0)
    assert wait is not None
    assert wait >= 60


def test_what_is_wrong_with_one_call_needs_a_person() -> None:
    assert retry_in(made(PortalError), 0) is None
