"""AMI on the wire, without any I/O: where a message ends, what it says, how an action is written.

The rules are those of Asterisk's main/manager.c: lines end with CR LF, a blank line ends a message, header names may
repeat. Only `Response: Follows` is different (the output of Command before Asterisk 14): raw lines up to a mark.

    AmiError
    ├── AmiUnreachableError   no connection, or no greeting: nothing was sent
    ├── AmiLoginError         Asterisk does not let this user in
    ├── AmiRefusedError       Asterisk answered an action with an error
    ├── AmiTimeoutError       no answer in time; the action may have been done
    ├── AmiLinkLostError      the connection ended before the answer; the action may have been done
    ├── AmiProtocolError      the peer does not speak AMI
    └── AmiValueError         an action that cannot be written; nothing was sent
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from agi.wire import decode

MAX_SENT_LINE = 1024  # manager.c reads lines into 1,025 bytes and refuses longer ones
MAX_SENT_LINES = 128  # AST_MAX_MANHEADERS
MAX_LINE = 64 * 1024
MAX_MESSAGE = 8 * 1024 * 1024

_END = b"\r\n\r\n"
_FOLLOWS = b"Response: Follows\r\n"
_END_COMMAND = b"--END COMMAND--\r\n\r\n"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_BREAKS = re.compile(r"[\r\n\0]")

Fields = Mapping[str, object] | Iterable[tuple[str, object]]


class AmiError(Exception):
    """Something is wrong with the link to Asterisk's manager, in one sentence."""


class AmiUnreachableError(AmiError):
    """No connection to the manager, or it never greeted."""


class AmiLoginError(AmiError):
    """Asterisk does not let this user in."""


class AmiRefusedError(AmiError):
    """Asterisk answered with an error; `reason` is its own text."""

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"Asterisk refused {action}: {reason or 'no reason given'}")
        self.action = action
        self.reason = reason


class AmiTimeoutError(AmiError):
    """No answer in time. A late one is thrown away."""


class AmiLinkLostError(AmiError):
    """The connection ended; what was asked may have been done."""


class AmiProtocolError(AmiError):
    """What came is no AMI."""


class AmiValueError(AmiError, ValueError):
    """An action that would be cut, refused or read as two. Nothing was sent."""


class Message:
    """An event or an answer. Names are compared without case; of a repeated name `get` tells the first.

    `at`: when it was read (unix seconds).
    """

    __slots__ = ("_first", "_output", "at", "headers")

    def __init__(self, headers: list[tuple[str, str]], at: float = 0.0, output: list[str] | None = None) -> None:
        self.headers = headers
        self.at = at
        # The first counts: what a caller could smuggle into a value comes after what Asterisk wrote.
        self._first = {name.lower(): value for name, value in reversed(headers)}
        self._output = output

    def get(self, name: str, default: str = "") -> str:
        return self._first.get(name.lower(), default)

    def all(self, name: str) -> list[str]:
        """Every value of a header that may repeat (ChanVariable, Variable, Output)."""
        name = name.lower()
        if name not in self._first:
            return []
        return [value for known, value in self.headers if known.lower() == name]

    @property
    def event(self) -> str:
        """The event's name, "" for an answer."""
        return self._first.get("event", "")

    @property
    def response(self) -> str:
        """Success, Error, Follows, Goodbye…; "" for an event."""
        return "" if "event" in self._first else self._first.get("response", "")

    @property
    def action_id(self) -> str:
        return self._first.get("actionid", "")

    @property
    def output(self) -> list[str]:
        """What a Command printed, line by line."""
        return self.all("Output") if self._output is None else self._output

    @property
    def list_begins(self) -> bool:
        """Whether items follow as events."""
        return self.get("EventList").lower() == "start" or self.get("Message").lower().endswith("will follow")

    @property
    def list_ends(self) -> bool:
        """Whether this event is the last of a list. Before Asterisk 12 only its name told."""
        told = self.get("EventList").lower()
        return told in ("complete", "cancelled") or (not told and self.event.endswith("Complete"))

    @property
    def variables(self) -> dict[str, str]:
        """The channel variables that manager.conf's `channelvars` adds to a channel's event."""
        pairs = (value.partition("=") for value in self.all("ChanVariable"))
        return {name: value for name, _, value in pairs}

    def __repr__(self) -> str:
        return f"<{self.event or self.response or 'message'}, {len(self.headers)} headers>"  # no callers in logs


