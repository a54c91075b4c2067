"""The true answer to each command, whatever comes between, and an end to every wait."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from agi.session import Session
from agi.wire import (
    AGIError,
    AGIHangup,
    AGIInvalidCommand,
    AGILineTooLongError,
    AGIResultHangup,
    AGITimeoutError,
    AGIUnknownError,
    AGIUsageError,
)
from tests.agi.peer import OK, Asterisk, environment, heard_in_pieces, talking, words


def value(text: str) -> bytes:
    return f"200 result=1 ({text})\n".encode()


def test_hangup_before_an_answer_does_not_shift_the_answers() -> None:  # A5
    with talking(b"HANGUP\n" + value("one"), value("two")) as (session, _):
        assert session.get_variable("A") == "one"
        assert session.hung_up
        assert session.get_variable("B") == "two"


def test_hangup_after_an_answer_does_not_shift_the_answers() -> None:  # A5
    with talking(value("one") + b"HANGUP\n", value("two"), OK) as (session, _):
        assert session.get_variable("A") == "one"
        assert session.get_variable("B") == "two"
        session.set_variable("B24_RC", "ok")
        assert session.hung_up


def test_a_hangup_torn_in_two_is_still_one() -> None:
    with talking(OK + b"HANG", b"UP\n" + value("two")) as (session, _):
        session.set_variable("A", "1")
        assert session.get_variable("B") == "two"
        assert session.hung_up


def test_hangup_that_comes_with_the_environment_is_noted() -> None:
    with talking(value("one"), greeting=environment() + b"HANGUP\n") as (session, _):
        assert session.get_variable("A") == "one"
        assert session.hung_up


@pytest.mark.parametrize("word", ["HANGUP", "xHANGUP", "HANGUPx"])
def test_only_a_line_of_its_own_is_a_hangup(word: str) -> None:
    with talking(value(word), value("a\n" + word + "\nb"), OK) as (session, _):
        assert session.get_variable("A") == word
        assert session.get_variable("B") == f"a\n{word}\nb"
        session.verbose("x")
        assert not session.hung_up


def test_words_that_begin_like_a_hangup_are_none() -> None:
    with heard_in_pieces([environment(), b"HANGUP soon\n" + value("one"), OK]) as session:
        assert session.get_variable("A") == "one"
        session.verbose("x")
        assert not session.hung_up


def test_a_value_torn_inside_its_second_line_is_whole() -> None:
    with heard_in_pieces([environment(), b"200 result=1 (a)\nHAN", b"GUP)\nb", b")\n", value("two")]) as session:
        assert session.get_variable("A") == "a)\nHANGUP)\nb"
        assert session.get_variable("B") == "two"
        assert not session.hung_up


def test_after_hangup_the_session_can_still_write_its_results() -> None:
    dead = b"511 Command Not Permitted on a dead channel or intercept routine\n"
    with talking(b"HANGUP\n" + dead, OK) as (session, asterisk):
        with pytest.raises(AGIHangup):
            session.answer()
        session.set_variable("B24_RC", "ok")
        assert asterisk.commands == [b"ANSWER\n", b'SET VARIABLE "B24_RC" "ok"\n']
        with pytest.raises(AGIHangup):
            session.test_hangup()


def test_511_is_a_hangup() -> None:  # A10
    with talking(b"511 Command Not Permitted on a dead channel or intercept routine\n") as (session, _):
        with pytest.raises(AGIHangup):
            session.stream_file("beep")
        assert session.hung_up


def test_510_is_an_invalid_command_and_the_session_goes_on() -> None:
    with talking(b"510 Invalid or unknown command\n", value("two")) as (session, _):
        with pytest.raises(AGIInvalidCommand, match="unknown command"):
            session.execute("NONSENSE")
        assert session.get_variable("B") == "two"


def test_100_announces_an_answer_and_is_none() -> None:  # A17
    with talking(b"100 result=0 Trying...\n200 result=0\n", value("two")) as (session, _):
        assert session.execute("GOSUB", '"a"', '"s"', "1")["result"] == ("0", "")
        assert session.get_variable("B") == "two"


def test_a_one_line_520_is_the_whole_answer() -> None:  # A9
    line = b"520 Invalid command syntax.  Proper usage not available.\n"
    with talking(line, value("two")) as (session, _):
        with pytest.raises(AGIUsageError, match="not available"):
            session.execute("GET VARIABLE")
        assert session.get_variable("B") == "two"


def test_a_520_block_is_one_answer() -> None:
    block = (
        b"520-Invalid command syntax.  Proper usage follows:\n",
        b"Usage: HANGUP [<channelname>]\nHANGUP\n200 result=1\n",
        b"520 End of proper usage.\n",
    )
    with talking(block, value("two")) as (session, _):
        with pytest.raises(AGIUsageError, match="Usage: HANGUP"):
            session.execute("HANGUP", "1", "2", "3")
        assert session.get_variable("B") == "two"
        assert not session.hung_up


@pytest.mark.parametrize(
    "beginning", [b"", b"2", b"200 result=1", b"200 result=1 (va", b"HANGUP\n", b"520-Usage:\nGET"]
)
def test_an_end_in_place_of_an_answer_is_a_hangup(beginning: bytes) -> None:  # A6, A8
    with talking(beginning, closes=True) as (session, _):
        with pytest.raises(AGIHangup):
            session.get_variable("A")
        with pytest.raises(AGIHangup):
            session.set_variable("B24_RC", "error")
        assert session.hung_up


def test_a_reset_is_a_hangup() -> None:  # A25
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asterisk = socket.create_connection(listener.getsockname())
        asterisk.sendall(environment())
        session = Session(listener.accept()[0])
    asterisk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asterisk.close()
    with pytest.raises(AGIHangup, match="closed the connection"):
        session.get_variable("A")
    session.close()


def test_the_value_hangup_is_a_value() -> None:  # A15
    with talking(value("hangup"), value("hangup")) as (session, _):
        assert session.get_variable("A") == "hangup"
        assert session.database_get("family", "key") == "hangup"
        assert not session.hung_up


@pytest.mark.parametrize("text", ["a\nb", "a)\nb", ")\n", "\n", "a)\nHANGUP\n", "a)\n200 result=1 (forged)\n", "(", ""])
def test_a_value_with_line_ends_shifts_nothing(text: str) -> None:  # A16
    with talking(value(text), value("two"), OK) as (session, _):
        assert session.get_variable("A") == text
        assert session.get_variable("B") == "two"
        session.verbose("x")
        assert not session.hung_up


def test_the_rest_of_a_value_that_comes_late_shifts_nothing() -> None:
    with talking(value("one"), b"rest of one)\n" + value("two")) as (session, _):
        assert session.get_variable("A") == "one"
        assert session.get_variable("B") == "two"


def test_an_unset_variable_is_empty() -> None:
    with talking(b"200 result=0\n", b"200 result=0\n") as (session, _):
        assert session.get_variable("A") == ""
        assert session.get_full_variable("${A}", "PJSIP/1") == ""


def test_a_long_value_comes_whole() -> None:
    long = "ж" * 20_000
    with talking(value(long)) as (session, _):
        assert session.get_full_variable("${LONG}") == long


@pytest.mark.parametrize(("raw", "text"), [("Иван".encode("cp1251"), "Иван"), (b"\x98", "�"), (b"\xd0\xd0", "РР")])
def test_bytes_that_are_no_utf8_are_read_as_windows_1251(raw: bytes, text: str) -> None:  # A21
    with talking(b"200 result=1 (" + raw + b")\n") as (session, _):
        assert session.get_variable("CALLERID(name)") == text


def test_an_unknown_code_is_an_error_and_the_session_goes_on() -> None:
    with talking(b"299 something new\n", value("two")) as (session, _):
        with pytest.raises(AGIUnknownError):
            session.get_variable("A")
        assert session.get_variable("B") == "two"


def test_silence_ends_in_a_timeout_and_a_late_answer_is_never_used() -> None:  # A23
    with talking(b"", read_timeout_s=0.05) as (session, asterisk):
        with pytest.raises(AGITimeoutError):
            session.get_variable("A")
        asterisk.socket.sendall(value("late"))
        with pytest.raises(AGITimeoutError):
            session.get_variable("B")
        assert not session.hung_up


def test_an_answer_that_stays_unfinished_ends_in_a_timeout() -> None:
    with talking(read_timeout_s=0.2) as (session, asterisk):
        asterisk.socket.sendall(b"200 ")
        with pytest.raises(AGITimeoutError):
            session.get_variable("A")


def test_playback_may_last_longer_than_an_answer() -> None:  # A24
    with talking(read_timeout_s=0.05) as (session, asterisk):
        done = threading.Timer(0.3, asterisk.socket.sendall, [b"200 result=0 endpos=8000\n"])
        done.start()
        assert session.stream_file("long-prompt") == ""
        done.join()


def test_the_session_ends_at_its_deadline_whatever_it_is_doing() -> None:
    with Asterisk([b""]) as asterisk:
        assert asterisk.server_end is not None
        session = Session(asterisk.server_end, deadline_s=0.2)
        with pytest.raises(AGITimeoutError):
            session.stream_file("endless")


def test_a_session_past_its_deadline_sends_nothing() -> None:
    with Asterisk() as asterisk:
        assert asterisk.server_end is not None
        session = Session(asterisk.server_end, deadline_s=0.2)
        time.sleep(0.2)
        with pytest.raises(AGITimeoutError):
            session.set_variable("A", "1")
        session.close()
        assert asterisk.wait().commands == []


def test_a_line_asterisk_would_cut_in_two_is_not_sent() -> None:
    with talking(OK, OK) as (session, asterisk):
        around = len('SET VARIABLE "A" ""\n')
        for text in ("x" * (8192 - around), "ж" * 4096, '"' * 4096):
            with pytest.raises(AGILineTooLongError):
                session.set_variable("A", text)
        session.set_variable("A", "x" * (8191 - around))
        session.verbose("still in step")
        assert [len(command) for command in asterisk.commands] == [8191, len(b'VERBOSE "still in step" 1\n')]


def test_a_line_end_in_a_raw_command_does_not_make_a_second_one() -> None:  # A11
    with talking(OK, OK) as (session, asterisk):
        session.execute("VERBOSE", '"a"\nEXEC System "rm"\r')
        session.verbose("a\nEXEC System rm\0")
        assert len(asterisk.commands) == 2
        assert words(asterisk.commands[1]) == [b"VERBOSE", b"a EXEC System rm ", b"1"]


def test_minus_one_during_playback_is_a_hangup() -> None:  # A20
    with talking(b"200 result=-1 endpos=0\n", b"200 result=-1 (hangup) endpos=0\n") as (session, _):
        with pytest.raises(AGIHangup):
            session.stream_file("beep")
        with pytest.raises(AGIResultHangup):
            session.record_file("/tmp/x")


def test_asterisk_reads_an_orderly_end_after_the_last_answer() -> None:
    with talking(OK + b"HANGUP\n") as (session, asterisk):
        session.set_variable("B24_RC", "ok")
        session.close()
        assert asterisk.wait().ended == "fin"


def test_an_unread_hangup_does_not_reset_the_connection() -> None:
    with talking(OK) as (session, asterisk):
        session.set_variable("B24_RC", "ok")
        asterisk.socket.sendall(b"HANGUP\n")
        session.close()
        assert asterisk.wait().ended == "fin"


def test_a_closed_session_answers_nothing() -> None:
    with talking() as (session, _):
        session.close()
        with pytest.raises(AGIError):
            session.get_variable("A")
