"""The FastAGI server: who is served, who waits, who is refused, and how it ends."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agi.session import Session
from fastagi_server import FastAGIServer, Hook
from tests.agi.peer import OK, Asterisk, environment

RC_OK = b'SET VARIABLE "B24_RC" "ok"\n'
RC_ERROR = b'SET VARIABLE "B24_RC" "error"\n'


def eventually(check: Callable[[], Any]) -> None:
    """Wait for what other threads are about to do."""
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def acknowledge(session: Session) -> None:
    session.set_variable("B24_RC", "ok")


class Gate:
    """A hook that waits until it is opened, as for a slow portal."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered: list[str] = []

    def __call__(self, session: Session) -> None:
        self.entered.append(session.args[0])
        assert self.opened.wait(10)
        acknowledge(session)


@contextlib.contextmanager
def serving(hooks: dict[str, Hook], **options: Any) -> Iterator[FastAGIServer]:
    server = FastAGIServer(("127.0.0.1", 0), hooks, **{"threads": 4, "waiting": 2, **options})
    server.start()
    try:
        yield server
    finally:
        server.stop(1.0)


def call(server: FastAGIServer, hook: str, *args: str) -> Asterisk:
    return Asterisk([OK] * 5, greeting=environment(*args, agi_network_script=hook), address=server.address)


def test_a_path_is_routed_to_its_hook() -> None:
    with serving({"ring": Hook(acknowledge, waits=False)}) as server, call(server, "ring", "1.1") as asterisk:
        assert asterisk.wait().commands == [RC_OK]
        assert asterisk.ended == "fin"
        eventually(lambda: server.stats().sessions == 1)


def test_an_unknown_hook_is_told_to_the_dialplan_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"ring": Hook(acknowledge, waits=False)}) as server, call(server, "rang\x1b[31m") as asterisk:
        assert asterisk.wait().commands == [RC_ERROR]
        assert server.stats().unknown_hooks == 1
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "unknown hook 'rang\\x1b[31m': use one of ring" in line


def test_a_failing_hook_is_an_error_for_the_dialplan_and_no_callers_data_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(session: Session) -> None:
        raise ValueError(f"bad number {session.env['agi_callerid']}")

    with serving({"ring": Hook(fails, waits=False)}) as server:
        for _ in range(6):  # more than there are threads: none is lost
            with call(server, "ring", "1.1") as asterisk:
                assert asterisk.wait().commands == [RC_ERROR]
        assert server.stats().errors == 6
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "ValueError at" in lines[0]
    assert not any("7916" in line for line in lines)


def test_a_hook_that_ends_the_program_ends_only_itself() -> None:
    with serving({"ring": Hook(lambda _session: sys.exit(3), waits=False)}) as server:
        for _ in range(6):
            with call(server, "ring", "1.1") as asterisk:
                assert asterisk.wait().commands == [RC_ERROR]


def test_a_caller_who_hangs_up_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"ring": Hook(acknowledge, waits=False)}) as server:
        with Asterisk(
            [b""], greeting=environment(agi_network_script="ring"), address=server.address, closes=True
        ) as asterisk:
            asterisk.wait()
        eventually(lambda: server.stats().sessions == 1)
        assert server.stats().errors == 0
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_probes_garbage_and_half_environments_cost_nothing_but_a_count(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"ring": Hook(acknowledge, waits=False)}) as server:
        for greeting in (b"", b"GET / HTTP/1.0\r\n\r\n", environment()[:50], os.urandom(9000)):
            with Asterisk(greeting=greeting, address=server.address, closes=True) as stranger:
                stranger.wait()
        eventually(lambda: server.stats().refused_by_reason == {"probe": 1, "no AGI environment": 3})
        with call(server, "ring", "1.1") as asterisk:
            assert asterisk.wait().commands == [RC_OK]
        eventually(lambda: server.stats().in_hand == 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_silent_connections_do_not_keep_calls_waiting_for_ever() -> None:
    hooks = {"ring": Hook(acknowledge, waits=False)}
    with serving(hooks, threads=2, waiting=1) as server, contextlib.ExitStack() as silent:
        for _ in range(6):
            silent.enter_context(socket.create_connection(server.address))
        with call(server, "ring", "1.1") as asterisk:
            assert asterisk.wait().commands == [RC_OK]


def test_only_allowed_networks_are_served(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"ring": Hook(acknowledge, waits=False)}, allow=[ipaddress.ip_network("192.0.2.0/24")]) as server:
        for _ in range(3):
            with call(server, "ring", "1.1") as stranger:
                assert stranger.wait().commands == []
        assert server.stats().refused_by_reason == {"not allowed": 3}
        server.allow = [ipaddress.ip_network("127.0.0.0/8")]
        with call(server, "ring", "1.1") as asterisk:
            assert asterisk.wait().commands == [RC_OK]
    refusals = [record for record in caplog.records if "not in [fastagi] allow" in record.getMessage()]
    assert 1 <= len(refusals) < 3


def test_short_hooks_are_served_while_every_waiting_slot_is_taken() -> None:
    gate = Gate()
    hooks = {"inbound": Hook(gate, waits=True), "hangup": Hook(acknowledge, waits=False)}
    with serving(hooks, threads=3, waiting=2) as server, contextlib.ExitStack() as calls:
        waiting = [calls.enter_context(call(server, "inbound", str(n))) for n in range(6)]
        eventually(lambda: server.stats().queued == 4)
        with call(server, "hangup", "0") as asterisk:
            assert asterisk.wait().commands == [RC_OK]
        assert len(gate.entered) == 2
        gate.opened.set()
        assert [asterisk.wait().commands for asterisk in waiting] == [[RC_OK]] * 6
        eventually(lambda: server.stats().in_hand == 0)
        stats = server.stats()
        assert (stats.queued, stats.queued_max, stats.sessions) == (0, 4, 7)
        assert stats.queue_longest_wait_s > 0


