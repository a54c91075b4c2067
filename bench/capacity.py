"""How many calls a minute one portal carries: `python -m bench.capacity run|sweep|operating|blocked --help`.

Every trial has the strict double, the client under test (the product by its hooks, or a reference client) and the
callers in processes of their own. Callers are an open loop: they come when they come. A call is delivered when the
portal has one row with the right owner, code and duration, and the recording byte for byte; it is carried when it was
routed to the client's responsible before the first ring and their card came within 2 s of it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from bench import options, theory
from bench.portal import Portal
from bench.report import Table, command, seconds, tally
from bench.trial import CLIENTS, PRODUCT, Conditions, Score, Trial
from itgrix_bx.emulator.portal.latency import find as latency_of

_FINISH = "telephony.externalcall.finish"
_SWEEP_HEAD = (
    "client", "offered/min", "calls", "delivered/min", "carried", "late card", "no route", "waiting", "lost",
    "doubled", "requests/call", "refused", "wait p50", "p95", "p99", "late", "card p95", "behind",
)  # fmt: skip
_OPERATING_HEAD = (
    "billing", "offered/min", "calls", "delivered/min", "limits allow", "share", "in each window", "waiting", "lost",
    "doubled", "requests/call", "wait p95", "late", "refused…",
)  # fmt: skip
_SLICED = ("register", "show", "finish", "attachrecord", "upload")


def main() -> None:
    """Run what the command line asks for."""
    given = _parser().parse_args()
    print(command("bench.capacity"))
    given.run(given)


def run_one(given: argparse.Namespace) -> None:
    """One trial, told in full."""
    conditions = options.conditions(given)
    for latency in given.latency:
        print(f"\n{conditions.client}, {latency}, {conditions.per_min:g} calls/min for {conditions.seconds:g} s")
        with Portal(latency) as portal:
            score = Trial(portal, conditions).run()
        _tell(conditions, score)
        options.keep(given.json, conditions, latency, score)


def _tell(conditions: Conditions, score: Score) -> None:
    for line in _story(conditions, score):
        print(f"  {line}")


def _story(conditions: Conditions, score: Score) -> Iterator[str]:
    fates, waits, asked = score.fates, score.waits, score.asked
    rate = f"{score.per_min:.0f}/min, {score.behind_s:.0f} s behind"
    yield f"offered {fates.offered}, delivered {fates.delivered} ({rate})"
    yield f"waiting {fates.waiting}, lost {fates.lost}, wrong {fates.wrong}, doubled {fates.doubled}"
    yield f"carried {fates.carried}, late card {fates.late_card}, no route {fates.unrouted}"
    yield (
        f"caller's wait p50 {seconds(waits.p50)}, p95 {seconds(waits.p95)}, p99 {seconds(waits.p99)}, longest "
        f"{seconds(waits.longest)}, past the deadline {waits.late}; card p95 {seconds(score.cards_p95_s)}"
    )
    yield f"requests {asked.requests}, a call {score.requests_per_call:.2f}"
    yield f"methods (+: in a batch) {tally(asked.methods)}"
    yield f"commands of a batch: how often {tally(asked.batches)}"
    yield f"refused {tally(asked.refused)}; steps that failed {tally(fates.hitches)}"
    if conditions.client == PRODUCT:
        yield f"memory {score.memory_mib:.0f} MiB, at most {score.peak_mib:.0f}; processor {score.cpu_ms:.0f} ms a call"
    yield f"the callers themselves were {seconds(score.player_late_s)} late at worst"


# --- sweep ---------------------------------------------------------------------------------------


def sweep(given: argparse.Namespace) -> None:
    """Offered calls a minute against what each client delivers, and the highest rate each sustains."""
    base = options.conditions(given)
    for latency, cold in itertools.product(given.latency, given.cold_shares):
        print(f"\n{latency}, {base.rate:g} requests/s, burst {base.burst}, {cold:.0%} of the callers cold")
        table = Table(_SWEEP_HEAD)
        with Portal(latency) as portal:
            for client in given.clients:
                _sweep_client(given, portal, replace(base, client=client, cold=cold), table)


def _sweep_client(given: argparse.Namespace, portal: Portal, base: Conditions, table: Table) -> None:
    sustained, unbroken = 0.0, True
    for per_min in sorted(given.rates):
        conditions = replace(base, per_min=per_min)
        score = Trial(portal, conditions).run()
        table.row(_sweep_row(conditions, score))
        options.keep(given.json, conditions, portal.latency, score)
        unbroken = unbroken and score.is_sustained(base.deadline_s, given.carried, given.behind)
        sustained = per_min if unbroken else sustained
    print(f"  {base.client} sustains {f'{sustained:g} calls/min' if sustained else 'none'} of the rates tried")


def _sweep_row(conditions: Conditions, score: Score) -> list[str]:
    fates, waits = score.fates, score.waits
    return [
        conditions.client, f"{conditions.per_min:g}", str(fates.offered), f"{score.per_min:.1f}", str(fates.carried),
        str(fates.late_card), str(fates.unrouted), str(fates.waiting), str(fates.lost + fates.wrong),
        str(fates.doubled), f"{score.requests_per_call:.2f}", str(sum(score.asked.refused.values())),
        seconds(waits.p50), seconds(waits.p95), seconds(waits.p99), str(waits.late), seconds(score.cards_p95_s),
        f"{score.behind_s:.0f} s",
    ]  # fmt: skip


# --- the resource limit --------------------------------------------------------------------------


def operating(given: argparse.Namespace) -> None:
    """Delivered calls with the resource limit off, billed to methods, and with batches billed whole."""
    base = options.conditions(given)
    for latency in given.latency:
        window = f"{base.limit_s:g} s of work in {base.window_s:g} s"
        print(f"\n{latency}, {base.rate:g} requests/s, {window}, {base.cold:.0%} of the callers cold")
        table = Table(_OPERATING_HEAD)
        with Portal(latency) as portal:
            for billing, share in itertools.product(given.billing, given.shares):
                allowed = theory.calls_per_min(latency_of(latency), _limits(replace(base, billing=billing)))
                aimed = share * min(allowed, given.unlimited)
                conditions = replace(base, billing=billing, per_min=aimed)
                score = Trial(portal, conditions).run()
                table.row(_operating_row(conditions, score, allowed))
                options.keep(given.json, conditions, latency, score)
        batched = theory.in_batches_per_min(latency_of(latency), _limits(replace(base, billing="batch")))
        print(f"  with batches billed whole, and nothing alone that can be in one, the limit allows {batched:.0f}/min")


def _operating_row(conditions: Conditions, score: Score, allowed: float) -> list[str]:
    fates = score.fates
    return [
        conditions.billing, f"{conditions.per_min:.0f}", str(fates.offered), f"{score.per_min:.1f}", f"{allowed:.0f}",
        f"{score.per_min / allowed:.0%}", "/".join(f"{per_min / allowed:.0%}" for per_min in score.by_window),
        str(fates.waiting), str(fates.lost + fates.wrong), str(fates.doubled),
        f"{score.requests_per_call:.2f}", seconds(score.waits.p95), str(score.waits.late), tally(score.asked.refused),
    ]  # fmt: skip


def _limits(conditions: Conditions) -> theory.Limits:
    return theory.Limits(
        conditions.rate, conditions.limit_s, conditions.window_s, conditions.billing, conditions.deadline_s
    )


# --- finish blocked ------------------------------------------------------------------------------


def blocked(given: argparse.Namespace) -> None:
    """`finish` is refused for a while: registrations must go on, and the backlog must drain after."""
    conditions = options.conditions(given)
    begin, end = given.block

    async def block(portal: Portal) -> None:
        await asyncio.sleep(begin)
        await asyncio.to_thread(portal.faults, [{"method": _FINISH, "kind": "blocked", "times": -1}])
        await asyncio.sleep(end - begin)
        await asyncio.to_thread(portal.faults, [])

    for latency in given.latency:
        print(f"\n{latency}, {conditions.per_min:g} calls/min, finish blocked from {begin:g} s to {end:g} s")
        with Portal(latency) as portal:
            score = Trial(portal, conditions, block).run()
            _slices(portal.state(), given.slice)
        _tell(conditions, score)


def _slices(state: dict[str, Any], slice_s: float) -> None:
    """What succeeded and what was refused, in slices from the first registration on."""
    table = Table(("from", *_SLICED, "refused"))
    asked = [request for request in state["requests"] if request["method"] != "batch"]
    start = min((request["at"] for request in asked if request["method"].endswith(".register")), default=state["now"])
    for begin in itertools.takewhile(lambda at: at <= state["now"], itertools.count(start, slice_s)):
        here = [request for request in asked if begin <= request["at"] < begin + slice_s]
        good = [request["method"].rpartition(".")[2] for request in here if request["error"] is None]
        counts = (str(good.count(name)) for name in _SLICED)
        table.row([f"{begin - start:.0f} s", *counts, str(len(here) - len(good))])


# --- the command line ----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)
    one = _kind(kinds, "run", run_one, ["quick"])
    one.add_argument("--client", choices=CLIENTS, default=PRODUCT)
    one.add_argument("--per-min", type=float, default=60.0, help="calls offered a minute")
    many = _kind(kinds, "sweep", sweep, ["quick", "documented"])
    many.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    many.add_argument("--rates", nargs="+", type=float, default=[20.0, 40.0, 60.0, 120.0, 180.0, 240.0, 300.0])
    many.add_argument("--cold-shares", nargs="+", type=float, default=[1.0], help="sweep for each; in place of --cold")
    many.add_argument("--carried", type=float, default=0.95, help="share that must be carried to count as sustained")
    many.add_argument("--behind", type=float, default=10.0, help="seconds that delivery may be behind at the end")
    limited = _kind(kinds, "operating", operating, ["quick"])
    limited.add_argument("--billing", nargs="+", choices=["off", "method", "batch"], default=["off", "method", "batch"])
    limited.add_argument(
        "--shares", nargs="+", type=float, default=[0.9, 1.2], help="offered, of what the limits allow"
    )
    limited.add_argument("--unlimited", type=float, default=240.0, help="calls/min to take for what no limit binds")
    limited.set_defaults(limit=48.0, window=60.0)
    held = _kind(kinds, "blocked", blocked, ["quick"])
    held.set_defaults(empty_bucket=True)
    held.add_argument("--per-min", type=float, default=60.0, help="calls offered a minute")
    held.add_argument("--block", nargs=2, type=float, default=[15.0, 45.0], metavar=("FROM", "TO"), help="seconds")
    held.add_argument("--slice", type=float, default=5.0, help="seconds of a line of the table")
    return parser


def _kind(
    kinds: Any, name: str, run: Callable[[argparse.Namespace], None], latency: list[str]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=run.__doc__, description=run.__doc__)
    parser.set_defaults(run=run)
    options.add(parser, latency)
    return parser


if __name__ == "__main__":
    main()
