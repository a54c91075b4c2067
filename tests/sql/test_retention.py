"""Old calls leave the journal; what is not delivered never does."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from itgrix_bx.retention import Retention
from sql import Database, Journal
from sql.tables import calls, events

DAY = 86400.0
NOW = time.time()
OLD = NOW - 400 * DAY
OWN = {"own_channel": True, "client_number": "+79161234567"}


def told(call_id: str, at: float, *steps: tuple[Kind, dict[str, object]]) -> list[Event]:
    return [Event(call_id, kind, at + n, dict(data)) for n, (kind, data) in enumerate(steps)]


def of_every_state(journal: Journal, prefix: str, at: float) -> None:
    inbound = (Kind.INBOUND, OWN)
    answer = (Kind.ANSWER, {"extension": "101"})
    hangup = (Kind.HANGUP, OWN | {"variables": {}, "recording": "a.wav"})
    registered = (Kind.REGISTERED, {"portal_call_id": f"externalCall.{prefix}"})
    again = (Kind.REGISTERED, {"portal_call_id": f"externalCall.{prefix}.c"})
    for name, steps in {
        "open": [inbound],
        "registered": [inbound, (Kind.REGISTERED, {"portal_call_id": f"externalCall.{prefix}.r"})],
        "ended": [inbound, hangup],
        "finished": [inbound, answer, hangup, registered, (Kind.FINISHED, {})],
        "failed": [inbound, hangup, (Kind.GAVE_UP, {"step": "register", "error": "no right"})],
        "complete": [inbound, hangup, again, (Kind.FINISHED, {})],
        "skipped": [inbound, (Kind.SKIPPED, {"reason": "a rule"}), hangup],
    }.items():
        journal.append(told(f"{prefix}.{name}", at, *steps))
        call = journal.call(f"{prefix}.{name}")
        assert call is not None
        assert call.state == name


def kept(journal: Journal) -> set[str]:
    return {call.call_id for call in journal.find(limit=0)}


def delivered(journal: Journal, count: int, at: float = OLD) -> None:
    for n in range(count):
        registered = (Kind.REGISTERED, {"portal_call_id": f"externalCall.{n}"})
        journal.append(told(f"1.{n}", at, (Kind.INBOUND, OWN), (Kind.HANGUP, OWN), registered, (Kind.FINISHED, {})))


def test_only_old_calls_that_are_complete_or_skipped_go_and_with_all_their_events(
    journal: Journal, database: Database
) -> None:
    of_every_state(journal, "old", OLD)
    of_every_state(journal, "new", NOW - 300 * DAY)
    before = kept(journal)
    assert journal.forget(NOW - 365 * DAY, 100) == 2
    assert before - kept(journal) == {"old.complete", "old.skipped"}
    gone = sa.select(sa.func.count()).where(events.c.call_id.in_(["old.complete", "old.skipped"]))
    assert database.read(lambda c: c.execute(gone).scalar()) == 0
    assert journal.forget(NOW - 365 * DAY, 100) == 0


def test_it_goes_in_small_steps(journal: Journal) -> None:
    delivered(journal, 5)
    assert [journal.forget(NOW - 365 * DAY, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_call_whose_recording_is_tried_again_stays(journal: Journal) -> None:
    registered = (Kind.REGISTERED, {"portal_call_id": "externalCall.a"})
    hangup = (Kind.HANGUP, OWN | {"recording": "a.wav"})
    steps = [(Kind.INBOUND, OWN), registered, (Kind.ANSWER, {"extension": "101"}), hangup,
             (Kind.FINISHED, {}), (Kind.RECORDING, {"state": "missing"})]  # fmt: skip
    journal.append(told("1.1", OLD, *steps))
    journal.append([Event("1.1", Kind.RETRY, NOW, {})])
    assert journal.forget(NOW - 365 * DAY, 100) == 0


def test_a_skipped_call_that_may_still_go_on_stays_a_week_longer(journal: Journal) -> None:
    journal.append(told("1.1", NOW - 366 * DAY, (Kind.INBOUND, OWN), (Kind.SKIPPED, {"reason": "a rule"})))
    assert journal.forget(NOW - 365 * DAY, 100) == 0
    assert journal.forget(NOW - 358 * DAY, 100) == 1


def test_two_workers_at_once_delete_each_call_once_and_stand_in_nobodys_way(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    journals = [Journal(Database(url), due) for _ in range(2)]
    delivered(journals[0], 60)
    deleted = [0, 0]

    def work(me: int) -> None:
        while some := journals[me].forget(NOW - 365 * DAY, 7):
            deleted[me] += some

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    left = journals[0].forget(NOW - 365 * DAY, 100)  # what both looked at, and one passed over
    assert sum(deleted) + left == 60
    assert database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(calls)).scalar()) == 0
    [journal._database.close() for journal in journals]


def test_a_clock_set_years_ahead_for_a_moment_empties_no_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    retention = Retention(journal, 365)
    delivered(journal, 3, at=NOW - 10 * DAY)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * 365 * DAY)
    assert retention.forget_some() == 0


def test_a_service_deletes_without_being_asked(journal: Journal) -> None:
    delivered(journal, 3)
    retention = Retention(journal, 365)
    retention.start()
    end = time.monotonic() + 20
    while kept(journal):
        assert time.monotonic() < end
        time.sleep(0.02)
    retention.stop()