def test_a_full_queue_refuses_at_once_and_counts() -> None:
    gate = Gate()
    with (
        serving({"inbound": Hook(gate, waits=True)}, threads=3, waiting=1, queue=2) as server,
        contextlib.ExitStack() as calls,
    ):
        first = calls.enter_context(call(server, "inbound", "first"))
        eventually(lambda: gate.entered == ["first"])
        queued = [calls.enter_context(call(server, "inbound", str(n))) for n in range(2)]
        eventually(lambda: server.stats().queued == 2)
        with call(server, "inbound", "late") as late:
            assert late.wait().commands == []
            assert late.ended == "fin"
        assert server.stats().refused_by_reason == {"queue full": 1}
        gate.opened.set()
        assert [asterisk.wait().commands for asterisk in (first, *queued)] == [[RC_OK]] * 3
    assert gate.entered[0] == "first"
    assert "late" not in gate.entered


def test_a_queued_session_knows_when_it_was_accepted() -> None:
    gate, ages = Gate(), list[float]()

    def ages_then_acknowledges(session: Session) -> None:
        ages.append(time.monotonic() - session.accepted_at)
        acknowledge(session)

    hooks = {"inbound": Hook(gate, waits=True), "route": Hook(ages_then_acknowledges, waits=True)}
    with serving(hooks, threads=3, waiting=1) as server, call(server, "inbound", "1") as first:
        eventually(lambda: gate.entered)
        with call(server, "route", "1") as second:
            eventually(lambda: server.stats().queued == 1)
            time.sleep(0.1)
            gate.opened.set()
            assert second.wait().commands == [RC_OK]
            first.wait()
    assert ages[0] >= 0.1


def test_two_hundred_calls_at_once_are_all_served() -> None:
    hooks = {"inbound": Hook(acknowledge, waits=True)}
    with serving(hooks, threads=16, waiting=8) as server, contextlib.ExitStack() as calls:
        all_at_once = [calls.enter_context(call(server, "inbound", str(n))) for n in range(200)]
        assert [asterisk.wait().commands for asterisk in all_at_once] == [[RC_OK]] * 200
        eventually(lambda: server.stats().sessions == 200)
        assert server.stats().refused_by_reason == {}


def test_stopping_finishes_what_is_in_hand_and_in_line_and_refuses_new_calls() -> None:
    gate = Gate()
    with serving({"inbound": Hook(gate, waits=True)}, threads=3, waiting=1) as server, contextlib.ExitStack() as calls:
        address = server.address
        in_hand = [calls.enter_context(call(server, "inbound", str(n))) for n in range(2)]
        eventually(lambda: server.stats().queued == 1)
        stopping = threading.Thread(target=server.stop, args=(10.0,))
        stopping.start()
        eventually(lambda: not server.stats().listening)

        def refused() -> bool:
            try:
                socket.create_connection(address).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refused)
        gate.opened.set()
        assert [asterisk.wait().commands for asterisk in in_hand] == [[RC_OK]] * 2
        stopping.join(10)
        assert not stopping.is_alive()


def test_what_does_not_finish_within_the_drain_is_cut() -> None:
    def never_answered(session: Session) -> None:
        session.get_variable("A")

    with serving({"ring": Hook(never_answered, waits=False)}) as server:
        with Asterisk([b""], greeting=environment(agi_network_script="ring"), address=server.address) as asterisk:
            eventually(lambda: asterisk.commands)
            server.stop(0.05)
            assert asterisk.wait().ended == "fin"
        server.stop()


def test_an_address_in_use_is_told_and_nothing_is_started() -> None:
    before = threading.active_count()
    with serving({}) as server:
        second = FastAGIServer(server.address, {})
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()
    eventually(lambda: threading.active_count() == before)  # the first's threads take a moment to end


def test_waiting_hooks_may_not_take_every_thread() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FastAGIServer(hooks={}, threads=8, waiting=8)


def test_the_module_is_a_program_that_tells_its_mistakes() -> None:
    done = subprocess.run(
        [sys.executable, "fastagi_server.py", "--config", "/nonexistent/config.toml"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "/nonexistent/config.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ipv4_peer_of_a_socket_for_both_kinds_is_known_by_its_ipv4_network() -> None:
    server = FastAGIServer(allow=(ipaddress.ip_network("10.0.0.0/8"),))
    assert server._look_up("::ffff:10.1.2.3")
    assert not server._look_up("::ffff:192.168.1.1")
    assert not server._look_up("::1")


def test_a_burst_of_connections_finds_room_before_anybody_accepts_it() -> None:
    with serving({}) as server:
        assert server._listener is not None
        # linux/tcp.h: of a listening socket tcpi_sacked is the backlog, as the kernel has cut it.
        told = server._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        assert int.from_bytes(told[28:32], sys.byteorder) >= 256


def test_after_a_hook_that_failed_nothing_of_an_earlier_one_remains() -> None:
    def fails(_: Session) -> None:
        raise ValueError

    hook = Hook(fails, waits=True, sets=("B24_STATE", "B24_ROUTE"))
    with serving({"inbound": hook}) as server, call(server, "inbound", "1.1") as asterisk:
        empty = [b'SET VARIABLE "B24_STATE" ""\n', b'SET VARIABLE "B24_ROUTE" ""\n']
        assert asterisk.wait().commands == [*empty, RC_ERROR]
