"""One new client at a time, also among programs that cannot see each other: their common journal is away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from itgrix_bx.calls.call import Call
from itgrix_bx.delivery.turns import Turns
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

IDS = ("17.1", "17.2")


@pytest.fixture
def offices(make_office: Callable[..., Office], tmp_path: Path) -> tuple[Office, Office]:
    """Programs with one journal and a directory each, as on two machines."""
    one, two = (make_office(journal={"directory": str(tmp_path / name)}) for name in ("one", "two"))
    one.portal.seed({"settings": {"register_race_s": 0.3}})
    return one, two


@pytest.fixture
def away(offices: tuple[Office, Office]) -> Iterator[sqlite3.Connection]:
    """The journal is; ROLLBACK brings it back."""
    file = offices[0].settings.database.url.get_secret_value().removeprefix("sqlite:///")
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    yield blocker
    blocker.close()


def registered(office: Office, call_id: str) -> str:
    """The portal's id of a call; empty while the journal does not know it."""
    call = office.service.journal.call(call_id)
    return "" if call is None else call.portal_call_id


def test_a_stranger_waits_for_the_journal_to_be_registered(
    offices: tuple[Office, Office], away: sqlite3.Connection
) -> None:
    with ThreadPoolExecutor(2) as threads:
        calls = zip(offices, IDS, strict=True)
        asked = [threads.submit(o.hook, "inbound", call_id, DID, caller=STRANGER) for o, call_id in calls]
        replies = [one.result() for one in asked]
    assert [(reply["B24_RC"], reply["B24_STATE"]) for reply in replies] == [("ok", "deferred")] * 2
    office = offices[0]
    assert (office.known()["calls"], office.known()["leads"]) == ([], [])
    away.execute("ROLLBACK")
    for call_id in IDS:
        eventually(lambda call_id=call_id: registered(office, call_id))
    assert [lead["phones"] for lead in office.known()["leads"]] == [[STRANGER]]
    why = [event.data["error"] for event in office.service.journal.events("17.1") if event.kind == "register_failed"]
    assert "the database is away" in why[0]


def test_a_client_the_portal_knows_need_not_wait_for_the_journal(
    offices: tuple[Office, Office], away: sqlite3.Connection
) -> None:
    office = offices[0]
    reply = office.hook("inbound", "17.1", DID, caller=CLIENT)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("deferred", "101")
    (live,) = eventually(lambda: office.known()["calls"])
    away.execute("ROLLBACK")
    eventually(lambda: registered(office, "17.1") == live["call_id"])


def test_of_two_calls_of_one_program_one_is_first() -> None:
    own, first, second = Turns(), Call("17.1", client_number=STRANGER), Call("17.2", client_number=STRANGER)
    assert own.take(first)
    assert not own.take(second)
    own.give_back(first)
    assert own.take(second)
