"""`status`, `calls` and the secrets they must not tell."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.cli import main
from itgrix_bx.cli.status import _asterisk, _portal
from itgrix_bx.config import load
from itgrix_bx.delivery.schedule import due
from itgrix_bx.setup.checks import BAD, database
from itgrix_bx.spool import Spool
from itgrix_bx.times import iso
from sql import Database, DatabaseAwayError, Journal, upgrade
from sql.database import away

WEBHOOK, PASSWORD, AMI = "hunter2hunter2", "dbpa55word", "am1s3cretX"
NOW = time.time()
OWN = {"own_channel": True, "client_number": "+79161234567"}


class Machine:
    """A configuration with secrets, a journal, and the commands on them."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.config = tmp_path / "config.toml"
        self.configure(f"sqlite:///{tmp_path}/journal.db")
        self.database = Database(f"sqlite:///{tmp_path}/journal.db")
        upgrade(self.database)
        self.journal = Journal(self.database, due)

    def configure(self, database: str) -> None:
        self.config.write_text(
            f'[portal]\nwebhook = "http://127.0.0.1:9/rest/1/{WEBHOOK}/"\n[database]\nurl = "{database}"\n'
            f'[journal]\ndirectory = "{self.directory}"\n[ami]\nsecret = "{AMI}"\n[web]\nlisten = "127.0.0.1:9"\n'
            f'[cdr]\nurl = "mysql+pymysql://cdr:{PASSWORD}@127.0.0.1:9/cdr"\n'
        )

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *args])

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def tell(self, call_id: str, *steps: tuple[float, Kind, dict[str, Any]]) -> None:
        self.journal.append([Event(call_id, kind, NOW + at, data) for at, kind, data in steps])


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    global NOW  # the suite may reach this file long after it was read
    NOW = time.time()
    made = Machine(tmp_path)
    inbound, hangup = (-600.0, Kind.INBOUND, OWN), (-500.0, Kind.HANGUP, OWN | {"variables": {}})
    made.tell("17.1", inbound)
    made.tell(
        "17.2", inbound, hangup, (-400.0, Kind.REGISTER_FAILED, {"error": "the portal is ill", "retry_at": NOW + 3600})
    )
    made.tell("17.3", inbound, hangup, (-450.0, Kind.GAVE_UP, {"step": "register", "error": "no right"}))
    registered = (-499.0, Kind.REGISTERED, {"portal_call_id": "externalCall.a"})
    made.tell("17.4", inbound, hangup, registered, (-495.0, Kind.FINISHED, {}))
    made.tell("17.5", inbound, hangup)
    made.tell("17.6", inbound, (-600.0, Kind.SKIPPED, {"reason": "an internal call"}))
    yield made
    made.database.close()


def test_status_tells_what_is_owed_by_step_and_since_when(machine: Machine) -> None:
    found = machine.json("status")
    assert found["calls"] == {"open": 1, "ended": 2, "failed": 1}
    assert found["last_day"] == {"complete": 1, "skipped": 1}
    assert found["backlog"]["total"] == 2
    owed = found["backlog"]["steps"]
    assert (owed["register"]["now"], owed["register"]["later"]) == (1, 1)
    assert owed["finish"] == owed["attach"] == {"now": 0, "later": 0, "oldest": None, "next_try": None}
    assert 499 < found["lag"]["oldest_s"] < 600
    assert (found["lag"]["median_s"], found["lag"]["calls"]) == (5.0, 1)
    assert found["last_error"]["id"] == "17.2"
    assert found["last_error"]["error"] == "the portal is ill"
    assert found["service"] == {"runs": False, "answers": False, "address": "127.0.0.1:9", "parts": {}}
    assert (found["keep_days"], found["leases"], found["users_synced_at"]) == (365, [], None)
    assert found["oldest_call"] == machine.json("calls", "list")[-1]["started_at"]


def test_status_names_who_has_calls_in_hand_and_since_when(machine: Machine) -> None:
    machine.journal.claim("pbx:4711:abc", ["register"], now=NOW, lease_s=300, limit=1)
    (lease,) = machine.json("status")["leases"]
    assert (lease["owner"], lease["calls"]) == ("pbx:4711:abc", 1)
    assert lease["since"] < lease["until"]
    assert "pbx:4711:abc: 1 since" in machine.run("status").output


