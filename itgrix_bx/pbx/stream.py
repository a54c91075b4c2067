"""A TCP or TLS connection that one thread reads and any thread writes, every step with a deadline."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time

_AT_ONCE = 64 * 1024


class Stream:
    """The socket never blocks: waiting is done beside it, so that a TLS object is used by one thread at a time."""

    def __init__(self, address: tuple[str, int], connect_s: float, tls: ssl.SSLContext | None = None) -> None:
        """Connect. Raises OSError."""
        self._socket = socket.create_connection(address, connect_s)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=address[0])
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise
        self._use = threading.Lock()
        self._turn = threading.Lock()

    def receive(self, within_s: float) -> bytes | None:
        """What has come: b"" at the end, None when nothing came in time. Raises OSError."""
        until = time.monotonic() + within_s
        while True:
            try:
                with self._use:
                    return self._socket.recv(_AT_ONCE)
            except (BlockingIOError, ssl.SSLWantReadError):
                ready = self._ready(select.POLLIN, until)
            except ssl.SSLWantWriteError:
                ready = self._ready(select.POLLOUT, until)
            if not ready:
                return None

    def send(self, data: bytes, within_s: float) -> None:
        """All of `data`, never mixed with another's. Raises OSError; the connection is of no use then."""
        until = time.monotonic() + within_s
        left = memoryview(data)
        with self._turn:
            while left:
                try:
                    with self._use:
                        left = left[self._socket.send(left) :]
                    continue
                except (BlockingIOError, ssl.SSLWantWriteError):
                    ready = self._ready(select.POLLOUT, until)
                except ssl.SSLWantReadError:
                    ready = self._ready(select.POLLIN, until)
                if not ready:
                    raise TimeoutError("the peer takes nothing")

    def end(self) -> None:
        """Let both sides see the end; the reader wakes up."""
        with self._use, contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The reader's last act."""
        with self._use:
            self._socket.close()

    def _ready(self, what: int, until: float) -> bool:
        number = self._socket.fileno()
        if number < 0:
            raise OSError("the connection is closed")
        poll = select.poll()
        poll.register(number, what)
        return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))
