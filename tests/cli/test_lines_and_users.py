"""`lines sync` and `users sync` against the portal's double: what differs, what is put right, what cannot be read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bx24client import Bitrix24, BitrixError, ScopeMissing, UnreadableAnswer
from bx24client.structure import DEPARTMENTS
from itgrix_bx.cli import main
from itgrix_bx.employees import sync
from itgrix_bx.emulator.portal import PortalEmulator
from sql import Database, Staff, upgrade

ALL_RIGHTS = ["telephony", "user", "crm", "department", "calendar"]
NOW = 1_790_000_000.0


class Machine:
    """A configuration for a portal's double, and the program's commands on it."""

    def __init__(self, directory: Path, portal: PortalEmulator) -> None:
        self.portal = portal
        self.url = f"sqlite:///{directory}/journal.db"
        self.config = directory / "config.toml"
        self.config.write_text(f'[portal]\nwebhook = "{portal.webhook_url}"\n[database]\nurl = "{self.url}"\n')
        self.run("db", "upgrade")

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *args])

    def done(self, *args: str) -> str:
        result = self.run(*args)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def lines(self) -> dict[str, str]:
        return {line["number"]: line["name"] for line in self.portal.dump()["lines"]}

    def allow(self, *scopes: str) -> None:
        self.portal.seed({"settings": {"webhook_scopes": list(scopes)}})


@pytest.fixture
def portal() -> Iterator[PortalEmulator]:
    with PortalEmulator(rate=0) as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, portal: PortalEmulator) -> Machine:
    return Machine(tmp_path, portal)


# --- lines ------------------------------------------------------------------------------------------


def test_lines_that_are_missing_are_added_others_get_our_name_and_strangers_are_left_alone(machine: Machine) -> None:
    machine.portal.seed({"lines": [{"number": "sales", "name": ""}, {"number": "old", "name": "Старая"}]})
    machine.done("lines", "set", "74950000001", "office", "--name", "Офис")
    machine.done("lines", "set", "74950000002", "sales", "--name", "Продажи")
    machine.done("lines", "set", "trunk/telecom", "office")
    compared = {row["line"]: (row["change"], row["done"]) for row in machine.json("lines", "sync", "--dry-run")}
    assert compared == {"office": ("add", False), "sales": ("rename", False), "old": ("only in the portal", True)}
    assert machine.lines() == {"sales": "", "old": "Старая"}
    found = machine.json("lines", "sync")
    assert {row["line"]: row["done"] for row in found} == {"office": True, "sales": True, "old": True}
    assert next(row["dids"] for row in found if row["line"] == "office") == ["74950000001", "trunk/telecom"]
    assert machine.lines() == {"sales": "Продажи", "old": "Старая", "office": "Офис"}
    assert {row["change"] for row in machine.json("lines", "sync")} == {"same", "only in the portal"}
    assert "only in the portal" in machine.done("lines", "sync")


def test_a_line_for_calls_that_make_no_clients_is_added_so(machine: Machine) -> None:
    machine.done("lines", "set", "1", "quiet", "--leads", "none")
    machine.done("lines", "sync")
    (line,) = machine.portal.dump()["lines"]
    assert (line["number"], line["name"], line["crm_auto_create"]) == ("quiet", "quiet", "N")


def test_a_line_one_of_whose_numbers_makes_clients_makes_them_and_one_without_a_name_of_ours_keeps_its_own(
    machine: Machine,
) -> None:
    machine.portal.seed({"lines": [{"number": "sales", "name": "Старая"}]})
    machine.done("lines", "set", "1", "office", "--leads", "none")
    machine.done("lines", "set", "2", "office")
    machine.done("lines", "set", "3", "sales")
    machine.done("lines", "sync")
    assert machine.lines() == {"office": "office", "sales": "Старая"}
    added = {line["number"]: line["crm_auto_create"] for line in machine.portal.dump()["lines"]}
    assert added["office"] == "Y"


def test_a_line_whose_adding_was_not_answered_is_not_added_twice(machine: Machine) -> None:
    machine.portal.seed({"settings": {"lines_repeat": True}})
    machine.done("lines", "set", "1", "office", "--name", "Офис")
    machine.portal.faults([{"method": "telephony.externalLine.add", "kind": "html502", "after_effect": True}])
    machine.done("lines", "sync")
    added = [r for r in machine.portal.dump()["requests"] if r["method"].lower() == "telephony.externalline.add"]
    assert (len(added), machine.lines()) == (1, {"office": "Офис"})
    assert machine.portal.dump()["lines"][0]["copies"] == 1


def test_a_line_that_could_not_be_added_is_a_sentence(machine: Machine) -> None:
    machine.done("lines", "set", "1", "office")
    machine.portal.faults([{"method": "telephony.externalLine.add", "kind": "html502", "times": -1}])
    result = machine.run("lines", "sync")
    assert (result.exit_code, "run it again" in result.output, machine.lines()) == (1, True, {})


def test_a_portal_that_keeps_lines_to_applications_says_that_nothing_is_lost(machine: Machine) -> None:
    machine.done("lines", "set", "1", "office")
    machine.portal.seed({"settings": {"webhook_refused": True}})
    result = machine.run("lines", "sync")
    assert (result.exit_code, "nothing is lost by it" in result.output) == (1, True)


def test_a_source_is_checked_where_the_webhook_may_look(machine: Machine) -> None:
    machine.done("lines", "set", "1", "office", "--source", "WEB")
    refused = machine.run("lines", "set", "1", "--source", "WEEB")
    assert (refused.exit_code, "Bitrix24 has no source WEEB: there are CALL" in refused.output) == (1, True)
    assert machine.json("lines", "list")[0]["source"] == "WEB"
    machine.allow("telephony", "user")
    assert "lacks the right crm" in machine.done("lines", "set", "1", "--source", "WEEB")


def test_a_did_is_the_same_line_with_plus_and_without(machine: Machine) -> None:
    machine.done("lines", "set", "+74950000001", "office")
    machine.done("lines", "set", "74950000001", "--name", "Sales")
    (row,) = machine.json("lines", "list")
    assert (row["did"], row["line"], row["name"]) == ("+74950000001", "office", "Sales")
    machine.done("lines", "set", "74950000001", "--remove")
    assert machine.json("lines", "list") == []


def test_what_a_line_is_set_to_is_said_and_what_is_not_there_is_not_removed(machine: Machine) -> None:
    said = machine.done("lines", "set", "7495", "office", "--caller-name", "{client}", "--latin", "--name", "[b]\x9bA")
    assert said == "did 7495 · line office · name [b]A · leads lead · caller name {client} (latin, 40)\n"
    result = machine.run("lines", "set", "7496", "--remove")
    assert (result.exit_code, "7496 has no rules; `itgrix-bx lines list`" in result.output) == (1, True)


@pytest.mark.parametrize("line", ["", " ", "x" * 51, "a\x1b[31mb", "a\nb"])
def test_what_is_no_lines_number_is_refused(machine: Machine, line: str) -> None:
    result = machine.run("lines", "set", "1", line)
    assert (result.exit_code, "a line's number has 1 to 50 characters" in result.output) == (1, True)
    assert machine.json("lines", "list") == []


# --- users ------------------------------------------------------------------------------------------


def structure(portal: PortalEmulator, **more: Any) -> None:
    users = [
        {"id": 11, "name": "Анна Иванова", "extension": "101", "departments": [5]},
        {"id": 12, "name": "Борис Петров", "extension": "102", "departments": [5, 1]},
    ]
    tree = [{"id": 1, "name": "Офис", "head": 1}, {"id": 5, "name": "Продажи", "parent": 1, "head": 12}]
    portal.seed({"users": users, "departments": tree} | more)


def test_heads_and_absences_come_from_bitrix24_where_the_webhook_may_see_them(machine: Machine) -> None:
    machine.allow(*ALL_RIGHTS)
    now = time.time()
    away = {"id": 1, "user": 11, "since": now - 3600, "until": now + 3600}
    structure(machine.portal, absences=[away, away | {"id": 2, "user": 12, "accessibility": "busy"}])
    assert machine.done("users", "sync").strip() == "5 users read."
    asked = [r["params"] for r in machine.portal.dump()["requests"] if "accessibility" in r["method"].lower()]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)  # it is still that day in the west
    assert {str(params["from"])[:10] for params in asked} == {yesterday.isoformat()}
    rows = {row["user_id"]: row for row in machine.json("users", "list")}
    assert rows[11]["head"] == {"user_id": 12, "why": "department Продажи"}
    assert rows[12]["head"] == {"user_id": 1, "why": "department Офис"}
    assert (rows[1]["head"], rows[11]["absent"], rows[12]["absent"]) == (None, True, False)


def test_rights_that_are_missing_are_said_and_our_own_tables_are_used(machine: Machine) -> None:
    structure(machine.portal)
    said = machine.done("users", "sync")
    assert "5 users read." in said
    assert said.count("users head") == said.count("users absent") == 1
    machine.done("users", "head", "11", "13")
    assert machine.json("users", "list")[1]["head"] == {"user_id": 13, "why": "set by hand"}


def test_a_structure_with_a_cycle_or_a_head_who_was_dismissed_gives_whoever_is_left(machine: Machine) -> None:
    machine.allow(*ALL_RIGHTS)
    tree = [{"id": 5, "name": "A", "parent": 6, "head": 14}, {"id": 6, "name": "B", "parent": 5, "head": 13}]
    structure(machine.portal, departments=tree)
    machine.done("users", "sync")
    assert machine.json("users", "list")[1]["head"] == {"user_id": 13, "why": "department B"}


def test_two_people_with_one_extension_and_somebody_without_one_are_pointed_out(machine: Machine) -> None:
    machine.portal.seed({"users": [{"id": 21, "name": "Z", "extension": "101"}, {"id": 22, "name": "Y"}]})
    machine.done("users", "sync")
    rows = {row["user_id"]: row for row in machine.json("users", "list", "--all")}
    notes = {user_id: row["note"] for user_id, row in rows.items()}
    assert notes[21] == "101 is also user 11's: calls on it are user 11's"
    assert notes[11] == "101 is also user 21's: calls on it are theirs"
    assert (rows[21]["extension"], rows[21]["source"], rows[21]["extensions"]) == ("101", "portal", ["101"])
    assert notes[22].startswith("no extension")
    assert (notes[12], notes[14]) == (None, "dismissed")
    machine.done("users", "map", "101", "21")
    rows = {row["user_id"]: row for row in machine.json("users", "list")}
    assert rows[11]["note"] == "101 is mapped to user 21: rung for nobody; use `users map`"
    assert (rows[21]["note"], rows[21]["source"], rows[11]["extensions"]) == (None, "map", [])


def test_an_inner_number_that_cannot_be_dialled_is_pointed_out(machine: Machine) -> None:
    machine.portal.seed({"users": [{"id": 21, "name": "Z", "extension": "105 & 106"}]})
    machine.done("users", "sync")
    notes = {row["user_id"]: row["note"] for row in machine.json("users", "list")}
    assert notes[21] == "105 & 106 is not digits alone: rung for nobody; use `users map`"


@pytest.mark.parametrize("extension", ["", " ", "101 & 102", "\x1b[31m101", "1" * 41])
def test_what_is_no_extension_is_not_mapped(machine: Machine, extension: str) -> None:
    result = machine.run("users", "map", "--", extension, "11")
    assert (result.exit_code, "is no extension" in result.output) == (1, True)
    assert "\x1b" not in result.output


def test_an_extension_is_not_given_to_who_was_dismissed(machine: Machine) -> None:
    machine.done("users", "sync")
    result = machine.run("users", "map", "102", "14")
    assert (result.exit_code, "user 14 is dismissed" in result.output) == (1, True)
    assert {row["user_id"]: row["extensions"] for row in machine.json("users", "list")}[12] == ["102"]


def test_of_every_phone_it_is_said_where_it_comes_from(machine: Machine) -> None:
    machine.done("users", "sync")
    machine.done("users", "map", "2001", "11")
    machine.done("users", "map", "--mobile", "8 916 000-11-22", "11")
    anna = {row["user_id"]: row for row in machine.json("users", "list")}[11]
    assert (anna["sources"], anna["mobiles"]) == ({"2001": "map", "101": "portal"}, ["+79160001122"])
    shown = " ".join(machine.done("users", "list").split())
    assert all(phone in shown for phone in ("2001 (map)", "101 (portal)", "+79160001122 (map)"))


def test_what_is_not_mapped_is_not_taken_away(machine: Machine) -> None:
    machine.done("users", "map", "2001", "11")
    for words in (("2002",), ("--mobile", "+79160001122")):
        result = machine.run("users", "map", *words, "--remove")
        assert (result.exit_code, "is not mapped; `itgrix-bx users list`" in result.output) == (1, True)
    machine.done("users", "map", "2001", "--remove")
    assert machine.run("users", "map", "2001", "--remove").exit_code == 1


def test_absences_are_said_by_the_clock_and_only_ours_are_taken_back(machine: Machine) -> None:
    said = machine.done("users", "absent", "11", "--from", "2026-07-01", "--to", "2026-07-02T18:00")
    assert said == "user 11: away, from 2026-07-01 00:00 to 2026-07-02 18:00.\n"
    assert machine.done("users", "absent", "11", "--remove") == (
        "user 11: what was said here of absences is taken back.\n"
    )
    for moment in ("0001-01-01", "9999-12-31T23:59-12:00"):
        result = machine.run("users", "absent", "11", "--from", moment)
        assert (result.exit_code, "is no time" in result.output) == (1, True)


class Half:
    """A portal's double that tells of its users, and half of everything else."""

    def __init__(self, tmp_path: Path, portal: PortalEmulator) -> None:
        self.portal = portal
        portal.seed({"settings": {"webhook_scopes": ALL_RIGHTS}})
        self.database = Database(f"sqlite:///{tmp_path}/half.db")
        upgrade(self.database)
        self.staff = Staff(self.database)
        self.client = Bitrix24(portal.webhook_url)


