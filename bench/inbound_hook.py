"""The whole `inbound` hook (journal on SQLite, one round trip to the portal's double) beside the bare AGI loop.

`python -m bench.inbound_hook`: interleaved rounds, medians, the processor time of a hook and where it goes. The double
answers without latency and has a process of its own. Goal: at least 0.15 of the bare loop; a burst of 200 calls
served in under a second. The same program with the threads of a rush left on all cores (agi/rush.py) runs in the same
rounds: what keeping them to one is worth.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator

from bench.load import Load, Result, run
from bench.server import ServerProcess

GOAL = 0.15
_ANSWERS = {"FROM_DID": "74950000001", "CHANNEL(linkedid)": "1700000000.1"}
_LAST = 'SET VARIABLE "B24_RC" "ok"'
_AT_ONCE = 50


def inbound(server: ServerProcess, sessions: int, concurrency: int, first: int) -> Result:
    """Calls to `inbound`, each a call of its own. Raises RuntimeError when one was not answered whole."""
    args = ["17000.{n}", "74950000001"]
    load = Load(
        server.address, "inbound", args, {"agi_uniqueid": "17000.{n}"}, _ANSWERS, concurrency, sessions,
        last=_LAST, first=first,
    )  # fmt: skip
    result = run(load)
    if result.failed:
        raise RuntimeError(f"{result.failed} of {sessions} calls were not answered")
    return result


def bare(server: ServerProcess, sessions: int) -> Result:
    """The same number of sessions of five commands at the bare loop."""
    return run(Load(server.address, "inbound", ["{n}"], {}, _ANSWERS, _AT_ONCE, sessions, commands=5))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sessions", type=int, default=600, help="hooks of a round; the bare loop gets five times as many"
    )
    options = parser.parse_args()
    numbers = itertools.count(1, options.sessions)
    with (
        tempfile.TemporaryDirectory() as directory,
        ServerProcess("bench.portal_server") as portal,
        ServerProcess("bench.bare_loop") as floor,
        tempfile.TemporaryDirectory() as other,
        ServerProcess("bench.hook_server", portal_webhook(portal), directory) as ours,
        ServerProcess("bench.hook_server", portal_webhook(portal), other, "", "spread") as spread,
    ):
        for server in (ours, spread):
            inbound(server, 100, 10, 10_000_000)
        found = list(_rounds(floor, ours, spread, portal, options.rounds, options.sessions, numbers))
        ratios = [hook / base for base, hook, _ in found]
        ratio = statistics.median(ratios)
        verdict = "reached" if ratio >= GOAL else "MISSED"
        print(f"  median of the ratios: {ratio:.2f} (goal {GOAL}: {verdict})")
        gain = statistics.median(hook / without for _, hook, without in found)
        print(f"  beside the same on all cores: {gain:.2f} times the calls a second")
        burst = inbound(ours, 200, 200, 20_000_000)
        print(f"  burst of 200 calls: {burst.seconds:.2f} s, the last call waited {burst.max_ms:.0f} ms")
    spent = json.loads(ours.last_words)
    print("  where the processor time goes:")
    for part, seconds in spent.items():
        print(f"    {seconds / sum(spent.values()):4.0%}  {part}")


def _rounds(
    floor: ServerProcess,
    ours: ServerProcess,
    spread: ServerProcess,
    portal: ServerProcess,
    rounds: int,
    sessions: int,
    numbers: Iterator[int],
) -> Iterator[tuple[float, float, float]]:
    """Sessions a second of each round: (the bare loop, our hook, our hook on all cores)."""
    for number in range(rounds):
        base = bare(floor, sessions * 5)
        hook_before, portal_before = ours.cpu_s(), portal.cpu_s()
        result = inbound(ours, sessions, _AT_ONCE, next(numbers))
        hook_ms = (ours.cpu_s() - hook_before) / sessions * 1e3
        portal_ms = (portal.cpu_s() - portal_before) / sessions * 1e3
        ratio = result.per_second / base.per_second
        print(
            f"  round {number + 1}: bare {base.per_second:6,.0f}/s   inbound {result.per_second:5,.0f}/s"
            f"   p50 {result.p50_ms:5.1f} ms  p95 {result.p95_ms:5.1f} ms   CPU a hook {hook_ms:.2f} ms"
            f" (+ {portal_ms:.2f} ms in the double)   ratio {ratio:.2f}"
        )
        yield base.per_second, result.per_second, inbound(spread, sessions, _AT_ONCE, next(numbers)).per_second


def portal_webhook(portal: ServerProcess) -> str:
    """The webhook of the double in its process."""
    return f"http://127.0.0.1:{portal.address[1]}/rest/1/emulator-secret/"


if __name__ == "__main__":
    main()
