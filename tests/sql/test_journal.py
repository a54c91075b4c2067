"""The journal on SQLite and on MariaDB."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

import pytest

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from sql import Database, Journal, check, upgrade
from sql.journal import Appended, LeaseLostError

HOSTILE = "О'Hara \"; DROP TABLE calls; -- 😀 ${EXTEN} \\"


STEPS = ("register", "finish", "attach")


def inbound(call_id: str, at: float = 1_700_000_000.0, **data: object) -> Event:
    return Event(call_id, Kind.INBOUND, at, {"client_number": "+79161234567", "own_channel": True, **data})


def test_an_event_makes_a_call_and_the_next_one_joins_it(journal: Journal) -> None:
    first = journal.append([inbound("1.1", linkedid="1.0")])
    second = journal.append([Event("1.1", Kind.REGISTERED, 1_700_000_001.0, {"portal_call_id": "externalCall.a"})])
    assert (first.new, second.new) == (True, False)
    assert second.call.state == "registered"
    found = journal.call("1.1")
    assert found == second.call


def test_what_opens_a_call_is_stored_only_with_its_first_event(journal: Journal) -> None:
    opening = [Event("1.1", Kind.REGISTERING, 1_700_000_000.0, {"params": {"n": 1}})]
    journal.append([inbound("1.1")], if_new=opening)
    journal.append([inbound("1.1")], if_new=[Event("1.1", Kind.REGISTERING, 1_700_000_005.0, {"params": {"n": 2}})])
    assert journal.append([inbound("1.1")]).call.register_params == {"n": 1}
    assert [e.kind for e in journal.events("1.1")].count(Kind.REGISTERING) == 1


def test_a_repeated_event_changes_nothing(journal: Journal) -> None:
    event = inbound("1.1")
    journal.append([event])
    journal.append([event])
    assert len(journal.events("1.1")) == 1


def test_hostile_text_comes_back_as_it_went_in(journal: Journal) -> None:
    journal.append([inbound("1.1", client_name=HOSTILE, did=HOSTILE)])
    call = journal.call("1.1")
    assert call is not None
    assert (call.client_name, call.did) == (HOSTILE, HOSTILE)


def test_times_keep_their_fraction(journal: Journal) -> None:
    journal.append([inbound("1.1", at=1_700_000_000.123456)])
    call = journal.call("1.1")
    assert call is not None
    assert call.started_at == 1_700_000_000.123456


def test_a_call_is_found_by_each_of_its_ids(journal: Journal) -> None:
    journal.append([inbound("1.1", linkedid="1.0")])
    journal.append([Event("1.1", Kind.REGISTERED, 1_700_000_001.0, {"portal_call_id": "externalCall.a"})])
    assert [journal.resolve(i) for i in ("1.1", "1.0", "externalCall.a", "no")] == ["1.1", "1.1", "1.1", None]


def test_calls_are_listed_newest_first_and_filtered(journal: Journal) -> None:
    for n in range(5):
        journal.append([inbound(f"1.{n}", at=1_700_000_000.0 + n)])
    journal.append([Event("1.2", Kind.SKIPPED, 1_700_000_009.0, {"reason": "a rule"})])
    assert [c.call_id for c in journal.find(limit=2)] == ["1.4", "1.3"]
    assert [c.call_id for c in journal.find(state="skipped")] == ["1.2"]
    assert [c.call_id for c in journal.find(since=1_700_000_003.0, until=1_700_000_004.0)] == ["1.3"]
    assert len(journal.find(limit=0, number="+79161234567")) == 5
    assert journal.find(number="+70000000000") == []


def test_calls_whose_end_nobody_told_are_found(journal: Journal) -> None:
    at = 1_700_000_000.0
    for n in range(6):
        journal.append([inbound(f"1.{n}", at=at + n)])
    journal.append([Event("1.1", Kind.SKIPPED, at + 9, {"reason": "a rule"})])
    journal.append([Event("1.2", Kind.HANGUP, at + 9, {"own_channel": True, "variables": {}})])
    journal.append([Event("1.3", Kind.REGISTERED, at + 9, {"portal_call_id": "externalCall.a"})])
    journal.append([Event("1.4", Kind.GAVE_UP, at + 9, {"step": "register", "error": "refused"})])
    assert [c.call_id for c in journal.unended(before=at + 5, limit=10)] == ["1.4", "1.3", "1.0"]
    assert [c.call_id for c in journal.unended(before=at + 5, limit=1)] == ["1.4"]
    journal.append([Event("1.4", Kind.GONE, at + 20, {"source": "ami", "ended_at": at + 10})])
    assert [c.call_id for c in journal.unended(before=at + 5, limit=10)] == ["1.3", "1.0"]


def test_two_workers_never_get_the_same_call(journal: Journal) -> None:
    for n in range(20):
        journal.append([inbound(f"1.{n}"), Event(f"1.{n}", Kind.REGISTER_FAILED, 1.7e9, {"retry_at": 1.0})])
        journal.append([Event(f"1.{n}", Kind.HANGUP, 1_700_000_009.0, {"own_channel": True, "variables": {}})])
    taken: list[list[str]] = [[], []]

    def work(me: int) -> None:
        while mine := journal.claim(f"worker-{me}", STEPS, now=time.time(), lease_s=60, limit=3):
            taken[me] += mine

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(taken[0] + taken[1]) == sorted(f"1.{n}" for n in range(20))


def test_a_lease_that_ended_is_taken_over_and_one_given_back_is_free(journal: Journal) -> None:
    journal.append([inbound("1.1"), Event("1.1", Kind.HANGUP, 1_700_000_009.0, {"own_channel": True, "variables": {}})])
    now = time.time()
    assert journal.claim("a", STEPS, now=now, lease_s=60, limit=5) == ["1.1"]
    assert journal.claim("b", STEPS, now=now, lease_s=60, limit=5) == []
    assert journal.claim("b", STEPS, now=now + 61, lease_s=60, limit=5) == ["1.1"]
    journal.release("1.1", "b")
    assert journal.claim("c", STEPS, now=now, lease_s=60, limit=5) == ["1.1"]


def test_who_lost_a_lease_does_not_take_it_from_the_next_one(journal: Journal) -> None:
    """A worker that was frozen for longer than its lease wakes up and tells what came of its request."""
    journal.append([inbound("1.1"), Event("1.1", Kind.HANGUP, 1_700_000_009.0, {"own_channel": True, "variables": {}})])
    now = time.time()
    journal.claim("frozen", STEPS, now=now - 100, lease_s=60, limit=5)
    assert journal.claim("next", STEPS, now=now, lease_s=60, limit=5) == ["1.1"]
    journal.append([Event("1.1", Kind.REGISTER_FAILED, now, {"retry_at": now - 1})], release="frozen")
    journal.release("1.1", "frozen")
    journal.correct("1.1", "frozen")
    assert journal.claim("third", STEPS, now=now, lease_s=60, limit=5) == []
    journal.append([Event("1.1", Kind.REGISTER_FAILED, now, {"retry_at": now - 1})], release="next")
    assert journal.claim("third", STEPS, now=now, lease_s=60, limit=5) == ["1.1"]


def test_a_lease_that_ended_is_worth_nothing_although_nobody_took_the_call_over(journal: Journal) -> None:
    journal.append([inbound("1.1"), Event("1.1", Kind.HANGUP, 1_700_000_009.0, {"own_channel": True, "variables": {}})])
    now = time.time()
    assert journal.claim("frozen", STEPS, now=now - 100, lease_s=60, limit=5) == ["1.1"]
    with pytest.raises(LeaseLostError, match=r"call 1\.1"):
        journal.append([Event("1.1", Kind.REGISTERING, now, {"params": {}})], lease="frozen")
    assert [event.kind for event in journal.events("1.1")] == [Kind.INBOUND, Kind.HANGUP]
    assert journal.claim("next", STEPS, now=now, lease_s=60, limit=5) == ["1.1"]
    journal.append([Event("1.1", Kind.REGISTERING, now, {"params": {}})], lease="next")


def test_many_threads_writing_at_once_lose_nothing(database: Database) -> None:
    journal = Journal(database, due)

    def write(n: int) -> None:
        for step in range(5):
            journal.append([Event(f"1.{n % 4}", Kind.RING, 1.7e9 + step, {"extensions": [str(n)]})])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sum(len(journal.events(f"1.{n}")) for n in range(4)) == 80


def test_what_another_process_wrote_meanwhile_is_known_to_the_next_write(journal: Journal, database: Database) -> None:
    other = Journal(Database(database.engine.url.render_as_string(hide_password=False)), due)
    journal.append([inbound("1.1")])
    other.append([Event("1.1", Kind.REGISTERED, 1.7e9 + 1, {"portal_call_id": "externalCall.a"})])
    assert journal.append([Event("1.1", Kind.RING, 1.7e9 + 2, {"extensions": ["101"]})]).call == journal.call("1.1")
    assert other.append([Event("1.1", Kind.RING, 1.7e9 + 3, {"extensions": ["102"]})]).call == journal.call("1.1")


def test_nothing_of_a_write_that_failed_is_taken_for_stored(journal: Journal) -> None:
    journal.append([inbound("1.1")])
    with pytest.raises(TypeError):
        journal.append([Event("1.1", Kind.ANSWER, 1.7e9 + 1, {"extension": "101", "no JSON": object()})])
    assert journal.append([Event("1.1", Kind.RING, 1.7e9 + 2, {"extensions": ["102"]})]).call == journal.call("1.1")
    assert [leg.extension for leg in journal.append([inbound("1.1")]).call.legs] == ["102"]


def test_a_call_forgotten_since_its_last_write_is_new_again(journal: Journal) -> None:
    journal.append([inbound("1.1"), Event("1.1", Kind.SKIPPED, 1_700_000_000.0, {"reason": "a rule"})])
    assert journal.forget(time.time(), 10) == 1
    assert journal.append([inbound("1.1")]).new


def test_many_calls_in_one_write_keep_what_each_brought(journal: Journal) -> None:
    """More than are remembered: the oldest are read again."""
    told: SimpleQueue[Exception | None] = SimpleQueue()
    for n in range(600):
        journal.append_soon([inbound(f"1.{n}", did=str(n))], lambda _, error: told.put(error))
    assert [told.get(timeout=30) for _ in range(600)] == [None] * 600
    for n in (0, 300, 599):
        assert journal.append([Event(f"1.{n}", Kind.RING, 1.7e9 + 2, {"extensions": ["101"]})]).call.did == str(n)


def test_two_processes_reporting_a_new_call_at_once_make_one(database: Database) -> None:
    journals = [Journal(Database(database.engine.url.render_as_string(hide_password=False)), due) for _ in range(4)]
    start = threading.Barrier(4)

    def report(journal: Journal) -> None:
        start.wait()
        journal.append([inbound("1.1")])

    threads = [threading.Thread(target=report, args=(journal,)) for journal in journals]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(journals[0].find(limit=0)) == 1
    assert len(journals[0].events("1.1")) == 4
    [journal._database.close() for journal in journals]


def test_a_bad_write_does_not_take_the_ones_beside_it_down(database: Database) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(_: object) -> str:
        started.set()
        go.wait(5)
        return "slow"

    def bad(_: object) -> None:
        raise ValueError("bad")

    told: SimpleQueue[tuple[object, Exception | None]] = SimpleQueue()
    database.submit(slow, lambda *outcome: told.put(outcome))
    started.wait(5)
    database.submit(bad, lambda *outcome: told.put(outcome))
    database.submit(lambda _: "good", lambda *outcome: told.put(outcome))
    go.set()
    assert told.get(timeout=5) == ("slow", None)
    nothing, error = told.get(timeout=5)
    assert nothing is None
    assert isinstance(error, ValueError)
    assert told.get(timeout=5) == ("good", None)


class Jobs:
    """Writes of a key, which belong together, and whether each succeeded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: SimpleQueue[tuple[str, bool]] = SimpleQueue()

    def submit(self, name: str, key: str, *, fails: bool = False) -> None:
        def together(_: object, items: list[str]) -> list[str]:
            if fails:
                raise ValueError(name)
            return items

        self._database.submit_together(together, name, key, lambda _, error: self._told.put((name, error is None)))

    def next(self) -> tuple[str, bool]:
        return self._told.get(timeout=5)