@pytest.fixture
def half(tmp_path: Path, portal: PortalEmulator) -> Iterator[Half]:
    made = Half(tmp_path, portal)
    yield made
    made.client.close()
    made.database.close()


def test_a_structure_that_cannot_be_read_leaves_the_last_one_in_use(half: Half) -> None:
    structure(half.portal)
    assert sync(half.staff, half.client).gaps == ()
    half.portal.faults([{"method": "department.get", "kind": "error", "times": -1, "code": "ERROR_CORE"}])
    half.portal.seed({"users": [{"id": 30, "name": "New", "extension": "130"}]})
    (gap,) = sync(half.staff, half.client).gaps
    assert gap.startswith("heads could not be read, the last known stay in use")
    known = half.staff.directory()
    assert (known.user_of("130"), known.head_of(11)) == (30, 12)


def test_a_list_of_users_that_breaks_off_half_way_leaves_everything_as_it_was(half: Half) -> None:
    structure(half.portal)
    sync(half.staff, half.client)
    many = [{"id": 1000 + n, "name": f"U{n}", "extension": str(1000 + n)} for n in range(120)]
    half.portal.seed({"users": many, "departments": [{"id": 5, "name": "X", "head": 13}]})
    half.portal.faults([{"method": "user.get", "kind": "error", "skip": 2, "code": "ERROR_CORE", "times": -1}])
    with pytest.raises(BitrixError):
        sync(half.staff, half.client)
    known = half.staff.directory()
    assert (known.user_of("1001"), known.head_of(11), known.head_and_why(11)[1]) == (None, 12, "department Продажи")


