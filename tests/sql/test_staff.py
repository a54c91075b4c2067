"""Employees, the extension map and lines on SQLite and on MariaDB."""

from __future__ import annotations

import pytest

from itgrix_bx.calls.directory import Employee
from sql import Database, Staff


def test_a_new_list_replaces_the_old_one_whole(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(1, "A", True, "101"), Employee(2, "Б", True, "102", ("+7 916 1",))])
    staff.replace_users([Employee(2, "Б", False, "102")])
    directory = staff.directory()
    assert set(directory.employees) == {2}
    assert directory.user_of("102") is None  # dismissed
    assert directory.synced


def test_an_empty_answer_never_destroys_the_list(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(1, "A", True, "101")])
    with pytest.raises(ValueError, match="empty list"):
        staff.replace_users([])
    assert staff.directory().user_of("101") == 1


def test_the_map_beats_the_portals_inner_number_and_can_be_taken_back(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(1, "A", True, "101"), Employee(2, "B", True, "")])
    staff.map_extension("101", 2)
    assert staff.directory().user_of("101") == 2
    staff.map_extension("101", None)
    assert staff.directory().user_of("101") == 1


def test_of_two_users_with_one_extension_the_first_has_it(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(5, "B", True, "101"), Employee(3, "A", True, "101")])
    assert staff.directory().user_of("101") == 3


def test_lines_are_mapped_by_did(database: Database) -> None:
    staff = Staff(database)
    staff.set_line("74950000001", "office")
    staff.set_line("74950000001", "sales")
    assert staff.lines() == {"74950000001": "sales"}
    staff.set_line("74950000001", None)
    assert staff.lines() == {}
