"""`itgrix-bx numbers`: what it explains, what it refuses, what it says in both languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.cli import main
from itgrix_bx.words import LANGUAGES
from sql import Database, upgrade
from sql.numbers import BLOCKED, EXTENSION, Numbers


class Site:
    """A configuration with an empty database."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "config.toml"
        self.url = f"sqlite:///{directory}/journal.db"
        self.config.write_text(
            f'[portal]\nwebhook = "http://127.0.0.1:1/rest/1/x/"\n[database]\nurl = "{self.url}"\n'
            f'[journal]\ndirectory = "{directory}"\n',
            encoding="utf-8",
        )
        database = Database(self.url)
        upgrade(database)
        database.close()

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), "numbers", *args])

    def ok(self, *args: str) -> str:
        result = self.run(*args)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *args: str, code: int = 1) -> str:
        result = self.run(*args)
        assert result.exit_code == code, result.output
        return result.stderr

    def json(self, *args: str) -> Any:
        return json.loads(self.ok(*args, "--json"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_number_is_explained_step_by_step(site: Site) -> None:
    site.ok("rules", "add", "--direction", "out", "--prefix", "9", "--length", "8+", "--to", "")
    assert site.ok("test", "9 8 916 123-45-67", "--direction", "out", "--lang", "en").splitlines() == [
        "9 8 916 123-45-67",
        "→ only its digits count: 989161234567",
        "→ rule 1 (outbound calls: 8+-digit numbers that begin with 9: 9 is taken away) makes it 89161234567",
        "→ the numbering plan of RU makes it +79161234567",
        "the call goes to the CRM with the number +79161234567",
    ]
    assert site.ok("test", "989161234567", "--direction", "out", "--lang", "ru").splitlines()[-1] == (
        "звонок попадёт в CRM с номером +79161234567"
    )


def test_the_explanation_is_there_for_programs_too(site: Site) -> None:
    site.ok("lists", "add", "black", "trunk", "mts")
    told = site.json("test", "89161234567", "--trunk", "mts", "--did", "74950000001", "--lang", "en")
    assert told == {
        "number": "89161234567",
        "direction": "in",
        "trunk": "mts",
        "did": "74950000001",
        "result": "+79161234567",
        "internal": False,
        "crm": False,
        "reason": "the trunk mts is on the black list",
        "steps": [
            {
                "step": "plan",
                "rule": None,
                "number": "+79161234567",
                "text": "the numbering plan of RU makes it +79161234567",
            }
        ],
    }


@pytest.mark.parametrize("lang", LANGUAGES)
def test_who_gives_no_number_and_who_is_of_the_house_is_said(site: Site, lang: str) -> None:
    database = Database(site.url)
    Numbers(database).replace_pbx(EXTENSION, ["101"])
    Numbers(database).replace_pbx(BLOCKED, ["89161234567"])
    database.close()
    for number, step, crm in (("anonymous", "anonymous", False), ("101", "extension", False), ("112", "plan", True)):
        told = site.json("test", number, "--lang", lang)
        assert (told["steps"][-1]["step"], told["crm"]) == (step, crm)
        assert bool(told["reason"]) != crm
    assert not site.json("test", "+79161234567", "--lang", lang)["crm"]
    (entry,) = site.json("lists", "show")
    assert entry == {"list": "black", "what": "number", "value": "89161234567", "source": "pbx"}
    assert "the PBX's own list; take it away there" in site.refused("lists", "remove", "black", "number", "89161234567")


def test_internal_calls_are_switched_on_and_off(site: Site) -> None:
    database = Database(site.url)
    Numbers(database).replace_pbx(EXTENSION, ["101", "102"])
    database.close()
    asked = ("test", "102", "--direction", "out", "--extension", "101", "--lang", "en")
    assert site.ok("internal") == "Calls between extensions are not for the CRM.\n"
    assert site.ok(*asked).splitlines()[-1] == "the call does not go to the CRM: an internal call"
    said, cure = site.ok("internal", "on").splitlines()
    assert "dialplan install --internal" in cure
    assert site.ok("internal").splitlines() == [said] == ["Calls between extensions are for the CRM."]
    told = "the call goes to the CRM as an internal one, with the number 102"
    assert site.ok(*asked).splitlines()[-1] == told
    assert site.json(*asked)["crm"] is True
    assert site.ok("lists", "show") == "No lists: all calls go to the CRM.\n"
    site.ok("internal", "off")
    assert site.json(*asked)["crm"] is False


def test_rules_are_listed_moved_and_removed(site: Site) -> None:
    assert "No rules" in site.ok("rules", "list")
    assert site.ok("rules", "add", "--prefix", "8", "--length", "11", "--to", "+7") == (
        "Rule 1: all calls: 11-digit numbers that begin with 8: 8 becomes +7.\n"
    )
    site.ok("rules", "add", "--length", "7", "--to", "+7495", "--trunk", "mts", "--direction", "in", "--at", "1")
    site.ok("rules", "add", "--length", "3-4", "--extension", "--trunk", "office2")
    assert [(r["position"], r["id"], r["to"], r["extension"]) for r in site.json("rules", "list")] == [
        (1, 2, "+7495", False),
        (2, 1, "+7", False),
        (3, 3, None, True),
    ]
    assert "inbound calls of trunk mts: 7-digit numbers: +7495 is put before them" in site.ok(
        "rules", "list", "--lang", "en"
    )
    assert "входящие, транк mts: 7-значные номера: спереди добавляется +7495" in site.ok(
        "rules", "list", "--lang", "ru"
    )
    assert site.ok("rules", "move", "3", "1") == "Rule 3 is number 1 of 3.\n"
    site.ok("rules", "remove", "2")
    assert [r["id"] for r in site.json("rules", "list")] == [3, 1]
    assert "there is no rule 2; `itgrix-bx numbers rules list` shows them" in site.refused("rules", "remove", "2")
    assert "there is no rule 9" in site.refused("rules", "move", "9", "1")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--to", "+7"], "give a --prefix or a --length"),
        (["--prefix", "8", "--to", "8"], "it changes nothing"),
        (["--prefix", "8", "--length", "eleven", "--to", "+7"], "'eleven' is no length: give the number of digits"),
        (["--prefix", "8", "--length", "7-", "--to", "+7"], "is no length"),
        (["--prefix", "8", "--length", "9999", "--to", "+7"], "is no length"),
        (["--prefix", "8", "--to", "+7", "--did", "1", "--direction", "out"], "only inbound calls have a DID"),
    ],
)
def test_a_bad_rule_is_refused_with_one_sentence(site: Site, args: list[str], complaint: str) -> None:
    said = site.refused("rules", "add", *args)
    assert complaint in said
    assert len(said.splitlines()) == 1