def test_a_large_structure_and_many_calendars_come_page_by_page(half: Half) -> None:
    tree = [{"id": 1, "name": "Root", "head": 1}] + [{"id": n, "name": f"D{n}", "parent": n - 1} for n in range(2, 131)]
    people = [{"id": 100 + n, "name": f"U{n}", "departments": [130]} for n in range(130)]
    away = [{"id": n, "user": 100 + n, "since": time.time(), "until": time.time() + 60} for n in range(1, 130)]
    half.portal.seed({"departments": tree, "users": people, "absences": away})
    assert sync(half.staff, half.client).gaps == ()
    known = half.staff.directory()
    assert (len(known.structure.departments), len(known.structure.absences)) == (130, 129)
    assert known.head_of(229) == 1  # 130 departments up


def test_departments_without_the_right_raise_by_name(half: Half) -> None:
    half.portal.seed({"settings": {"webhook_scopes": ["user"]}})
    with pytest.raises(ScopeMissing, match="department"):
        half.client.departments()
    with pytest.raises(ScopeMissing, match="crm"):
        half.client.sources()


def test_a_list_that_is_shorter_than_it_says_is_no_list(half: Half) -> None:
    half.portal.seed({"departments": [{"id": n, "name": "D"} for n in range(1, 60)]})
    first = half.client.execute(DEPARTMENTS.page(0))
    with pytest.raises(UnreadableAnswer, match="59 departments and gave only 50"):
        DEPARTMENTS.join([first], 59)
    assert len(half.client.departments()) == 59
