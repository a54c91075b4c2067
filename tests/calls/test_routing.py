"""Whom to try first."""

from __future__ import annotations

import pytest

from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.routing import decide
from tests.calls.conftest import BORIS, GONE, contact, people


def test_the_responsible_of_a_known_client_is_rung() -> None:
    route = decide([contact()], people())
    assert (route.extension, route.client_name, route.seconds) == ("101", "Иван Клиентов", 15)


@pytest.mark.parametrize("workday", ["CLOSED", "PAUSED", "EXPIRED"])
def test_who_is_off_duty_is_not_tried_but_the_client_is_named(workday: str) -> None:
    route = decide([contact(workday=workday), contact(BORIS, "102")], people())
    assert (route.extension, route.client_name) == ("", "Иван Клиентов")
    assert workday.lower() in route.why


@pytest.mark.parametrize("workday", ["OPENED", "UNAVAILABLE", "NOT_INSTALLED", ""])
def test_a_portal_without_time_tracking_says_nothing_against_ringing(workday: str) -> None:
    assert decide([contact(workday=workday)], people()).extension == "101"


def test_a_dismissed_responsible_is_passed_over_for_the_next_entity() -> None:
    route = decide([contact(GONE, "104"), contact(BORIS, "102", name="ООО Ромашка")], people())
    assert (route.extension, route.client_name) == ("102", "ООО Ромашка")


def test_a_responsible_without_an_extension_is_passed_over() -> None:
    assert decide([contact(1, ""), contact(BORIS, "102")], people()).extension == "102"


def test_without_any_usable_responsible_the_first_entity_names_the_call() -> None:
    route = decide([contact(GONE, "104", name="First"), contact(None, name="Second")], people())
    assert (route.extension, route.client_name) == ("", "First")


def test_a_responsible_the_portals_list_does_not_have_is_not_tried() -> None:
    assert decide([contact(77, "777")], people()).extension == ""


def test_before_the_first_list_of_users_the_portals_word_is_taken() -> None:
    assert decide([contact(77, "777")], Directory()).extension == "777"


def test_the_administrators_map_beats_the_portals_inner_number() -> None:
    directory = Directory.of([Employee(BORIS, "Борис", True, "102")], {"2020": BORIS}, synced=True)
    assert decide([contact(BORIS, "102")], directory).extension == "2020"


def test_nothing_found_and_nothing_heard_are_told_apart() -> None:
    assert decide([], people()).why != decide(None, people()).why
    assert decide([], people()).extension == decide(None, people()).extension == ""
