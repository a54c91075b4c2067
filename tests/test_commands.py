"""The commands an administrator reads calls, users and lines with."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.calls.directory import Employee
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.cli import main
from itgrix_bx.delivery.schedule import due
from sql import Database, Journal, Staff, upgrade

FIELDS = [
    "id", "linkedid", "direction", "client_number", "did", "line", "extension", "user_id", "started_at", "answered_at",
    "ended_at", "talk_seconds", "status_code", "state", "portal_call_id", "entity", "recording", "legs", "last_error",
]  # fmt: skip


class Machine:
    """A configuration, a database, and the program's commands on them."""

    def __init__(self, tmp_path: Path) -> None:
        self.config = tmp_path / "config.toml"
        self.url = f"sqlite:///{tmp_path}/journal.db"
        self.config.write_text(
            f'[portal]\nwebhook = "http://127.0.0.1:9/rest/1/hunter2pw/"\n[database]\nurl = "{self.url}"\n'
            f'[journal]\ndirectory = "{tmp_path}"\n'
        )

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *args])

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    database = Database(made.url)
    upgrade(database)
    staff = Staff(database)
    staff.replace_users([Employee(1, "Admin"), Employee(11, "Анна", True, "101"), Employee(14, "Old", False, "104")])
    journal = Journal(database, due)
    own = {"own_channel": True}
    client = own | {"client_number": "+79161234567", "did": "74950000001", "linkedid": "17.0"}
    journal.append(
        [
            Event("17.1", Kind.INBOUND, 1_700_000_000.0, client | {"client_name": "[red]x\x1b[2J"}),
            Event("17.1", Kind.REGISTERING, 1_700_000_000.0, {"params": {"USER_ID": 1}}),
            Event("17.1", Kind.REGISTERED, 1_700_000_000.3, {"portal_call_id": "externalCall.a"}),
            Event("17.1", Kind.RING, 1_700_000_001.0, {"extensions": ["101"]}),
            Event("17.1", Kind.ANSWER, 1_700_000_003.0, {"extension": "101"}),
            Event("17.1", Kind.HANGUP, 1_700_000_010.0, own | {"variables": {"DIALSTATUS": "ANSWER"}}),
        ]
    )
    journal.append([Event("17.2", Kind.INBOUND, 1_700_000_100.0, client | {"client_number": "+79990001122"})])
    journal.append([Event("17.2", Kind.GAVE_UP, 1_700_000_101.0, {"step": "register", "error": "no right"})])
    database.close()
    return made


def test_a_listing_is_newest_first_with_the_contracts_fields(machine: Machine) -> None:
    found = machine.json("calls", "list")
    assert [call["id"] for call in found] == ["17.2", "17.1"]
    assert list(found[1]) == FIELDS
    call = found[1]
    assert (call["state"], call["extension"], call["user_id"], call["talk_seconds"]) == ("ended", "101", 11, 7)
    assert (call["status_code"], call["entity"]) == ("200", None)
    assert call["recording"] == {"path": None, "state": "none"}
    (leg,) = call["legs"]
    assert (leg["extension"], leg["talk_seconds"]) == ("101", 7)
    assert leg["rang_at"] < leg["answered_at"]


def test_a_listing_can_be_narrowed(machine: Machine) -> None:
    assert [c["id"] for c in machine.json("calls", "list", "--number", "8 916 123-45-67")] == ["17.1"]
    assert [c["id"] for c in machine.json("calls", "list", "--state", "failed")] == ["17.2"]
    assert [c["id"] for c in machine.json("calls", "list", "--limit", "1")] == ["17.2"]
    assert len(machine.json("calls", "list", "--limit", "0")) == 2
    assert machine.json("calls", "list", "--from", "2100-01-01") == []
    assert len(machine.json("calls", "list", "--to", "2100-01-01")) == 2


def test_one_call_is_shown_by_any_of_its_ids_with_every_step(machine: Machine) -> None:
    for call_id in ("17.1", "externalCall.a", "17.0"):
        call = machine.json("calls", "show", call_id)
        assert call["id"] == "17.1"
    assert [step["step"] for step in call["steps"]][:3] == ["inbound", "registering", "registered"]
    assert call["talk_source"] == "hooks"


