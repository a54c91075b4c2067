"""One bucket for several machines, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bx24client import Bitrix24, telephony
from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.shared_budget import SharedBudget
from sql.budgets import Budgets
from sql.database import Database


def test_all_places_are_given_out_once_and_then_none(database: Database) -> None:
    budgets = Budgets(database)
    start = threading.Barrier(8)

    def machine(_: int) -> int:
        start.wait()
        claims = [budgets.claim("p", rate=0.001, room=20, timeout_s=10)[1] for _ in range(5)]
        return claims.count(0.0)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(machine, range(8))) == 20
    level, wait = budgets.claim("p", rate=0.001, room=20, timeout_s=10)
    assert level == pytest.approx(20, abs=0.1)
    assert wait == pytest.approx(1000, rel=0.1)
    assert budgets.claim("another portal", rate=0.001, room=20, timeout_s=10) == (1.0, 0.0)


def test_a_full_bucket_drains_with_time(database: Database) -> None:
    budgets = Budgets(database)
    budgets.claim("p", rate=4.0, room=49, timeout_s=10)
    budgets.fill("p", 50.0, timeout_s=10)
    _, wait = budgets.claim("p", rate=4.0, room=49, timeout_s=10)
    assert 0 < wait <= 0.5
    threading.Event().wait(wait + 0.05)
    assert budgets.claim("p", rate=4.0, room=49, timeout_s=10)[1] == 0.0


def test_two_programs_that_share_a_budget_are_never_refused(database: Database) -> None:
    with PortalEmulator(rate=20, burst=10) as portal:
        clients = [Bitrix24(portal.webhook_url, budget=SharedBudget(Budgets(database), "p", 20, 10)) for _ in range(2)]

        def ask(client: Bitrix24) -> None:
            for n in range(25):
                client.execute(telephony.search_crm_entities(f"+7916000{n:04d}"), lane="caller", timeout_s=30)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, clients * 2))
        assert portal.dump()["http_requests"] >= 20
        assert portal.state.refused_requests == 0
        for client in clients:
            client.close()


def test_while_the_database_is_away_each_counts_for_itself(database: Database) -> None:
    budget = SharedBudget(Budgets(database), "p", 2, 50)
    from sql import tables

    tables.budgets.drop(database.engine)
    try:
        assert budget.claim() == (None, 0.0)
        budget.announce_refusal()
    finally:
        tables.budgets.create(database.engine)
