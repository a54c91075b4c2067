"""A small HTTP/1.1 server: a thread a connection, kept alive, each answer in one send.

The load generators measure clients against the double, so the double itself has to be fast; the
standard http.server spends more time on a request's headers than the portal on a method.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

_MAX_HEAD = 64 << 10
_MAX_BODY = 512 << 20
_IDLE_S = 120.0
_BACKLOG = 1024
_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
            405: "Method Not Allowed", 413: "Content Too Large", 415: "Unsupported Media Type",
            429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
            504: "Gateway Timeout"}  # fmt: skip
Drop = Literal["", "close", "reset"]


@dataclass(frozen=True)
class Request:
    """A request as it came. Header names in lower case; `target` with its query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    address: str

    @property
    def content_type(self) -> str:
        """The Content-Type header, empty without one."""
        return self.headers.get("content-type", "")


@dataclass
class Response:
    """An answer. `drop`: no answer at all, the connection ends (`reset`: with a TCP reset)."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    drop: Drop = ""

    def head(self, *, keep_alive: bool) -> bytes:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}"]
        lines.append(f"Content-Type: {self.content_type}")
        lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


Handle = Callable[[Request], Response]


class BadRequestError(Exception):
    """What came is no HTTP we understand."""


class HttpServer:
    """Serves `handle` on a TCP port until stopped."""

    def __init__(self, listen: tuple[str, int], handle: Handle) -> None:
        self._listen = listen
        self._handle = handle
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; port 0 has become a real one."""
        if self._socket is None:
            raise RuntimeError("the server is not running")
        host, port = self._socket.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Listen and serve in the background. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._listen[0] else socket.AF_INET
        self._socket = socket.create_server(self._listen, family=family, backlog=_BACKLOG)
        # The same port again after a stop, so that a test can take the portal away and bring it back.
        self._listen = self.address
        self._acceptor = threading.Thread(target=self._accept, args=(self._socket,), name="portal", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close the port and every connection, and wait for their threads."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._acceptor:
            self._acceptor.join(5)
        with self._lock:
            connections = list(self._connections.items())
        for connection, _ in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join(5)
        self._socket = None

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, peer = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_IDLE_S)
            thread = threading.Thread(target=self._serve, args=(connection, peer[0]), name="portal", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            reader = _Reader(connection, address)
            while (request := reader.next_request()) and self._answer(connection, request):
                pass
        except BadRequestError as error:
            with contextlib.suppress(OSError):
                connection.sendall(_refusal(str(error)))
        except OSError:
            pass  # The client went away: nothing to tell anybody.
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        response = self._handle(request)
        if response.drop == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if response.drop:
            return False
        keep_alive = request.headers.get("connection", "").lower() != "close"
        body = b"" if request.method == "HEAD" else response.body
        connection.sendall(response.head(keep_alive=keep_alive) + body)
        return keep_alive


def _refusal(sentence: str) -> bytes:
    response = Response(400, sentence.encode(), "text/plain; charset=utf-8")
    return response.head(keep_alive=False) + response.body


class _Reader:
    """Requests from one connection."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        self._connection = connection
        self._address = address
        self._buffer = bytearray()

    def next_request(self) -> Request | None:
        """The next request; None when the client has closed between two."""
        head = self._head()
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequestError("This is no HTTP/1.1 request.")
        headers = dict(_header(line) for line in lines)
        if words[2] == "HTTP/1.0":
            headers["connection"] = "close"
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(words[0], words[1], headers, self._body(headers), self._address)

    def _head(self) -> bytes | None:
        searched = 0
        while (end := self._buffer.find(b"\r\n\r\n", max(0, searched - 3))) < 0:
            searched = len(self._buffer)
            if searched > _MAX_HEAD:
                raise BadRequestError("The headers are too long.")
            if not self._receive():
                return None
        return self._take(end + 4)[:-4]

    def _body(self, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks()
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _MAX_BODY:
            raise BadRequestError("The length of the body is wrong or too large.")
        return self._exactly(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size():
            body += self._exactly(size)
            self._line()
            if len(body) > _MAX_BODY:
                raise BadRequestError("The body is too large.")
        while self._line():
            pass
        return bytes(body)

    def _chunk_size(self) -> int:
        try:
            size = int(self._line().partition(b";")[0], 16)
        except ValueError:
            raise BadRequestError("A chunk has no size.") from None
        if not 0 <= size <= _MAX_BODY:
            raise BadRequestError("A chunk is too large.")
        return size

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD or not self._receive():
                raise BadRequestError("The body is cut short.")
        return self._take(end + 2)[:-2]

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._receive():
                raise BadRequestError("The body is cut short.")
        return self._take(size)

    def _receive(self) -> bool:
        received = self._connection.recv(1 << 18)
        self._buffer += received
        return bool(received)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
