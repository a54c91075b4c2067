"""The only socket of this package: one POST to the portal, one answer, within explicit times."""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from bx24client.auth import is_loopback, mask
from bx24client.errors import AnswerLost, MovedTooFar, NotSent, TransportError, UnreadableAnswer

MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 16 * 1024 * 1024
# A kept connection that rests longer is likely to be closed by the portal at the very moment we write
# to it, and then nobody knows whether the request was executed.
MAX_IDLE_S = 20.0
POOL_SIZE = 128
_CHUNK = 64 * 1024
# Bodies are small; compression would only open the door for bombs.
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "itgrix-bx",
    "Connection": "keep-alive",
}
_MOVED = frozenset({301, 302, 307, 308})


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `connect`: TCP and TLS; a slow name server counts too, but cannot be interrupted.
    `write`: each 64 KiB to be taken by the network. `read`: silence of the portal. `total`: the whole
    exchange, redirects and slow bodies included."""

    connect: float = 3.0
    write: float = 10.0
    read: float = 20.0
    total: float = 60.0

    def __post_init__(self) -> None:
        if min(self.connect, self.write, self.read, self.total) <= 0:
            raise ValueError("every timeout must be above 0 seconds")

    def ending_in(self, total_s: float) -> Timeouts:
        """The same, but the whole exchange takes at most `total_s`."""
        return Timeouts(self.connect, self.write, self.read, max(0.001, total_s))


class Body(Protocol):
    """A request body that can be sent more than once (redirects)."""

    @property
    def content_type(self) -> str: ...

    def __len__(self) -> int: ...

    def open(self) -> bytes | io.RawIOBase: ...


@dataclass(frozen=True, repr=False)
class JsonBody:
    """Bytes of JSON. Any other content type, and the portal would parse them as a form."""

    content: bytes
    content_type: str = "application/json"

    def __len__(self) -> int:
        return len(self.content)

    def open(self) -> bytes:
        return self.content


@dataclass(frozen=True)
class Reply:
    """HTTP status and body as they came; `wall_s` from asking to the last byte."""

    status: int
    body: bytes
    content_type: str
    wall_s: float


class Transport:
    """Kept-alive connections to one portal. Safe to share between threads.

    `portal` is the base address, `ca_file` a file of certificates for a portal with its own authority.
    `on_moved` is told the new base address after the portal was renamed. No cookies: a PHP session
    would make the portal run our parallel requests one after another. No proxies and no .netrc from
    the environment.
    """

    def __init__(
        self,
        portal: str,
        *,
        ca_file: str | None = None,
        pool_size: int = POOL_SIZE,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_idle_s: float = MAX_IDLE_S,
        on_moved: Callable[[str], None] | None = None,
    ) -> None:
        self._portal = portal
        self._moved = threading.Lock()
        self._on_moved = on_moved
        self._max_answer_bytes = max_answer_bytes
        self._verify: bool | str = ca_file or True
        self._session = requests.Session()
        adapter = _Adapter(pool_size, max_idle_s)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        _mask_secrets_of_urllib3()

    @property
    def portal(self) -> str:
        """Base address, the new one after the portal was renamed."""
        return self._portal

    def close(self) -> None:
        """Close the kept connections. The transport can still be used and opens new ones."""
        self._session.close()

    def post(self, path: str, body: Body, timeouts: Timeouts) -> Reply:
        """Send a body to a path of the portal and return the answer whatever its status is.

        Raises NotSent when the request surely was not executed, AnswerLost when nobody knows.
        """
        started = time.monotonic()
        exchange = _Exchange(timeouts, started + timeouts.total, len(body))
        for _ in range(MAX_REDIRECTS + 1):
            base = self._portal
            reply, location = self._once(base + path, body, exchange)
            if location is None:
                return replace(reply, wall_s=time.monotonic() - started)
            self._remember(base, _moved_to(base, path, location))
        raise MovedTooFar(f"the portal redirected more than {MAX_REDIRECTS} times")

    def _remember(self, old: str, new: str) -> None:
        with self._moved:
            if self._portal != old:  # another thread learnt it first
                return
            self._portal = new
        if self._on_moved is not None:
            self._on_moved(new)

    def _once(self, url: str, body: Body, exchange: _Exchange) -> tuple[Reply, str | None]:
        exchange.restart()
        failure: TransportError
        with exchange.running():
            try:
                return self._exchange(url, body, exchange)
            except (requests.RequestException, HTTPError, OSError, ValueError) as exc:
                failure = exchange.verdict(exc)
            except TransportError as exc:
                failure = exc
        failure.left_at = exchange.left_at
        # Raised outside the handler: the library's exceptions carry the address with the secret.
        raise failure

    def _exchange(self, url: str, body: Body, exchange: _Exchange) -> tuple[Reply, str | None]:
        with _opened(body) as data:
            response = self._session.get_adapter(url).send(
                _request(url, data, len(body), body.content_type),
                timeout=(exchange.timeouts.connect, exchange.timeouts.read),
                stream=True,
                verify=self._verify,
            )
            with response:
                content = self._read(response.raw, response.status_code)
        location = response.headers.get("Location") if response.status_code in _MOVED else None
        content_type = response.headers.get("Content-Type", "")
        return Reply(response.status_code, content, content_type, 0.0), location

    def _read(self, raw: Any, status: int) -> bytes:
        content = bytearray()
        while chunk := raw.read(_CHUNK, decode_content=False):
            content += chunk
            if len(content) > self._max_answer_bytes:
                raise UnreadableAnswer("the portal's answer is too large", status)
        return bytes(content)


def _request(url: str, data: Any, length: int, content_type: str) -> requests.PreparedRequest:
    """A request ready for the adapter. The session's own preparation merges defaults, cookies and the environment,
    of which there are none here, and costs half of a request's processor time."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = "POST", url, data
    request.headers = {**_HEADERS, "Content-Type": content_type, "Content-Length": str(length)}  # type: ignore[assignment]
    return request


