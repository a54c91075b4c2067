"""AGI on the wire, without any I/O: how a word is quoted, where an answer ends, what it says.

The rules are those of Asterisk's res/res_agi.c (splitter, answers, environment), not of the AGI specification,
which says nothing about quotes inside values, `100` lines, one-line `520` or an in-band `HANGUP`.

    AGIException                    pyst2's root
    └── AGIError                    pyst2
        ├── AGIEnvironmentError     the environment never came, is cut short, or is no AGI environment
        ├── AGITimeoutError         Asterisk did not answer in time; the session cannot be used any more
        ├── AGILineTooLongError     a command Asterisk would cut in two; nothing was sent
        ├── AGIUnknownError         pyst2: an answer that is none
        ├── AGIInvalidCommand       pyst2: 510
        ├── AGIUsageError           pyst2: 520
        └── AGIAppError             pyst2: the command failed
            └── AGIHangup           pyst2: 511, or Asterisk closed the connection
"""

from __future__ import annotations

from dataclasses import dataclass

from asterisk.agi import (
    AGIAppError,
    AGIDBError,
    AGIError,
    AGIException,
    AGIHangup,
    AGIInvalidCommand,
    AGIResultHangup,
    AGISIGPIPEHangup,
    AGIUnknownError,
    AGIUsageError,
)

__all__ = [
    "AGIAppError",
    "AGIDBError",
    "AGIEnvironmentError",
    "AGIError",
    "AGIException",
    "AGIHangup",
    "AGIInvalidCommand",
    "AGILineTooLongError",
    "AGIResultHangup",
    "AGISIGPIPEHangup",
    "AGITimeoutError",
    "AGIUnknownError",
    "AGIUsageError",
    "Reply",
    "arguments",
    "decode",
    "encode",
    "environment",
    "environment_end",
    "hook_name",
    "one_line",
    "quote",
    "results",
    "take_reply",
    "unsolicited",
]

MAX_COMMAND = 8192  # res_agi.c AGI_BUF_LEN: of a longer line the tail would be run as a command of its own
MAX_LINE = 64 * 1024
MAX_INCOMING = 256 * 1024
MAX_VALUE = 1024
_BLANK = " \t\r\v\f"
NOT_YET = -1
PERHAPS = -2

_THREAD_ID = b"\nagi_threadid: "
_HANGUP = b"HANGUP\n"


class AGIEnvironmentError(AGIError):  # type: ignore[misc]
    """The peer did not send a whole AGI environment. `probe` is true when it sent nothing at all."""

    def __init__(self, message: str, *, probe: bool = False) -> None:
        super().__init__(message)
        self.probe = probe


class AGITimeoutError(AGIError):  # type: ignore[misc]
    """Asterisk did not answer, or the session's own deadline has passed."""


class AGILineTooLongError(AGIError):  # type: ignore[misc]
    """The command is longer than Asterisk reads. Nothing was sent, the session goes on."""


def quote(value: object) -> str:
    """`value` as one word for Asterisk's splitter: quoted, `\\` and `"` escaped, a line end becomes a space.

    None is the empty word, True is 1 and False 0 (a dialplan compares numbers), bytes arrive as they are.
    """
    text = value if isinstance(value, str) else _text(value)
    if text.isalnum():
        return f'"{text}"'
    # `replace` returns the same object when there is nothing to do, so the common value costs five searches.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{one_line(escaped)}"'


def one_line(text: str) -> str:
    """`text` without anything that ends a command."""
    # NUL would end the line for Asterisk's C strings and leave the quote open.
    return text.replace("\n", " ").replace("\r", " ").replace("\0", " ")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    return str(value)


def encode(line: str) -> bytes:
    """A command (one line, its words quoted) as bytes, with its line end. Raises AGILineTooLongError."""
    try:
        sent = line.encode("utf-8", "surrogateescape") + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair: no character at all
        sent = line.encode("utf-8", "replace") + b"\n"
    if len(sent) >= MAX_COMMAND:
        raise AGILineTooLongError(f"a command of {len(sent)} bytes is longer than Asterisk reads ({MAX_COMMAND - 1})")
    return sent


def decode(raw: bytes) -> str:
    """Text from Asterisk: UTF-8, else Windows-1251; never an error, whatever the caller's telephone sent."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1251", "replace")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its code, the text after the code, whether HANGUP came with it, and the bytes after it."""

    code: int
    text: bytes
    hung_up: bool
    rest: bytes


def take_reply(received: bytes, expects_value: bool) -> Reply | None:
    """The answer in `received`, or None while it is incomplete.

    `expects_value`: the answer may be `200 result=1 (any bytes, line ends too)`. Lines that are no answer are passed
    over: with one command outstanding they can only be HANGUP, `100`, or the rest of an earlier value.
    """
    hung_up, start = False, 0
    while (end := received.find(b"\n", start)) >= 0:
        line = received[start:end]
        code = _code(line)
        if line == b"HANGUP":
            hung_up = True
        elif line.startswith(b"520-"):
            return _usage(received, start, hung_up)
        elif expects_value and line.startswith(b"200 result=1 ("):
            return _value(received[start:], hung_up)
        elif code and code != 100:
            return Reply(code, line[4:], hung_up, received[end + 1 :])
        start = end + 1
    return None