def test_a_database_without_tables_is_told_in_the_language_that_was_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "journal.db").unlink()
    assert "the database has no tables yet: run `itgrix-bx db upgrade`" in site.refused("lists", "show")
    assert "в базе данных ещё нет таблиц: выполните `itgrix-bx db upgrade`" in site.refused(
        "lists", "show", "--lang", "ru"
    )


def test_a_rule_without_an_outcome_is_wrong_usage(site: Site) -> None:
    assert "--to TEXT, or --extension" in site.refused("rules", "add", "--prefix", "8", code=2)


def test_entries_are_added_shown_and_removed_in_the_spelling_numbers_are_compared_in(site: Site) -> None:
    assert "No lists" in site.ok("lists", "show")
    assert site.ok("lists", "add", "black", "number", "8 916 123-45-67") == (
        "+79161234567 is now on the black list of numbers.\n"
    )
    assert "already" in site.ok("lists", "add", "black", "number", "89161234567")
    site.ok("lists", "add", "white", "did", "7495*")
    assert [(e["list"], e["what"], e["value"]) for e in site.json("lists", "show")] == [
        ("black", "number", "+79161234567"),
        ("white", "did", "7495*"),
    ]
    assert "no longer" in site.ok("lists", "remove", "black", "number", "89161234567")
    assert "is not on the black list of numbers" in site.refused("lists", "remove", "black", "number", "89161234567")
    assert "write a pattern as +7495*" in site.refused("lists", "add", "black", "number", "8495*")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["rules", "list"], "Правил нет"),
        (["rules", "add", "--prefix", "8", "--to", "+7", "--length", "11"], "Правило 1: все звонки: 11-значные номера"),
        (["rules", "add", "--prefix", "8", "--to", "8"], "оно ничего не меняет, укажите --to"),
        (["rules", "add", "--prefix", "8"], "укажите, что делать с номерами"),
        (["rules", "add", "--length", "x", "--to", "+"], "«x» — не длина"),
        (["rules", "move", "7", "1"], "правила 7 нет"),
        (["lists", "show"], "Списков нет"),
        (["lists", "add", "black", "did", "7495*"], "7495* теперь в списке «чёрный список: городские номера (DID)»."),
        (["lists", "remove", "black", "trunk", "mts"], "mts нет в списке «чёрный список: транки»"),
        (["lists", "add", "black", "number", "8495*"], "под «8495*» никто не подойдёт"),
    ],
)
def test_it_speaks_russian(site: Site, args: list[str], says: str) -> None:
    assert says in site.run(*args, "--lang", "ru").output
