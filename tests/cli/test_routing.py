"""`routing show|set|test|vip|black` as the head of sales uses them."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.calls.directory import Employee
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.lines import Line
from itgrix_bx.cli import main
from itgrix_bx.delivery.schedule import due
from itgrix_bx.emulator.portal import PortalEmulator
from sql import Database, Journal, LineRules, Staff, upgrade

CLIENT, DID = "+79161234567", "74950000001"


class Machine:
    def __init__(self, tmp_path: Path, webhook: str) -> None:
        self.config = tmp_path / "config.toml"
        self.config.write_text(
            f'[portal]\nwebhook = "{webhook}"\n[database]\nurl = "sqlite:///{tmp_path}/journal.db"\n'
            f'[journal]\ndirectory = "{tmp_path}"\n'
        )
        self.database = Database(f"sqlite:///{tmp_path}/journal.db")
        upgrade(self.database)
        people = [
            Employee(11, "Анна", True, "101"),
            Employee(12, "Борис", True, "102"),
            Employee(13, "Вера", True, "103"),
        ]
        Staff(self.database).replace_users(people)

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), "routing", *args])

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def says(self, *args: str) -> str:
        result = self.run(*args)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()


@pytest.fixture
def portal() -> Iterator[PortalEmulator]:
    with PortalEmulator(rate=0) as emulator:
        yield emulator


@pytest.fixture
def machine(tmp_path: Path, portal: PortalEmulator) -> Iterator[Machine]:
    made = Machine(tmp_path, portal.webhook_url)
    yield made
    made.database.close()


def test_without_rules_the_usual_ones_are_shown(machine: Machine) -> None:
    found = machine.json("show")
    assert found["rules"]["seconds"] == {"value": "15", "set": "usual"}
    assert found["rules"]["order"]["value"] == "responsible"
    assert "seconds" in machine.says("show")


def test_a_lines_rule_beats_that_of_all_lines_and_can_be_taken_back(machine: Machine) -> None:
    machine.says("set", "seconds", "20")
    machine.says("set", "seconds", "30", "--did", DID)
    assert machine.json("show")["rules"]["seconds"] == {"value": "20", "set": "all lines"}
    assert machine.json("show", "--did", DID)["rules"]["seconds"] == {"value": "30", "set": "line"}
    assert machine.json("show")["lines"] == {DID: {"seconds": "30"}}
    machine.says("set", "seconds", "--reset", "--did", DID)
    assert machine.json("show", "--did", DID)["rules"]["seconds"] == {"value": "20", "set": "all lines"}


def test_hours_are_given_as_words_or_as_one_text(machine: Machine) -> None:
    machine.says("set", "hours", "mon-fri", "09:00-18:00", "sat", "10:00-14:00")
    expected = "mon-fri 09:00-18:00, sat 10:00-14:00"
    assert machine.json("show")["rules"]["hours"]["value"] == expected
    machine.says("set", "hours", expected, "--did", DID)
    assert machine.json("show", "--did", DID)["rules"]["hours"]["value"] == expected


@pytest.mark.parametrize(
    "words",
    [
        ("seconds", "0"), ("seconds", "soon"), ("seconds", "1000"), ("order", "boss"), ("order", "deal", "deal"),
        ("order", "user:0"), ("hours", "mon-fri"), ("hours", "09:00-18:00"), ("hours", "mon 25:00-26:00"),
        ("hours", "mon 09:60-18:00"), ("hours", "someday 09:00-18:00"), ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"), ("holidays", "2027-02-30"), ("holidays", "2027-01-08..2027-01-01"),
        ("holidays", "tomorrow"), ("device", "asleep"), ("workday", "maybe"), ("talker_days", "-1"),
        ("prefer", "contact", "contact"), ("clients", "none"), ("colour", "red"), ("seconds", "10", "20"),
        ("seconds", "1.5"), ("seconds", "²"), ("order", "user:"), ("order", "ext:10a"), ("order", "nobody", "deal"),
        ("order", *(f"ext:{n}" for n in range(30))), ("order", "user:99"), ("order", "x" * 5000),
        ("device", "free", "busy"), ("workday", "on", "off"), ("absence", "1"), ("hours", "mon", "09:00-09:00"),
        ("hours", "always", "mon", "09:00-10:00"), ("timezone", "+03:00"), ("holidays", "none", "05-09"),
        ("holidays", "01-01..2027-01-08"), ("talker_days", "366"), ("prefer", "found", "lead"), ("on", "yes"),
        ("on", ""), ("seconds", "\x1b[31m5"), ("seconds", "5\n6"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused_with_one_sentence_that_names_it(machine: Machine, words: tuple[str, ...]) -> None:
    result = machine.run("set", words[0], "--", *words[1:])
    assert result.exit_code == 1
    assert words[0] in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert len(result.stderr) < 300
    assert "\x1b" not in result.stderr
    assert all(rule["set"] == "usual" for rule in machine.json("show")["rules"].values())


def test_a_negative_value_is_the_rules_affair_not_an_unknown_option(machine: Machine) -> None:
    result = machine.run("set", "seconds", "-4")
    assert (result.exit_code, "seconds" in result.stderr, "option" in result.stderr) == (1, True, False)


def test_a_mistyped_option_is_no_value(machine: Machine) -> None:
    result = machine.run("set", "seconds", "20", "--dod", DID)
    assert result.exit_code == 2
    assert "No such option" in result.stderr
    assert "Did you mean" in result.stderr


@pytest.mark.parametrize("did", ["*", "\x1b[31m1", "office, Moscow", "trunk/", "1" * 65])
def test_a_rule_of_what_is_no_line_is_refused(machine: Machine, did: str) -> None:
    result = machine.run("set", "seconds", "20", "--did", did)
    assert (result.exit_code, "is no line" in result.stderr) == (1, True)
    assert "\x1b" not in result.stderr
    assert machine.json("show")["lines"] == {}


def test_a_line_has_one_set_of_rules_with_plus_or_without(machine: Machine) -> None:
    machine.says("set", "seconds", "30", "--did", DID)
    machine.says("set", "workday", "off", "--did", "+" + DID)
    for did in (DID, "+" + DID):
        shown = machine.json("show", "--did", did)
        assert {name: shown["rules"][name]["value"] for name in ("seconds", "workday")} == {
            "seconds": "30", "workday": "off",
        }  # fmt: skip
        assert shown["lines"] == {DID: {"seconds": "30", "workday": "off"}}
        assert machine.json("test", CLIENT, "--did", did)["seconds"] == 30
    machine.says("set", "seconds", "--reset", "--did", "+" + DID)
    assert machine.json("show", "--did", DID)["rules"]["seconds"]["value"] == "15"


def test_set_wants_a_value_or_reset(machine: Machine) -> None:
    assert machine.run("set", "seconds").exit_code == 2
    assert machine.run("set", "seconds", "5", "--reset").exit_code == 2
    assert machine.run("set", "colour", "--reset").exit_code == 1


def test_a_test_says_where_a_call_would_go_in_both_languages_and_registers_nothing(
    machine: Machine, portal: PortalEmulator
) -> None:
    assert machine.says("test", "8 916 123-45-67") == (
        "contact 7 → responsible, ext. 101 → ring 15 s, then the normal route"
    )
    assert machine.says("test", CLIENT, "--lang", "ru") == (
        "контакт 7 → ответственный, вн. 101 → звонить 15 с, затем обычный маршрут"
    )
    found = machine.json("test", CLIENT, "--did", DID)
    assert (found["extension"], found["seconds"], found["client_name"]) == ("101", 15, "Иван Клиентов")
    assert [step["code"] for step in found["steps"]] == ["client", "try", "ring"]
    assert portal.dump()["calls"] == []


def test_a_test_at_a_time_goes_by_the_lines_clock(machine: Machine) -> None:
    machine.says("set", "hours", "mon-fri 09:00-18:00")
    machine.says("set", "timezone", "Asia/Vladivostok")
    assert machine.json("test", CLIENT, "--at", "2026-11-26 17:30")["extension"] == "101"
    late = machine.json("test", CLIENT, "--at", "2026-11-26 19:00")
    assert late["extension"] is None
    assert late["why"] == (
        "outside the line's hours: Thu 19:00 (ended 18:00) → the normal route (all lines: hours, timezone)"
    )
    assert late["at"].startswith("2026-11-26")
    assert machine.run("test", CLIENT, "--at", "tomorrow").exit_code == 1


def test_a_test_knows_the_last_talker_and_the_open_deal(machine: Machine, portal: PortalEmulator) -> None:
    machine.says("set", "order", "deal", "talker", "responsible")
    machine.says("set", "talker_days", "365")
    own = {"own_channel": True, "client_number": CLIENT}
    journal, now = Journal(machine.database, due), portal.dump()["now"]
    journal.append([
        Event("17.1", Kind.INBOUND, now - 90, own), Event("17.1", Kind.ANSWER, now - 80, {"extension": "103"}),
        Event("17.1", Kind.HANGUP, now - 60, own),
    ])  # fmt: skip
    assert machine.json("test", CLIENT)["extension"] == "103"
    portal.seed({"deals": [{"id": 55, "name": "Поставка", "contact": 7, "responsible": 12}]})
    assert machine.says("test", CLIENT) == (
        "contact 7 → deal 55, ext. 102 → ring 15 s, then the normal route (all lines: order)"
    )


def test_a_test_knows_the_lines_default_user_and_says_that_his_workday_was_not_asked(
    machine: Machine, portal: PortalEmulator
) -> None:
    machine.says("set", "order", "responsible", "line")
    LineRules(machine.database).set(Line(DID, default_user=13))
    assert machine.json("test", CLIENT, "--did", DID)["notes"] == []
    portal.seed({"users": [{"id": 11, "name": "Анна", "extension": "101", "workday": "CLOSED"}]})
    found = machine.json("test", CLIENT, "--did", DID, "--lang", "en")
    assert (found["extension"], found["notes"]) == (
        "103", ["whether the workday of others than the client's responsible is open is not known here"],
    )  # fmt: skip
    assert machine.json("test", CLIENT)["extension"] is None
    machine.says("set", "workday", "off")
    assert machine.json("test", CLIENT, "--did", DID)["notes"] == []


def test_of_a_stranger_no_deals_are_asked_for_and_nothing_is_missing(machine: Machine) -> None:
    machine.says("set", "order", "deal", "responsible")
    machine.says("vip", "add", "+79990001122", "deal")
    found = machine.json("test", "+79990001122", "--lang", "en")
    assert found["notes"] == []
    assert found["why"].startswith("VIP (+79990001122) → nobody in the CRM has this number → no open deal → the normal")


def test_a_test_says_so_when_the_portal_or_the_phones_are_silent(machine: Machine, portal: PortalEmulator) -> None:
    machine.says("set", "device", "free")
    portal.faults([{"method": "*", "kind": "html503", "times": -1}])
    result = machine.run("test", CLIENT)
    assert result.exit_code == 0
    assert result.stdout.strip() == "the portal was not heard in time → the normal route"
    assert "[ami] is not configured" in result.stderr


@pytest.mark.parametrize(
    ("number", "reason"),
    [("anonymous", "no telephone number"), ("102", "internal"), ("8 903 111-22-33", "an employee's own number")],
)
def test_a_call_that_is_not_for_the_crm_is_said_to_be_none(machine: Machine, number: str, reason: str) -> None:
    employee = Employee(11, "Анна", True, "101", ("+7 903 1112233",))
    Staff(machine.database).replace_users([employee, Employee(12, "Борис", True, "102")])
    found = machine.json("test", number, "--lang", "en")
    assert (found["crm"], found["extension"], found["steps"]) == (False, None, [])
    assert reason in found["why"]


def test_a_trunks_rules_and_rewritten_numbers_count_in_a_test(machine: Machine) -> None:
    machine.says("set", "seconds", "33", "--did", "trunk/mts")
    machine.says("set", "seconds", "44", "--did", "+" + DID)
    assert machine.json("test", CLIENT, "--trunk", "mts")["seconds"] == 33
    assert machine.json("test", CLIENT, "--trunk", "mts", "--did", DID)["seconds"] == 44
    assert machine.json("show", "--did", DID)["rules"]["seconds"] == {"value": "44", "set": "line"}


def test_what_is_no_client_is_refused(machine: Machine) -> None:
    for words in (("vip", "add", "nobody", "ext:1"), ("black", "add", "deal:5")):
        result = machine.run(*words)
        assert (result.exit_code, len(result.stderr.strip().splitlines())) == (1, 1)


def test_the_lists_are_kept_by_number_and_by_client(machine: Machine) -> None:
    machine.says("vip", "add", "8 (916) 123-45-67", "ext:103", "--off-duty", "--note", "the director")
    machine.says("black", "add", "company:3")
    assert machine.json("vip", "list") == [
        {"whom": CLIENT, "order": ["ext:103"], "off_duty": True, "note": "the director"}
    ]
    assert [row["whom"] for row in machine.json("black", "list")] == ["company:3"]
    assert machine.json("test", CLIENT)["why"].startswith(f"VIP ({CLIENT}), rung off duty too → contact 7 → named")
    assert machine.json("test", "+74957654321")["why"] == "on the black list (company:3) → the normal route"
    machine.says("vip", "remove", CLIENT)
    assert machine.json("test", CLIENT)["extension"] == "101"
    assert machine.run("vip", "remove", CLIENT).exit_code == 1
    assert machine.run("vip", "add", CLIENT).exit_code == 2
    assert machine.says("vip", "list") == "Nobody is on the list."


def test_what_people_write_cannot_command_the_terminal(machine: Machine) -> None:
    machine.says("black", "add", "contact:7", "--note", "[red]x\x1b[2J\x9b2J")
    said = machine.says("black", "list", "--json")
    assert not {"\x1b", "\x9b"} & set(said)
    assert json.loads(said)[0]["note"] == "[red]x\x1b[2J\x9b2J"
    for said in (machine.says("show"), machine.says("black", "list")):
        assert "\x1b" not in said
        assert "[red]x" in said


def test_a_moment_may_be_a_time_of_today_and_never_leads_out_of_the_calendar(machine: Machine) -> None:
    machine.says("set", "timezone", "Pacific/Kiritimati")
    told = machine.json("test", CLIENT, "--at", "10:30")["at"]
    zone = zoneinfo.ZoneInfo("Pacific/Kiritimati")
    assert f"{datetime.fromisoformat(told).astimezone(zone):%Y-%m-%d %H:%M}" == f"{datetime.now(zone):%Y-%m-%d} 10:30"
    for text in ("0001-01-01", "9999-12-31 23:59", "25:00", "9:5", "28.11.2026 19:00", ""):
        result = machine.run("test", CLIENT, "--at", text)
        assert (result.exit_code, "is no time; write it as" in result.stderr) == (1, True), text


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-10-25T00:30+00:00", True),  # 02:30, and an hour later once more
        ("2026-10-25T01:30+00:00", True),
        ("2026-10-25T02:00+00:00", False),
        ("2026-10-25 02:30", True),
        ("2026-03-29T00:59+00:00", False),  # 01:59, and a minute later it is 03:00
        ("2026-03-29T01:00+00:00", False),
    ],
)
def test_where_clocks_are_put_back_an_hour_comes_twice_and_where_forward_never(
    machine: Machine, at: str, is_open: bool
) -> None:
    machine.says("set", "timezone", "Europe/Berlin")
    machine.says("set", "hours", "sun 02:00-03:00")
    assert bool(machine.json("test", CLIENT, "--at", at)["extension"]) is is_open


def test_what_is_not_set_is_not_taken_back(machine: Machine) -> None:
    machine.says("set", "seconds", "20")
    result = machine.run("set", "seconds", "--reset", "--did", DID)
    assert (result.exit_code, result.stderr.strip()) == (
        1, f"itgrix-bx: seconds is not set for line {DID}; `itgrix-bx routing show` shows what is",
    )  # fmt: skip
    machine.says("set", "seconds", "--reset")
    assert machine.run("set", "seconds", "--reset").exit_code == 1


def test_a_rule_is_not_kept_under_the_portals_line_on_which_no_call_comes_in(machine: Machine) -> None:
    LineRules(machine.database).set(Line(DID, "office"))
    result = machine.run("set", "seconds", "20", "--did", "office")
    assert (result.exit_code, f"give --did {DID}" in result.stderr) == (1, True)
    LineRules(machine.database).set(Line("office", "office"))  # somebody's trunk sends names
    machine.says("set", "seconds", "20", "--did", "office")
    LineRules(machine.database).set(Line("trunk/mts"))  # of no line of the portal's
    machine.says("set", "seconds", "25")


def test_a_vip_entry_that_changes_nothing_replaces_none_that_does(machine: Machine) -> None:
    machine.says("vip", "add", "contact:7", "ext:103", "--off-duty")
    assert machine.run("vip", "add", "contact:7", "nobody").exit_code == 2
    assert machine.json("vip", "list")[0]["order"] == ["ext:103"]


@pytest.mark.parametrize("name", ["LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"])
def test_the_words_are_in_the_language_of_the_terminal_whether_or_not_the_server_has_that_locale(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine.says("set", "device", "free")
    for other in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "ru_RU.UTF-8")
    result = machine.run("test", CLIENT, "--at", "12:00")
    assert result.stdout.startswith("контакт 7 → ответственный, вн. 101 → ")
    assert result.stderr.splitlines() == [
        "примечание: телефоны, рабочие дни и CRM взяты такими, какие они сейчас, каким бы ни было время",
        "примечание: правило `device` не действует: [ami] не настроен",
    ]
    monkeypatch.setenv(name, "de_DE.UTF-8")
    assert machine.says("test", CLIENT).startswith("contact 7 → responsible")
