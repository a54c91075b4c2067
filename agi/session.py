"""One AGI conversation over a socket: pyst2's `AGI` with its input and output replaced.

The commands keep pyst2's names and exceptions. What differs: every argument is quoted so that Asterisk reads it as one
word, HANGUP and `100` lines never take the place of an answer, every wait ends, nothing is written to stderr and no
signal handler is touched, so a session runs in any thread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from time import monotonic
from typing import Any

from asterisk.agi import AGI, DEFAULT_RECORD, DEFAULT_TIMEOUT

from agi import wire
from agi.wire import (
    AGIAppError,
    AGIDBError,
    AGIEnvironmentError,
    AGIError,
    AGIException,
    AGIHangup,
    AGIInvalidCommand,
    AGIResultHangup,
    AGISIGPIPEHangup,
    AGITimeoutError,
    AGIUnknownError,
    AGIUsageError,
    Reply,
    quote,
)

__all__ = ["Digits", "Session", "prepare"]

Results = dict[str, tuple[str, str]]

_CHUNK = 8192
# One recv() or send() never blocks longer than this. Real limits are compared with the clock, so the kernel's timeout
# is set once on the listening socket, is inherited by accept(), and costs a session no system call.
_TICK_S = 2.0
# Asterisk writes the environment line by line within microseconds; a peer that sends no agi_threadid gets this long to
# show that its blank line was a caller's.
_DOUBT_S = 0.02

# linux/sock_diag.h: the first word is the memory of what was received and not read. Unlike recv() it does not give
# up the interpreter lock, and a thread that gives it up under load waits for its turn.
_SO_MEMINFO = 55
_NOTHING = bytes(4)

_DONE = b"200 result=1\n"
_VALUE = b"200 result=1 ("

# Answered with a value that may hold line ends.
_VALUES = frozenset({"GET VARIABLE", "GET FULL VARIABLE", "DATABASE GET"})
# Answered as long as the caller talks, listens or presses keys: these wait for the session's deadline, not for
# `read_timeout_s`.
_LONG = (
    "STREAM ",
    "CONTROL ",
    "SAY ",
    "GET DATA",
    "GET OPTION",
    "RECORD ",
    "WAIT ",
    "RECEIVE ",
    "EXEC",
    "GOSUB",
    "SPEECH ",
    "ANSWER",
    "SEND ",
)
# Here -1 speaks of another channel, not of the end of this one.
_ABOUT_A_CHANNEL = frozenset({"CHANNEL STATUS", "HANGUP"})

# Hooks ask for a few dozen variables by constant names.
_GETS: dict[str, bytes] = {}
_SETS: dict[str, str] = {}
_KEPT = 256


class Digits(str):
    """The keys a caller pressed; `timed_out` tells silence from a lone `#`."""

    timed_out: bool

    def __new__(cls, keys: str, timed_out: bool) -> Digits:
        made = super().__new__(cls, keys)
        made.timed_out = timed_out
        return made


def prepare(sock: socket.socket) -> None:
    """Give a socket the kernel timeouts a Session relies on; what a listening socket has, accept() inherits."""
    _limit(sock, _TICK_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _limit(sock: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    # Zero would mean "for ever".
    value = struct.pack("ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


class Session(AGI):
    """A conversation with one channel; the constructor reads the environment.

    `deadline_s` limits the whole session, counted from `accepted_at`; `read_timeout_s` one answer (playback and input
    may take as long as the session), `environment_s` the environment. `prepared`: the socket has been through
    `prepare`. Raises AGIEnvironmentError.

    env: the `agi_*` lines, values cut at 1,024 characters; hook: the path of the request; args: `agi_arg_1`, …;
    accepted_at: monotonic time; hung_up: Asterisk said that the channel is gone (variables and logs still work).
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        deadline_s: float = 30.0,
        read_timeout_s: float = 5.0,
        environment_s: float = 2.0,
        accepted_at: float | None = None,
        prepared: bool = False,
    ) -> None:
        # pyst2's constructor would install a SIGHUP handler and write to stderr.
        self.accepted_at = monotonic() if accepted_at is None else accepted_at
        self.hung_up = False
        self.connection = sock
        self._send = sock.send
        self._recv = sock.recv
        self._deadline = self.accepted_at + deadline_s
        self._hurry_at = self._deadline - _TICK_S
        self._read_timeout_s = read_timeout_s
        self._asked_at = self.accepted_at
        self._rest = b""
        self._limit_s = _TICK_S
        self._lost: AGIException | None = None
        self._env: dict[str, str] | None = None
        self._args: tuple[str, ...] | None = None
        if not prepared:
            prepare(sock)
        self._raw = self._environment(self.accepted_at + min(environment_s, deadline_s))
        if read_timeout_s < _TICK_S:
            self._set_limit(read_timeout_s)
        self.hook = wire.hook_name(self._raw)

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments of the AGI() call, without the empty ones at its end."""
        if self._args is None:
            self._args = wire.arguments(self._raw)
        return self._args

    @property
    def env(self) -> dict[str, str]:
        """The environment, parsed when it is first looked at."""
        if self._env is None:
            self._env = wire.environment(self._raw)
        return self._env

    def close(self) -> None:
        """End the session: Asterisk reads an orderly end after the last answer and goes on in the dialplan."""
        self._lost = self._lost or AGISIGPIPEHangup("the session is closed")
        with contextlib.suppress(OSError):
            # Unread bytes (a HANGUP of this instant) would turn the orderly end into a reset.
            if self.connection.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4) != _NOTHING:
                self._recv(_CHUNK, socket.MSG_DONTWAIT)
        self.connection.close()

    # --- reading and writing -------------------------------------------------------------------------------------

    def _environment(self, due: float) -> bytes:
        received = b""
        while True:
            received += self._more_environment(received, due)
            end = wire.environment_end(received)
            if end == wire.PERHAPS and not self._more_comes(_DOUBT_S):
                end = received.index(b"\n\n")
            if end >= 0:
                self._rest = received[end + 2 :]
                return received[: end + 1]

    def _more_environment(self, received: bytes, due: float) -> bytes:
        try:
            return self._receive(due)
        except AGIException as error:
            how = f"after {len(received)} bytes" if received else "before its first byte"
            raise AGIEnvironmentError(f"the AGI environment ended {how}: {error}", probe=not received) from None

    def _more_comes(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _receive(self, due: float) -> bytes:
        """The next bytes from Asterisk, at the latest at `due`. Raises AGITimeoutError, AGISIGPIPEHangup."""
        while True:
            left = due - monotonic()
            if left <= 0:
                raise self._lose(AGITimeoutError("Asterisk was silent too long"))
            wait = min(left, _TICK_S)
            if not wait / 2 <= self._limit_s <= wait * 2:
                self._set_limit(wait)
            try:
                received = self._recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lose(_closed(error)) from None
            if not received:
                raise self._lose(AGISIGPIPEHangup("Asterisk closed the connection"))
            return received

    def _set_limit(self, seconds: float) -> None:
        try:
            _limit(self.connection, seconds)
            self._limit_s = seconds
        except OSError as error:
            raise self._lose(_closed(error)) from None

    def _lose(self, error: AGIException) -> AGIException:
        # After a missing answer a late one would be taken for the next: the session answers nothing any more.
        self._lost = error
        self.hung_up = self.hung_up or isinstance(error, AGIHangup)
        return error

    def _ask(self, line: bytes) -> bytes:
        """Send one command, return the first bytes of what follows. The way every command takes: no call too many."""
        self._asked_at = now = monotonic()
        if self._rest or self._lost or now >= self._hurry_at:
            self._before_sending(now)
        sent = 0
        try:
            sent = self._send(line)
            received = self._recv(_CHUNK)
        except BlockingIOError:
            received = b""
            if sent != len(line):
                raise self._lose(AGITimeoutError("Asterisk does not read its commands")) from None
        except OSError as error:
            raise self._lose(_closed(error)) from None
        else:
            if not received:
                raise self._lose(AGISIGPIPEHangup("Asterisk closed the connection"))
        if self._rest:
            received, self._rest = self._rest + received, b""
        return received

    def _before_sending(self, now: float) -> None:
        if self._lost:
            raise self._lost
        if now >= self._deadline:
            raise self._lose(AGITimeoutError("the session has lasted too long"))
        if now >= self._hurry_at:
            self._set_limit(self._deadline - now)
        hung_up, self._rest = wire.unsolicited(self._rest)
        self.hung_up = self.hung_up or hung_up

    def _answer(self, received: bytes, command: str) -> Results:
        """The whole answer to `command`, of which `received` has come. Raises what pyst2 raises for its code."""
        limit = self._deadline
        if not command.startswith(_LONG):
            limit = min(limit, self._asked_at + self._read_timeout_s)
        while (reply := wire.take_reply(received, command in _VALUES)) is None:
            if len(received) > wire.MAX_INCOMING:
                raise self._lose(AGIUnknownError("the answer is longer than any that Asterisk gives"))
            received += self._receive(limit)
        self.hung_up = self.hung_up or reply.hung_up
        self._rest = reply.rest
        return self._judge(reply, command)

    def _judge(self, reply: Reply, command: str) -> Results:
        text = wire.decode(reply.text)
        if reply.code == 200:
            results = wire.results(reply.text)
            if results["result"][0] == "-1":
                raise _failure(command, results["result"][1])
            return results
        if reply.code == 511:
            self.hung_up = True
            raise AGIHangup(f"{command}: the channel is gone")
        if reply.code == 510:
            raise AGIInvalidCommand(text)
        if reply.code == 520:
            raise AGIUsageError(text)
        raise AGIUnknownError(reply.code, "Asterisk gave an answer with an unknown code")

    # --- pyst2's own vocabulary ----------------------------------------------------------------------------------

    def test_hangup(self) -> None:
        """Raise AGIHangup if Asterisk has said that the channel is gone."""
        if self.hung_up:
            raise AGIHangup("the channel is gone")

    def execute(self, command: str, *args: object) -> Results:
        """Send `command` and its ready (quoted) words, return {"result": (value, note), …}.

        Raises AGIHangup when the channel is gone and the command needs it, AGIUsageError, AGIInvalidCommand,
        AGIAppError, AGITimeoutError, AGILineTooLongError.
        """
        words = " ".join(text for text in map(str, args) if text)
        received = self._ask(wire.encode(wire.one_line(f"{command} {words}" if words else command)))
        return self._answer(received, " ".join(command.upper().split()))

    def _quote(self, value: object) -> str:
        return quote(value)

    def _process_digit_list(self, digits: object) -> str:
        return quote("".join(map(str, digits)) if isinstance(digits, (list, tuple)) else digits)

    def get_variable(self, name: str) -> str:
        """The value of a channel variable or dialplan function, "" if it is not set."""
        received = self._ask(_GETS.get(name) or _get_command(name))
        if received.startswith(_VALUE) and received.find(b"\n") == len(received) - 1 and received.endswith(b")\n"):
            return wire.decode(received[14:-2])
        return self._answer(received, "GET VARIABLE")["result"][1]

    def get_full_variable(self, name: str, channel: str | None = None) -> str:
        """`name` is an expression such as `${CDR(start)}`; its value, "" if Asterisk has none."""
        more = (quote(channel),) if channel else ()
        return self.execute("GET FULL VARIABLE", quote(name), *more)["result"][1]

    def set_variable(self, name: str, value: object) -> None:
        """Set a channel variable or dialplan function; see `wire.quote` for what becomes of `value`."""
        received = self._ask(wire.encode(f"{_SETS.get(name) or _set_command(name)} {quote(value)}"))
        if received != _DONE:
            self._answer(received, "SET VARIABLE")

    def verbose(self, message: object, level: int = 1) -> None:
        """Write a line to Asterisk's console at verbosity `level` (1 to 4)."""
        received = self._ask(wire.encode(f"VERBOSE {quote(message)} {level:d}"))
        if received != _DONE:
            self._answer(received, "VERBOSE")

    def _key(self, command: str, *args: object) -> str:
        """Run a command that answers with a key's code; "" for none."""
        code = self.execute(command, *args)["result"][0]
        try:
            return chr(int(code)) if int(code) else ""
        except (ValueError, OverflowError):
            raise AGIError(f"{command} answered {code!r}, which is no key") from None

    def stream_file(self, filename: str, escape_digits: object = "", sample_offset: int = 0) -> str:
        """Play `filename` (no extension); the key that interrupted it, else ""."""
        return self._key("STREAM FILE", quote(filename), self._process_digit_list(escape_digits), int(sample_offset))

    def say_datetime(self, seconds: int, escape_digits: object = "", format: str = "", zone: str = "") -> str:
        """Say a Unix time in a format of voicemail.conf; the key that interrupted it, else ""."""
        # A zone without a format would be read as the format: ABdY 'digits/at' IMp is Asterisk's own default.
        form = format or ("ABdY 'digits/at' IMp" if zone else "")
        words = [quote(word) for word in (form, zone) if word]
        return self._key("SAY DATETIME", int(seconds), self._process_digit_list(escape_digits), *words)

    def get_data(self, filename: str, timeout: int = DEFAULT_TIMEOUT, max_digits: int = 255) -> Digits:
        """Play `filename` and take keys until `#` or `timeout` ms of silence (then `.timed_out`)."""
        keys, note = self.execute("GET DATA", quote(filename), int(timeout), int(max_digits))["result"]
        return Digits(keys, note == "timeout")

    def get_option(self, filename: str, escape_digits: object = "", timeout: int = 0) -> str:
        """Play `filename`, wait `timeout` ms for one of `escape_digits`; the key, else ""."""
        more = (int(timeout),) if timeout else ()
        return self._key("GET OPTION", quote(filename), self._process_digit_list(escape_digits), *more)

    def record_file(
        self,
        filename: str,
        format: str = "gsm",
        escape_digits: object = "#",
        timeout: int = DEFAULT_RECORD,
        offset: int = 0,
        beep: str = "beep",
        silence: int = 0,
    ) -> str:
        """Record for at most `timeout` ms, or until `silence` s of silence; the key that ended it, else ""."""
        words: list[object] = [quote(filename), quote(format), self._process_digit_list(escape_digits), int(timeout)]
        words += [int(offset), quote(beep) if beep else "", f"s={silence:d}" if silence else ""]
        return self._key("RECORD FILE", *words)

    def send_image(self, filename: str) -> None:
        """Send an image to a channel that can show it. Raises AGIAppError if it cannot."""
        if self.execute("SEND IMAGE", quote(filename))["result"][0] != "0":
            raise AGIAppError("the channel did not take the image")

    def tdd_mode(self, mode: str = "off") -> None:
        """Switch a teletype channel `on` or `off`. Raises AGIAppError if it is none."""
        if self.execute("TDD MODE", quote(mode))["result"][0] == "0":
            raise AGIAppError("the channel is no teletype")

    def set_context(self, context: str) -> None:
        """The context in which the dialplan goes on."""
        self.execute("SET CONTEXT", quote(context))

    def set_extension(self, extension: str) -> None:
        """The extension at which the dialplan goes on."""
        self.execute("SET EXTENSION", quote(extension))

    def set_priority(self, priority: int | str) -> None:
        """The priority (or label) at which the dialplan goes on."""
        self.execute("SET PRIORITY", quote(priority))

    def set_callerid(self, number: str) -> None:
        """The channel's caller id: `"Name" <number>` or a number."""
        self.execute("SET CALLERID", quote(number))

    def hangup(self, channel: str = "") -> None:
        """Hang up this channel or the one named. Raises AGIAppError if there is no such channel."""
        self.execute("HANGUP", quote(channel) if channel else "")

    def channel_status(self, channel: str = "") -> int:
        """0 down … 6 up, 7 busy (as pyst2 lists them); -1 if there is no such channel."""
        try:
            return int(self.execute("CHANNEL STATUS", quote(channel) if channel else "")["result"][0])
        except AGIHangup:
            raise
        except AGIAppError:
            return -1

    def appexec(self, application: str, options: object = "") -> str:
        """Run a dialplan application; what it returned. Raises AGIAppError if there is none of that name."""
        result = self.execute("EXEC", quote(application), quote(options))["result"][0]
        if result == "-2":
            raise AGIAppError(f"Asterisk has no application {application!r}")
        return result

    def exec_command(self, command: str, *args: object) -> Results:
        """Run a dialplan application with its arguments, which are joined by commas."""
        joined = ",".join("" if arg is None else str(arg) for arg in args)
        return self.execute("EXEC", quote(command), quote(joined))

    def database_get(self, family: str, key: str) -> str:
        """A value of Asterisk's own database. Raises AGIDBError if the key is not there."""
        found, value = self.execute("DATABASE GET", quote(family), quote(key))["result"]
        if found != "1":
            raise AGIDBError(f"Asterisk's database has no {family}/{key}")
        return value

    def database_deltree(self, family: str, key: str = "") -> None:
        """Delete a family, or the keys below `key`. Raises AGIDBError if there was nothing to delete."""
        # The reverse of DATABASE DEL: res_agi.c answers 0 when rows were deleted.
        if self.execute("DATABASE DELTREE", quote(family), quote(key) if key else "")["result"][0] != "0":
            raise AGIDBError(f"Asterisk's database has nothing below {family}/{key}")


def _get_command(name: str) -> bytes:
    command = wire.encode(f"GET VARIABLE {quote(name)}")
    if len(_GETS) < _KEPT:
        _GETS[name] = command
    return command


def _set_command(name: str) -> str:
    command = f"SET VARIABLE {quote(name)}"
    if len(_SETS) < _KEPT:
        _SETS[name] = command
    return command


def _closed(error: OSError) -> AGISIGPIPEHangup:
    return AGISIGPIPEHangup(f"Asterisk closed the connection: {error.strerror or type(error).__name__}")


def _failure(command: str, note: str) -> Any:
    if command in _ABOUT_A_CHANNEL or note == "writefile":
        return AGIAppError(f"{command} failed" + (f" ({note})" if note else ""))
    return AGIResultHangup(f"{command}: the channel was hung up")
