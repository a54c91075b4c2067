"""The calls delivery owes the portal something for: how they are found and taken.

Every statement walks `calls_step`, which holds the backlog alone and in its order, so the length of the journal does
not matter; nor does the length of the backlog while its oldest calls may be tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from sql.tables import calls

# Not "step IS NOT NULL", for which SQLite walks through the whole table.
OWED = calls.c.step.in_(("register", "finish", "lead", "attach"))
_DUE = sa.or_(calls.c.due_at <= sa.bindparam("now"), calls.c.due_at > sa.bindparam("clock_was_wrong"))
_FREE = sa.or_(
    calls.c.lease_until.is_(None),
    calls.c.lease_until < sa.bindparam("now"),
    calls.c.lease_until > sa.bindparam("no_such_lease"),
)
_IDS = calls.c.id.in_(sa.bindparam("ids", expanding=True))
_OVER, _GOES_ON = calls.c.ended_at.is_not(None), calls.c.ended_at.is_(None)

STILL_FREE = (
    sa.select(calls.c.id, calls.c.call_id, calls.c.step).where(_IDS, _DUE, _FREE).with_for_update(skip_locked=True)
)
LEASE = sa.update(calls).where(_IDS).values(lease_until=sa.bindparam("until"), lease_owner=sa.bindparam("owner"))


def times(now: float, lease_s: float, clock_was_wrong_s: float, live_since: float | None) -> dict[str, float]:
    """The parameters of `waiting` and STILL_FREE. What lies too far ahead was put there by a clock put back since."""
    return {
        "now": now,
        "clock_was_wrong": now + clock_was_wrong_s,
        "no_such_lease": now + 2 * lease_s,
        "live_since": live_since or 0.0,
    }


def waiting(steps: Sequence[str], *, live: bool) -> sa.CompoundSelect[Any]:
    """(rank, ended_at, id) of up to `wanted` calls a rank and step that are due and free, oldest first in each.

    With `live` those that go on or ended after `live_since` come first, without it last.
    """
    lively = [(0, _GOES_ON), (1, calls.c.ended_at >= sa.bindparam("live_since"))]
    ranks = [*lively, (2, _OVER)] if live else [(0, _OVER), (1, _GOES_ON)]
    return sa.union_all(*(_some(rank, which, n) for rank, which in ranks for n in range(len(steps))))


def _some(rank: int, which: sa.ColumnElement[bool], step: int) -> sa.Select[Any]:
    rows = (
        sa.select(calls.c.ended_at, calls.c.id)
        .where(calls.c.step == sa.bindparam(f"step{step}"), which, _DUE, _FREE)
        .order_by(calls.c.ended_at)
        .limit(sa.bindparam("wanted"))
        .offset(sa.literal_column("0"))  # SQLite's compiler would write a parameter of its own
        .subquery()
    )
    return sa.select(sa.literal_column(str(rank)).label("rank"), rows.c.ended_at, rows.c.id)


def in_order(rows: Iterable[tuple[int, float | None, int]]) -> list[int]:
    """The ids of `waiting`'s rows, each once, best first."""
    ordered = sorted(rows, key=lambda row: (row[0], row[1] or 0.0))
    return list(dict.fromkeys(row[2] for row in ordered))
