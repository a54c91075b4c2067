"""`catch-up` shows, asks, puts in; twice is once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.calls.directory import Employee
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.cli import main
from itgrix_bx.delivery.schedule import due
from itgrix_bx.pbx.catch_up import TURN, TURN_S
from sql import Database, Journal, Staff, upgrade
from sql.marks import Marks
from tests.pbx import recorded
from tests.pbx.database import create, fill, rows_of
from tests.real import site

SPAN = ("--from", "2026-11-25", "--to", "2026-11-27")
SOME = ["answered_caller_ends", "busy", "outbound_answered", "attended_transfer", "internal"]


class Machine:
    """A configuration, a journal that knows the employees, and the PBX's records of some calls."""

    def __init__(self, tmp_path: Path) -> None:
        self.config = tmp_path / "config.toml"
        self.url = f"sqlite:///{tmp_path}/journal.db"
        self.records = f"sqlite:///{tmp_path}/asteriskcdrdb"
        self.write(f'[cdr]\nurl = "{self.records}"\n')
        create(self.records)
        fill(self.records, *rows_of(SOME))
        database = Database(self.url)
        upgrade(database)
        people = [Employee(user["id"], user["name"], True, user["extension"]) for user in site.seed()["users"]]
        Staff(database).replace_users(people)
        database.close()

    def write(self, more: str, keep_days: int = 100_000) -> None:
        self.config.write_text(
            f'[portal]\nwebhook = "http://127.0.0.1:9/rest/1/hunter2pw/"\n[database]\nurl = "{self.url}"\n'
            f'[journal]\ndirectory = "{self.config.parent}"\nkeep_days = {keep_days}\n{more}'
        )

    def run(self, *args: str, **how: Any) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *args], **how)

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def calls(self) -> list[dict[str, Any]]:
        found = self.json("calls", "list", "--limit", "0")
        assert isinstance(found, list)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def id_of(name: str) -> str:
    return str(recorded.CALLS[name][2][0][-1])


def test_a_dry_run_shows_one_line_a_call_and_changes_nothing(machine: Machine) -> None:
    result = machine.run("catch-up", *SPAN, "--dry-run")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("+ 20") for line in lines[:-1])
    (answered,) = [line for line in lines if line.endswith(id_of("answered_caller_ends"))]
    assert answered.split()[3:9] == ["←", "+79160000001", "1011", "3", "s", "200"]
    assert lines[-1] == "4 to add (+), 0 to complete (~), 0 known already."
    assert machine.calls() == []


@pytest.mark.parametrize(("answer", "code", "count"), [("n\n", 1, 0), ("", 1, 0), ("y\n", 0, 4)])
def test_it_asks_before_it_does_anything(machine: Machine, answer: str, code: int, count: int) -> None:
    result = machine.run("catch-up", *SPAN, input=answer)
    assert (result.exit_code, len(machine.calls())) == (code, count)
    assert "Put them into the journal" in result.output


def test_repeated_it_finds_all_known(machine: Machine) -> None:
    first = machine.run("catch-up", *SPAN, "--yes")
    before = [machine.json("calls", "show", call["id"]) for call in machine.calls()]
    second = machine.run("catch-up", *SPAN, "--yes")
    assert "4 added, 0 completed, 0 known" in first.stdout
    assert second.stdout == "0 added, 0 completed, 4 known already.\n"
    assert [machine.json("calls", "show", call["id"]) for call in machine.calls()] == before
    assert machine.run("catch-up", *SPAN).stdout == "0 to add (+), 0 to complete (~), 4 known already.\n"


def test_a_call_that_was_transferred_into_an_older_one_is_told_once_however_few_records_are_read_at_a_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(machine.records, *rows_of(["attended_to_an_older_call"]))
    together = machine.json("catch-up", *SPAN)["calls"]
    monkeypatch.setattr("itgrix_bx.pbx.cdr._AT_ONCE", 1)
    one_by_one = machine.json("catch-up", *SPAN)["calls"]
    assert sorted(call["id"] for call in one_by_one) == sorted(call["id"] for call in together)
    assert len({call["id"] for call in one_by_one}) == len(one_by_one) == len(SOME)


_KILLED_AT_THE_THIRD = """
import itertools, os, sys
from itgrix_bx.cli import main
from itgrix_bx.pbx.catch_up import CatchUp
put_in, count = CatchUp.put_in, itertools.count(1)
CatchUp.put_in = lambda self, finding: os._exit(9) if next(count) == 3 else put_in(self, finding)
main(sys.argv[1:])
"""


