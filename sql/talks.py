"""Which calls have ended, in the order in which the journal heard of it."""

from __future__ import annotations

import sqlalchemy as sa

from itgrix_bx.calls.events import Kind
from sql.database import Database
from sql.tables import events

_ENDS = (Kind.HANGUP.value, Kind.GONE.value)


class Ends:
    """Both methods raise DatabaseAwayError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """The number of the journal's last event; 0 when there is none."""
        return int(self._database.read(lambda c: c.execute(sa.select(sa.func.max(events.c.id))).scalar()) or 0)

    def after(self, number: int, limit: int) -> tuple[int, dict[int, str]]:
        """(the number of the last event looked at, {event: call} of the ends heard after event `number`)."""
        later = sa.select(events.c.id, events.c.call_id, events.c.kind).where(events.c.id > number)
        rows = self._database.read(lambda c: c.execute(later.order_by(events.c.id).limit(limit)).all())
        return max((row.id for row in rows), default=number), {row.id: row.call_id for row in rows if row.kind in _ENDS}
