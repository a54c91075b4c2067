"""A database of calls as FreePBX has it, filled with recorded calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from tests.pbx import recorded

_NUMBERS = ("duration", "billsec", "amaflags", "sequence", "id")


def rows_of(names: Iterable[str], *, cel: bool = True) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """CDR rows and CEL events of recorded calls, each once."""
    rows: dict[Any, dict[str, Any]] = {}
    events: dict[Any, dict[str, Any]] = {}
    for name in names:
        for row in recorded.CALLS[name][0]:
            rows[row] = dict(zip(recorded.CDR, row, strict=True))
        for event in recorded.CALLS[name][1] if cel else []:
            events[event] = dict(zip(recorded.CEL, event, strict=True))
    return list(rows.values()), list(events.values())


def create(url: str, *, without: Sequence[str] = (), cel: bool = True) -> None:
    """The tables in an empty database; `without` leaves columns out."""
    metadata = sa.MetaData()
    for name, columns in {"cdr": recorded.CDR, "cel": recorded.CEL if cel else ()}.items():
        kinds = {column: sa.Integer if column in _NUMBERS else sa.String(255) for column in columns}
        made = [sa.Column(column, kind) for column, kind in kinds.items() if column not in without]
        if made:
            sa.Table(name, metadata, *made)
    _run(url, metadata.create_all)


def fill(url: str, cdr: Sequence[dict[str, Any]], cel: Sequence[dict[str, Any]] = ()) -> None:
    """Add rows to the tables that are there; columns they lack get what FreePBX's tables have as default."""

    def job(connection: sa.Connection) -> None:
        for name, rows in {"cdr": cdr, "cel": cel}.items():
            if not rows:
                continue
            table = sa.Table(name, sa.MetaData(), autoload_with=connection)
            usual = {c.name: 0 if c.name in _NUMBERS else "" for c in table.columns}
            known = [{k: v for k, v in (usual | row).items() if k in table.columns} for row in rows]
            connection.execute(sa.insert(table), known)

    _run(url, job)


def _run(url: str, job: Any) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        job(connection)
    engine.dispose()
