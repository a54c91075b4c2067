"""Marks outlive a process; a turn is one machine's at a time."""

from __future__ import annotations

import threading

from sql import Database
from sql.marks import Marks

NOW = 1_795_600_000.0


def test_a_mark_stands_where_it_was_last_set(database: Database) -> None:
    marks = Marks(database)
    assert (marks.at("up a"), marks.newest("up ")) == (None, None)
    marks.set("up a", 5.0)
    marks.set("up a", 7.5)
    marks.set("up b", 6.0)
    marks.set("other", 9.0)
    assert (marks.at("up a"), marks.newest("up ")) == (7.5, 7.5)
    marks.set("up a", 7.5)  # unchanged is no failure
    assert marks.at("up a") == 7.5


def test_a_turn_is_taken_once_kept_and_given_back(database: Database) -> None:
    marks = Marks(database)
    assert marks.take("turn", "one", now=NOW, for_s=60)
    assert not marks.take("turn", "two", now=NOW + 59, for_s=60)
    assert marks.take("turn", "one", now=NOW + 59, for_s=60)
    assert not marks.take("turn", "two", now=NOW + 100, for_s=60)
    marks.give_back("turn", "two")
    assert not marks.take("turn", "two", now=NOW + 100, for_s=60)
    marks.give_back("turn", "one")
    assert marks.take("turn", "two", now=NOW + 100, for_s=60)


def test_a_turn_whose_owner_died_ends_by_itself(database: Database) -> None:
    marks = Marks(database)
    assert marks.take("turn", "one", now=NOW, for_s=60)
    assert marks.take("turn", "two", now=NOW + 61, for_s=60)


def test_a_turn_taken_by_a_clock_that_was_wrong_holds_nobody_up(database: Database) -> None:
    marks = Marks(database)
    assert marks.take("turn", "one", now=NOW + 86400, for_s=60)
    assert marks.take("turn", "two", now=NOW, for_s=60)


def test_of_many_that_want_the_turn_one_gets_it(database: Database) -> None:
    marks = Marks(database)
    won: list[str] = []

    def try_it(owner: str) -> None:
        if marks.take("turn", owner, now=NOW, for_s=60):
            won.append(owner)

    threads = [threading.Thread(target=try_it, args=(f"owner {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