@contextmanager
def _opened(body: Body) -> Iterator[Any]:
    source = body.open()
    if isinstance(source, bytes):
        yield source
    else:
        with source:
            yield _Stream(source, len(body))


class _Stream:
    """What requests wants of a body it shall stream with a Content-Length."""

    def __init__(self, source: io.RawIOBase, length: int) -> None:
        self._source, self._length = source, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_CHUNK), b"")

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size) or b""


def _moved_to(base: str, path: str, location: str) -> str:
    """The new base address of a renamed portal. Raises MovedTooFar where the secret must not go.

    The path must be the one we asked for: a redirect to a login or a "closed" page is no renaming.
    """
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise MovedTooFar("the portal redirects to something that is no web address") from None
    asked = path.partition("?")[0]
    if parts.scheme not in ("http", "https") or not host or parts.path.rstrip("/") != asked.rstrip("/"):
        raise MovedTooFar(
            "the portal redirects to a page instead of answering: check that the portal is open, and the "
            "address of the webhook"
        )
    from_here = is_loopback(urlsplit(base).hostname)
    if is_loopback(host):
        # A portal elsewhere must not make us talk to this machine, and TLS is never given up.
        allowed = from_here and (parts.scheme == "https" or base.startswith("http:"))
    else:
        allowed = parts.scheme == "https"
    if not allowed:
        raise MovedTooFar(f"the portal redirects to {parts.scheme}://{host}, where a secret must not be sent")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


class _Exchange:
    """What one request may still take, and how far it came. Found by the socket through its thread."""

    current = threading.local()

    def __init__(self, timeouts: Timeouts, deadline: float, body_bytes: int) -> None:
        self.timeouts, self.deadline, self.body_bytes = timeouts, deadline, body_bytes
        self.restart()

    def restart(self) -> None:
        self.headers_out = False
        self.sent_bytes = 0
        self.sent_all = False
        self.left_at = 0.0
        self.unknown_name = False
        self.expired = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        self.current.exchange = self
        try:
            yield
        finally:
            self.current.exchange = None

    def allow(self, what: str, seconds: float) -> float:
        """Seconds the next step may take. Raises TimeoutError when the whole time is over."""
        left = self.deadline - time.monotonic()
        self.expired = what if seconds <= left else "total"
        if left <= 0:
            raise TimeoutError("total")
        return min(seconds, left)

    def about_to_send(self, size: int) -> None:
        """Count the body before it leaves: once the last of it may be out, nobody knows."""
        self.sent_bytes += size
        self.sent_all = self.sent_bytes >= self.body_bytes
        if self.sent_all:
            self.left_at = time.time()

    def verdict(self, exc: Exception) -> TransportError:
        timed_out = self.expired and _is_timeout(exc)
        if not self.sent_all:
            return NotSent(self._not_sent(exc, bool(timed_out)))
        if timed_out:
            lost = AnswerLost(f"the portal did not answer completely in time ({self._limit()})")
            lost.timed_out = True
            return lost
        return AnswerLost("the portal closed the connection before its answer was complete")

    def _not_sent(self, exc: Exception, timed_out: bool) -> str:
        if timed_out:
            return f"the portal could not be reached in time ({self._limit()})"
        if self.headers_out:
            return "the connection to the portal broke while the request was being sent"
        if isinstance(exc, requests.exceptions.SSLError):
            return "the portal's certificate is not valid for its name, or not trusted by this machine"
        if self.unknown_name:
            return "the portal's name is not known: check the address of the webhook and the DNS of this machine"
        return "the portal cannot be reached: the connection was refused or broken"

    def _limit(self) -> str:
        return f"{self.expired} timeout of {getattr(self.timeouts, self.expired):g} s"


def _is_timeout(exc: BaseException | None) -> bool:
    # The libraries' own timeout classes also cover refused connections; what the socket said is at the
    # bottom of the chain.
    seen = 0
    while exc is not None and seen < 10:
        if isinstance(exc, TimeoutError):
            return True
        exc, seen = exc.__cause__ or exc.__context__, seen + 1
    return False


