"""The journal of calls: events in, the calls they make out.

Every append re-reads the call's events in its own transaction and stores beside them what listings and delivery
look for, so any number of processes may report on one call.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from sql import backlog
from sql.database import Database, Prepared
from sql.tables import calls, events

Due = Callable[[Call], tuple[str, float] | None]

# A call postponed further than any back-off goes was postponed by a clock that has been put back since.
CLOCK_WAS_WRONG_S = 7200.0

_EVENTS_OF = (
    sa.select(events.c.event_id, events.c.call_id, events.c.kind, events.c.at, events.c.data)
    .where(events.c.call_id.in_([sa.bindparam("call_id")]))
    .order_by(events.c.id)
)
# SQLite's writer has the whole database to itself; elsewhere the calls' rows are what machines queue for.
_LOCK = (
    sa.select(calls.c.id)
    .where(calls.c.call_id.in_([sa.bindparam("call_id")]))
    .order_by(calls.c.call_id)
    .with_for_update()
)
_OWNERS = sa.select(calls.c.portal_call_id, calls.c.call_id).where(
    calls.c.portal_call_id.in_([sa.bindparam("portal_call_id")])
)
_LEASED = sa.select(calls.c.call_id, calls.c.lease_owner, calls.c.lease_until).where(
    calls.c.call_id.in_([sa.bindparam("call_id")])
)
_OF_CALL = sa.update(calls).where(calls.c.call_id == sa.bindparam("of_call"))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_COLUMNS = (
    "linkedid", "state", "direction", "client_number", "started_at", "ended_at", "portal_call_id", "step", "due_at",
    "last_error", "error_at",
)  # fmt: skip
_LEASE = ("lease_until", "lease_owner")
_SHARED_AGAIN_S = 20.0
_END_UNKNOWN_S = 7 * 86400.0  # a call whose end nobody told may go on; a week later it does not
_FORGETTABLE = sa.select(calls.c.id, calls.c.call_id).where(
    calls.c.state.in_(("complete", "skipped")),
    calls.c.step.is_(None),
    calls.c.started_at < sa.bindparam("before"),
    sa.or_(calls.c.ended_at < sa.bindparam("before"), calls.c.started_at < sa.bindparam("long_before")),
)
_FORGOTTEN = (
    sa.select(calls.c.id, calls.c.call_id, calls.c.step)
    .where(calls.c.id.in_(sa.bindparam("ids", expanding=True)))
    .with_for_update(skip_locked=True)
)
_BESIDE = (
    sa.select(calls.c.call_id)
    .where(
        calls.c.client_number == sa.bindparam("number"),
        calls.c.started_at >= sa.bindparam("since"),
        calls.c.call_id != sa.bindparam("other"),
    )
    .order_by(calls.c.started_at.desc())
    .limit(sa.literal_column("20"))
    .offset(sa.literal_column("0"))  # SQLite's compiler would write a parameter of its own
)
_NO_LEASE: dict[str, None] = dict.fromkeys(_LEASE)
_GOING_ON = ("open", "registered", "failed")  # `failed`: its registration was
_EVENT = ("event_id", "call_id", "kind", "at", "data")
_REMEMBERED = 512  # calls whose events are kept in memory: a call's hooks and answers come in a rush


@dataclasses.dataclass(frozen=True, slots=True)
class Appended:
    """What the journal knows after an append. `new` tells that this append made the call."""

    call: Call
    new: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """What one thread brings, all of one call; see Journal.append."""

    events: Sequence[Event]
    if_new: Sequence[Event] = ()
    release: str = ""
    lease: str = ""

    @property
    def call_id(self) -> str:
        return self.events[0].call_id


class _Draft:
    """A call in the transaction under way: `events` known and added so far."""

    def __init__(self, known: list[Event]) -> None:
        self.new = not known
        self.events = known
        self.added: list[Event] = []
        self.released = self.touched = False
        self.call: Call

    @property
    def call_id(self) -> str:
        return self.call.call_id


class LeaseLostError(Exception):
    """Somebody else may be working on the call now."""


class Journal:
    """`due(call)` tells what delivery has to do for a call, and when (None: nothing)."""

    def __init__(self, database: Database, due: Due) -> None:
        self._database = database
        self._due = due
        self._insert_event = Prepared(database, _insert_ignoring_repeats(database), _EVENT)
        # MySQL would take a CALL_ID that is another call's, too, for a reason to update: that call's row.
        self._upserts = database.engine.dialect.name == "sqlite"
        insert = _insert_or_update() if self._upserts else sa.insert(calls)
        self._insert_call = Prepared(database, insert, (*_COLUMNS, "call_id"))
        self._update_call = Prepared(database, _setting(_COLUMNS))
        self._update_and_release = Prepared(database, _setting((*_COLUMNS, *_LEASE)))
        self._events_of = Prepared(database, _EVENTS_OF)
        self._beside = Prepared(database, _BESIDE)
        self._owners = Prepared(database, _OWNERS)
        self._leased = Prepared(database, _LEASED)
        self._waiting: dict[tuple[tuple[str, ...], bool], Prepared] = {}
        self._lock = Prepared(database, _LOCK) if database.engine.dialect.name != "sqlite" else None

    def append(
        self,
        new_events: Sequence[Event],
        *,
        if_new: Sequence[Event] = (),
        timeout_s: float = 10.0,
        release: str = "",
        lease: str = "",
    ) -> Appended:
        """Store `new_events` (all of one call) in one transaction, and `if_new` too when they make the call.

        `release` gives that owner's lease of the call back; with `lease` nothing is stored unless that owner still
        holds it. Raises DatabaseAwayError, LeaseLostError. Repeats (same event_id) change nothing.
        """
        entry = _Entry(new_events, if_new, release, lease)
        outcome = self._database.write_together(self._append_all, entry, entry.call_id, timeout_s=timeout_s)
        if isinstance(outcome, LeaseLostError):
            raise outcome
        assert isinstance(outcome, Appended)
        return outcome

    def append_soon(
        self, new_events: Sequence[Event], done: Callable[[Appended | None, Exception | None], None]
    ) -> None:
        """Like append, without waiting; `done` hears of it in the writer's thread and must be quick."""
        entry = _Entry(new_events)
        self._database.submit_together(self._append_all, entry, entry.call_id, done)

    def complete(self, call_id: str, missing: Callable[[Sequence[Event]], Sequence[Event]]) -> Appended | None:
        """Add what `missing` says to the events it is given: the call's, as they are in this transaction (none: nobody
        knows the call). None when it adds nothing. Raises DatabaseAwayError."""

        def job(connection: Connection) -> Appended | None:
            added = missing(self._known(connection, [call_id], self._database.memory(connection))[call_id])
            (outcome,) = self._append_all(connection, [_Entry(added)]) if added else [None]
            assert not isinstance(outcome, LeaseLostError)
            return outcome

        return self._database.write(job)

    # --- in the writer's transaction -------------------------------------------------------------

    def _append_all(self, connection: Connection, entries: Sequence[_Entry]) -> list[Appended | LeaseLostError]:
        """Store what several threads brought, with few statements."""
        remembered = self._database.memory(connection)
        call_ids = list(dict.fromkeys(entry.call_id for entry in entries))
        known = self._known(connection, call_ids, remembered)
        drafts = {call_id: _Draft(known[call_id]) for call_id in call_ids}
        owners = self._owners_of(connection, entries)
        held = self._held(connection, entries)
        appended = [_add(drafts[entry.call_id], entry, owners, held) for entry in entries]
        changed = [draft for draft in drafts.values() if draft.touched]
        self._save(connection, changed)
        _remember(remembered, changed)
        return appended

    def _known(
        self, connection: Connection, call_ids: Sequence[str], remembered: Mapping[str, list[Event]]
    ) -> dict[str, list[Event]]:
        """The events of each. Every row that is read gives other threads the processor, and the whole journal waits
        until this one has it back: what this process wrote last is not read again."""
        known: dict[str, list[Event]] = {call_id: remembered.get(call_id, []) for call_id in call_ids}
        if wanted := [call_id for call_id in call_ids if call_id not in remembered]:
            if self._lock is not None:
                self._lock.among(connection, wanted)
            for event_id, call_id, kind, at, data in self._events_of.among(connection, wanted):
                mine = _whose(wanted, call_id)
                known[mine].append(Event(mine, Kind(kind), at, json.loads(data), event_id))
        return known

    def _owners_of(self, connection: Connection, entries: Sequence[_Entry]) -> dict[str, str]:
        """portal's CALL_ID -> whose it is, of those that are about to be registered."""
        wanted = list({_portal_id(e) for entry in entries for e in entry.events if e.kind is Kind.REGISTERED})
        rows = self._owners.among(connection, wanted).fetchall() if wanted else []
        return {_whose(wanted, portal_id): call_id for portal_id, call_id in rows}

    def _held(self, connection: Connection, entries: Sequence[_Entry]) -> set[tuple[str, str]]:
        """(call, owner) of the leases that count here."""
        wanted = list({entry.call_id for entry in entries if entry.lease or entry.release})
        rows = self._leased.among(connection, wanted).fetchall() if wanted else []
        now = time.time()
        return {(_whose(wanted, call_id), owner) for call_id, owner, until in rows if owner and (until or 0.0) >= now}

    def _save(self, connection: Connection, drafts: Sequence[_Draft]) -> None:
        if added := [_event_row(event) for draft in drafts for event in draft.added]:
            self._insert_event.insert(connection, added)
        self._save_calls(connection, drafts)

    def _save_calls(self, connection: Connection, drafts: Sequence[_Draft]) -> None:
        rows = {draft.call_id: self._call_row(draft.call) for draft in drafts}
        at_once = [d for d in drafts if d.new or (self._upserts and not d.released)]
        if made := [rows[d.call_id] | {"call_id": d.call_id} for d in at_once]:
            self._insert_call.insert(connection, made)
        if changed := [rows[d.call_id] | {"of_call": d.call_id} for d in drafts if d not in at_once and not d.released]:
            self._update_call.run(connection, *changed)
        if freed := [rows[d.call_id] | _NO_LEASE | {"of_call": d.call_id} for d in drafts if not d.new and d.released]:
            self._update_and_release.run(connection, *freed)

    def _call_row(self, call: Call) -> dict[str, Any]:
        step, due_at = self._due(call) or (None, None)
        return {
            "linkedid": call.linkedid[:80],
            "state": call.state,
            "direction": call.direction,
            "client_number": call.client_number[:32],
            "started_at": call.started_at,
            "ended_at": call.over_since,
            "portal_call_id": call.portal_call_id[:64] or None,
            "step": step,
            "due_at": due_at,
            "last_error": call.last_error[:255] or None,
            "error_at": call.error_at,
        }

    # --- reading ---------------------------------------------------------------------------------

    def call(self, call_id: str) -> Call | None:
        """The call with this id, or None."""
        found = self.events(call_id)
        return fold(found) if found else None

    def events(self, call_id: str) -> list[Event]:
        """All events of a call, oldest first."""
        return sorted(self._database.read(lambda c: _events_of(c, call_id)), key=lambda e: e.at)

    def resolve(self, any_id: str) -> str | None:
        """The call id for a call id, the portal's CALL_ID or a linkedid (its first call)."""
        query = sa.select(calls.c.call_id).order_by(calls.c.started_at).limit(1)

        def look(connection: Connection) -> str | None:
            # One after the other: of an OR over three columns a database may make a walk through all calls.
            for column in (calls.c.call_id, calls.c.portal_call_id, calls.c.linkedid):
                if found := connection.execute(query.where(column == any_id)).scalar():
                    return str(found)
            return None

        return self._database.read(look)

    def find(
        self,
        *,
        limit: int = 50,
        state: str | None = None,
        since: float | None = None,
        until: float | None = None,
        number: str | None = None,
    ) -> list[Call]:
        """Calls, newest first; `limit` 0 is all; `since` ≤ start < `until`, unix seconds."""
        query = sa.select(calls.c.call_id).order_by(calls.c.started_at.desc(), calls.c.id.desc())
        if state is not None:
            # Of a client's few calls those in a state, not of a state's many those of a client.
            column = calls.c.state if number is None else sa.func.coalesce(calls.c.state, "")
            query = query.where(column == state)
        if since is not None:
            query = query.where(calls.c.started_at >= since)
        if until is not None:
            query = query.where(calls.c.started_at < until)
        if number is not None:
            query = query.where(calls.c.client_number == number)
        ids = self._database.read(lambda c: list(c.execute(query.limit(limit) if limit else query).scalars()))
        return [fold(found) for found in self._events_of_many(ids)]

    def beside(self, call: Call, since: float, *, timeout_s: float = 10.0) -> list[Call]:
        """The newest 20 other calls with the client's number that began at `since` (unix seconds) or later.

        By the writer, whom nobody waits for longer than `timeout_s`: a caller may be waiting. Raises DatabaseAwayError.
        """
        asked = {"number": call.client_number, "since": since, "other": call.call_id}
        found: list[Call] = self._database.write_together(
            self._all_beside, asked, ("beside", call.call_id), timeout_s=timeout_s
        )
        return found

    def _all_beside(self, connection: Connection, asked: Sequence[Mapping[str, Any]]) -> list[list[Call]]:
        ids = [[str(call_id) for (call_id,) in self._beside.run(connection, one).fetchall()] for one in asked]
        known: dict[str, list[Event]] = {call_id: [] for some in ids for call_id in some}
        for event_id, call_id, kind, at, data in self._events_of.among(connection, list(known)) if known else ():
            mine = _whose(list(known), call_id)
            known[mine].append(Event(mine, Kind(kind), at, json.loads(data), event_id))
        return [[fold(known[call_id]) for call_id in some if known[call_id]] for some in ids]

    def unended(self, *, before: float, limit: int) -> list[Call]:
        """Calls for the CRM that began before (unix seconds) and whose end nobody told, newest first."""
        going_on = sa.and_(calls.c.state.in_(_GOING_ON), calls.c.ended_at.is_(None), calls.c.started_at < before)
        query = sa.select(calls.c.call_id).where(going_on).order_by(calls.c.started_at.desc()).limit(limit)
        ids = self._database.read(lambda c: list(c.execute(query).scalars()))
        return [fold(found) for found in self._events_of_many(ids)]

    def _events_of_many(self, ids: Sequence[str]) -> Iterable[list[Event]]:
        for start in range(0, len(ids), 200):
            chunk = ids[start : start + 200]
            query = sa.select(events).where(events.c.call_id.in_(chunk))
            by_call: dict[str, list[Event]] = {}
            for row in self._database.read(lambda c, q=query: c.execute(q).mappings().all()):  # type: ignore[misc]
                by_call.setdefault(row["call_id"], []).append(_event(row["call_id"], row))
            yield from (by_call[call_id] for call_id in chunk if call_id in by_call)  # else deleted meanwhile

    # --- leases ----------------------------------------------------------------------------------

    def claim(
        self,
        owner: str,
        steps: Sequence[str],
        *,
        now: float,
        lease_s: float,
        limit: int,
        live_since: float | None = None,
    ) -> list[str]:
        """Take up to `limit` calls whose next step is due and one of `steps`; nobody else gets them until the lease
        ends or is given back. Oldest first, but with `live_since` those first that go on or ended after it."""
        if limit < 1:
            return []
        times = backlog.times(now, lease_s, CLOCK_WAS_WRONG_S, live_since)
        # Looking costs nobody anything, and no lock is held but that of the calls found.
        found = self._database.read(lambda c: self._candidates(c, steps, limit, times, live=live_since is not None))
        if not found:
            return []

        def take(connection: Connection) -> list[str]:
            # Two workers never wait for each other (SQLite's writer is alone and has no need to skip).
            rows = [row for row in connection.execute(backlog.STILL_FREE, times | {"ids": found}) if row.step in steps]
            mine = sorted(rows, key=lambda row: found.index(row.id))[:limit]
            connection.execute(backlog.LEASE, {"ids": [row.id for row in mine], "until": now + lease_s, "owner": owner})
            return [row.call_id for row in mine]

        return self._database.write(take)

    def _candidates(
        self, connection: Connection, steps: Sequence[str], limit: int, times: Mapping[str, float], *, live: bool
    ) -> list[int]:
        """More than `limit`, in the order in which they are to be taken: another worker may be quicker at the first."""
        key = (tuple(steps), live)
        if key not in self._waiting:
            self._waiting[key] = Prepared(self._database, backlog.waiting(steps, live=live))
        named = {f"step{n}": step for n, step in enumerate(steps)}
        rows = self._waiting[key].run(connection, {**times, **named, "wanted": 2 * limit}).fetchall()
        return backlog.in_order(rows)

    def release_all(self, is_dead: Callable[[str], bool]) -> int:
        """Give back the leases of owners that are dead; how many calls that were."""
        leased = sa.and_(backlog.OWED, calls.c.lease_until.is_not(None), calls.c.lease_owner.is_not(None))
        owners = sa.select(calls.c.lease_owner).where(leased).distinct()
        dead = [owner for owner in self._database.read(lambda c: list(c.execute(owners).scalars())) if is_dead(owner)]
        if not dead:
            return 0
        free = sa.update(calls).where(leased, calls.c.lease_owner.in_(dead)).values(lease_until=None, lease_owner=None)
        return self._database.write(lambda c: c.execute(free).rowcount)

    def release(self, call_id: str, owner: str) -> None:
        """Give the owner's lease back, if it is still theirs; what is due stays due."""
        self._database.write(lambda c: c.execute(_its_own(call_id, owner).values(**_NO_LEASE)))

    def correct(self, call_id: str, owner: str) -> None:
        """Likewise for a call whose row said something else than its events do: what is due by them."""

        def job(connection: Connection) -> None:
            # As they are in this transaction: what a hook told since the caller looked would be put aside for ever.
            known = self._known(connection, [call_id], self._database.memory(connection))[call_id]
            step, due_at = (self._due(fold(known)) if known else None) or (None, None)
            connection.execute(_its_own(call_id, owner).values(**_NO_LEASE, step=step, due_at=due_at))

        self._database.write(job)

    # --- retention -------------------------------------------------------------------------------

    def forget(self, before: float, limit: int) -> int:
        """Delete up to `limit` calls that were over before then, whole; how many. Only what is complete or skipped."""
        old = {"before": before, "long_before": before - _END_UNKNOWN_S}
        found = self._database.read(lambda c: list(c.execute(_FORGETTABLE.limit(limit), old)))
        if not found:
            return 0

        def delete(connection: Connection) -> int:
            # A person may have asked for another try meanwhile.
            locked = connection.execute(_FORGOTTEN, {"ids": [row.id for row in found]})
            rows = [row for row in locked if row.step is None]
            if rows:
                self._database.memory(connection).clear()
                connection.execute(sa.delete(events).where(events.c.call_id.in_([row.call_id for row in rows])))
                connection.execute(sa.delete(calls).where(calls.c.id.in_([row.id for row in rows])))
            return len(rows)

        return self._database.write(delete)


