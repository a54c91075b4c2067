"""A portal scripted byte by byte: a threaded raw-socket HTTP server."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "s3cr3tW0rd"
Step = Callable[[socket.socket], bool]  # answers one request; False closes the connection


@dataclass
class Request:
    """A request as it came in. `connection` counts accepted connections from 1."""

    connection: int
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def method(self) -> str:
        return self.path.split("?")[0].rsplit("/", 1)[1]

    @property
    def params(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedPortal:
    """Serves `steps` one per request, then `otherwise`. Start with `with`."""

    steps: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    certificate: Path | None = None
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # one for each it hung up

    def __enter__(self) -> ScriptedPortal:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.webhook = f"{self.address}/rest/1/{SECRET}/"
        self.otherwise: Step = answers({"result": True})
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError), self._secured(sock) as sock:
            self._answer(sock, number)

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self.certificate is None:
            return sock
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context.wrap_socket(sock, server_side=True)

    def _answer(self, sock: socket.socket, number: int) -> None:
        with sock.makefile("rb") as stream:
            for request in _requests(stream, number):
                self.requests.append(request)
                step = self.steps.pop(0) if self.steps else self.otherwise
                if not step(sock):
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
                    self.closed.release()
                    return


def _requests(stream: Any, number: int) -> Iterator[Request]:
    while (line := stream.readline()).endswith(b" HTTP/1.1\r\n"):  # a TLS greeting may hold line ends, too
        path = line.split(b" ")[1].decode()
        headers = {}
        while (header := stream.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        wanted = int(headers.get("content-length", "0"))
        body = stream.read(wanted)
        if len(body) == wanted:  # cut off requests are not requests
            yield Request(number, path, headers, body)


def http(body: bytes, status: str = "200 OK", *headers: str, content_type: str = "application/json") -> bytes:
    """An HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def says(raw: bytes, *, stay: bool = True) -> Step:
    """Send these bytes, and keep the connection or close it."""

    def step(sock: socket.socket) -> bool:
        sock.sendall(raw)
        return stay

    return step


def answers(envelope: object, status: str = "200 OK", *, stay: bool = True) -> Step:
    """Answer with JSON."""
    return says(http(json.dumps(envelope).encode(), status), stay=stay)


def refuses(code: object, description: str = "", status: str = "400 Bad Request") -> Step:
    return answers({"error": code, "error_description": description}, status)


def page(status: str, body: bytes = b"<html><h1>nginx</h1></html>") -> Step:
    return says(http(body, status, content_type="text/html"))


def redirects(location: str, status: str = "302 Found") -> Step:
    return says(http(b"", status, f"Location: {location}"))


def hangs_up(_: socket.socket) -> bool:
    """The request was taken, perhaps executed, and the connection is closed without a word."""
    return False


def is_silent(seconds: float) -> Step:
    def step(_: socket.socket) -> bool:
        time.sleep(seconds)
        return False

    return step


def drips(raw: bytes, pause_s: float) -> Step:
    """Send a byte at a time, each well within a read timeout."""

    def step(sock: socket.socket) -> bool:
        for byte in raw:
            sock.sendall(bytes([byte]))
            time.sleep(pause_s)
        return False

    return step


def batch(result: object = (), errors: object = (), **more: object) -> Step:
    """The answer of a batch; empty members are `[]` as PHP writes them."""
    parts = {"result": result, "result_error": errors, "result_total": [], "result_next": [], "result_time": []}
    return answers({"result": {**parts, **more}, "time": {"start": 1, "duration": 0.5}})
