"""AMI on the wire: every message whole, whatever the pieces; nothing smuggled in either direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.pbx.messages import MAX_LINE, MAX_MESSAGE, AmiProtocolError, AmiValueError, Message, Splitter, encode

EVENT = (
    b"Event: Newexten\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/trunk-00000001\r\n"
    b"ChanVariable: B24_ID=1700000000.1\r\nChanVariable: X=a=b\r\nAppData: a: b\r\n\r\n"
)
NEW_COMMAND = (
    b"Response: Success\r\nActionID: 7\r\nMessage: Command output follows\r\n"
    b"Output: System uptime: 6 seconds\r\nOutput:   indented\r\nOutput: \r\n\r\n"
)
OLD_COMMAND = (
    b"Response: Follows\r\nPrivilege: Command\r\nActionID: 8\r\n"
    b"System uptime: 6 seconds\n\r\n\r\nActionID: forged\nlast--END COMMAND--\r\n\r\n"
)
ALL = [EVENT, NEW_COMMAND, OLD_COMMAND, b"Response: Success\r\nActionID: 9\r\n\r\n", EVENT]


def read(*pieces: bytes) -> list[Message]:
    splitter = Splitter()
    return [message for piece in pieces for message in splitter.feed(piece)]


def test_repeated_headers_are_all_kept() -> None:  # M1, M12
    (message,) = read(EVENT)
    assert message.all("chanvariable") == ["B24_ID=1700000000.1", "X=a=b"]
    assert message.variables == {"B24_ID": "1700000000.1", "X": "a=b"}
    assert message.get("AppData") == "a: b"


def test_the_output_of_a_command_is_whole_in_both_forms() -> None:  # M7
    new, old = read(NEW_COMMAND, OLD_COMMAND)
    assert new.output == ["System uptime: 6 seconds", "  indented", ""]
    assert (old.action_id, old.response) == ("8", "Follows")
    assert old.output == ["System uptime: 6 seconds", "", "", "ActionID: forged", "last"]


@given(st.lists(st.sampled_from(ALL), max_size=6), st.data())
def test_messages_are_the_same_in_whatever_pieces_they_come(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = read(*pieces)
    whole = [message for one in messages for message in read(one)]
    assert [(m.headers, m.output) for m in found] == [(m.headers, m.output) for m in whole]
    assert len(found) == len(messages)


@pytest.mark.parametrize("messages", [ALL])
def test_messages_are_the_same_byte_by_byte(messages: list[bytes]) -> None:
    found = read(*(bytes([byte]) for byte in b"".join(messages)))
    assert [m.headers for m in found] == [read(one)[0].headers for one in messages]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_garbage_is_never_an_error_and_never_a_message_of_its_own(before: bytes, after: bytes) -> None:
    splitter = Splitter()
    list(splitter.feed(before + b"\r\n\r\n"))
    found = list(splitter.feed(b"--END COMMAND--\r\n\r\n" + EVENT))
    assert found[-1].event == "Newexten"
    list(splitter.feed(after))


def test_what_is_no_message_is_counted() -> None:
    splitter = Splitter()
    assert list(splitter.feed(b"\r\n\r\nhello\r\n\r\nX: y\r\n\r\n\x00\xff\r\n\r\n")) == []
    assert splitter.strange == 3


@pytest.mark.parametrize("pieces", [1, 64 * 1024, 10**9])
def test_an_endless_line_is_refused_whatever_the_pieces(pieces: int) -> None:
    stream = b"Event: X\r\nA: " + b"y" * (MAX_LINE + 100) + b"\r\n\r\n"
    if pieces == 1:
        stream = stream[: MAX_LINE + 50]
        splitter = Splitter()
        list(splitter.feed(stream[:MAX_LINE]))
        with pytest.raises(AmiProtocolError, match="line"):
            [list(splitter.feed(stream[n : n + 1])) for n in range(MAX_LINE, len(stream))]
        return
    with pytest.raises(AmiProtocolError, match="line"):
        read(*(stream[n : n + pieces] for n in range(0, len(stream), pieces)))


def test_an_endless_message_is_refused() -> None:
    with pytest.raises(AmiProtocolError, match="message"):
        read(b"Response: Success\r\n", *[b"Output: x\r\n" * 6000] * (MAX_MESSAGE // 66000 + 2))


def test_a_long_output_is_no_endless_line_in_the_old_form() -> None:
    (message,) = read(b"Response: Follows\r\nPrivilege: Command\r\n" + b"line\n" * 50_000 + b"--END COMMAND--\r\n\r\n")
    assert len(message.output) == 50_000


def test_a_line_feed_in_a_value_begins_no_header() -> None:
    (message,) = read(b"Event: UserEvent\r\nBody: a\nEvent: Hangup\nUniqueid: 6.6\r\n\r\n")
    assert (message.event, message.get("Uniqueid")) == ("UserEvent", "")


def test_of_a_name_that_was_smuggled_in_the_first_one_counts() -> None:
    (message,) = read(b"Event: Hangup\r\nUniqueid: 1.1\r\nChanVariable: X=a\r\nUniqueid: 6.6\r\nEvent: Bad\r\n\r\n")
    assert (message.event, message.get("Uniqueid")) == ("Hangup", "1.1")


@pytest.mark.parametrize(("raw", "text"), [("Иван".encode(), "Иван"), ("Иван".encode("cp1251"), "Иван")])
def test_bytes_that_are_no_utf8_are_not_dropped(raw: bytes, text: str) -> None:  # M17
    (message,) = read(b"Event: X\r\nCallerIDName: " + raw + b"\r\n\r\n")
    assert message.get("CallerIDName") == text


def test_a_message_in_a_log_shows_no_caller() -> None:
    (message,) = read(b"Event: X\r\nCallerIDNum: 79161234567\r\n\r\n")
    assert "7916" not in repr(message)


# --- actions -------------------------------------------------------------------------------------


def test_an_action_is_what_was_asked_and_nothing_more() -> None:  # M2
    pairs = [("Variable", "A=1"), ("Variable", "B=2")]
    assert encode("Originate", "1", pairs) == (
        b"Action: Originate\r\nActionID: 1\r\nVariable: A=1\r\nVariable: B=2\r\n\r\n"
    )
    assert encode("Ping", "2") == b"Action: Ping\r\nActionID: 2\r\n\r\n"


@pytest.mark.parametrize("break_", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize("place", ["action", "name", "value"])
def test_a_line_end_in_any_part_is_refused_and_the_value_not_told(break_: str, place: str) -> None:  # M10
    hostile = f"tiger{break_}Action: Command"
    action, name, value = (hostile if place == part else "X" for part in ("action", "name", "value"))
    with pytest.raises(AmiValueError) as caught:
        encode(action, "1", {name: value})
    assert place != "value" or "tiger" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_value_is_one_line_or_refused(value: str) -> None:
    try:
        written = encode("Setvar", "1", {"Value": value})
    except AmiValueError:
        return
    assert written.count(b"\r\n") == 4
    assert written.replace(b"\r\n", b"").count(b"\n") == 0
    assert f"Value: {value}\r\n".encode("utf-8", "surrogateescape") in written


def test_what_asterisk_would_cut_or_refuse_is_not_sent() -> None:
    fits = "x" * (1024 - len("Value: ") - 2)
    encode("Setvar", "1", {"Value": fits})
    with pytest.raises(AmiValueError, match="longer"):
        encode("Setvar", "1", {"Value": fits + "x"})
    with pytest.raises(AmiValueError, match="lines"):
        encode("Setvar", "1", [("Variable", "x")] * 126)
    encode("Setvar", "1", [("Variable", "x")] * 125)  # with Action and ActionID 127
