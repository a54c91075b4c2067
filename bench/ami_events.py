"""Events a second, ours beside pyst2's reader: `python -m bench.ami_events`. Goal: at least 5,000, none lost.

From the socket to a callback: a manager in another process sends a storm of 430-byte events; each client counts what
its callback got and whether it came in order. Merged: the events of answered calls, of which every twentieth is the
CRM's, followed by the feed as in the service, on a journal in SQLite; at the end each of those calls must have its
ring, its answer and its end, and no other call may be there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bench import ami_peer
from bench.server import ServerProcess
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.schedule import due
from itgrix_bx.logbook import Logbook
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.devices import Devices
from itgrix_bx.pbx.feed import HOOKS_FIRST_S, Feed
from itgrix_bx.pbx.link import Manager
from itgrix_bx.pbx.reconcile import House
from itgrix_bx.spool import Spool
from sql.database import Database
from sql.journal import Journal
from sql.schema import upgrade

GOAL = 5000.0
CRM_EVERY = 20  # the others are calls within the house
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


def merged(address: tuple[str, int], count: int) -> Measured:
    """Our client and the feed behind it, on the calls that make `count` events. Raises RuntimeError as `ours` does."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/journal.db")
        upgrade(database)
        logbook = Logbook(Journal(database, due), Spool(Path(directory)))
        try:
            return _merge(address, count // ami_peer.STORM_EVENTS, logbook)
        finally:
            database.close()


def _merge(address: tuple[str, int], calls: int, logbook: Logbook) -> Measured:
    of_crm = [ami_peer.call_id(n) for n in range(0, calls, CRM_EVERY)]
    for call_id in of_crm:
        logbook.record([Event(call_id, Kind.INBOUND, time.time(), {"client_number": "+79161234567"})])
    ends = Ends(len(of_crm))
    logbook.on_change(ends.hear)
    ami, there = Ami(Manager(address, "bench", "bench", mask="on")), threading.Event()
    feed = Feed(lambda: House(Directory()), logbook, ami, Devices())
    ami.on_link(lambda up: there.set() if up else None)
    feed.start()
    ami.start()
    there.wait(10)
    began, cpu = time.perf_counter(), time.process_time()
    ami.ask("Storm", {"Count": calls}, timeout_s=60)
    came = ends.done.wait(120)
    # An end is held back so long, in case a hook tells it better.
    seconds, used = time.perf_counter() - began - HOOKS_FIRST_S, time.process_time() - cpu
    ami.stop()
    feed.stop()
    _check(ami, logbook, of_crm, came=came)
    heard = calls * ami_peer.STORM_EVENTS
    return heard / seconds, used / heard * 1e6


class Ends:
    """Counts the calls that are over."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.done = threading.Event()

    def hear(self, call: Call, _: Sequence[Event]) -> None:
        self._left -= call.over
        if not self._left:
            self.done.set()


def _check(ami: Ami, logbook: Logbook, of_crm: list[str], *, came: bool) -> None:
    calls = logbook.journal.find(limit=0)
    whole = sum(
        [(leg.extension, leg.answered_at is not None) for leg in call.legs] == [("101", True)] for call in calls
    )
    lost = ami.health()["events_lost"]
    if not came or lost or len(calls) != len(of_crm) or whole != len(of_crm):
        raise RuntimeError(f"{lost} events lost; of {len(of_crm)} calls {len(calls)} are there, {whole} of them whole")


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
            (
                _apart(ours, peer.address, options.events),
                _apart(merged, peer.address, options.events),
                _apart(pyst2, peer.address, options.events // 10),
            )
            for _ in range(options.rounds)
        ]
    for name, found in zip(("itgrix-bx", "  merged", "pyst2"), zip(*rounds, strict=True), strict=True):
        rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"  {name:<10} {rate:9,.0f} events/s   CPU {cpu:8.1f} µs an event   none lost")
        if name != "pyst2":
            print(f"  {'':<10} goal {GOAL:,.0f}: {'reached' if rate >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