def _exchange_now() -> _Exchange:
    exchange: _Exchange = _Exchange.current.exchange
    return exchange


class _TimedSocket:
    """A connected socket that asks before every step how long it may take.

    The timeout of a plain socket counts anew for every byte: a portal that drips one byte a second
    would hold a thread for ever.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._headers = b""
        self._limit_s: float | None = None
        self.used_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, value: float | None) -> None:
        """Ignored: the running exchange decides."""

    def _limit(self, seconds: float) -> None:
        if seconds != self._limit_s:  # a system call, even if nothing changes
            self._sock.settimeout(seconds)
            self._limit_s = seconds

    def sendall(self, data: Any, flags: int = 0) -> None:
        exchange = _exchange_now()
        if not exchange.headers_out:
            # http.client sends all headers in one piece of their own; they leave with the first of the body.
            exchange.headers_out, self._headers = True, bytes(data)
            return
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _CHUNK):
            piece = view[start : start + _CHUNK]
            headers, self._headers = self._headers, b""
            self._limit(exchange.allow("write", exchange.timeouts.write))
            exchange.about_to_send(len(piece))
            self._sock.sendall(headers + piece if headers else piece, flags)

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        # The socket's own file keeps the descriptor open until the answer is read completely.
        return io.BufferedReader(_TimedReader(self, self._sock.makefile("rb", buffering=0)))


class _TimedReader(io.RawIOBase):
    def __init__(self, owner: _TimedSocket, raw: Any) -> None:
        super().__init__()
        self._owner, self._raw = owner, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = _exchange_now()
        self._owner._limit(exchange.allow("read", exchange.timeouts.read))
        self._owner.used_at = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _dial(connection: Any) -> socket.socket:
    """Connect to the first address that answers, all of them together within the connect timeout."""
    exchange = _exchange_now()
    until = time.monotonic() + exchange.allow("connect", exchange.timeouts.connect)
    problem: OSError = OSError("no address")
    exchange.unknown_name = True
    addresses = socket.getaddrinfo(connection._dns_host.strip("[]"), connection.port, type=socket.SOCK_STREAM)
    exchange.unknown_name = False
    for family, kind, proto, _, address in addresses:
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(max(0.001, until - time.monotonic()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            # TLS follows on the same clock.
            sock.settimeout(max(0.001, until - time.monotonic()))
        except OSError as exc:
            sock.close()
            problem = exc
        else:
            return sock
    raise problem


class _Timed:
    """Mixed into urllib3's connections: our dialling, our timed socket, an age limit at rest."""

    max_idle_s = MAX_IDLE_S
    sock: Any

    def _new_conn(self) -> socket.socket:
        try:
            return _dial(self)
        except TimeoutError as exc:
            raise urllib3.exceptions.ConnectTimeoutError(self, "connect timeout") from exc
        except OSError as exc:
            raise urllib3.exceptions.NewConnectionError(self, str(exc)) from exc  # type: ignore[arg-type]

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _TimedSocket(self.sock)

    @property
    def is_connected(self) -> bool:
        if self.sock is None or time.monotonic() - self.sock.used_at > self.max_idle_s:
            return False
        return bool(super().is_connected)  # type: ignore[misc]


class _HTTP(_Timed, HTTPConnection):
    pass


class _HTTPS(_Timed, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    """requests' adapter with connections that keep the four times. It never retries."""

    def __init__(self, pool_size: int, max_idle_s: float) -> None:
        self._max_idle_s = max_idle_s
        self._pools: dict[tuple[str, bool | str | None], Any] = {}
        super().__init__(pool_connections=4, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        aged = {"max_idle_s": self._max_idle_s}
        http = type("_HTTPPool", (HTTPConnectionPool,), {"ConnectionCls": type("_HTTP", (_HTTP,), aged)})
        https = type("_HTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": type("_HTTPS", (_HTTPS,), aged)})
        self.poolmanager.pool_classes_by_scheme = {"http": http, "https": https}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: bool | str | None, *_: Any, **__: Any
    ) -> Any:
        # Which pool an address has does not change, and finding it out anew costs a twentieth of a request.
        assert request.url is not None
        key = request.url[: request.url.find("/", len("https://"))], verify
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = super().get_connection_with_tls_context(request, verify)
        return pool

    def build_response(self, _: requests.PreparedRequest, answer: Any) -> requests.Response:
        # Of the library's own, which also looks for cookies and an encoding, this is what is read.
        response = requests.Response()
        response.status_code, response.raw, response.headers = answer.status, answer, answer.headers
        return response

    def close(self) -> None:
        self._pools.clear()
        super().close()


class _MaskSecrets(logging.Filter):
    """urllib3 writes the path of every request into its debug log, and ours hold the secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        masked = mask(text)
        if masked != text:
            record.msg, record.args = masked, None
        return True


_masking = _MaskSecrets()


def _mask_secrets_of_urllib3() -> None:
    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_masking)  # adding the same filter twice does nothing
