"""In a rush of calls the threads that serve them keep to one core, and only then."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agi.rush import FEW, MANY
from fastagi_server import FastAGIServer, Hook
from tests.agi.peer import environment

EVERYWHERE = os.sched_getaffinity(0)


@pytest.fixture
def release() -> threading.Event:
    return threading.Event()


@pytest.fixture
def server(release: threading.Event) -> Iterator[FastAGIServer]:
    server = FastAGIServer(("127.0.0.1", 0), {"inbound": Hook(lambda _: bool(release.wait(30)), waits=False)})
    server.start()
    yield server
    release.set()
    server.stop()


def cores(server: FastAGIServer) -> set[int]:
    """All that any thread of the server may run on."""
    return set().union(*(os.sched_getaffinity(thread.native_id or 0) for thread in server._threads))


def calls(server: FastAGIServer, count: int) -> list[socket.socket]:
    found = [socket.create_connection(server.address) for _ in range(count)]
    for connection in found:
        connection.sendall(environment("1.1", agi_network_script="inbound"))
    eventually(lambda: server.stats().in_hand >= count)
    return found


def eventually(told: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not told():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_hooks_at_once_keep_to_one_core_until_they_are_few(
    server: FastAGIServer, release: threading.Event
) -> None:
    connections = calls(server, MANY)
    eventually(lambda: len(cores(server)) == 1)
    assert os.sched_getaffinity(threading.main_thread().native_id or 0) == EVERYWHERE
    release.set()
    eventually(lambda: cores(server) == EVERYWHERE)
    for connection in connections:
        connection.close()


def test_the_next_rush_is_noticed_too(server: FastAGIServer, release: threading.Event) -> None:
    for _ in range(2):
        release.clear()
        connections = calls(server, MANY)
        eventually(lambda: len(cores(server)) == 1)
        release.set()
        eventually(lambda: cores(server) == EVERYWHERE)
        for connection in connections:
            connection.close()


def test_a_few_hooks_are_left_where_the_kernel_puts_them(server: FastAGIServer) -> None:
    connections = calls(server, FEW)
    time.sleep(0.3)
    assert cores(server) == EVERYWHERE
    for connection in connections:
        connection.close()


def test_a_server_stopped_in_a_rush_leaves_nothing_behind(server: FastAGIServer, release: threading.Event) -> None:
    connections = calls(server, MANY)
    eventually(lambda: len(cores(server)) == 1)
    release.set()
    server.stop()
    server._rush._thread.join(10)
    assert os.sched_getaffinity(0) == EVERYWHERE
    assert not server._rush._thread.is_alive()
    for connection in connections:
        connection.close()
