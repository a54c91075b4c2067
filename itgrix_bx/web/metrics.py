"""`GET /metrics`: what `status` tells, and counters, for Prometheus.

A scrape reads the backlog and the calls that are not finished, never the whole journal. No label tells of a caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agi.session import Session
from bx24client import Bitrix24
from fastagi_server import FastAGIServer, Hook
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.logbook import Logbook
from sql.database import DatabaseAwayError
from sql.overview import UNFINISHED, Overview, Owed

_HOOK_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 1.6, 2.5, 5.0, 10.0)
_LAG_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86400, 7 * 86400)
_STEPS = ("register", "finish", "lead", "attach")
_NOTHING = Owed(0, 0, 0.0, 0.0)
# What delivery's events say: the step, and how it ended.
_RESULTS = {
    Kind.REGISTERED: ("register", "done"),
    Kind.REGISTER_FAILED: ("register", "failed"),
    Kind.FINISHED: ("finish", "done"),
    Kind.FINISH_FAILED: ("finish", "failed"),
    Kind.FORGOTTEN: ("finish", "forgotten"),
    Kind.LEAD: ("lead", "done"),
    Kind.LEAD_FAILED: ("lead", "failed"),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """The running program, as far as it is measured; `agi` where this process serves hooks."""

    overview: Overview
    logbook: Logbook
    client: Bitrix24
    agi: FastAGIServer | None


class Metrics:
    """Counts what passes by, and reads the rest from `parts` when it is scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._hooks = Histogram(
            "itgrix_bx_hook_seconds", "From Asterisk's connection to the hook's end.", ["hook"],
            buckets=_HOOK_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._results = Counter(
            "itgrix_bx_delivery_results", "Steps of delivery by how they ended.", ["step", "result"],
            registry=self.registry,
        )  # fmt: skip
        self._lag = Histogram(
            "itgrix_bx_finish_lag_seconds", "From the end of a call until the portal knew its outcome.",
            buckets=_LAG_BUCKETS, registry=self.registry,
        )  # fmt: skip

    def watch(self, parts: Parts) -> None:
        """Tell of `parts` too from now on."""
        self.registry.register(_Now(parts))

    def timed(self, hooks: Mapping[str, Hook]) -> dict[str, Hook]:
        """The same hooks, measured."""
        return {name: Hook(self._measured(name, hook.run), hook.waits) for name, hook in hooks.items()}

    def _measured(self, name: str, run: Callable[[Session], None]) -> Callable[[Session], None]:
        observe = self._hooks.labels(name).observe

        def measured(session: Session) -> None:
            try:
                run(session)
            finally:
                observe(time.monotonic() - session.accepted_at)

        return measured

    def count(self, call: Call, events: Sequence[Event]) -> None:
        """`events` joined the journal and made `call`."""
        for event in events:
            step, result = _RESULTS.get(event.kind, ("", ""))
            if event.kind is Kind.RECORDING:
                step, result = "attach", event.data["state"]
            elif event.kind is Kind.GAVE_UP:
                step, result = event.data.get("step", "delivery"), "gave up"
            if step:
                self._results.labels(step, result).inc()
            if event.kind is Kind.FINISHED and call.over_since is not None:
                self._lag.observe(max(0.0, event.at - call.over_since))


class _Now(Collector):
    """How things are at the moment of the scrape."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is read before the first scrape

    def collect(self) -> Iterator[Metric]:
        yield from self._journal()
        yield from self._portal()
        if self._parts.agi is not None:
            yield from _fastagi(self._parts.agi)

    def _journal(self) -> Iterator[Metric]:
        logbook = self._parts.logbook
        yield _gauge("spool_bytes", "What waits for the database to come back.", logbook.spool.size())
        yield _gauge("unsaved_events", "Events that neither database nor disk took.", logbook.unsaved)
        found: list[Metric] = []
        if logbook.away_since is None:
            try:
                found = list(_calls(self._parts.overview, time.time()))
            except DatabaseAwayError:
                found = []
        yield _gauge("database_up", "Whether the database answers.", bool(found))
        yield from found

    def _portal(self) -> Iterator[Metric]:
        client = self._parts.client
        requests = CounterMetricFamily("itgrix_bx_portal_requests", "Requests by how they ended.", labels=["outcome"])
        for outcome, count in client.health.outcomes.items():
            requests.add_metric([outcome], count)
        yield requests
        yield _gauge("portal_well", "Whether the portal works, by the last requests.", client.health.well)
        yield _gauge("portal_budget_used", "How full the request limit is, 0 to 1.", client.budget.fullness())


def _calls(overview: Overview, now: float) -> Iterator[Metric]:
    states = GaugeMetricFamily("itgrix_bx_calls", "Calls that are not finished, and failed ones.", labels=["state"])
    counts = overview.unfinished()
    for state in UNFINISHED:
        states.add_metric([state], counts.get(state, 0))
    yield states
    yield from _backlog(overview.backlog(now), now)
    leases = overview.leases(now)
    yield _gauge("leased_calls", "Calls that workers have in hand.", sum(lease.calls for lease in leases))
    yield _gauge("lease_owners", "Workers that have calls in hand.", len(leases))


def _backlog(owed: Mapping[str, Owed], now: float) -> Iterator[Metric]:
    name = "itgrix_bx_backlog"
    calls = GaugeMetricFamily(f"{name}_calls", "Calls delivery owes the portal, by step.", labels=["step", "when"])
    oldest = GaugeMetricFamily(f"{name}_oldest_seconds", "Since the oldest of them was over.", labels=["step"])
    for step in _STEPS:
        this = owed.get(step, _NOTHING)
        calls.add_metric([step, "now"], this.now)
        calls.add_metric([step, "later"], this.later)
        oldest.add_metric([step], max(0.0, now - this.oldest) if this is not _NOTHING else 0.0)
    yield calls
    yield oldest


def _fastagi(server: FastAGIServer) -> Iterator[Metric]:
    stats = server.stats()
    yield _gauge("fastagi_in_hand", "Sessions that are open.", stats.in_hand)
    yield _gauge("fastagi_queued", "Sessions in line for a thread.", stats.queued)
    yield _gauge("fastagi_queued_max", "The longest line so far.", stats.queued_max)
    yield _gauge("fastagi_longest_wait_seconds", "The longest wait in line so far.", stats.queue_longest_wait_s)
    yield _count("fastagi_sessions", "Sessions that ended.", stats.sessions)
    yield _count("fastagi_errors", "Hooks that failed.", stats.errors)
    yield _count("fastagi_unknown_hooks", "Sessions for a hook there is not.", stats.unknown_hooks)
    refused = CounterMetricFamily("itgrix_bx_fastagi_refused", "Sessions refused.", labels=["reason"])
    for reason, count in stats.refused_by_reason.items():
        refused.add_metric([reason], count)
    yield refused


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"itgrix_bx_{name}", text, value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"itgrix_bx_{name}", text, value)
