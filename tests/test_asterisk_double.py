"""The played Asterisk speaks as res_agi.c does."""

from __future__ import annotations

import socket
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi.wire import quote
from itgrix_bx.emulator.asterisk import AgiCall, AsteriskDouble, split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SET VARIABLE A b", ["SET", "VARIABLE", "A", "b"]),
        ('SET VARIABLE A "b c"', ["SET", "VARIABLE", "A", "b c"]),
        ('A "say \\"hi\\"" b\\ c', ["A", 'say "hi"', "b c"]),
        ('A "" b', ["A", "", "b"]),
        ('A x"y z"w', ["A", "xy zw"]),
        ("  A \t b  ", ["A", "b"]),
    ],
)
def test_words_are_split_by_res_agis_rules(line: str, words: list[str]) -> None:
    assert split(line) == words


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"])), min_size=1))
def test_what_the_session_quotes_arrives_as_the_same_words(words: list[str]) -> None:
    assert split(" ".join(quote(word) for word in words)) == words


@pytest.fixture
def server() -> Iterator[Callable[[list[bytes]], tuple[str, int]]]:
    """A server that sends the given commands one by one and keeps the answers."""
    listeners: list[socket.socket] = []

    def make(commands: list[bytes]) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                while lines.readline().strip():
                    pass
                for command in commands:
                    connection.sendall(command + b"\n")
                    make.answers.append(lines.readline())  # type: ignore[attr-defined]
                    if make.answers[-1].startswith(b"HANGUP"):  # type: ignore[attr-defined]
                        make.answers.append(lines.readline())  # type: ignore[attr-defined]

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[:2]  # type: ignore[no-any-return]

    make.answers = []  # type: ignore[attr-defined]
    yield make
    for listener in listeners:
        listener.close()


def test_variables_and_functions_are_answered_and_settings_kept(server: Callable[..., tuple[str, int]]) -> None:
    address = server([b"GET VARIABLE CDR(start,u)", b"GET VARIABLE NONE", b'SET VARIABLE "X" "a b"', b"BLAH"])
    call = AgiCall(address, "inbound", ["1"], variables={"CDR(start,u)": "1.5"})
    assert call.run() == {"X": "a b"}
    assert server.answers == [  # type: ignore[attr-defined]
        b"200 result=1 (1.5)\n", b"200 result=0\n", b"200 result=1\n", b"510 Invalid or unknown command\n",
    ]  # fmt: skip


def test_a_hangup_comes_in_band_and_the_answer_still_follows(server: Callable[..., tuple[str, int]]) -> None:
    address = server([b"GET VARIABLE A", b"ANSWER"])
    AgiCall(address, "inbound", ["1"], variables={"A": "x"}, hangup_after=0).run()
    assert server.answers[:2] == [b"HANGUP\n", b"200 result=1 (x)\n"]  # type: ignore[attr-defined]
    assert server.answers[2].startswith(b"511 ")  # type: ignore[attr-defined]


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()[:2]
    with pytest.raises(OSError):
        AsteriskDouble(address, Path("/nonexistent")).inbound("x", "1", "2")


def test_a_played_recording_is_real_audio(tmp_path: Path) -> None:
    from itgrix_bx.emulator.asterisk import _tone

    with wave.open(str(_tone(tmp_path / "a/b.wav", 2.0))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 16000)