def test_what_a_caller_is_called_cannot_paint_the_administrators_screen(machine: Machine) -> None:
    shown = machine.run("calls", "show", "17.1").output
    assert "[red]x" in shown
    assert "\x1b[2J" not in shown


def test_a_failed_call_says_what_to_do_and_can_be_tried_again(machine: Machine) -> None:
    (failed,) = machine.json("calls", "list", "--state", "failed")
    assert "calls retry" in failed["last_error"]
    assert machine.run("calls", "retry", "--failed").exit_code == 0
    assert machine.json("calls", "list", "--state", "failed") == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("calls", "show", "99.9"), "no call '99.9'"),
        (("calls", "list", "--from", "yesterday"), "2026-01-31"),
        (("calls", "list", "--number", "boss"), "'boss' holds no telephone number"),
        (("calls", "list", "--number", ""), "holds no telephone number"),
        (("users", "map", "205", "99"), "no user 99"),
        (("users", "sync"), "last list stays in use"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(machine: Machine, args: tuple[str, ...], says: str) -> None:
    result = machine.run(*args)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output
    assert "hunter2pw" not in result.output


def test_wrong_usage_is_exit_code_2(machine: Machine) -> None:
    assert machine.run("calls", "list", "--state", "lost").exit_code == 2
    assert machine.run("calls", "retry").exit_code == 2


def test_a_database_without_tables_says_how_to_get_them(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    result = machine.run("calls", "list")
    assert (result.exit_code, "itgrix-bx db upgrade" in result.output) == (1, True)
    assert machine.run("db", "upgrade").exit_code == 0
    assert machine.run("db", "check").exit_code == 0
    assert machine.json("calls", "list") == []


def test_a_database_that_cannot_be_opened_is_named_with_its_cure(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    nowhere = tmp_path / "nowhere" / "journal.db"
    machine.config.write_text(machine.config.read_text().replace(machine.url, f"sqlite:///{nowhere}"))
    for args in (("calls", "list"), ("users", "list"), ("db", "check"), ("db", "upgrade")):
        result = machine.run(*args)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert f"({nowhere}); create its directory and give it to the service's user" in result.output


def test_nobody_else_may_read_the_journal_that_upgrade_makes(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.run("db", "upgrade").output == f"The schema is at {_newest()} (was empty).\n"
    assert machine.run("db", "upgrade").output == "The schema was up to date.\n"
    assert stat.S_IMODE((tmp_path / "journal.db").stat().st_mode) == 0o600


def _newest() -> str:
    migrations = (Path(__file__).parents[1] / "sql" / "migrations" / "versions").glob("[0-9]*.py")
    return max(path.name[:4] for path in migrations)


def test_users_show_whose_extension_is_used_and_why(machine: Machine) -> None:
    assert [u["user_id"] for u in machine.json("users", "list")] == [1, 11]
    assert len(machine.json("users", "list", "--all")) == 3
    assert machine.run("users", "map", "205", "1").exit_code == 0
    rows = {u["user_id"]: (u["extension"], u["source"]) for u in machine.json("users", "list")}
    assert rows == {1: ("205", "map"), 11: ("101", "portal")}
    assert machine.run("users", "map", "205", "--remove").exit_code == 0
    assert machine.json("users", "list")[0]["extension"] is None


def test_lines_are_mapped_and_listed(machine: Machine) -> None:
    assert machine.run("lines", "set", "74950000001", "office").exit_code == 0
    (line,) = machine.json("lines", "list")
    assert (line["did"], line["line"], line["leads"], line["caller_name"]) == ("74950000001", "office", "lead", None)


def test_what_is_not_said_of_a_line_stays_and_can_be_taken_back(machine: Machine) -> None:
    said = (
        "--name",
        "Офис",
        "--default-user",
        "11",
        "--leads",
        "none",
        "--caller-name",
        "{client} / {line}",
        "--latin",
    )
    assert machine.run("lines", "set", "74950000001", "office", *said, "--longest", "20").exit_code == 0
    assert machine.run("lines", "set", "74950000001", "sales").exit_code == 0
    assert machine.json("lines", "list") == [
        {
            "did": "74950000001", "line": "sales", "name": "Офис", "source": None, "default_user": 11, "leads": "none",
            "caller_name": "{client} / {line}", "latin": True, "longest": 20,
        }
    ]  # fmt: skip
    taken_back = ("--default-user", "0", "--caller-name", "", "--no-latin", "--leads", "lead")
    assert machine.run("lines", "set", "74950000001", *taken_back).exit_code == 0
    (line,) = machine.json("lines", "list")
    assert (line["default_user"], line["caller_name"], line["latin"], line["leads"]) == (None, None, False, "lead")
    assert "Офис" in machine.run("lines", "list").output
    assert machine.run("lines", "set", "74950000001", "--remove").exit_code == 0
    assert machine.json("lines", "list") == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--caller-name", "{klient}"), "{klient} means nothing in a caller name: there are {client}"),
        (("--default-user", "99"), "no user 99"),
        (("--default-user", "14"), "user 14 is dismissed"),
        (("--source", "мой"), "STATUS_ID"),
        (("x" * 51,), "1 to 50 characters"),
    ],
)
def test_a_wrong_rule_of_a_line_is_refused_in_a_sentence_and_nothing_is_stored(
    machine: Machine, args: tuple[str, ...], says: str
) -> None:
    result = machine.run("lines", "set", "74950000001", *args)
    assert (result.exit_code, says in result.output) == (1, True)
    assert "Traceback" not in result.output
    assert machine.json("lines", "list") == []


def test_a_line_is_named_by_a_number_a_trunk_or_a_star(machine: Machine) -> None:
    for did in ("trunk/telecom", "*"):
        assert machine.run("lines", "set", did, "T1").exit_code == 0
    assert machine.run("lines", "set", "a/b", "T1").exit_code == 1
    assert machine.run("lines", "set", "74950000001").exit_code == 2


def test_a_source_that_cannot_be_checked_is_taken_and_that_is_said(machine: Machine) -> None:
    result = machine.run("lines", "set", "74950000001", "--source", "UC_ABC")
    assert (result.exit_code, "UC_ABC was not checked" in result.output) == (0, True)
    assert "hunter2pw" not in result.output


def test_a_person_gets_several_extensions_mobiles_a_head_a_deputy_and_absences(machine: Machine) -> None:
    for args in (
        ("map", "2001", "11"), ("map", "--mobile", "8 916 111-22-33", "11"), ("head", "11", "1"),
        ("deputy", "11", "1"), ("absent", "11", "--from", "2020-01-01"),
    ):  # fmt: skip
        result = machine.run("users", *args)
        assert result.exit_code == 0, result.output
    row = machine.json("users", "list")[1]
    assert (row["extensions"], row["mobiles"]) == (["2001", "101"], ["+79161112233"])
    assert (row["head"], row["deputy"], row["absent"]) == ({"user_id": 1, "why": "set by hand"}, 1, True)
    assert "away now" in machine.run("users", "list").output
    for args in (("map", "--mobile", "+79161112233"), ("head", "11"), ("deputy", "11"), ("absent", "11")):
        assert machine.run("users", *args, "--remove").exit_code == 0
    row = machine.json("users", "list")[1]
    assert (row["mobiles"], row["head"], row["deputy"], row["absent"]) == ([], None, None, False)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("deputy", "11", "11"), 1, "for himself"),
        (("deputy", "11", "14"), 1, "dismissed"),
        (("deputy", "11", "99"), 1, "no user 99"),
        (("head", "99", "1"), 1, "no user 99"),
        (("absent", "11", "--from", "2026-02-01", "--to", "2026-01-01"), 1, "ends before it begins"),
        (("absent", "11", "--to", "soon"), 1, "2026-01-31"),
        (("map", "--mobile", "abc", "11"), 1, "+79161234567"),
        (("map", "101"), 2, "USER_ID"),
        (("map", "101", "boss"), 2, "no user's id"),
        (("head", "11"), 2, "HEAD_ID"),
    ],
)
def test_a_mistake_about_people_is_one_sentence(machine: Machine, args: tuple[str, ...], code: int, says: str) -> None:
    result = machine.run("users", *args)
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_the_last_day_of_an_absence_is_a_whole_day(machine: Machine) -> None:
    assert machine.run("users", "absent", "11", "--from", "2026-01-01", "--to", "2026-01-10").exit_code == 0
    database = Database(machine.url)
    (absence,) = Staff(database).directory().structure.absences
    database.close()
    assert absence.period.since is not None
    assert absence.period.until is not None
    assert round((absence.period.until - absence.period.since) / 86400, 1) == 10.0