class Splitter:
    """Cuts what arrives, in whatever pieces, into messages. `strange` counts blocks that were none."""

    def __init__(self) -> None:
        self.strange = 0
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer has no end in it

    def feed(self, data: bytes, at: float = 0.0) -> Iterator[Message]:
        """The messages that `data` completes. Raises AmiProtocolError for what can be no AMI."""
        self._buffer += data
        begin = 0
        while (end := self._end(begin)) > begin:
            block = bytes(self._buffer[begin:end])
            _refuse_endless(block, whole=True)
            begin = end
            if message := _message(block, at):
                yield message
            elif block.strip():
                self.strange += 1
        del self._buffer[:begin]
        _refuse_endless(self._buffer, whole=False)

    def _end(self, begin: int) -> int:
        """Where the message that begins at `begin` ends; -1 while it is not all there."""
        mark = _END_COMMAND if self._buffer.startswith(_FOLLOWS, begin) else _END
        found = self._buffer.find(mark, max(begin, self._searched - len(mark)))
        self._searched = 0 if found >= 0 else len(self._buffer) - begin
        return found + len(mark) if found >= 0 else -1


def _refuse_endless(block: bytes | bytearray, *, whole: bool) -> None:
    if len(block) > MAX_MESSAGE:
        raise AmiProtocolError(f"a message of more than {MAX_MESSAGE} bytes")
    if len(block) <= MAX_LINE or block.startswith(_FOLLOWS):
        return
    longest = max(map(len, block.split(b"\r\n"))) if whole else len(block) - block.rfind(b"\r\n")
    if longest > MAX_LINE:
        raise AmiProtocolError(f"a line of more than {MAX_LINE} bytes")


def _message(block: bytes, at: float) -> Message | None:
    """None for a block that is neither event nor answer."""
    if block.startswith(_FOLLOWS):
        return _old_command(block, at)
    # Only CR LF ends a line: a bare line feed comes from inside a value. One blank only belongs to the colon: what a
    # Command prints is indented.
    parts = (line.partition(":") for line in decode(block).lstrip("\r\n").split("\r\n"))
    message = Message([(name, value.removeprefix(" ")) for name, colon, value in parts if colon], at)
    return message if message.event or message.response else None


def _old_command(block: bytes, at: float) -> Message:
    rest = decode(block[: -len(_END_COMMAND)])
    headers: list[tuple[str, str]] = []
    # Asterisk writes these two itself, in this order; what follows is output, whatever it looks like.
    for name in ("Response", "Privilege", "ActionID"):
        line, end, after = rest.partition("\r\n")
        if end and line.startswith(f"{name}: "):
            headers.append((name, line.removeprefix(f"{name}: ")))
            rest = after
    return Message(headers, at, rest.splitlines())


def encode(action: str, action_id: str, fields: Fields = ()) -> bytes:
    """An action as Asterisk reads it. A repeated name is a list of pairs. Raises AmiValueError, naming no value."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    named = [("Action", action), ("ActionID", action_id), *pairs]
    lines = [_line(action, name, value) for name, value in named]
    if len(lines) >= MAX_SENT_LINES:
        raise AmiValueError(f"{action}: Asterisk takes fewer than {MAX_SENT_LINES} lines an action")
    return b"".join(lines) + b"\r\n"


def _line(action: str, name: str, value: object) -> bytes:
    text = str(value)
    if not _NAME.fullmatch(name):
        raise AmiValueError(f"{action}: {name!r} is no header name")
    if _BREAKS.search(text):
        raise AmiValueError(f"{action}: {name} holds a line end, which would begin another header")
    line = f"{name}: {text}\r\n".encode("utf-8", "surrogateescape")
    if len(line) > MAX_SENT_LINE:
        raise AmiValueError(f"{action}: {name} is longer than the {MAX_SENT_LINE} bytes a line Asterisk takes")
    return line