def _code(line: bytes) -> int:
    return int(line[:3]) if line[:3].isdigit() and line[3:4] in (b" ", b"") and len(line) > 2 else 0


def _usage(received: bytes, start: int, hung_up: bool) -> Reply | None:
    last = received.find(b"\n520 ", start)
    end = received.find(b"\n", last + 1) if last >= 0 else -1
    if end < 0:
        return None
    return Reply(520, received[start:end], hung_up, received[end + 1 :])


def _value(answer: bytes, hung_up: bool) -> Reply | None:
    # Asterisk says nothing unasked but HANGUP, so everything received belongs to this value: it ends at the last
    # `)` + line end, not at the first, and a lone HANGUP before that is part of it.
    told = answer
    while told.endswith(b"\n" + _HANGUP):
        told = told[: -len(_HANGUP)]
    if not told.endswith(b")\n"):
        return None
    return Reply(200, told[4:-1], hung_up or told != answer, b"")


def unsolicited(rest: bytes) -> tuple[bool, bytes]:
    """What came after an answer, at the time of the next command: (HANGUP was there, the unfinished last line)."""
    *lines, tail = rest.split(b"\n")
    return b"HANGUP" in lines, tail


def results(text: bytes) -> dict[str, tuple[str, str]]:
    """`result=1 (value) endpos=5` as pyst2 returns it: {"result": ("1", "value"), "endpos": ("5", "")}."""
    found = {"result": ("", "")}
    rest = decode(text)
    while "=" in rest:
        key, _, rest = rest.partition("=")
        value, _, rest = rest.partition(" ")
        note = ""
        if rest.startswith("("):
            note, rest = _note(rest)
        found[key.strip()] = (value, note)
    return found


def _note(rest: str) -> tuple[str, str]:
    # `(dtmf) endpos=5` ends at the first bracket; a value that fills the answer, at the last.
    end = len(rest) - 1 if rest.endswith(")") else rest.find(")")
    return (rest[1:end], rest[end + 1 :]) if end > 0 else (rest[1:], "")


def environment_end(received: bytes) -> int:
    """Where the blank line that ends the environment begins; NOT_YET, or PERHAPS and then it may be a caller's.

    Raises AGIEnvironmentError for what cannot become an environment. A caller's name may hold a blank line, and
    Asterisk writes line by line: the end is certain only after `agi_threadid`, the last line it always sends.
    """
    if not received.startswith(b"agi_") and not b"agi_".startswith(received[:4]):
        raise AGIEnvironmentError("the peer does not speak AGI")
    thread_id = received.rfind(_THREAD_ID)
    if thread_id >= 0 and (end := received.find(b"\n\n", thread_id + 1)) >= 0:
        return end
    if (len(received) > MAX_LINE and _longest_line(received) > MAX_LINE) or len(received) > MAX_INCOMING:
        raise AGIEnvironmentError("the environment is larger than any that Asterisk sends")
    return PERHAPS if thread_id < 0 and b"\n\n" in received else NOT_YET


def _longest_line(received: bytes) -> int:
    return max(map(len, received.split(b"\n")))


def environment(raw: bytes) -> dict[str, str]:
    """The `agi_*` lines. Of a key that comes twice the first counts: what follows may be a caller's line end.

    Values are cut at 1,024 characters.
    """
    found: dict[str, str] = {}
    for line in _text_lines(raw):
        key, colon, value = line.partition(":")
        if colon and key.startswith("agi_") and not key.startswith("agi_arg_"):
            found.setdefault(key[:MAX_VALUE], value.strip(_BLANK)[:MAX_VALUE])
    for number, text in enumerate(_arguments(raw), 1):
        found[f"agi_arg_{number}"] = text
    return found


def _text_lines(raw: bytes) -> list[str]:
    try:
        return raw.decode("utf-8").split("\n")
    except UnicodeDecodeError:  # one value may be in another encoding than the others
        return [decode(line) for line in raw.split(b"\n")]


def arguments(raw: bytes) -> tuple[str, ...]:
    """`agi_arg_1`, `agi_arg_2`, … without the empty ones at the end."""
    found = _arguments(raw)
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _arguments(raw: bytes) -> list[str]:
    # Only what follows agi_threadid is an argument; the same words before it came inside a caller's name.
    begin = max(raw.rfind(_THREAD_ID), 0)
    found: dict[bytes, str] = {}
    for line in raw[begin:].split(b"\n"):
        if line.startswith(b"agi_arg_"):
            number, _, value = line[8:].partition(b":")
            found.setdefault(number, decode(value.strip())[:MAX_VALUE])
    names = (b"%d" % number for number in range(1, len(found) + 1))
    return [found.get(name, "") for name in names]


def hook_name(raw: bytes) -> str:
    """The path of the request (`agi_network_script`) without slashes and query; "" when there is none."""
    begin = raw.find(b"agi_network_script: ")
    if begin > 0 and raw[begin - 1] != 10:
        begin = -1
    if begin < 0:
        return ""
    end = raw.find(b"\n", begin)
    path = raw[begin + 20 : end if end >= 0 else len(raw)]
    return decode(path.partition(b"?")[0]).strip().strip("/")[:MAX_VALUE]
