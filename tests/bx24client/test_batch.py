"""What a batch answers, in all the shapes PHP gives it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from bx24client import (
    AnswerLost,
    Bitrix24,
    Budget,
    BudgetExhausted,
    CallNotFound,
    Command,
    MethodBlocked,
    NotRun,
    Parcel,
    RateLimited,
    Ref,
    ScopeMissing,
    UnreadableAnswer,
    UserNotActive,
    telephony,
)

from .scripted import SECRET, ScriptedPortal, answers, batch, hangs_up, refuses


def _commands(count: int, *, idempotent: bool = False) -> dict[str, Command[Any]]:
    return {f"k{i}": Command(f"m{i}", {"I": i}, lambda result: result, idempotent) for i in range(count)}


def test_a_batch_is_one_request(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({"k0": 1, "k1": [2]})]
    result = client.batch(_commands(2), halt=False)
    assert (result["k0"], result["k1"], dict(result)) == (1, [2], {"k0": 1, "k1": [2]})
    assert portal.methods == ["batch"]
    assert portal.requests[0].params == {"halt": 0, "cmd": {"k0": "m0?I=0", "k1": "m1?I=1"}}
    assert client.budget.level() == pytest.approx(1.0, abs=0.5)


def test_one_failed_command_harms_no_other(portal: ScriptedPortal, client: Bitrix24) -> None:
    error = {"error": "", "error_description": "Call is not found (call should be registered prior to finishing"}
    portal.steps = [batch({"k0": 1, "k2": None}, {"k1": error})]
    result = client.batch(_commands(3), halt=False)
    assert result["k0"] == 1
    assert result["k2"] is None
    assert result.error("k0") is None
    assert isinstance(result.error("k1"), CallNotFound)
    with pytest.raises(CallNotFound):
        result["k1"]
    assert set(result) == {"k0", "k1", "k2"}


def test_behind_a_halt_nothing_was_run(portal: ScriptedPortal, client: Bitrix24) -> None:
    error = {"error": "", "error_description": "User is not found or is not active"}
    portal.steps = [batch({"k0": 1}, {"k1": error})]
    result = client.batch(_commands(4), halt=True)
    assert isinstance(result.error("k1"), UserNotActive)
    for key in ("k2", "k3"):
        error_behind = result.error(key)
        assert isinstance(error_behind, NotRun)
        assert not error_behind.maybe_done
        assert error_behind.failed_key == "k1"


def test_a_harmless_command_may_refer_to_its_neighbour_without_a_halt(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({"found": "17.1", "show": True})]
    commands = {"found": Command("m", {}, str), "show": telephony.show(Ref("found", "CALL_ID"), [7])}
    assert client.batch(commands, halt=False)["show"] is True
    assert "CALL_ID=$result[found][CALL_ID]" in unquote(portal.requests[0].params["cmd"]["show"])
    with pytest.raises(ValueError, match="halt=True"):
        client.batch({**commands, "end": Command("finish", {"CALL_ID": Ref("found")}, str)}, halt=False)


def _followed(client: Bitrix24) -> tuple[Parcel, Parcel]:
    """A search, and what stands behind it and refers to what it finds."""
    first = client.parcel({"search": Command("find", {}, str)}, lane="caller")
    follower = client.parcel(
        {"show": telephony.show("17.1", [Ref("search", "0")])},
        lane="card", behind=first, apart=lambda: {"show": telephony.show("17.1", [12])},
    )  # fmt: skip
    return first, follower


def test_in_a_shared_batch_a_reference_follows_the_command_it_means(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({"p0_search": "x", "p1_show": True})]
    first, follower = _followed(client)
    client.submit(first, follower)
    assert follower.future.result(5)["show"] is True
    assert "USER_ID[0]=$result[p0_search][0]" in unquote(portal.requests[0].params["cmd"]["p1_show"])


def test_a_reference_deep_in_the_parameters_follows_too(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({"p0_search": [], "p1_deep": True})]
    first = client.parcel({"search": Command("find", {}, list)}, lane="caller")
    deep: Command[Any] = Command("m", {"F": {"0": {"ID": [Ref("search", "0")]}}}, bool, harmless=True)
    follower = client.parcel({"deep": deep}, lane="card", behind=first, apart=lambda: {"deep": Command("m", {}, bool)})
    client.submit(first, follower)
    assert follower.future.result(5)["deep"] is True
    assert "F[0][ID][0]=$result[p0_search][0]" in unquote(portal.requests[0].params["cmd"]["p1_deep"])


def test_who_leaves_without_the_parcel_before_it_refers_to_nothing(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"result": "x"}), answers({"result": True})]
    first, follower = _followed(client)
    client.submit(first)
    assert first.future.result(5)["search"] == "x"
    client.submit(follower)
    assert follower.future.result(5)["show"] is True
    assert portal.requests[1].params == {"CALL_ID": "17.1", "USER_ID": [12]}


@pytest.mark.parametrize("halt", [True, False])
def test_a_missing_answer_is_lost(portal: ScriptedPortal, client: Bitrix24, halt: bool) -> None:
    portal.steps = [batch({"k1": 1, "stranger": 5})]
    result = client.batch(_commands(2), halt=halt)
    assert isinstance(result.error("k0"), AnswerLost)
    assert result["k1"] == 1
    assert "stranger" not in result


def test_a_missing_answer_before_a_halt_is_lost_too(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({}, {"k1": {"error": "X"}})]
    result = client.batch(_commands(3), halt=True)
    assert [type(result.error(key)) for key in ("k0", "k2")] == [AnswerLost, NotRun]


def test_without_halt_a_missing_answer_behind_a_failed_one_is_lost(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({}, {"k0": {"error": "X"}})]
    result = client.batch(_commands(2), halt=False)
    assert type(result.error("k1")) is AnswerLost


def test_an_unreadable_answer_of_one_command_does_not_count_as_a_halt(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({"reg": "odd"})]
    commands: dict[str, Command[Any]] = {
        "reg": telephony.register({"USER_ID": 1, "PHONE_NUMBER": "+7", "TYPE": 2}),
        "show": telephony.show(Ref("reg", "CALL_ID"), [1]),
    }
    result = client.batch(commands, halt=True)
    assert isinstance(result.error("reg"), UnreadableAnswer)
    assert isinstance(result.error("show"), AnswerLost)


def test_keys_of_digits_come_back_as_a_list(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch(["a", "b"], result_total=[120, 3], result_next=[50])]
    commands = {str(i): Command("m", {}, lambda result: result) for i in range(2)}
    result = client.batch(commands, halt=False)
    assert (result["0"], result["1"]) == ("a", "b")
    assert (result.answer("0").total, result.answer("0").next, result.answer("1").next) == (120, 50, None)


def test_limits_of_a_method_are_told_inside_a_batch(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [
        batch({}, {"k0": {"error": "operation_time_limit"}, "k1": {"error": "insufficient_scope"}}),
    ]
    result = client.batch(_commands(2), halt=False)
    assert isinstance(result.error("k0"), MethodBlocked)
    assert isinstance(result.error("k1"), ScopeMissing)


def test_a_refusal_inside_a_batch_does_not_repeat_the_secret(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [batch({}, {"k0": {"error": "X", "error_description": f"see {portal.webhook}"}, "k1": "odd"})]
    result = client.batch(_commands(2), halt=False)
    assert SECRET not in repr(result.error("k0"))
    assert "***" in str(result.error("k0"))
    assert "odd" in str(result.error("k1"))


def test_times_of_single_commands_are_learnt(portal: ScriptedPortal, client: Bitrix24) -> None:
    times = {"k0": {"duration": 0.25, "operating": 12.5}, "k1": {"start": 5, "finish": 5.5}, "k2": "odd"}
    portal.steps = [batch({"k0": 1, "k1": 1, "k2": 1}, result_time=times)]
    client.batch(_commands(3), halt=False)
    assert client.durations.typical("M0") == 0.25
    assert client.durations.typical("m1") == 0.5
    assert client.durations.typical("m2") is None
    operating = client.durations.operating("m0")
    assert operating is not None
    assert (operating.spent_s, operating.reset_at) == (12.5, None)


@pytest.mark.parametrize("result", ["text", 5, True, {"result": "x"}, {"result": {}, "result_error": 7}])
def test_an_answer_that_is_no_batch_answer_is_lost(portal: ScriptedPortal, client: Bitrix24, result: object) -> None:
    portal.steps = [answers({"result": result})]
    with pytest.raises(AnswerLost):
        client.batch(_commands(2), halt=False)


def test_an_empty_batch_answer_loses_every_command(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"result": []})]
    result = client.batch(_commands(2), halt=True)
    assert all(isinstance(result.error(key), AnswerLost) for key in result)


def test_a_batch_with_a_side_effect_is_not_repeated(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = hangs_up
    commands = {**_commands(2, idempotent=True), "w": Command("w", {}, lambda result: result)}
    with pytest.raises(AnswerLost):
        client.batch(commands, halt=False)
    assert len(portal.requests) == 1


def test_a_batch_of_questions_is_repeated(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [hangs_up, batch({"k0": 1, "k1": 2})]
    assert client.batch(_commands(2, idempotent=True), halt=False)["k0"] == 1


def test_a_batch_refused_by_the_bucket_is_sent_again(portal: ScriptedPortal) -> None:
    portal.steps = [refuses("QUERY_LIMIT_EXCEEDED", "Too many requests", "503 Busy"), batch({"k0": 1, "k1": 2})]
    with Bitrix24(portal.webhook, budget=Budget(rate=50, burst=50)) as client:
        assert client.batch(_commands(2), halt=False)["k0"] == 1


def test_a_batch_refused_too_long_raises_within_the_callers_time(portal: ScriptedPortal) -> None:
    portal.otherwise = refuses("QUERY_LIMIT_EXCEEDED", "", "503 Busy")
    with (
        Bitrix24(portal.webhook, budget=Budget(rate=0.5, burst=50)) as client,
        pytest.raises((RateLimited, BudgetExhausted)) as caught,
    ):
        client.batch(_commands(1), halt=False, timeout_s=0.5)
    assert not caught.value.maybe_done
    assert len(portal.requests) == 1
