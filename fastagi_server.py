"""The FastAGI server: accept, route a path to its hook, bound what runs, drain. It knows nothing of the CRM.

All threads accept on one listening socket: a session stays in the thread that accepted it, nothing is handed over.
A hook that may wait for the portal needs one of `waiting` slots; without one its session is put in a bounded queue and
the thread accepts again, so that `ring`, `answer` and `hangup` always find a thread.

`python fastagi_server.py [--config FILE]` is `itgrix-bx serve --only agi`.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import ipaddress
import logging
import resource
import socket
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agi.replies import refuse
from agi.rush import Rush
from agi.session import Session, prepare
from agi.wire import AGIEnvironmentError, AGIException, AGIHangup

__all__ = ["FastAGIServer", "Hook", "Network", "Stats", "main"]

log = logging.getLogger("itgrix_bx.agi")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Asterisk sends its environment at once. Where the kernel can, a connection that stays silent waits this long outside
# the accept queue and costs no thread.
_SILENT_S = 2
_KNOWN_PEERS = 4096
_SPARE_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Hook:
    """What runs for a path. `waits`: it may wait for the portal, and so must not take the last threads. `sets`: the
    variables that are empty after a failure, beside the one that tells of it."""

    run: Callable[[Session], None]
    waits: bool
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Counted since the start, except `listening`, `in_hand` and `queued`, which are of now."""

    listening: bool
    sessions: int
    in_hand: int
    queued: int
    queued_max: int
    queue_longest_wait_s: float
    refused_by_reason: Mapping[str, int]
    errors: int
    unknown_hooks: int


class _Complaints:
    """Log lines that a storm could repeat: each reason at most once a second, with the number left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quiet_until: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def say(self, level: int, reason: str, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._quiet_until.get(reason, 0.0):
                self._left_out[reason] += 1
                return
            self._quiet_until[reason] = now + 1.0
            left_out = self._left_out.pop(reason, 0)
        log.log(level, "%s%s", text, f" ({left_out} more like this)" if left_out else "")


class _Waiting:
    """The slots of hooks that may wait, and the sessions in line for one."""

    def __init__(self, slots: int, longest: int) -> None:
        self._lock = threading.Lock()
        self._free = slots
        self._longest = longest
        self._line: deque[tuple[Session, Hook, float]] = deque()
        self.queued_max = 0
        self.longest_wait_s = 0.0

    def __len__(self) -> int:
        return len(self._line)

    def enter(self, session: Session, hook: Hook) -> str:
        """`go` on with the slot taken, `queued`, or `full`."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return "go"
            if len(self._line) >= self._longest:
                return "full"
            self._line.append((session, hook, time.monotonic()))
            self.queued_max = max(self.queued_max, len(self._line))
            return "queued"

    def next(self) -> tuple[Session, Hook] | None:
        """Give the slot to the first in line, else back."""
        with self._lock:
            if not self._line:
                self._free += 1
                return None
            session, hook, since = self._line.popleft()
            self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - since)
            return session, hook


