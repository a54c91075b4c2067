"""Asterisk's side of many FastAGI sessions, as cheap as Python allows, in a process of its own.

One epoll loop, all bytes prepared beforehand, so that the server is the bottleneck. As res_agi.c does, every line of
the environment is a write of its own, and the session ends when the server closes.

From another benchmark: `run(Load(address, "inbound", ["{n}", "74950000001"], answers={"FROM_DID": "74950000001"}))`.
In `args` and `environment` values `{n}` is the number of the session, so that every session can be a call of its own.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

_NUMBER = b"{n}"
_SET = b"200 result=1\n"
_UNSET = b"200 result=0\n"

# What Asterisk 22 sends, in its order, around agi_network, agi_network_script and the arguments.
_ENVIRONMENT = {
    "agi_request": "agi://127.0.0.1/{hook}",
    "agi_channel": "PJSIP/trunk-{n}",
    "agi_language": "en",
    "agi_type": "PJSIP",
    "agi_uniqueid": "{n}",
    "agi_version": "22.5.0",
    "agi_callerid": "+79161234567",
    "agi_calleridname": "unknown",
    "agi_callingpres": "0",
    "agi_callingani2": "0",
    "agi_callington": "0",
    "agi_callingtns": "0",
    "agi_dnid": "74950000001",
    "agi_rdnis": "unknown",
    "agi_context": "from-trunk",
    "agi_extension": "74950000001",
    "agi_priority": "3",
    "agi_enhanced": "0.0",
    "agi_accountcode": "",
    "agi_threadid": "140012345678592",
}


@dataclass(frozen=True)
class Load:
    """What to send: `sessions` sessions, `concurrency` at a time.

    answers: variable -> value for GET VARIABLE (others are unset); every other command succeeds. `commands` is how many
    commands make a session complete, `last` how its last one must begin; None asks nothing. `{n}` starts at `first`.
    """

    address: tuple[str, int]
    hook: str
    args: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 1
    sessions: int = 1000
    commands: int | None = None
    last: str | None = None
    first: int = 1
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Result:
    """`complete` of the sessions, in `seconds`; milliseconds from connect to the server's close.

    `client_cpu_s` near `seconds` says that the client, not the server, was the bottleneck.
    """

    complete: int
    failed: int
    seconds: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        """Complete sessions a second."""
        return self.complete / self.seconds


def run(load: Load) -> Result:
    """Play `load` from a process of its own."""
    given = json.dumps(asdict(load))
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the load client failed: {done.stderr[-500:]}")
    return Result(**json.loads(done.stdout))


class _Call:
    __slots__ = ("commands", "last", "sent", "socket", "started")

    def __init__(self, connection: socket.socket, started: float) -> None:
        self.socket = connection
        self.started = started
        self.sent = False
        self.commands = 0
        self.last = b""


class _Client:
    """The loop. Edge-triggered, so a connection is registered once: writable means connected, readable a command."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._lines = [line.encode() for line in _lines(load)]
        self._answers = {
            f'GET VARIABLE "{name}"\n'.encode(): f"200 result=1 ({value})\n".encode()
            for name, value in load.answers.items()
        }
        self._last = (load.last or "").encode()
        self._epoll = select.epoll()
        self._calls: dict[int, _Call] = {}
        self._next = load.first
        self._end = load.first + load.sessions
        self._times: list[float] = []
        self._failed = 0

    def play(self) -> Result:
        started, cpu_before = time.perf_counter(), time.process_time()
        until = started + self._load.timeout_s
        for _ in range(min(self._load.concurrency, self._load.sessions)):
            self._connect()
        while self._calls and time.perf_counter() < until:
            for descriptor, events in self._epoll.poll(1.0):
                self._serve(self._calls[descriptor], events)
        seconds = time.perf_counter() - started
        cpu_s = time.process_time() - cpu_before
        self._failed += self._end - self._next + len(self._calls)
        times = sorted(self._times) or [0.0]
        return Result(
            complete=len(self._times),
            failed=self._failed,
            seconds=seconds,
            p50_ms=statistics.median(times) * 1e3,
            p95_ms=times[int(len(times) * 0.95)] * 1e3,
            max_ms=times[-1] * 1e3,
            client_cpu_s=cpu_s,
        )

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call = _Call(connection, time.perf_counter())
        connection.connect_ex(self._load.address)
        self._calls[connection.fileno()] = call
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def _serve(self, call: _Call, events: int) -> None:
        try:
            if not call.sent and events & select.EPOLLOUT:
                self._greet(call)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._answer(call)
        except BlockingIOError:
            pass
        except OSError:
            self._finish(call, False)

    def _greet(self, call: _Call) -> None:
        call.sent = True
        number = b"%d" % self._next
        self._next += 1
        send = call.socket.send
        for line in self._lines:
            send(line.replace(_NUMBER, number) if _NUMBER in line else line)

    def _answer(self, call: _Call) -> None:
        command = call.socket.recv(8192)
        if not command:
            wanted = self._load.commands
            self._finish(call, (wanted is None or call.commands == wanted) and call.last.startswith(self._last))
            return
        call.commands += 1
        call.last = command
        answer = self._answers.get(command)
        call.socket.send(answer or (_UNSET if command.startswith(b"GET ") else _SET))

    def _finish(self, call: _Call, complete: bool) -> None:
        if complete:
            self._times.append(time.perf_counter() - call.started)
        else:
            self._failed += 1
        del self._calls[call.socket.fileno()]
        call.socket.close()
        if self._next + len(self._unsent()) < self._end:
            self._connect()

    def _unsent(self) -> list[_Call]:
        return [call for call in self._calls.values() if not call.sent]


def _lines(load: Load) -> list[str]:
    environment = {"agi_network": "yes", "agi_network_script": load.hook, **_ENVIRONMENT, **load.environment}
    environment["agi_request"] = environment["agi_request"].replace("{hook}", load.hook)
    environment |= {f"agi_arg_{n}": arg for n, arg in enumerate(load.args, 1)}
    return [f"{key}: {value}\n" for key, value in environment.items()] + ["\n"]


def main() -> None:
    """Read a Load as JSON from standard input, write its Result."""
    given = json.load(sys.stdin)
    given["address"] = tuple(given["address"])
    print(json.dumps(asdict(_Client(Load(**given)).play())))


if __name__ == "__main__":
    main()