def test_killed_in_the_middle_it_goes_on_where_it_was(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itgrix_bx.cli.catch_up._PATIENCE_S", 0.3)
    command = ["--config", str(machine.config), "catch-up", *SPAN, "--yes"]
    killed = subprocess.run([sys.executable, "-c", _KILLED_AT_THE_THIRD, *command], timeout=60, check=False)
    assert killed.returncode == 9
    before = machine.calls()
    assert len(before) == 2
    assert "or one was killed" in machine.run("catch-up", *SPAN, "--yes").output
    now = time.time() + TURN_S
    monkeypatch.setattr(time, "time", lambda: now)
    assert machine.run("catch-up", *SPAN, "--yes").stdout.endswith("2 added, 0 completed, 2 known already.\n")
    assert [call for call in machine.calls() if call["id"] in {one["id"] for one in before}] == before


def test_a_terminal_shows_how_far_it_is(machine: Machine) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "itgrix_bx", "--config", str(machine.config), "catch-up", *SPAN, "--dry-run"]
    done = subprocess.run(command, stderr=theirs, capture_output=False, stdout=subprocess.DEVNULL, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert (done.returncode, "looking" in shown, "100%" in shown) == (0, True, True)


def test_json_is_a_dry_run_unless_yes_is_said(machine: Machine) -> None:
    found = machine.json("catch-up", *SPAN)
    assert (found["done"], found["known"], len(found["calls"])) == (False, 0, 4)
    (call,) = [one for one in found["calls"] if one["id"] == id_of("busy")]
    assert (call["change"], call["source"], call["status_code"], call["direction"]) == ("new", "cel", "304", "in")
    assert machine.calls() == []
    assert machine.json("catch-up", *SPAN, "--yes")["done"] is True
    assert len(machine.calls()) == 4


def test_a_call_whose_end_was_lost_is_completed_and_shown_as_such(machine: Machine) -> None:
    call_id = id_of("answered_caller_ends")
    began = float(call_id.split(".")[0])
    database = Database(machine.url)
    facts = {"own_channel": True, "client_number": "+79160000001", "linkedid": call_id}
    Journal(database, due).append([Event(call_id, Kind.INBOUND, began + 0.5, facts)])
    database.close()
    lines = machine.run("catch-up", *SPAN, "--yes").stdout.splitlines()
    (line,) = [one for one in lines if one.endswith(call_id)]
    assert line.startswith("~ ")
    assert lines[-1] == "3 added, 1 completed, 0 known already."
    shown = machine.json("calls", "show", call_id)
    assert (shown["state"], shown["talk_seconds"]) == ("ended", 3)
    assert (shown["source"], shown["talk_source"]) == ("hooks, completed from CEL", "cel")


def test_calls_show_names_the_source(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have it from the terminal
    machine.run("catch-up", *SPAN, "--yes")
    assert machine.json("calls", "show", id_of("busy"))["source"] == "taken from CEL"
    told = machine.run("calls", "show", id_of("busy")).output
    assert "taken from CEL" in told
    assert max(map(len, told.splitlines())) > 80  # a pipe has no width at which a step's line would break


def test_only_calls_that_began_in_the_time_given_are_taken(machine: Machine) -> None:
    assert machine.json("catch-up", "--from", "2026-11-20", "--to", "2026-11-21")["calls"] == []
    began = min(float(id_of(name).split(".")[0]) for name in SOME[:-1])
    first = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(began))
    after = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(began + 1))
    times = {call["id"].split(".")[0] for call in machine.json("catch-up", "--from", first, "--to", after)["calls"]}
    assert times == {str(int(began))}


def test_another_call_of_the_same_channels_is_the_same_call(machine: Machine) -> None:
    """The hooks began on another channel than the records show; the linkedid tells that it is one call."""
    call_id = id_of("busy")
    database = Database(machine.url)
    facts = {"own_channel": True, "client_number": "+79160000003", "linkedid": call_id}
    Journal(database, due).append([Event("17.99", Kind.INBOUND, float(call_id.split(".")[0]) + 0.5, facts)])
    database.close()
    found = machine.json("catch-up", *SPAN, "--yes")["calls"]
    assert ("17.99", "completed") in {(one["id"], one["change"]) for one in found}
    assert call_id not in [call["id"] for call in machine.calls()]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--from", "yesterday"), "2026-01-31"),
        (("--from", "2026-11-27", "--to", "2026-11-25"), "must lie before"),
        (("--from", "2999-01-01"), "in the past"),
        (("--from", "1700-01-01"), "choose a later --from"),
    ],
)
def test_a_time_that_makes_no_sense_is_one_sentence(machine: Machine, args: tuple[str, ...], says: str) -> None:
    result = machine.run("catch-up", *args, "--yes")
    assert (result.exit_code, says in result.output, "Traceback" in result.output) == (1, True, False)


@pytest.mark.parametrize(
    ("cdr", "says"),
    [
        ("", "[cdr] url is not set"),
        ('[cdr]\nurl = "sqlite:////nowhere/asteriskcdrdb"\n', "check [cdr] url"),
        ('[cdr]\nurl = "mysql+pymysql://u:hunter2pw@127.0.0.1:1/asteriskcdrdb"\n', "check [cdr] url"),
    ],
)
def test_records_that_cannot_be_read_are_one_sentence(machine: Machine, cdr: str, says: str) -> None:
    machine.write(cdr)
    result = machine.run("catch-up", *SPAN, "--yes")
    assert (result.exit_code, says in result.output) == (1, True)
    assert "hunter2pw" not in result.output
    assert "Traceback" not in result.output


def test_of_calls_the_journal_has_forgotten_none_is_added(machine: Machine) -> None:
    machine.write(f'[cdr]\nurl = "{machine.records}"\n', keep_days=1)
    result = machine.run("catch-up", "--from", "2026-01-01", "--yes")
    assert (result.exit_code, "keeps 1 days" in result.output) == (1, True)


def test_two_at_once_do_not_mix(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itgrix_bx.cli.catch_up._PATIENCE_S", 0.3)
    database = Database(machine.url)
    Marks(database).take(TURN, "another machine", now=time.time(), for_s=60)
    result = machine.run("catch-up", *SPAN, "--yes")
    assert (result.exit_code, "under way" in result.output) == (1, True)
    Marks(database).give_back(TURN, "another machine")
    database.close()
    assert machine.run("catch-up", *SPAN, "--yes").exit_code == 0


def test_without_employees_nobody_could_be_told_from_a_trunk(machine: Machine) -> None:
    database = Database(machine.url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    database.close()
    result = machine.run("catch-up", *SPAN, "--yes")
    assert (result.exit_code, "users sync" in result.output) == (1, True)


def test_wrong_usage_is_exit_code_2(machine: Machine) -> None:
    assert machine.run("catch-up").exit_code == 2
    assert machine.run("catch-up", *SPAN, "--yes", "--dry-run").exit_code == 2