@contextlib.contextmanager
def writer_busy(database: Database) -> Iterator[None]:
    """What is submitted in here waits together."""
    started, go = threading.Event(), threading.Event()
    database.submit(lambda _: (started.set(), go.wait(5)), lambda *_: None)
    assert started.wait(5)
    yield
    go.set()


def test_of_what_belongs_together_either_all_is_stored_or_nothing(database: Database) -> None:
    jobs = Jobs(database)
    with writer_busy(database):
        jobs.submit("answer", "1.1", fails=True)
        jobs.submit("another call", "1.2")
        jobs.submit("hangup", "1.1")
    assert dict(jobs.next() for _ in range(3)) == {"answer": False, "another call": True, "hangup": False}


def test_what_waited_behind_something_of_its_own_that_failed_does_not_overtake_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer fails in one transaction while the hangup waits for the next one."""
    monkeypatch.setattr("sql.database._AT_ONCE", 1)
    jobs = Jobs(database)
    with writer_busy(database):
        jobs.submit("answer", "1.1", fails=True)
        jobs.submit("another call", "1.2")
        jobs.submit("hangup", "1.1")
    assert dict(jobs.next() for _ in range(3)) == {"answer": False, "another call": True, "hangup": False}
    jobs.submit("what comes afterwards", "1.1")
    assert jobs.next() == ("what comes afterwards", True)


def test_a_worker_whose_lease_is_over_takes_no_hook_of_the_call_down(database: Database) -> None:
    journal = Journal(database, due)
    journal.append([inbound("1.1")])
    outcomes: SimpleQueue[object] = SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(journal.append([Event("1.1", Kind.FINISHING, 2.0, {"params": {}})], lease="nobody"))
        except LeaseLostError as error:
            outcomes.put(error)

    worker = threading.Thread(target=work)
    with writer_busy(database):
        worker.start()
        while not database._jobs.qsize():
            time.sleep(0.001)
        hung_up = Event("1.1", Kind.HANGUP, 1_700_000_009.0, {"direction": "in"})
        journal.append_soon([hung_up], lambda appended, _: outcomes.put(appended))
    worker.join(5)
    found = [outcomes.get(timeout=5) for _ in range(2)]
    assert sum(isinstance(outcome, LeaseLostError) for outcome in found) == 1
    assert [e.kind for e in journal.events("1.1")] == [Kind.INBOUND, Kind.HANGUP]


class _Together:
    """Holds the writer up until several writes wait, so that they are stored as one."""

    def __init__(self, database: Database) -> None:
        self._journal = Journal(database, due)
        self._database = database
        self.told: SimpleQueue[tuple[Appended | None, Exception | None]] = SimpleQueue()

    def append(self, *entries: Sequence[Event]) -> list[Appended | None]:
        started, go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            started.set()
            go.wait(5)

        self._database.submit(hold, lambda *_: None)
        started.wait(5)
        for events in entries:
            self._journal.append_soon(events, lambda *outcome: self.told.put(outcome))
        go.set()
        outcomes = [self.told.get(timeout=5) for _ in entries]
        assert [error for _, error in outcomes if error] == []
        return [appended for appended, _ in outcomes]


def test_writes_that_wait_together_are_each_told_what_the_call_was_after_them(database: Database) -> None:
    registered = Event("1.1", Kind.REGISTERED, 1_700_000_001.0, {"portal_call_id": "externalCall.a"})
    told = _Together(database).append([inbound("1.1")], [inbound("1.2")], [registered], [inbound("1.2", did="7495")])
    assert [(a.call.call_id, a.new, a.call.portal_call_id) for a in told if a] == [
        ("1.1", True, ""), ("1.2", True, ""), ("1.1", False, "externalCall.a"), ("1.2", False, ""),
    ]  # fmt: skip
    journal = Journal(database, due)
    assert [len(journal.events(call_id)) for call_id in ("1.1", "1.2")] == [2, 2]
    assert journal.call("1.1") == told[2].call if told[2] else None


def test_of_two_calls_that_wait_together_one_gets_the_call_id_the_portal_gave_both(database: Database) -> None:
    given = [Event(c, Kind.REGISTERED, 1_700_000_001.0, {"portal_call_id": "externalCall.a"}) for c in ("1.1", "1.2")]
    _Together(database).append([inbound("1.1")], [inbound("1.2")], [given[0]], [given[1]])
    calls = [Journal(database, due).call(call_id) for call_id in ("1.1", "1.2")]
    assert [call.portal_call_id for call in calls if call] == ["externalCall.a", ""]
    assert calls[1] is not None
    assert "call 1.1" in calls[1].last_error


def test_ids_that_differ_in_case_alone_do_not_hold_up_the_writes_beside_them(database: Database) -> None:
    together = _Together(database)
    together.append([inbound("pbx-1.1")], [inbound("1.2")])
    together.append([inbound("PBX-1.1", did="7495")], [inbound("1.3")])
    journal = Journal(database, due)
    assert all(journal.call(call_id) for call_id in ("pbx-1.1", "PBX-1.1", "1.2", "1.3"))


def test_upgrading_twice_is_harmless_and_check_is_satisfied(database: Database) -> None:
    head = upgrade(database)[1]
    assert upgrade(database) == (head, head)
    assert check(database) is None


def test_what_completes_a_call_is_decided_by_what_the_journal_has_in_that_moment(journal: Journal) -> None:
    seen: list[list[Kind]] = []

    def missing(known: Sequence[Event]) -> list[Event]:
        seen.append([event.kind for event in known])
        return [] if known else [Event("17.5", Kind.INBOUND, 1.0, {"client_number": "+7916"}, "a" * 32)]

    first, second = journal.complete("17.5", missing), journal.complete("17.5", missing)
    assert first is not None
    assert (first.new, first.call.client_number) == (True, "+7916")
    assert second is None
    assert seen == [[], [Kind.INBOUND]]
