"""Whatever is said and however it is torn, the same words and the same answers arrive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi import wire
from agi.wire import AGIEnvironmentError, quote
from tests.agi.peer import environment, heard_in_pieces, words

TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\ \t\r\n\0$,()')), max_size=40)


@given(st.lists(TEXT, max_size=6))
def test_asterisk_splits_what_was_quoted_into_the_same_words(values: list[str]) -> None:
    line = wire.encode(" ".join(["VERBOSE", *map(quote, values)]))
    assert words(line) == [b"VERBOSE", *(wire.one_line(value).encode() for value in values)]


@given(st.binary(max_size=40))
def test_bytes_arrive_as_they_are(value: bytes) -> None:
    (word,) = words(wire.encode(quote(value)))
    assert word == value.translate(bytes.maketrans(b"\r\n\0", b"   "))


@given(st.text(st.characters(), max_size=20))
def test_any_text_makes_one_line_and_one_word(value: str) -> None:
    assert len(words(wire.encode(f"NOOP {quote(value)}"))) == 2


# An answer is torn at any byte, except just after `)` + line end inside a value: that cannot be told from its end.
VALUE = TEXT.map(lambda text: text.replace(")\n", ") "))
PLAIN = st.tuples(st.just("GET"), VALUE, st.booleans(), st.booleans(), st.lists(st.integers(0, 200), max_size=4))
KINDS = st.sampled_from(["unset", "done", "usage", "announced"])
OTHER = st.tuples(KINDS, st.just(""), st.booleans(), st.booleans(), st.lists(st.integers(0, 200), max_size=4))
Step = tuple[str, str, bool, bool, list[int]]


def answer(kind: str, text: str) -> bytes:
    """What Asterisk says."""
    return {
        "GET": f"200 result=1 ({text})\n".encode(),
        "unset": b"200 result=0\n",
        "done": b"200 result=1\n",
        "usage": b"520-Invalid command syntax.  Proper usage follows:\nUsage: X\n520 End of proper usage.\n",
        "announced": b"100 result=0 Trying...\n200 result=0\n",
    }[kind]


def torn(raw: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`raw` in pieces that are not empty."""
    begin = 0
    for cut in sorted({cut % len(raw) for cut in cuts} - {0}):
        yield raw[begin:cut]
        begin = cut
    yield raw[begin:]


@settings(max_examples=300)
@given(st.lists(st.one_of(PLAIN, OTHER), max_size=6))
def test_answers_never_shift(steps: list[Step]) -> None:
    pieces = [environment()]
    for kind, text, hangup_before, hangup_after, cuts in steps:
        raw = answer(kind, text)
        pieces += torn(b"HANGUP\n" * hangup_before + raw + b"HANGUP\n" * hangup_after, cuts)
    with heard_in_pieces(pieces) as session:
        for kind, text, _before, _after, _cuts in steps:
            if kind in ("GET", "unset"):
                assert session.get_variable("A") == text
            elif kind == "done":
                session.set_variable("A", "x")
            elif kind == "announced":
                assert session.execute("GOSUB", "a")["result"][0] == "0"
            else:
                with pytest.raises(wire.AGIUsageError, match="End of"):
                    session.execute("X")
        before_the_last = steps[:-1] if steps else []
        if any(before or after for _, _, before, after, _ in before_the_last):
            assert session.hung_up


@given(TEXT, st.booleans())
def test_a_value_in_one_piece_is_exact_whatever_it_holds(text: str, hangup: bool) -> None:
    with heard_in_pieces(
        [environment(), f"200 result=1 ({text})\n".encode() + b"HANGUP\n" * hangup, b"200 result=0\n"]
    ) as s:
        assert s.get_variable("A") == text
        assert s.get_variable("B") == ""
        assert s.hung_up is hangup


@given(st.binary(max_size=300), st.booleans())
def test_no_answer_makes_the_reader_fail(raw: bytes, expects_value: bool) -> None:
    reply = wire.take_reply(raw, expects_value)
    if reply is not None:
        assert reply.code != 100
        wire.results(reply.text)


@given(st.binary(max_size=300).map(lambda tail: b"agi_network: yes\n" + tail))
def test_no_environment_makes_its_reader_fail(raw: bytes) -> None:
    found = wire.environment(raw)
    assert all(len(text) <= 1024 for text in found.values())
    assert isinstance(wire.hook_name(raw), str)
    assert wire.arguments(raw)[-1:] != ("",)
    try:
        wire.environment_end(raw)
    except AGIEnvironmentError:
        raise AssertionError("a small environment is not too large") from None


@given(TEXT.filter(str.strip), st.lists(st.integers(0, 600), max_size=6))
def test_any_callers_name_leaves_hook_and_arguments_alone(name: str, cuts: list[int]) -> None:
    whole = environment("1.1", "did", agi_calleridname=name)
    with heard_in_pieces(list(torn(whole, cuts))) as session:
        assert (session.hook, session.args) == ("inbound", ("1.1", "did"))
