"""The conditions of a trial on the command line, the same for every bench that runs trials."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

from bench.arrivals import Habits
from bench.trial import PRODUCT, Conditions, Score
from bench.verdict import share_of
from itgrix_bx.emulator.portal.latency import MODELS


def add(parser: argparse.ArgumentParser, latency: list[str]) -> None:
    """Every condition, with the defaults of `Conditions`; `latency` are the models used when none is named."""
    plain = Conditions()
    option = parser.add_argument
    option("--latency", nargs="+", choices=list(MODELS), default=latency, help="how slow the portal is")
    option("--seconds", type=float, default=plain.seconds, help="how long calls arrive")
    option("--cold", type=float, default=plain.cold, help="share of callers who call for the first time, 0 to 1")
    option("--regulars", type=int, default=plain.regulars, help="clients who have called before")
    option("--employees", type=int, default=plain.employees)
    option("--group", type=int, default=plain.group, help="phones that ring without a route")
    option("--ring", nargs=2, type=float, default=plain.habits.ring_s, metavar=("FROM", "TO"), help="seconds")
    option("--talk", nargs=2, type=float, default=plain.habits.talk_s, metavar=("FROM", "TO"), help="seconds")
    option("--bytes", nargs=2, type=int, default=plain.habits.recording_bytes, metavar=("FROM", "TO"))
    option("--sound", choices=["mp3", "wav"], default=plain.sound, help="what recordings are")
    option("--rate", type=float, default=plain.rate, help="requests/s the portal allows; 0: no limit")
    option("--burst", type=int, default=plain.burst)
    option("--empty-bucket", action="store_true", help="do not begin with the bucket at its threshold")
    option("--limit", type=float, default=plain.limit_s, help="seconds a method may work in the window")
    option("--known", type=float, help="what the product takes that limit for at first; default: what it is")
    option("--window", type=float, default=plain.window_s, help="seconds")
    option("--deadline", type=float, default=plain.deadline_s, help="[inbound] deadline")
    option("--caller", type=float, default=plain.caller_s, help="how long a reference client lets its caller wait")
    option("--patience", type=float, default=plain.patience_s, help="longest wait for delivery after the load")
    option("--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="more of the product's configuration")
    option("--seed", type=int, default=plain.seed)
    option("--json", type=Path, help="append each trial to this file, for bench.plot")


def conditions(options: argparse.Namespace) -> Conditions:
    """What the command line says."""
    return Conditions(
        client=getattr(options, "client", PRODUCT),
        per_min=getattr(options, "per_min", Conditions.per_min),
        seconds=options.seconds,
        cold=options.cold,
        regulars=options.regulars,
        employees=options.employees,
        group=options.group,
        seed=options.seed,
        habits=Habits(tuple(options.ring), tuple(options.talk), tuple(options.bytes)),
        sound=options.sound,
        rate=options.rate,
        burst=options.burst,
        full_bucket=not options.empty_bucket,
        limit_s=options.limit,
        window_s=options.window,
        known_s=options.known,
        deadline_s=options.deadline,
        caller_s=options.caller,
        patience_s=options.patience,
        changes=changes(options.set),
    )


def changes(settings: list[str]) -> dict[str, dict[str, Any]]:
    """`inbound.answer=cache` and the like as tables; a value that is no TOML is a text."""
    tables: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        section, _, key = name.rpartition(".")
        tables.setdefault(section, {})[key] = _value(value)
    return tables


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def keep(path: Path | None, under: Conditions, latency: str, score: Score) -> None:
    """Append a trial to the file of results, if there is one."""
    if path is None:
        return
    fates = score.fates
    record = {
        "client": under.client, "latency": latency, "cold": under.cold, "billing": under.billing,
        "offered_per_min": under.per_min, "arrived_per_min": fates.offered * 60 / under.seconds,
        "delivered_per_min": score.per_min, "offered": fates.offered, "delivered": fates.delivered,
        "carried": fates.carried, "lost": fates.lost, "doubled": fates.doubled,
        "requests_per_call": score.requests_per_call, "p50_s": score.waits.p50, "p95_s": score.waits.p95,
        "p99_s": score.waits.p99, "cards_p95_s": share_of(fates.cards_s, 0.95), "refused": score.asked.refused,
        "memory_mib": score.memory_mib, "peak_mib": score.peak_mib, "cpu_ms": score.cpu_ms,
    }  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        print(json.dumps(record), file=file)