def _remember(remembered: dict[str, list[Event]], drafts: Iterable[_Draft]) -> None:
    for draft in drafts:
        remembered.pop(draft.call_id, None)
        remembered[draft.call_id] = draft.events
    for call_id in list(itertools.islice(remembered, max(0, len(remembered) - _REMEMBERED))):
        del remembered[call_id]


def _whose(wanted: Sequence[str], found: str) -> str:
    """What a row was looked for by. MySQL finds other spellings too (case): alone it is clear whose they are, among
    several it is not, and each must be looked for alone. Raises LookupError."""
    if found in wanted:
        return found
    if len(wanted) == 1:
        return wanted[0]
    raise LookupError(f"{found!r} was found by another spelling")


def _add(draft: _Draft, entry: _Entry, owners: dict[str, str], held: set[tuple[str, str]]) -> Appended | LeaseLostError:
    """Add an entry's events to its call."""
    if entry.lease and (entry.call_id, entry.lease) not in held:
        return LeaseLostError(f"call {entry.call_id} is somebody else's now")
    new = not draft.events
    known = list(draft.events)
    here = {event.event_id for event in known}
    for event in [*entry.events, *entry.if_new] if new else entry.events:
        if event.event_id not in here:
            added = _after(known, _if_its_own(event, owners))
            draft.events.append(added)
            draft.added.append(added)
    if entry.release and (entry.call_id, entry.release) in held:
        held.discard((entry.call_id, entry.release))
        draft.released = True
    draft.call, draft.touched = fold(draft.events), True
    return Appended(draft.call, new)


