"""Sessions a second of the AGI engine beside a bare blocking loop in the same run: `python -m bench.agi_engine`.

Five commands a session (GET twice, SET twice, VERBOSE), 1 and 50 at once, interleaved rounds, medians; then a burst
of 200 calls in one instant. Goal: at least 0.8 of the bare loop, and the burst served in under a second.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass

from bench.load import Load, Result, run
from bench.server import ServerProcess

ANSWERS = {"FROM_DID": "74950000001", "CHANNEL(linkedid)": "1700000000.1"}
SERVERS = {"bare loop": "bench.bare_loop", "itgrix-bx": "bench.engine_server"}
GOAL = 0.8


@dataclass(frozen=True)
class Round:
    """One server's part of a round."""

    result: Result
    cpu_ms: float


def measure(server: ServerProcess, concurrency: int, sessions: int) -> Round:
    """Play `sessions` sessions. Raises RuntimeError when one was not complete: a fast wrong answer counts nothing."""
    before = server.cpu_s()
    result = run(Load(server.address, "inbound", ["{n}"], {}, ANSWERS, concurrency, sessions, commands=5))
    if result.failed:
        raise RuntimeError(f"{result.failed} of {sessions} sessions failed")
    return Round(result, (server.cpu_s() - before) / result.complete * 1e3)


def compare(servers: dict[str, ServerProcess], concurrency: int, sessions: int, rounds: int) -> float:
    """Print a line for each server; the ratio of ours to the bare loop, the median of the rounds' ratios."""
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for number in range(rounds):
        # The order alternates: whoever comes second finds a warmer machine.
        for name in sorted(servers, reverse=bool(number % 2)):
            found[name].append(measure(servers[name], concurrency, sessions))
    for name, done in found.items():
        _print(name, concurrency, done)
    floor, ours = ([done.result.per_second for done in found[name]] for name in ("bare loop", "itgrix-bx"))
    ratio = statistics.median(ours) / statistics.median(floor)
    verdict = "reached" if ratio >= GOAL else "MISSED"
    print(f"  ratio of the medians at {concurrency} at once: {ratio:.2f} (goal {GOAL}: {verdict})\n")
    return ratio


def _print(name: str, concurrency: int, done: list[Round]) -> None:
    median = statistics.median
    client = median([d.result.client_cpu_s / d.result.seconds for d in done])
    print(
        f"  {name:<10} {concurrency:>3} at once: {median([d.result.per_second for d in done]):7,.0f} sessions/s"
        f"   p50 {median([d.result.p50_ms for d in done]):6.2f} ms"
        f"   p95 {median([d.result.p95_ms for d in done]):6.2f} ms"
        f"   CPU {median([d.cpu_ms for d in done]):.3f} ms a session (client {client:.0%} of a core)"
    )


def burst(server: ServerProcess, calls: int) -> Result:
    """All of `calls` connect in the same instant."""
    result = run(Load(server.address, "inbound", ["{n}"], {}, ANSWERS, calls, calls, commands=5))
    served = f"{result.complete} served in {result.seconds:.2f} s"
    print(f"  burst of {calls}: {served}, the last call waited {result.max_ms:.0f} ms")
    return result


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=3000, help="sessions of a round at 50 at once; a third at 1")
    options = parser.parse_args()
    with ServerProcess(SERVERS["bare loop"]) as floor, ServerProcess(SERVERS["itgrix-bx"]) as ours:
        servers = {"bare loop": floor, "itgrix-bx": ours}
        for server in servers.values():
            measure(server, 10, 200)
        compare(servers, 1, options.sessions // 3, options.rounds)
        compare(servers, 50, options.sessions, options.rounds)
        burst(ours, 200)


if __name__ == "__main__":
    main()
