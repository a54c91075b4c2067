"""Rules and lists as they are stored, on both databases."""

from __future__ import annotations

import threading

import pytest

from itgrix_bx.calls.number_lists import Entry
from itgrix_bx.calls.number_rules import Rule, RuleError
from sql import Database
from sql.numbers import BLOCKED, EXTENSION, Numbers
from sql.staff import Staff


def test_rules_come_back_as_they_were_put_in_and_in_their_order(database: Database) -> None:
    store = Numbers(database)
    eight = Rule("8", "+7", 11, 11)
    office = Rule("2", "", 4, 4, extension=True, direction="in", trunk="офис", did="+74950000001")
    first, second = store.add_rule(eight), store.add_rule(office)
    third = store.add_rule(Rule("9", "", direction="out"), 1)
    assert [rule.rule_id for rule in store.read().rules] == [third, first, second]
    assert store.move_rule(second, 2)
    assert store.remove_rule(third)
    assert [rule.rule_id for rule in store.read().rules] == [second, first]
    assert [rule.sentence for rule in store.read().rules] == [office.sentence, eight.sentence]
    assert store.read().rules[0].extension
    assert not store.move_rule(third, 1)
    assert not store.remove_rule(third)


def test_a_rule_that_is_there_is_refused_and_nothing_is_changed(database: Database) -> None:
    store = Numbers(database)
    store.add_rule(Rule("8", "+7"))
    version = store.version()
    with pytest.raises(RuleError, match="there already"):
        store.add_rule(Rule("8", "+7"))
    assert store.version() == version
    assert len(store.read().rules) == 1


def test_lists_hold_each_entry_once(database: Database) -> None:
    store = Numbers(database)
    mobile, city = Entry("black", "number", "+79161234567"), Entry("white", "did", "7495*")
    assert store.add_entry(mobile)
    assert store.add_entry(city)
    assert not store.add_entry(mobile)
    assert store.read().entries == {mobile, city}
    assert store.remove_entry(mobile)
    assert not store.remove_entry(mobile)
    assert store.read().entries == {city}


def test_every_change_gives_a_new_version(database: Database) -> None:
    store = Numbers(database)
    seen = [store.version()]
    for change in (
        lambda: store.add_rule(Rule("8", "+7")),
        lambda: store.add_entry(Entry("black", "trunk", "mts")),
        lambda: store.replace_pbx(BLOCKED, ["", "89161234567"]),
        lambda: store.replace_pbx(EXTENSION, ["101", "102"]),
    ):
        change()
        seen.append(store.version())
        assert store.read().version == seen[-1]
    assert len(set(seen)) == len(seen)
    assert not store.replace_pbx(EXTENSION, ["102", "101"])
    assert store.version() == seen[-1]


def test_what_the_pbx_knows_is_replaced_whole_and_its_extensions_are_known_to_all(database: Database) -> None:
    store = Numbers(database)
    store.replace_pbx(EXTENSION, ["101", "20012"])
    store.replace_pbx(BLOCKED, ["89161234567", "abc", "ABC", "x" * 41])
    store.replace_pbx(EXTENSION, ["20012", "20013"])
    assert Staff(database).directory().on_pbx == {"20012", "20013"}
    assert len(store.read().blocked) == 2
    store.replace_pbx(BLOCKED, [])
    assert store.read().blocked == frozenset()


def test_two_administrators_at_once_lose_neither_rule(database: Database) -> None:
    store = Numbers(database)
    begin = threading.Barrier(4)

    def add(number: int) -> None:
        begin.wait()
        store.add_rule(Rule(str(number), "+7"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {rule.prefix for rule in store.read().rules} == {"1", "2", "3", "4"}
