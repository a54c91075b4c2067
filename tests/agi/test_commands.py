"""pyst2's commands: every argument arrives as one word, and every result means what it says."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agi.session import Session
from agi.wire import AGIAppError, AGIDBError, AGIError, AGIHangup, quote
from tests.agi.peer import OK, environment, talking, words

DONE = b"200 result=0\n"


def sent(call: Callable[[Session], Any], answer: bytes = DONE) -> list[bytes]:
    """The words Asterisk makes of the one command `call` sends."""
    with talking(answer) as (session, asterisk):
        call(session)
        session.close()
        (command,) = asterisk.wait().commands
    return words(command)


AWKWARD = 'a "b" \\c, d'
WORD = AWKWARD.encode()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda s: s.stream_file(AWKWARD, "1#", 5), [b"STREAM", b"FILE", WORD, b"1#", b"5"]),
        (lambda s: s.stream_file("x", [1, "2"]), [b"STREAM", b"FILE", b"x", b"12", b"0"]),
        (lambda s: s.get_option(AWKWARD, "1", 9), [b"GET", b"OPTION", WORD, b"1", b"9"]),
        (lambda s: s.get_data(AWKWARD, 1000, 4), [b"GET", b"DATA", WORD, b"1000", b"4"]),
        (lambda s: s.send_image(AWKWARD), [b"SEND", b"IMAGE", WORD]),
        (lambda s: s.set_context(AWKWARD), [b"SET", b"CONTEXT", WORD]),
        (lambda s: s.set_extension(AWKWARD), [b"SET", b"EXTENSION", WORD]),
        (lambda s: s.set_priority("a b"), [b"SET", b"PRIORITY", b"a b"]),
        (lambda s: s.set_callerid('"Ivan" <7916>'), [b"SET", b"CALLERID", b'"Ivan" <7916>']),
        (lambda s: s.hangup(AWKWARD), [b"HANGUP", WORD]),
        (lambda s: s.hangup(), [b"HANGUP"]),
        (lambda s: s.channel_status(AWKWARD), [b"CHANNEL", b"STATUS", WORD]),
        (lambda s: s.appexec("Playback", "hello world"), [b"EXEC", b"Playback", b"hello world"]),
        (
            lambda s: s.exec_command("Dial", "PJSIP/101", 15, None, "b(x^1)"),
            [b"EXEC", b"Dial", b"PJSIP/101,15,,b(x^1)"],
        ),
        (
            lambda s: s.say_datetime(5, "", "IMp", "Europe/Moscow"),
            [b"SAY", b"DATETIME", b"5", b"", b"IMp", b"Europe/Moscow"],
        ),
        (lambda s: s.say_alpha("a b"), [b"SAY", b"ALPHA", b"a b", b""]),
        (
            lambda s: s.record_file("/tmp/a b", "wav"),
            [b"RECORD", b"FILE", b"/tmp/a b", b"wav", b"#", b"20000", b"0", b"beep"],
        ),
        (
            lambda s: s.record_file("x", "wav", "", 500, beep="", silence=3),
            [b"RECORD", b"FILE", b"x", b"wav", b"", b"500", b"0", b"s=3"],
        ),
        (lambda s: s.database_deltree("a b", "c"), [b"DATABASE", b"DELTREE", b"a b", b"c"]),
        (lambda s: s.control_stream_file("a b"), [b"CONTROL", b"STREAM", b"FILE", b"a b", b"", b"3000", b"", b"", b""]),
        (lambda s: s.send_text("two words"), [b"SEND", b"TEXT", b"two words"]),
        (lambda s: s.wait_for_digit(100), [b"WAIT", b"FOR", b"DIGIT", b"100"]),
        (lambda s: s.noop(), [b"NOOP"]),
    ],
)  # A12
def test_every_argument_is_one_word(call: Callable[[Session], Any], expected: list[bytes]) -> None:
    assert sent(call) == expected


def test_database_commands_quote_once() -> None:  # A13
    assert sent(lambda s: s.database_get("my family", "k"), b"200 result=1 (v)\n") == [
        b"DATABASE", b"GET", b"my family", b"k",
    ]  # fmt: skip
    assert sent(lambda s: s.database_put("f", "k", AWKWARD), OK) == [b"DATABASE", b"PUT", b"f", b"k", WORD]
    assert sent(lambda s: s.database_del("f", "a b"), OK) == [b"DATABASE", b"DEL", b"f", b"a b"]


def test_deltree_succeeds_when_asterisk_answers_0() -> None:  # A14
    with talking(b"200 result=0\n", b"200 result=1\n") as (session, _):
        session.database_deltree("family")
        with pytest.raises(AGIDBError):
            session.database_deltree("family", "nothing-there")


def test_a_missing_database_key_is_told() -> None:
    with talking(b"200 result=0\n") as (session, _), pytest.raises(AGIDBError, match="family/key"):
        session.database_get("family", "key")


def test_get_data_tells_silence_from_a_lone_hash() -> None:  # A18
    answers = (b"200 result= (timeout)\n", b"200 result=\n", b"200 result=12 (timeout)\n", b"200 result=123\n")
    with talking(*answers) as (session, _):
        found = [session.get_data("prompt") for _ in answers]
    assert [(str(keys), keys.timed_out) for keys in found] == [("", True), ("", False), ("12", True), ("123", False)]


def test_record_file_returns_no_key_on_silence() -> None:  # A19
    answers = (b"200 result=0 (timeout) endpos=8000\n", b"200 result=35 (dtmf) endpos=8000\n")
    with talking(*answers) as (session, _):
        assert [session.record_file("x") for _ in answers] == ["", "#"]


def test_a_file_that_cannot_be_written_is_no_hangup() -> None:
    with talking(b"200 result=-1 (writefile)\n") as (session, _):
        with pytest.raises(AGIAppError) as caught:
            session.record_file("/nowhere/x")
        assert not isinstance(caught.value, AGIHangup)


def test_the_status_of_an_unknown_channel_is_minus_one() -> None:
    with talking(b"200 result=-1\n", b"200 result=6\n", b"200 result=-1\n") as (session, _):
        assert session.channel_status("PJSIP/none") == -1
        assert session.channel_status() == 6
        with pytest.raises(AGIAppError):
            session.hangup("PJSIP/none")


def test_an_unknown_application_is_told() -> None:
    with talking(b"200 result=-2\n", b"200 result=0\n") as (session, _):
        with pytest.raises(AGIAppError, match="NoSuchApp"):
            session.appexec("NoSuchApp")
        assert session.appexec("NoOp", "x") == "0"


def test_other_results_mean_what_pyst2_says() -> None:
    with talking(b"200 result=0\n", b"200 result=1\n", b"200 result=x\n", b"200 result=49\n") as (session, _):
        with pytest.raises(AGIAppError):
            session.tdd_mode("on")
        with pytest.raises(AGIAppError):
            session.send_image("x")
        with pytest.raises(AGIError, match="no key"):
            session.stream_file("x")
        assert session.wait_for_digit() == "1"


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, b""), (True, b"1"), (False, b"0"), (7, b"7"), (1.5, b"1.5"), (b"\xc8\xe2", b"\xc8\xe2"), ("\ud800", b"?")],
)  # A22
def test_any_kind_of_value_can_be_set(value: object, word: bytes) -> None:
    assert sent(lambda s: s.set_variable("A", value), OK) == [b"SET", b"VARIABLE", b"A", word]


@pytest.mark.parametrize("value", ['ООО "Romashka & Co" ltd', "C:\\", "path\\to", '"', '\\"', "a\tb", "", "1,2;3"])
def test_a_value_arrives_as_it_is(value: str) -> None:  # A11
    assert words(f"VERBOSE {quote(value)} 1\n".encode()) == [b"VERBOSE", value.encode(), b"1"]


def test_a_session_runs_in_any_thread_and_leaves_signals_alone() -> None:  # A3, A4
    before = signal.getsignal(signal.SIGHUP)
    found: list[str] = []

    def converse() -> None:
        with talking(b"200 result=1 (v)\n") as (session, _):
            found.append(session.get_variable("A"))

    thread = threading.Thread(target=converse)
    thread.start()
    thread.join()
    converse()
    assert found == ["v", "v"]
    assert signal.getsignal(signal.SIGHUP) is before


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:  # A26
    with talking(b"200 result=1 (secret)\n", OK, greeting=environment("a")) as (session, _):
        session.get_variable("CALLERID(name)")
        session.verbose("x")
        assert session.env["agi_arg_1"] == "a"
    assert capfd.readouterr() == ("", "")
