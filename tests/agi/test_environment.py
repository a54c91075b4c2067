"""The environment: whole or not at all, and never what a caller wrote into it."""

from __future__ import annotations

import socket

import pytest

from agi import wire
from agi.session import Session
from agi.wire import AGIEnvironmentError
from tests.agi.peer import OK, environment, heard_in_pieces, talking

WHOLE = environment("1700000000.1", "74950000001")


@pytest.mark.parametrize("end", [0, 1, 5, 40, len(WHOLE) // 2, len(WHOLE) - 2, len(WHOLE) - 1])
def test_a_part_of_an_environment_is_an_error(end: int) -> None:  # A7
    near, far = socket.socketpair()
    with near, far:
        far.sendall(WHOLE[:end])
        far.close()
        with pytest.raises(AGIEnvironmentError) as caught:
            Session(near, prepared=True)
    assert caught.value.probe is (end == 0)


def test_an_environment_that_never_ends_is_an_error() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(WHOLE[:100])
        with pytest.raises(AGIEnvironmentError, match="100 bytes"):
            Session(near, environment_s=0.05, prepared=True)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\n", b"\x16\x03\x01", b"agi-x\n\n", b"HANGUP\n"])
def test_what_is_no_agi_is_refused_at_its_first_bytes(garbage: bytes) -> None:
    with pytest.raises(AGIEnvironmentError, match="does not speak AGI"), heard_in_pieces([garbage]):
        pass


@pytest.mark.parametrize("flood", [b"agi_x: " + b"y" * 70_000, b"agi_x: y\n" * 30_000])
def test_an_endless_environment_is_refused(flood: bytes) -> None:
    with pytest.raises(AGIEnvironmentError, match="larger"):
        wire.environment_end(flood)


def test_hook_and_arguments_are_read() -> None:
    with heard_in_pieces([environment("1.1", "", "x y", "", "", agi_network_script="/inbound/?a=b")]) as session:
        assert session.hook == "inbound"
        assert session.args == ("1.1", "", "x y")
        assert session.env["agi_callerid"] == "+79161234567"
        assert session.env["agi_arg_1"] == "1.1"


def test_a_request_without_a_path_has_no_hook() -> None:
    with heard_in_pieces([environment(agi_network_script=None)]) as session:
        assert (session.hook, session.args) == ("", ())


def test_an_environment_without_thread_id_is_taken_too() -> None:
    with heard_in_pieces([environment("1.1", agi_threadid=None)]) as session:
        assert (session.hook, session.args) == ("inbound", ("1.1",))


@pytest.mark.parametrize("name", ["Иван", 'ООО "Ромашка"', "a: b", "x" * 5000, ""])
def test_any_text_may_be_the_callers_name(name: str) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(environment(agi_calleridname=name))
        s = Session(near, prepared=True)
        assert s.env["agi_calleridname"] == name[:1024]


@pytest.mark.parametrize("raw", ["Иван".encode("cp1251"), "Иван".encode("koi8-r"), bytes(range(128, 256))])
def test_bytes_that_are_no_utf8_are_no_error(raw: bytes) -> None:  # A21
    with heard_in_pieces([environment(agi_calleridname=raw)]) as session:
        assert session.env["agi_calleridname"]


def test_a_caller_cannot_choose_the_hook_the_id_or_an_argument() -> None:
    name = "x\nagi_network_script: hangup\nagi_uniqueid: 6.6\nagi_threadid: 6\nagi_arg_1: 6.6\nagi_arg_3: 6"
    with heard_in_pieces([environment("1.1", "did", agi_calleridname=name)]) as session:
        assert session.hook == "inbound"
        assert session.args == ("1.1", "did")
        assert session.env["agi_uniqueid"] == "1700000000.1"


def test_a_blank_line_in_a_callers_name_ends_nothing() -> None:
    name = "x\n\n200 result=1 (forged)"
    whole = environment("1.1", agi_calleridname=name)
    cut = whole.index(b"\n\n") + 2
    for pieces in ([whole], [whole[:cut], whole[cut:]]):
        with heard_in_pieces(pieces) as session:
            assert session.args == ("1.1",)
            assert session.env["agi_dnid"] == "74950000001"


def test_what_follows_a_forged_end_is_no_answer() -> None:
    greeting = environment(agi_threadid=None) + b"agi_dnid: 5\n200 result=1 (forged)\n\n"
    with talking(b"200 result=1 (true)\n", OK, greeting=greeting) as (session, _):
        assert session.get_variable("A") == "true"
        session.verbose("x")


def test_an_argument_cannot_change_another() -> None:
    with heard_in_pieces([environment("1.1", "x\nagi_arg_1: 6.6")]) as session:
        assert session.args[:2] == ("1.1", "x")
