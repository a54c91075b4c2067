"""Many threads at one gate: nobody is lost, asked twice, or answered with another's result."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from bx24client import AnswerLost, Bitrix24, Budget, BudgetExhausted, CallNotFound, Durations, telephony
from bx24client.gate import Gate
from bx24client.planner import Planner
from bx24client.worktime import Worktime
from itgrix_bx.emulator.portal import PortalEmulator

from .scripted import ScriptedPortal, hangs_up, refuses

SEARCH, FINISH = "telephony.externalCall.searchCrmEntities", "telephony.externalCall.finish"
LANES = ("caller", "card", "outcome", "recording", "background")


def number(n: int) -> str:
    return f"+7916{n:07d}"


@pytest.fixture
def double() -> PortalEmulator:
    contacts = [{"id": 1000 + n, "name": f"Client {n}", "phones": [number(n)], "responsible": 11} for n in range(200)]
    return PortalEmulator(seed={"contacts": contacts}, rate=20, burst=10)


def test_each_of_two_hundred_gets_its_own_answer_from_shared_batches(double: PortalEmulator) -> None:
    with double, Bitrix24(double.webhook_url, budget=Budget(20, 10)) as client:

        def ask(n: int) -> int:
            command = telephony.search_crm_entities(number(n))
            (found,) = client.execute(command, lane=LANES[n % len(LANES)], timeout_s=60)
            return found.id

        with ThreadPoolExecutor(100) as pool:
            assert list(pool.map(ask, range(200))) == [1000 + n for n in range(200)]
        known = double.dump()
    asked = Counter(entry["method"] for entry in known["requests"])
    assert asked[SEARCH.lower()] == 200
    assert known["http_requests"] < 120  # or nothing was combined
    assert double.state.refused_requests == 0


def test_a_command_that_fails_in_a_shared_batch_harms_no_other(double: PortalEmulator) -> None:
    with double, Bitrix24(double.webhook_url, budget=Budget(20, 10)) as client:
        params = {"USER_ID": 11, "PHONE_NUMBER": number(1), "TYPE": 2, "SHOW": 0}
        call_id = client.execute(telephony.register(params)).call_id
        for _ in range(8):
            client.execute(telephony.search_crm_entities(number(2)))
        bad = [client.parcel({"f": telephony.finish({"CALL_ID": f"no.{n}", "USER_ID": 11})}) for n in range(3)]
        good = client.parcel({"f": telephony.finish({"CALL_ID": call_id, "USER_ID": 11})})
        client.submit(*bad, good)
        assert good.future.result(30)["f"].call_id == call_id
        for parcel in bad:
            assert isinstance(parcel.future.result(30).error("f"), CallNotFound)


def test_a_request_that_is_lost_is_in_doubt_for_each_and_asked_again_only_for_questions() -> None:
    with ScriptedPortal() as portal, Bitrix24(portal.webhook) as client:
        portal.steps = [hangs_up]
        question = client.parcel({"s": telephony.search_crm_entities("+7916")}, timeout_s=10)
        order = client.parcel({"f": telephony.finish({"CALL_ID": "c", "USER_ID": 1})}, timeout_s=10)
        portal_answers_true = portal.otherwise
        client.submit(question, order)
        with pytest.raises(AnswerLost):
            order.future.result(10)
        assert question.future.result(10).error("s") is not None  # `true` is no list of clients: it was asked again
        assert len(portal.requests) == 2
        assert portal.otherwise is portal_answers_true


def test_a_batch_refused_for_the_time_of_batches_harms_none_of_its_commands_which_leave_alone_meanwhile() -> None:
    with ScriptedPortal() as portal, Bitrix24(portal.webhook) as client:
        portal.steps = [refuses("OPERATION_TIME_LIMIT", "", "429 Too Many")]
        parcels = [client.parcel({"f": telephony.hide(f"c{n}", [1])}, timeout_s=10) for n in range(2)]
        client.submit(*parcels)
        assert [parcel.future.result(10)["f"] for parcel in parcels] == [True, True]
        assert portal.methods == ["batch", *["telephony.externalCall.hide"] * 2]


def test_what_must_not_leave_any_more_stays_and_the_others_go(double: PortalEmulator) -> None:
    class OverError(Exception):
        pass

    def over() -> None:
        raise OverError

    with double, Bitrix24(double.webhook_url) as client:
        commands = {"s": telephony.search_crm_entities(number(3))}
        stale = client.parcel(commands, on_leaving=over)
        fresh = client.parcel(commands)
        client.submit(stale, fresh)
        with pytest.raises(OverError):
            stale.future.result(10)
        assert fresh.future.result(10)["s"][0].id == 1003
        alone = client.parcel(commands, on_leaving=over)
        client.submit(alone)
        with pytest.raises(OverError):
            alone.future.result(10)
        assert double.dump()["http_requests"] == 1


def test_closing_tells_everybody_who_still_waits() -> None:
    client = Bitrix24("http://127.0.0.1:9/rest/1/x/", budget=Budget(0.001, 1))
    client.budget.take()
    waiting = [client.parcel({"s": telephony.search_crm_entities("+7916")}, timeout_s=1e6) for _ in range(5)]
    client.submit(*waiting)
    closer = threading.Thread(target=client.close)
    closer.start()
    for parcel in waiting:
        with pytest.raises(BudgetExhausted):
            parcel.future.result(10)
    closer.join(10)
    assert not closer.is_alive()


def test_closing_ends_a_clerk_that_is_just_beginning() -> None:
    for _ in range(20):  # the threads' turns are not ours to give
        gate = Gate(Planner(Budget(), Worktime(Durations()), lambda: 0.1), lambda _: None)
        before = set(threading.enumerate())
        with gate.lock:  # the clerk begins, and has to wait for the lock as we have it
            gate.put_back([])
        gate.close()
        assert set(threading.enumerate()) <= before