def _if_its_own(event: Event, owners: dict[str, str]) -> Event:
    """A CALL_ID that belongs to another call is no registration: both would be finished as one.

    The portal gives one out twice when client, manager and type are the same and it does not look at
    EXTERNAL_CALL_ID; once the other call is finished it gives a new one.
    """
    if event.kind is not Kind.REGISTERED:
        return event
    owner = owners.setdefault(_portal_id(event), event.call_id)
    if owner == event.call_id:
        return event
    data = {"error": f"the portal gave it the CALL_ID of call {owner}", "shared": event.data["portal_call_id"]}
    return dataclasses.replace(event, kind=Kind.REGISTER_FAILED, data=data | {"retry_at": event.at + _SHARED_AGAIN_S})


def _portal_id(event: Event) -> str:
    return str(event.data["portal_call_id"])[:64]


def _its_own(call_id: str, owner: str) -> sa.Update:
    return sa.update(calls).where(calls.c.call_id == call_id, calls.c.lease_owner == owner)


def _setting(names: Sequence[str]) -> Any:
    return _OF_CALL.values({name: sa.bindparam(name) for name in names})


def _insert_or_update() -> Any:
    insert = sqlite.insert(calls)
    return insert.on_conflict_do_update(
        index_elements=["call_id"], set_={name: insert.excluded[name] for name in _COLUMNS}
    )


def _insert_ignoring_repeats(database: Database) -> Any:
    if database.engine.dialect.name == "sqlite":
        return sqlite.insert(events).on_conflict_do_nothing(index_elements=["event_id"])
    return mysql.insert(events).prefix_with("IGNORE")


def _after(known: Sequence[Event], event: Event) -> Event:
    """What delivery did after a clock was put back happened after what it did before."""
    if event.kind in HOOK_KINDS:
        return event  # these may come in any order
    latest = max((e.at for e in known if e.kind not in HOOK_KINDS), default=0.0)
    return event if latest <= time.time() else dataclasses.replace(event, at=max(event.at, latest + 0.001))


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "call_id": event.call_id,
        "kind": event.kind.value,
        "at": event.at,
        "data": _encode(event.data),
    }


def _events_of(connection: Connection, call_id: str) -> list[Event]:
    rows = connection.execute(_EVENTS_OF, {"call_id": call_id}).mappings()
    return [_event(call_id, row) for row in rows]


def _event(call_id: str, row: RowMapping) -> Event:
    return Event(call_id, Kind(row["kind"]), row["at"], json.loads(row["data"]), row["event_id"])
