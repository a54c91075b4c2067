"""Rules and lists on SQLite and on MariaDB."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from itgrix_bx.calls.policy import BLACK, VIP, Entry
from sql import Database
from sql.routing import Routing
from sql.tables import routing_clients, routing_rules

DID = "74950000001"


def test_what_is_set_is_in_force_and_the_version_tells_of_every_change(database: Database) -> None:
    routing = Routing(database)
    versions = [routing.version()]
    for change in (
        lambda: routing.set("", "seconds", "20"),
        lambda: routing.set("", "seconds", "25"),
        lambda: routing.set(DID, "order", "deal responsible"),
        lambda: routing.put(VIP, Entry("contact:7", ("ext:103",), True, "Ромашка 🌼")),
        lambda: routing.put(BLACK, Entry("+79160000000")),
    ):
        change()
        versions.append(routing.version())
    assert len(set(versions)) == len(versions)
    rules = routing.rules()
    assert (rules.default.seconds, rules.policy(DID).seconds) == (25, 25)
    assert (rules.default.order, rules.policy(DID).order) == (("responsible",), ("deal", "responsible"))
    assert rules.vip == {"contact:7": Entry("contact:7", ("ext:103",), True, "Ромашка 🌼")}
    assert list(rules.black) == ["+79160000000"]


def test_what_is_taken_back_is_gone(database: Database) -> None:
    routing = Routing(database)
    routing.set(DID, "seconds", "20")
    routing.set(DID, "seconds", None)
    routing.put(BLACK, Entry("contact:7"))
    before = routing.version()
    assert routing.remove(BLACK, "contact:7")
    assert routing.version() != before  # a program that runs takes him off too
    assert not routing.remove(BLACK, "contact:7")
    assert routing.told() == {}
    assert routing.rules().black == {}


def test_with_plus_or_without_it_is_the_same_line(database: Database) -> None:
    routing = Routing(database)
    routing.set(f"+{DID}", "seconds", "20")
    routing.set(DID, "seconds", "30")
    assert routing.told() == {DID: {"seconds": "30"}}
    routing.set(f"+{DID}", "seconds", None)
    assert routing.told() == {}


def test_what_cannot_be_read_is_left_out_and_named(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with database.engine.begin() as connection:
        rows = [{"did": "", "rule": "hours", "words": "nonsense"}, {"did": "", "rule": "seconds", "words": "20"}]
        connection.execute(sa.insert(routing_rules), rows)
        for n, order in enumerate(('"order": ["boss"]', '"order": ["deal", "deal"]', '"x": 1'), 7):
            data = f'{{{order}, "off_duty": true, "note": ""}}'
            connection.execute(sa.insert(routing_clients).values(list=VIP, whom=f"contact:{n}", data=data))
    with caplog.at_level(logging.WARNING, "itgrix_bx.routing"):
        rules = Routing(database).rules()
    assert (rules.default.seconds, rules.default.hours, rules.vip) == (20, (), {})
    assert "hours" in caplog.text
    assert "contact:7" in caplog.text
