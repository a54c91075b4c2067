"""Asterisk's side of AGI, scripted byte by byte, and its true command splitter."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from agi.session import Session

ENVIRONMENT: Mapping[str, str] = {
    "agi_network": "yes",
    "agi_network_script": "inbound",
    "agi_request": "agi://127.0.0.1/inbound",
    "agi_channel": "PJSIP/trunk-00000001",
    "agi_uniqueid": "1700000000.1",
    "agi_callerid": "+79161234567",
    "agi_calleridname": "unknown",
    "agi_dnid": "74950000001",
    "agi_threadid": "140012345678592",
}
OK = b"200 result=1\n"
DEADLINE_S = 10.0


def environment(*args: str, **changes: str | bytes | None) -> bytes:
    """The environment as Asterisk sends it; a change to None leaves the line out."""
    lines = {**ENVIRONMENT, **changes, **{f"agi_arg_{n}": arg for n, arg in enumerate(args, 1)}}
    return b"".join(_line(key, value) for key, value in lines.items() if value is not None) + b"\n"


def _line(key: str, value: str | bytes) -> bytes:
    return key.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) + b"\n"


def words(line: bytes) -> list[bytes]:
    """What Asterisk makes of a command line (res_agi.c parse_args): its words, in which nothing is escaped any more.

    `"` toggles quoting and never is part of a word; `\\` takes the next byte as it is, inside quotes and outside; space
    and tab split outside quotes; an opening quote after white space begins a word, which may stay empty.
    """
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1, "Asterisk would run the rest as another command"
    found: list[bytearray] = []
    quoted = escaped = False
    between = True
    for byte in line.rstrip(b"\r\n"):
        if byte == 0x22 and not escaped:
            quoted = not quoted
            if quoted and between:
                found.append(bytearray())
                between = False
        elif byte == 0x5C and not escaped:
            escaped = True
        elif byte in b" \t" and not quoted and not escaped:
            between = True
        else:
            if between:
                found.append(bytearray())
                between = False
            found[-1].append(byte)
            escaped = False
    assert not quoted, "the line ends inside quotes"
    return [bytes(word) for word in found]


class Asterisk:
    """Connects to a server, or to a listening socket of its own, and plays `answers`, one for each command.

    An answer is sent as it stands; a sequence of pieces is sent piece by piece. When the answers are used up it reads
    to the end and notes in `ended` how that came: `fin` or `reset`; with `closes`, it closes then instead.
    """

    def __init__(
        self,
        answers: Sequence[bytes | Sequence[bytes]] = (),
        *,
        greeting: bytes | None = None,
        closes: bool = False,
        address: tuple[str, int] | None = None,
    ) -> None:
        self._answers = answers
        self._greeting = environment() if greeting is None else greeting
        self._closes = closes
        self.commands: list[bytes] = []
        self.ended = ""
        self.socket, self.server_end = self._connect(address)
        self.socket.settimeout(DEADLINE_S)
        # Every piece leaves at once, and is not joined to the next.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _connect(self, address: tuple[str, int] | None) -> tuple[socket.socket, socket.socket | None]:
        if address:
            return socket.create_connection(address, DEADLINE_S), None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return socket.create_connection(listener.getsockname(), DEADLINE_S), listener.accept()[0]

    def _play(self) -> None:
        try:
            self.socket.sendall(self._greeting)
            buffered = b""
            for answer in self._answers:
                while b"\n" not in buffered:
                    if not (more := self.socket.recv(65536)):
                        self.ended = "fin"
                        return
                    buffered += more
                command, _, buffered = buffered.partition(b"\n")
                self.commands.append(command + b"\n")
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    self.socket.sendall(piece)
            self._end(buffered)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "reset"

    def _end(self, buffered: bytes) -> None:
        while not self._closes and (more := self.socket.recv(65536)):
            buffered += more
        self.commands += [line + b"\n" for line in buffered.split(b"\n")[:-1]]
        self.ended = "closed" if self._closes else "fin"
        if self._closes:
            self.socket.close()

    def wait(self) -> Asterisk:
        """Until it has played to the end."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), f"Asterisk still waits after {self.commands}"
        return self

    def __enter__(self) -> Asterisk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        self.socket.close()
        if self.server_end is not None:
            self.server_end.close()


@contextlib.contextmanager
def talking(
    *answers: bytes | Sequence[bytes], greeting: bytes | None = None, closes: bool = False, read_timeout_s: float = 5.0
) -> Iterator[tuple[Session, Asterisk]]:
    """A Session over TCP with an Asterisk that gives `answers`."""
    with Asterisk(answers, greeting=greeting, closes=closes) as asterisk:
        assert asterisk.server_end is not None
        session = Session(asterisk.server_end, read_timeout_s=read_timeout_s)
        try:
            yield session, asterisk
        finally:
            session.close()


@contextlib.contextmanager
def heard_in_pieces(pieces: Sequence[bytes]) -> Iterator[Session]:
    """A Session that receives `pieces`, one a read (a packet socket keeps them apart); first the environment."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        for piece in pieces:
            far.send(piece)
        yield Session(near, prepared=True)
