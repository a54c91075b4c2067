"""In which order what is owed to the portal is taken, and that no call is taken twice."""

from __future__ import annotations

import time

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from sql import Database, Journal
from sql.journal import CLOCK_WAS_WRONG_S

STEPS = ("register", "finish")
NOW = time.time()
OWN = {"own_channel": True, "client_number": "+79161234567"}


def ended(journal: Journal, call_id: str, ago: float, retry_in: float | None = None) -> None:
    journal.append([Event(call_id, Kind.INBOUND, NOW - ago - 60, OWN)])
    journal.append([Event(call_id, Kind.HANGUP, NOW - ago, OWN | {"variables": {}})])
    if retry_in is not None:
        journal.append([Event(call_id, Kind.REGISTER_FAILED, NOW, {"error": "ill", "retry_at": NOW + retry_in})])


def goes_on(journal: Journal, call_id: str, ago: float) -> None:
    journal.append([Event(call_id, Kind.INBOUND, NOW - ago, OWN)])
    journal.append([Event(call_id, Kind.REGISTERING, NOW - ago, {"params": {}})])
    journal.append([Event(call_id, Kind.REGISTER_FAILED, NOW - ago, {"error": "ill", "retry_at": NOW - 1})])


def claim(journal: Journal, limit: int, live_since: float | None = None, owner: str = "me") -> list[str]:
    return journal.claim(owner, STEPS, now=NOW, lease_s=60, limit=limit, live_since=live_since)


def test_the_backlog_is_taken_oldest_first_whatever_the_step(journal: Journal) -> None:
    for ago in (500, 900, 700):
        ended(journal, f"1.{ago}", ago)
    journal.append([Event("1.700", Kind.REGISTERED, NOW - 600, {"portal_call_id": "externalCall.a"})])
    goes_on(journal, "1.open", 300)
    assert claim(journal, 10) == ["1.900", "1.700", "1.500", "1.open"]


def test_calls_that_go_on_or_ended_lately_are_taken_before_the_backlog(journal: Journal) -> None:
    for ago in (900, 500, 30, 90):
        ended(journal, f"1.{ago}", ago)
    goes_on(journal, "1.open", 3000)
    assert claim(journal, 10, live_since=NOW - 120) == ["1.open", "1.90", "1.30", "1.900", "1.500"]


def test_a_call_that_waits_for_its_next_try_is_passed_over(journal: Journal) -> None:
    ended(journal, "1.stuck", 900, retry_in=300)
    ended(journal, "1.next", 500)
    assert claim(journal, 1) == ["1.next"]
    assert claim(journal, 1) == []


def test_a_worker_that_comes_second_gets_the_next_calls(database: Database, journal: Journal) -> None:
    for n in range(8):
        ended(journal, f"1.{n}", 900 - n)
    other = Journal(Database(database.engine.url.render_as_string(hide_password=False)), due)
    seen = journal._candidates

    def look_then_let_the_other_take(*args: object, **how: object) -> list[int]:
        found = seen(*args, **how)  # type: ignore[arg-type]
        claim(other, 3, owner="other")
        return found

    journal._candidates = look_then_let_the_other_take  # type: ignore[method-assign]
    assert claim(journal, 3) == ["1.3", "1.4", "1.5"]
    other._database.close()


def test_what_a_clock_that_ran_ahead_postponed_is_taken_all_the_same(journal: Journal) -> None:
    ended(journal, "1.1", 900, retry_in=CLOCK_WAS_WRONG_S + 60)
    assert claim(journal, 1) == ["1.1"]


def test_a_lease_given_by_a_clock_that_ran_ahead_ends_all_the_same(journal: Journal) -> None:
    ended(journal, "1.1", 900)
    assert journal.claim("other", STEPS, now=NOW + 7200, lease_s=60, limit=1) == ["1.1"]
    assert claim(journal, 1) == ["1.1"]
