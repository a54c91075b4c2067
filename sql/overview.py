"""What the administrator is told about the journal; nothing here walks through all of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sql.backlog import OWED
from sql.database import Database
from sql.prompt import PromptReader
from sql.tables import calls, events

UNFINISHED = ("open", "registered", "ended", "finished", "failed")
FINISHED = ("complete", "skipped")

_COUNT = sa.func.count()
_COUNTS = sa.select(calls.c.state, _COUNT).where(calls.c.state.in_(UNFINISHED)).group_by(calls.c.state)
_LATELY = (
    sa.select(calls.c.state, _COUNT)
    .where(calls.c.state.in_(FINISHED), calls.c.started_at >= sa.bindparam("since"))
    .group_by(calls.c.state)
)
_BACKLOG = (
    sa.select(
        calls.c.step,
        _COUNT,
        sa.func.sum(sa.case((calls.c.due_at <= sa.bindparam("now"), 1), else_=0)),
        sa.func.min(sa.func.coalesce(calls.c.ended_at, calls.c.due_at)),
        sa.func.min(calls.c.due_at),
    )
    .where(OWED)
    .group_by(calls.c.step)
)
_LEASES = (
    sa.select(calls.c.lease_owner, _COUNT, sa.func.min(calls.c.lease_until))
    .where(OWED, calls.c.lease_owner.is_not(None), calls.c.lease_until >= sa.bindparam("now"))
    .group_by(calls.c.lease_owner)
    .order_by(calls.c.lease_owner)
)
_ERROR = sa.select(calls.c.call_id, calls.c.last_error, calls.c.error_at).order_by(calls.c.error_at.desc()).limit(1)
_ERRORS = (
    _ERROR.where(OWED, calls.c.error_at.is_not(None)),
    _ERROR.where(calls.c.state == "failed", calls.c.error_at.is_not(None)),
)
_DELIVERED = (
    sa.select(calls.c.call_id, calls.c.ended_at)
    .where(calls.c.state == "complete", calls.c.ended_at.is_not(None))
    .order_by(calls.c.started_at.desc())
)
_FINISHED_AT = (
    sa.select(events.c.call_id, sa.func.min(events.c.at))
    .where(events.c.call_id.in_(sa.bindparam("ids", expanding=True)), events.c.kind == "finished")
    .group_by(events.c.call_id)
)


@dataclass(frozen=True, slots=True)
class Owed:
    """Calls at one step of delivery: to be tried `now`, or `later`. Times are unix seconds: `oldest` of the call that
    ended first, `next_at` of the next try."""

    now: int
    later: int
    oldest: float
    next_at: float


@dataclass(frozen=True, slots=True)
class Lease:
    """Calls a worker has in hand; the first of them is free again at `until`."""

    owner: str
    calls: int
    until: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last thing that went wrong with a call that is not delivered yet."""

    call_id: str
    error: str
    at: float


class Overview:
    """Every method raises DatabaseAwayError."""

    def __init__(self, database: Database | PromptReader) -> None:
        self._database = database

    def unfinished(self) -> dict[str, int]:
        """How many calls are in each state that is not final, and in `failed`; states without calls are left out."""
        return dict(self._rows(_COUNTS))

    def finished_since(self, since: float) -> dict[str, int]:
        """How many calls that began since then are in each final state."""
        return dict(self._rows(_LATELY, {"since": since}))

    def backlog(self, now: float) -> dict[str, Owed]:
        """What delivery owes the portal, by step."""
        rows = self._rows(_BACKLOG, {"now": now})
        return {step: Owed(int(due), total - int(due), oldest, first) for step, total, due, oldest, first in rows}

    def leases(self, now: float) -> list[Lease]:
        """Who has how many calls in hand."""
        return [Lease(*row) for row in self._rows(_LEASES, {"now": now})]

    def last_trouble(self) -> Trouble | None:
        """The last error among the calls that are not delivered, those given up included."""
        found = [Trouble(*row) for query in _ERRORS for row in self._rows(query)]
        return max(found, key=lambda trouble: trouble.at, default=None)

    def lags(self, calls: int) -> list[float]:
        """Seconds from the end of a call until the portal knew its outcome, of the last `calls` complete ones."""
        ended = dict(self._rows(_DELIVERED.limit(calls)))
        return [max(0.0, at - ended[call_id]) for call_id, at in self._rows(_FINISHED_AT, {"ids": list(ended)})]

    def oldest(self) -> float | None:
        """When the oldest call that is kept began; None in an empty journal."""
        return self._database.read(lambda c: c.execute(sa.select(sa.func.min(calls.c.started_at))).scalar())

    def _rows(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> list[Any]:
        return self._database.read(lambda c: list(c.execute(query, values or {})))
