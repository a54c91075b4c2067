"""Filling the journal from the PBX's records: what is missing, and putting it in. Repeating it changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.events import Event
from itgrix_bx.pbx.cdr import Records
from itgrix_bx.pbx.reconcile import House, Told, calls_of, missing
from itgrix_bx.pbx.records import Group
from sql.journal import Journal

TURN = "catch-up"  # one machine at a time has it (sql/marks.py)
TURN_S = 120.0
NEW, COMPLETED, KNOWN = "new", "completed", "known"


@dataclass(frozen=True, slots=True)
class Finding:
    """A call of the records, what the journal knows of it, and what it lacks."""

    told: Told
    known: Sequence[Event]
    lacking: Sequence[Event]

    @property
    def change(self) -> str:
        """new | completed | known: what putting it in does to the journal."""
        return KNOWN if not self.lacking else COMPLETED if self.known else NEW

    @property
    def call(self) -> Call:
        """The call as it will be."""
        return fold([*self.known, *self.lacking])


class CatchUp:
    """Compares records with the journal. Its methods raise RecordsAwayError and DatabaseAwayError."""

    def __init__(self, journal: Journal, records: Records) -> None:
        self._journal = journal
        self._records = records

    def linkedids(self, since: float, until: float) -> list[str]:
        """What to look at for the calls that began in this time (unix seconds), oldest first."""
        return self._records.linkedids(since, until)

    def look(
        self, linkedids: Sequence[str], house: House, *, since: float, until: float, now: float
    ) -> Iterator[tuple[int, list[Finding]]]:
        """(how many linkedids are looked at, the calls found under the last of them), some at a time.

        A call nobody knows counts when it began in the time given.
        """
        seen: set[str] = set()
        for done, groups in self._records.groups(linkedids):
            found = [self._finding(told) for group in groups for told in self._told(group, house, now)]
            new = [one for one in found if one.told.call_id not in seen]
            seen.update(one.told.call_id for one in new)
            yield done, [one for one in new if one.known or since <= one.told.started_at < until]

    def _told(self, group: Group, house: House, now: float) -> list[Told]:
        """The calls of the group, under the ids the journal knows them by."""
        found = calls_of(group, house, now)
        return [self._as_known(told) for told in found] if len(found) == 1 else found

    def _as_known(self, told: Told) -> Told:
        """A call that began in a way the records do not show may have another of its channels' ids."""
        known = self._journal.resolve(told.call_id) or self._journal.resolve(told.linkedid)
        if known is None or known == told.call_id:
            return told
        return dataclasses.replace(
            told, call_id=known, events=tuple(dataclasses.replace(event, call_id=known) for event in told.events)
        )

    def _finding(self, told: Told) -> Finding:
        known = self._journal.events(told.call_id)
        return Finding(told, known, missing(told.events, known))

    def put_in(self, finding: Finding) -> bool:
        """Give the journal what it lacks of the call, seen as it is now; whether that was anything."""
        told = finding.told
        return self._journal.complete(told.call_id, lambda known: missing(told.events, known)) is not None