def test_a_service_that_runs_and_does_not_answer_is_not_said_not_to_run(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # the kernel takes the connection, as for a stopped process
        address = f"127.0.0.1:{frozen.getsockname()[1]}"
        machine.config.write_text(machine.config.read_text().replace('127.0.0.1:9"\n[cdr]', f'{address}"\n[cdr]'))
        assert machine.json("status")["service"] == {"runs": True, "answers": False, "address": address, "parts": {}}
        said = " ".join(machine.run("status").output.split())
    assert f"does not answer on {address}" in said
    assert "systemctl restart itgrix-bx" in said


def test_status_is_one_screen_for_people(machine: Machine) -> None:
    Spool(machine.directory).append([Event("18.1", Kind.INBOUND, NOW - 100, OWN)])
    lines = machine.run("status").output.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for said in ("does not run", "1 open · 2 ended · 1 failed", "1 complete · 1 skipped", "register",
                 "1 now, 1 later", "1 events", "calls list --state failed", "the portal is ill"):  # fmt: skip
        assert said in text


def test_a_database_that_is_away_is_told_and_the_spool_is_counted_all_the_same(machine: Machine) -> None:
    Spool(machine.directory).append([Event("18.1", Kind.INBOUND, NOW - 100, OWN), Event("18.1", Kind.ROUTE, NOW, OWN)])
    machine.configure(f"mysql+pymysql://itgrix:{PASSWORD}@127.0.0.1:9/itgrix_bx")
    result = machine.run("status", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "refused" in result.stderr
    assert found["database"]["ok"] is False
    assert (found["spool"]["events"], found["spool"]["bytes"] > 0) == (2, True)
    assert found["spool"]["oldest"] is not None
    shown = machine.run("status")
    assert (shown.exit_code, "away" in shown.output, PASSWORD in shown.output) == (1, True, False)


@contextlib.contextmanager
def health_page(machine: Machine, body: bytes, status: int = 200) -> Iterator[None]:
    """Something answers in the service's place, as often as it is asked."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        machine.config.write_text(
            machine.config.read_text().replace('127.0.0.1:9"\n[cdr]', f'127.0.0.1:{server.server_port}"\n[cdr]')
        )
        yield
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", 200),
        (b'{"parts": 1}', 200),
        (b"[]", 503),
        (b"", 404),
        (b'{"parts": {"portal": {"ok": false}}}', 503),
    ],
)
def test_whatever_answers_in_the_services_place_status_tells_the_rest(
    machine: Machine, body: bytes, status: int
) -> None:
    with health_page(machine, body, status):
        found = machine.json("status")
    assert found["service"]["runs"] is (b"portal" in body)
    assert found["calls"]["failed"] == 1


def test_calls_are_said_to_go_to_the_spool_only_where_a_service_puts_them_there(machine: Machine) -> None:
    machine.configure(f"sqlite:///{machine.directory}/empty.db")
    assert "spool meanwhile" not in machine.run("status").stderr
    with health_page(machine, b'{"parts": {"journal": {"ok": true}}}'):
        assert "calls go to the spool meanwhile" in machine.run("status").stderr


def test_a_database_that_can_be_read_alone_is_not_said_to_answer(machine: Machine) -> None:
    missed = {"ok": True, "database_away_since": iso(time.time() - 125)}
    with health_page(machine, json.dumps({"parts": {"journal": missed}}).encode()):
        result = machine.run("status")
    assert result.exit_code == 0
    assert "can be read, but the service cannot write to it" in result.output
    assert "for 2 min" in result.output


def test_a_full_disk_beside_a_database_that_is_away_is_told_with_what_is_at_stake(machine: Machine) -> None:
    full = {"ok": False, "unsaved_events": 5, "error": "/var/spool.jsonl cannot be written: free space on its disk"}
    with health_page(machine, json.dumps({"parts": {"journal": full}}).encode(), 503):
        result = machine.run("status")
    assert result.exit_code == 1
    assert "neither the database nor the spool takes calls" in result.stderr
    said = " ".join(result.stdout.split())
    assert "5 more in the service's memory alone: it must not be stopped" in said
    assert "free space on its disk" in said


def test_a_locked_database_is_told_with_its_own_cure(machine: Machine) -> None:
    with contextlib.closing(sqlite3.connect(machine.directory / "journal.db", isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        result = machine.run("calls", "retry", "17.3")
        checks = list(database(load(str(machine.config))))
    assert result.exit_code == 1
    assert "another program holds the database file: end it" in result.stderr
    assert "server runs" not in result.stderr
    assert [check.cure for check in checks if check.result == BAD] == [
        "another program holds the database file: end it, or let its backup come to an end"
    ]


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("database or disk is full", "free space on its disk"),
        ("unable to open database file", "create its directory"),
        ("attempt to write a readonly database", "give the file and its directory"),
        ("Can't connect to MySQL server on 'x'", "check [database] url and that the server runs"),
    ],
)
def test_what_is_wrong_with_a_database_has_its_own_cure(said: str, cure: str) -> None:
    error = away(OperationalError("SELECT 1", {}, sqlite3.OperationalError(said)))
    assert isinstance(error, DatabaseAwayError)
    assert str(error.cure).startswith(cure)


def test_a_portal_nobody_has_asked_is_not_said_to_answer() -> None:
    assert _portal({"ok": True, "requests": 0}) == "was not asked yet"
    assert _portal({"ok": True, "requests": 2}) == "answers; 2 requests since the start"


def test_status_says_whether_asterisks_events_are_heard() -> None:
    heard = {"ok": True, "connected_s": 7260, "events_per_s": 12.5, "events_lost": 3, "links_lost": 2}
    assert _asterisk(heard) == "events heard for 2 h, 12.5 a second, 3 lost, 2 links lost since the start"


def test_a_database_without_tables_is_said_with_its_cure(machine: Machine) -> None:
    machine.configure(f"sqlite:///{machine.directory}/empty.db")
    result = machine.run("status")
    assert (result.exit_code, "itgrix-bx db upgrade" in result.output) == (1, True)


def test_retry_says_what_will_be_tried_and_why_it_failed(machine: Machine) -> None:
    said = machine.run("calls", "retry", "--failed", "--dry-run").output
    assert "1 × register: no right" in said
    assert "1 call(s) would be tried again" in said
    assert [call["id"] for call in machine.json("calls", "list", "--state", "failed")] == ["17.3"]
    assert machine.run("calls", "retry", "17.3", "17.2").exit_code == 0
    assert machine.json("calls", "list", "--state", "failed") == []
    assert machine.json("status")["backlog"]["steps"]["register"]["now"] == 3


def test_retry_of_failed_calls_can_be_narrowed_by_time(machine: Machine) -> None:
    assert "0 call(s)" in machine.run("calls", "retry", "--failed", "--to", "2020-01-01").output
    assert "1 call(s)" in machine.run("calls", "retry", "--failed", "--from", "2020-01-01").output


@pytest.mark.parametrize(
    ("call_id", "says"),
    [("17.4", "is complete and has nothing"), ("17.6", "skipped (an internal call)"), ("99.9", "no call '99.9'")],
)
def test_retry_of_a_call_that_needs_none_says_so(machine: Machine, call_id: str, says: str) -> None:
    result = machine.run("calls", "retry", call_id)
    assert (result.exit_code, says in result.output) == (1, True)


def test_a_listing_gives_the_error_the_whole_width(machine: Machine) -> None:
    lines = machine.run("calls", "list", "--state", "failed").output.splitlines()
    (at,) = [n for n, line in enumerate(lines) if "17.3" in line]
    assert lines[at + 1] == (
        "    register: no right; put it right in Bitrix24 or the configuration, then run `itgrix-bx calls retry`"
    )


def test_show_tells_every_step_with_its_time_and_the_time_since_the_first(machine: Machine) -> None:
    shown = machine.run("calls", "show", "17.3").output
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3} +\+100\.0 s +hangup", shown)
    assert re.search(r"\+150\.0 s +gave_up .*error=no right", shown)
    steps = machine.json("calls", "show", "17.2")["steps"]
    assert [step["step"] for step in steps] == ["inbound", "hangup", "register_failed"]
    assert steps[2]["retry_at"].startswith("20")


# --- secrets -------------------------------------------------------------------------------------


def test_a_secret_that_found_its_way_into_the_journal_is_shown_nowhere(machine: Machine) -> None:
    everything = f"{WEBHOOK} {PASSWORD} {AMI} http://127.0.0.1:9/rest/1/{WEBHOOK}/ mysql://cdr:{PASSWORD}@x"
    machine.tell(
        "19.1", (-90.0, Kind.INBOUND, OWN | {"client_name": everything, "did": everything}),
        (-80.0, Kind.HANGUP, OWN | {"variables": {"DIALSTATUS": everything}, "recording": everything}),
        (-70.0, Kind.CLIENT, {"entities": [{"type": "LEAD", "id": 1, "name": everything, "responsible": None}]}),
        (-60.0, Kind.GAVE_UP, {"step": "register", "error": everything}),
    )  # fmt: skip
    for args in (["status"], ["status", "--json"], ["calls", "list"], ["calls", "list", "--json"],
                 ["calls", "show", "19.1"], ["calls", "show", "19.1", "--json"],
                 ["calls", "retry", "--failed", "--dry-run"]):  # fmt: skip
        shown = machine.run(*args).output.replace("\n", "").replace(" ", "")
        assert "***" in shown
        for secret in (WEBHOOK, PASSWORD, AMI):
            assert secret not in shown, args


def test_what_is_no_secret_is_shown_as_it_is(machine: Machine) -> None:
    machine.config.write_text(machine.config.read_text().replace(AMI, "1234"))
    assert machine.json("calls", "show", "17.1")["client_number"] == "+79161234567"
    machine.config.write_text(machine.config.read_text().replace('"1234"', '"9161"'))
    assert machine.json("calls", "show", "17.1")["client_number"] == "+79161234567"
