"""What the portal has of the calls that were made, against what truly happened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.callers import Made
from bench.office import Office

CARD_S = 2.0  # a card that opens later than this after the first ring helps nobody
_HOOK_ITSELF_S = 0.1  # what the contract adds to the deadline
_ALMOST_ALL = 0.99
_TALK_OFF_S = 1.0
Rows = dict[str, list[dict[str, Any]]]


def share_of(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed; 0.0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0


@dataclass
class Waits:
    """Seconds callers waited. `late`: past the deadline and the hook's own time."""

    p50: float
    p95: float
    p99: float
    longest: float
    late: int

    @classmethod
    def of(cls, waits: Sequence[float], deadline_s: float) -> Waits:
        """The figures of these waits."""
        late = sum(wait > deadline_s + _HOOK_ITSELF_S for wait in waits)
        return cls(share_of(waits, 0.5), share_of(waits, 0.95), share_of(waits, 0.99), max(waits, default=0.0), late)


@dataclass
class Fates:
    """How many calls came to what.

    delivered: one statistics row with owner, code and duration right, and its recording byte for byte; wrong: a row
    that says something else; doubled: two registrations, activities or recordings; waiting: not delivered but not
    given up; lost: the rest. carried: delivered or not, routed to the responsible before the first ring, with their
    card within 2 s of it; late_card, unrouted: the others. `hitches`: steps that failed, in words.
    """

    offered: int = 0
    delivered: int = 0
    wrong: int = 0
    doubled: int = 0
    waiting: int = 0
    lost: int = 0
    carried: int = 0
    late_card: int = 0
    unrouted: int = 0
    cards_s: list[float] = field(default_factory=list)
    delivered_at: list[float] = field(default_factory=list)
    hitches: Counter[str] = field(default_factory=Counter)


class Judge:
    """Compares calls with the portal's `state`; `pending`: ids that somebody still means to deliver."""

    def __init__(self, office: Office, state: dict[str, Any], pending: set[str]) -> None:
        self._office = office
        self._pending = pending
        self._rows = _by(state["statistics"], lambda row: row["EXTERNAL_CALL_ID"])
        self._open = _by(state["calls"], lambda call: call["external_call_id"])
        self._files = _by([file for file in state["files"] if not file["deleted"]], lambda file: file["call_id"])
        self._activities = _by(state["activities"], lambda activity: activity["call_id"])
        shown = [card for card in state["cards"] if card["action"] == "show"]
        self._shown = _by(shown, lambda card: card["call_id"])

    def judge(self, calls: Sequence[Made]) -> Fates:
        """The fates of all calls."""
        fates = Fates(offered=len(calls))
        for call in calls:
            self._delivery(call, fates)
            self._card(call, fates)
            fates.hitches.update(call.hitches)
        return fates

    def _delivery(self, call: Made, fates: Fates) -> None:
        rows = self._rows.get(call.call_id, [])
        files = [file for row in rows for file in self._files.get(row["CALL_ID"], [])]
        activities = [activity for row in rows for activity in self._activities.get(row["CALL_ID"], [])]
        registered = len(rows) + len(self._open.get(call.call_id, []))
        if max(registered, len(files), len(activities)) > 1:
            fates.doubled += 1
        elif rows and not self._is_right(call, rows[0]):
            fates.wrong += 1
        elif rows and files and files[0]["sha256"] == call.sha256:
            fates.delivered += 1
            fates.delivered_at.append(max(rows[0]["finished_at"], files[0]["at"]))
        elif call.call_id in self._pending:
            fates.waiting += 1
        else:
            fates.lost += 1

    def _is_right(self, call: Made, row: dict[str, Any]) -> bool:
        return (
            row["CALL_FAILED_CODE"] == "200"
            and int(row["PORTAL_USER_ID"]) == self._office.user_of(call.extension)
            and abs(int(row["CALL_DURATION"]) - call.talked_s) <= _TALK_OFF_S
        )

    def _card(self, call: Made, fates: Fates) -> None:
        shown_at = self._first_card(call)
        if shown_at is not None:
            fates.cards_s.append(max(0.0, shown_at - call.first_ring_at))
        if call.route != call.arrival.client.extension:
            fates.unrouted += 1
        elif shown_at is not None and shown_at - call.first_ring_at <= CARD_S:
            fates.carried += 1
        else:
            fates.late_card += 1

    def _first_card(self, call: Made) -> float | None:
        user_id = self._office.user_of(call.extension)
        portal_ids = [row["CALL_ID"] for row in self._rows.get(call.call_id, [])]
        portal_ids += [still["call_id"] for still in self._open.get(call.call_id, [])]
        cards = [card for portal_id in portal_ids for card in self._shown.get(portal_id, [])]
        return min((card["at"] for card in cards if card["user_id"] == user_id), default=None)


@dataclass
class Asked:
    """What was asked of the portal between two counts: HTTP requests, methods (`method` alone, `+method` in a batch),
    lengths of batches, refusals by kind, and the requests of one method refused for its working time."""

    requests: int
    methods: dict[str, int]
    batches: dict[int, int]
    refused: dict[str, int]

    @classmethod
    def between(cls, before: dict[str, Any], after: dict[str, Any]) -> Asked:
        """From two answers of the double's `counts`."""
        kinds = _tally(after) - _tally(before)
        methods: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for (method, in_batch, outcome), count in kinds.items():
            name = short(method)
            methods[f"+{name}" if in_batch else name] += count
            if outcome != "ok":
                refused[outcome if outcome == "QUERY_LIMIT_EXCEEDED" else f"{outcome} {name}"] += count
        batches = _lengths(after) - _lengths(before)
        requests = after["http_requests"] - before["http_requests"]
        return cls(requests, dict(methods), dict(sorted(batches.items())), dict(refused))


def short(method: str) -> str:
    """A method without the words that all of telephony share."""
    return method.removeprefix("telephony.externalcall.")


def _tally(counts: dict[str, Any]) -> Counter[tuple[str, bool, str]]:
    return Counter({(kind["method"], kind["in_batch"], kind["outcome"]): kind["count"] for kind in counts["requests"]})


def _lengths(counts: dict[str, Any]) -> Counter[int]:
    return Counter({int(length): count for length, count in counts["batches"].items()})


def _by(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> Rows:
    found: Rows = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def kept_up_at(delivered_at: Sequence[float]) -> float:
    """When nearly all that was delivered had been: one straggler with a long pause says nothing about the rate."""
    return share_of(delivered_at, _ALMOST_ALL)
