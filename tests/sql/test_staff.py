"""Employees, the extension map and lines on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from itgrix_bx.calls.directory import Absence, Department, Employee, Period
from itgrix_bx.calls.lines import Leads, Line
from sql import Database, DatabaseAwayError, LineRules, Staff
from sql.tables import lines


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


def test_everything_the_administrator_said_is_read_back(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(n, f"U{n}", True, f"10{n}", departments=(5, 1)) for n in (1, 2, 3)])
    staff.map_mobile("+79161112233", 2)
    staff.set_head(1, 3)
    staff.set_deputy(1, 2)
    staff.set_deputy(1, 3, Period(100.0, 200.5))
    staff.set_deputy(1, 2, Period(100.0, 200.5))  # corrects the line before
    staff.add_absence(2, Period(10.0, None))
    known = staff.directory()
    assert known.employees[1].departments == (5, 1)
    assert known.devices_of(2) == ("102", "+79161112233")
    assert (known.head_of(1), known.deputy_of(1, 150.0), bool(known.absence(2, 11.0))) == (3, 2, True)
    assert len(known.structure.deputies) == 2
    staff.set_deputy(1, 3, Period(50.0, 200.5))  # another period, though it ends with the other
    assert [known.deputy_of(1, at) for known in [staff.directory()] for at in (60.0, 150.0, 300.0)] == [3, 2, 2]
    staff.map_mobile("+79161112233", None)
    staff.set_head(1, None)
    staff.remove_deputies(1)
    staff.remove_absences(2)
    known = staff.directory()
    assert (known.devices_of(2), known.head_of(1), known.deputy_of(1, 150.0)) == (("102",), None, None)
    assert not bool(known.absence(2, 11.0))


def test_the_structure_is_replaced_only_by_one_that_was_read_and_our_own_absences_never(database: Database) -> None:
    staff = Staff(database)
    people = [Employee(1, "A", True, "101", departments=(5,)), Employee(2, "B")]
    staff.add_absence(1, Period(0.0, 10.0))
    staff.replace_users(
        people, structure=[Department(5, None, 2, "Sales")], away=[Absence(2, Period(0.0, 10.0), by_portal=True)]
    )
    staff.replace_users(people)  # a portal that told of its users only
    known = staff.directory()
    assert (known.head_of(1), bool(known.absence(1, 5.0)), bool(known.absence(2, 5.0))) == (2, True, True)
    staff.remove_absences(2)  # ours; the calendar's word is the portal's to take back
    assert staff.directory().absence(2, 5.0)
    staff.replace_users(people, structure=[], away=[])
    known = staff.directory()
    assert (known.head_of(1), bool(known.absence(1, 5.0)), bool(known.absence(2, 5.0))) == (None, True, False)


def test_a_list_that_cannot_be_stored_leaves_the_old_one_with_all_that_belongs_to_it(database: Database) -> None:
    staff = Staff(database)
    staff.replace_users([Employee(1, "A", True, "101", departments=(5,)), Employee(2, "B")],
                        structure=[Department(5, None, 2)])  # fmt: skip
    with pytest.raises(DatabaseAwayError):
        staff.replace_users([Employee(3, "C")], structure=[Department(6, None, None), Department(6, None, None)])
    known = staff.directory()
    assert (set(known.employees), known.head_of(1)) == ({1, 2}, 2)


def test_lines_are_kept_whole_by_did(database: Database) -> None:
    rules = LineRules(database)
    line = Line("74950000001", "office", "Офис", "CALL", 7, Leads.NONE, "{client} / {line}", True, 20)
    rules.set(replace(line, number="sales"))
    rules.set(line)
    rules.set(Line("trunk/telecom", "T1"))
    found = rules.lines()
    assert found.of_call("74950000001") == line
    assert found.of_call("", "telecom").number == "T1"
    with database.engine.begin() as connection:
        connection.execute(sa.update(lines).where(lines.c.did == "trunk/telecom").values(leads="newer"))
    assert rules.lines().of_call("", "telecom").leads is Leads.LEAD
    rules.remove("74950000001")
    assert rules.lines().of_call("74950000001").number == ""