class FastAGIServer:
    """Serves `hooks` by name on `listen` for peers in the `allow` networks (may be replaced while it runs).

    `threads` run hooks, at most `waiting` of them hooks that wait; `queue` more sessions wait for one of those.
    `deadline_s` limits a session, `read_timeout_s` one answer of Asterisk.
    """

    def __init__(
        self,
        listen: tuple[str, int] = ("127.0.0.1", 4575),
        hooks: Mapping[str, Hook] | None = None,
        *,
        allow: Sequence[Network] = (ipaddress.ip_network("127.0.0.0/8"),),
        threads: int = 128,
        waiting: int = 96,
        queue: int = 1000,
        backlog: int = 1024,
        deadline_s: float = 30.0,
        read_timeout_s: float = 5.0,
    ) -> None:
        if not 0 < waiting < threads:
            raise ValueError("waiting must leave at least one of the threads to hooks that do not wait")
        self._listen = listen
        self._hooks = dict(hooks or {})
        self._backlog = backlog
        self._deadline_s = deadline_s
        self._read_timeout_s = read_timeout_s
        self._descriptors = threads + queue + _SPARE_DESCRIPTORS
        self._threads = [threading.Thread(target=self._work, name=f"agi-{n}", daemon=True) for n in range(threads)]
        self._waiting = _Waiting(waiting, queue)
        self._complaints = _Complaints()
        self._listener: socket.socket | None = None
        self._stopping = False
        self._open: set[socket.socket] = set()
        self._rush = Rush(lambda: len(self._open))
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self.allow = allow

    @property
    def allow(self) -> Sequence[Network]:
        return self._allow

    @allow.setter
    def allow(self, networks: Sequence[Network]) -> None:
        self._allow = tuple(networks)
        self._peers: dict[str, bool] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the real port when port 0 was asked for."""
        if self._listener is None:
            return self._listen
        host, port = self._listener.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Listen and serve in background threads. Raises OSError when the address is taken."""
        _allow_descriptors(self._descriptors)
        self._listener = _listening(self._listen, self._backlog)
        self._stopping = False
        for thread in self._threads:
            thread.start()
        self._rush.start()

    def stop(self, drain_s: float = 10.0) -> None:
        """Refuse new sessions, let those in hand and in line finish within `drain_s`, then cut the rest."""
        if self._listener is None or self._stopping:
            return
        until = time.monotonic() + drain_s
        self._stopping = True
        # shutdown() wakes every thread in accept(); close() alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        while self._open and time.monotonic() < until:
            time.sleep(0.01)
        self._cut()
        self._rush.stop()
        for thread in self._threads:
            thread.join(max(until + 1.0 - time.monotonic(), 0.0))
        self._listener.close()

    def _cut(self) -> None:
        left = list(self._open)
        if left:
            log.warning("%d sessions were still open at the end of the drain and are cut", len(left))
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stats(self) -> Stats:
        """What it has done and what it has in hand."""
        with self._lock:
            counts, refused = Counter(self._counts), dict(self._refused)
        return Stats(
            listening=self._listener is not None and not self._stopping,
            sessions=counts["sessions"],
            in_hand=len(self._open),
            queued=len(self._waiting),
            queued_max=self._waiting.queued_max,
            queue_longest_wait_s=self._waiting.longest_wait_s,
            refused_by_reason=refused,
            errors=counts["errors"],
            unknown_hooks=counts["unknown_hooks"],
        )

    # --- one thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        assert self._listener is not None
        accept = self._listener.accept
        while not self._stopping:
            try:
                connection, peer = accept()
            except BlockingIOError:
                continue  # the listening socket has the sessions' kernel timeout
            except OSError as error:
                if not self._stopping:
                    self._accept_failed(error)
                continue
            try:
                self._greet(connection, peer[0])
            except Exception as error:
                self._failed("a session", error)
                self._end(connection)

    def _accept_failed(self, error: OSError) -> None:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._complaints.say(
                logging.ERROR, "descriptors", "no file descriptor for a new session: raise LimitNOFILE (ulimit -n)"
            )
            time.sleep(0.05)

    def _greet(self, connection: socket.socket, peer: str) -> None:
        self._open.add(connection)
        self._rush.notice()
        allowed = self._peers.get(peer)
        if allowed is None:
            allowed = self._look_up(peer)
        if not allowed:
            self._refuse(connection, "not allowed", f"{peer} is not in [fastagi] allow: refused")
            return
        try:
            session = Session(
                connection, deadline_s=self._deadline_s, read_timeout_s=self._read_timeout_s, prepared=True
            )
        except AGIEnvironmentError as error:
            self._no_session(connection, peer, error)
            return
        self._route(session, connection)

    def _look_up(self, peer: str) -> bool:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(peer.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if len(self._peers) >= _KNOWN_PEERS:
            self._peers = {}
        known = self._peers
        known[peer] = allowed = any(address in network for network in self._allow)
        return allowed

    def _no_session(self, connection: socket.socket, peer: str, error: AGIEnvironmentError) -> None:
        # A monitoring system's probe is no news, and nothing a peer sends before it is known to be Asterisk is.
        log.debug("no session with %s: %s", peer, error)
        with self._lock:
            self._refused["probe" if error.probe else "no AGI environment"] += 1
        self._end(connection)

    def _refuse(self, connection: socket.socket, reason: str, text: str) -> None:
        with self._lock:
            self._refused[reason] += 1
        self._complaints.say(logging.WARNING, reason, text)
        self._end(connection)

    def _route(self, session: Session, connection: socket.socket) -> None:
        hook = self._hooks.get(session.hook)
        if hook is None:
            self._unknown(session)
            self._close(session)
        elif not hook.waits:
            self._run(session, hook)
        else:
            entered = self._waiting.enter(session, hook)
            if entered == "full":
                text = "the queue of waiting calls is full: refused, the call goes on without the CRM"
                self._refuse(connection, "queue full", text)
            elif entered == "go":
                self._run_waiting(session, hook)

    def _run_waiting(self, session: Session, hook: Hook) -> None:
        turn: tuple[Session, Hook] | None = (session, hook)
        while turn:
            try:
                self._run(*turn)
            finally:
                turn = self._waiting.next()

    def _run(self, session: Session, hook: Hook) -> None:
        try:
            hook.run(session)
        except AGIHangup as error:
            log.debug("hook %s: %s", session.hook, error)
        except (Exception, SystemExit) as error:  # a hook may end itself, not its thread
            self._failed(f"hook {session.hook}", error)
            self._tell_error(session, hook.sets)
        finally:
            self._close(session)

    def _failed(self, what: str, error: BaseException) -> None:
        with self._lock:
            self._counts["errors"] += 1
        if isinstance(error, AGIException):
            text = f"{what} ended early: {error}; the call goes on"
            self._complaints.say(logging.WARNING, f"{what} {type(error).__name__}", text)
            return
        # The text of an unexpected error may hold a caller's number: its place and kind are enough above DEBUG.
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{what} failed with {type(error).__name__} at {where.filename}:{where.lineno}; the call goes on"
        self._complaints.say(logging.ERROR, text, f"{text}; please report it with the log at level debug")
        log.debug("%s failed", what, exc_info=error)

    def _unknown(self, session: Session) -> None:
        with self._lock:
            self._counts["unknown_hooks"] += 1
        known = ", ".join(sorted(self._hooks))
        text = f"the dialplan calls the unknown hook {session.hook[:40]!a}: use one of {known}; the call goes on"
        self._complaints.say(logging.ERROR, "unknown hook", text)
        self._tell_error(session)

    def _tell_error(self, session: Session, sets: Sequence[str] = ()) -> None:
        with contextlib.suppress(AGIException):
            refuse(session, sets)

    def _close(self, session: Session) -> None:
        with self._lock:
            self._counts["sessions"] += 1
        session.close()
        self._open.discard(session.connection)

    def _end(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.close()
        self._open.discard(connection)


def _listening(listen: tuple[str, int], backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        prepare(listener)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENT_S)
        listener.bind(listen)
        # Asterisk gives a connect 2 seconds: with a short backlog a burst of calls loses that time, or the call.
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _allow_descriptors(needed: int) -> None:
    """Every queued session holds a descriptor, and the usual soft limit of 1,024 is less than a full queue."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: Sequence[str] | None = None) -> None:
    """`fastagi_server.py [--config FILE]`: `itgrix-bx serve --only agi`."""
    parser = argparse.ArgumentParser(prog="fastagi_server.py", description="Serve the dialplan's hooks, and only them.")
    parser.add_argument("--config", metavar="FILE", help="configuration, as for itgrix-bx")
    options = parser.parse_args(arguments)
    from itgrix_bx.cli import main as command_line

    config = ["--config", options.config] if options.config else []
    command_line([*config, "serve", "--only", "agi"], prog_name="itgrix-bx")


if __name__ == "__main__":
    main(sys.argv[1:])
