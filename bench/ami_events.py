"""Events a second from the socket to a callback, ours beside pyst2's reader: `python -m bench.ami_events`.

A manager in another process sends a storm of 430-byte events; each client counts what its callback got and whether it
came in order. Goal: at least 5,000 a second and none lost.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

from bench.server import ServerProcess
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.link import Manager

GOAL = 5000.0
Measured = tuple[float, float]  # events a second, CPU microseconds an event


class Counter:
    """Counts events, which carry their number, until all have come."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.heard = 0
        self.in_order = True
        self.done = threading.Event()

    def hear(self, app_data: str) -> None:
        self.in_order = self.in_order and int(app_data.rpartition(" ")[2]) == self.heard
        self.heard += 1
        if self.heard == self._count:
            self.done.set()


def _timed(counter: Counter, blast: Callable[[], object]) -> Measured:
    """Raises RuntimeError when events were lost or out of order."""
    began, cpu = time.perf_counter(), time.process_time()
    blast()
    if not counter.done.wait(120) or not counter.in_order:
        raise RuntimeError(f"only {counter.heard} events came, in order: {counter.in_order}")
    seconds = time.perf_counter() - began
    return counter.heard / seconds, (time.process_time() - cpu) / counter.heard * 1e6


def ours(address: tuple[str, int], count: int) -> Measured:
    """This project's client, as the service uses it."""
    counter, there = Counter(count), threading.Event()
    ami = Ami(Manager(address, "bench", "bench", mask="on"))
    ami.on("Newexten", lambda event: counter.hear(event.get("AppData")))
    ami.on_link(lambda up: there.set() if up else None)
    ami.start()
    there.wait(10)
    found = _timed(counter, lambda: ami.ask("Blast", {"Count": count}, timeout_s=60))
    ami.stop()
    return found


def pyst2(address: tuple[str, int], count: int) -> Measured:
    """pyst2's Manager, as released."""
    from asterisk.manager import Manager as Pyst2Manager

    counter = Counter(count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manager = Pyst2Manager()
        manager.connect(*address)
        manager.login("bench", "bench")
        manager.register_event("Newexten", lambda event, _: counter.hear(event.get_header("AppData")))
        return _timed(counter, lambda: manager.send_action({"Action": "Blast", "Count": str(count)}))


def _apart(client: Callable[[tuple[str, int], int], Measured], address: tuple[str, int], count: int) -> Measured:
    """In a process of its own, which is ended from outside: pyst2 cannot end while its peer lives."""
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_tell, args=(there, client, address, count))
    child.start()
    there.close()
    try:
        found: Measured = here.recv()
    except EOFError:
        raise RuntimeError(f"{client.__name__} did not get to the end") from None
    finally:
        child.kill()
        child.join()
    return found


def _tell(to: Connection, client: Callable[[tuple[str, int], int], Measured], *args: object) -> None:
    to.send(client(*args))  # type: ignore[arg-type]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=15_000, help="a storm; a tenth of it for pyst2")
    options = parser.parse_args()
    with ServerProcess("bench.ami_peer") as peer:
        rounds = [
            (_apart(ours, peer.address, options.events), _apart(pyst2, peer.address, options.events // 10))
            for _ in range(options.rounds)
        ]
    for name, found in zip(("itgrix-bx", "pyst2"), zip(*rounds, strict=True), strict=True):
        rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"  {name:<10} {rate:9,.0f} events/s   CPU {cpu:8.1f} µs an event   none lost")
        if name == "itgrix-bx":
            print(f"  {'':<10} goal {GOAL:,.0f}: {'reached' if rate >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
