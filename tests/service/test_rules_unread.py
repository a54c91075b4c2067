"""A program that cannot read its rules yet: it was just started, and its database is away or being migrated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from itgrix_bx import service, switchboard
from itgrix_bx.calls.lines import Leads, Line
from itgrix_bx.calls.number_lists import Entry
from sql import LineRules, upgrade
from sql.database import opened
from sql.numbers import Numbers
from tests.service.conftest import DID, STRANGER, Office, eventually

ID = "1700000000.1"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A database in which the administrator has said what he wants."""
    path = tmp_path / "disk" / "journal.db"
    path.parent.mkdir()
    with opened(f"sqlite:///{path}") as database:
        upgrade(database)
        LineRules(database).set(Line(DID, "office", default_user=13, leads=Leads.NONE))
        Numbers(database).add_entry(Entry("black", "number", "+79995550000"))
    return path


@contextlib.contextmanager
def away(journal: Path) -> Iterator[None]:
    """Nothing of it can be read."""
    elsewhere = journal.parent.rename(journal.parent.with_name("unmounted"))
    yield
    elsewhere.rename(journal.parent)


def missed(office: Office, call_id: str, caller: str) -> dict[str, str]:
    reply = office.hook("inbound", call_id, DID, caller=caller)
    office.hook("hangup", call_id, "in", DIALSTATUS="NOANSWER", caller=caller)
    return reply


def test_a_call_before_the_rules_were_read_comes_under_them_all_the_same(
    make_office: Callable[..., Office], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "_COMES_UP_S", 0.0)
    monkeypatch.setattr(service, "_MIGRATE_AGAIN_S", 0.2)
    with away(journal):
        office = make_office(comes_up=False, database={"url": f"sqlite:///{journal}"})
        assert missed(office, ID, STRANGER)["B24_STATE"] == "deferred"
        missed(office, "1700000000.2", "+79995550000")
    eventually(lambda: (call := office.service.journal.call("1700000000.2")) and call.state == "skipped")
    call = office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["PORTAL_NUMBER"], row["PORTAL_USER_ID"], call["line"]) == ("office", "13", "office")
    assert office.known()["leads"] == []


def test_a_caller_waits_for_a_program_that_is_just_coming_up(make_office: Callable[..., Office], journal: Path) -> None:
    office = make_office(comes_up=False, database={"url": f"sqlite:///{journal}"})
    assert office.hook("inbound", ID, DID, caller=STRANGER)["B24_STATE"] == "registered"
    assert office.call(ID).line == "office"
    eventually(lambda: office.service.employees.known)
