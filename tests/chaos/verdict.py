"""Comparing what the portal ended with to what truly happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.chaos.calls import DISMISSED_USER, Client, Truth
from tests.chaos.product import WINDOW_S

_TALK_S = 1.6  # whole seconds to the nearest, and a loaded machine
_START_S = 2.0  # the portal drops fractions
KINDS = (
    "lost", "doubled", "activity lost", "doubled activity", "lead lost", "doubled lead", "lead nobody wants",
    "wrong lead", "record lost", "record doubled", "wrong field", "of no call", "registered twice",
)  # fmt: skip


@dataclass
class Verdict:
    """Counts; everything in `bad` (kind → what is wrong, each beginning with the call's id) must be empty."""

    calls: int = 0
    ends_told: int = 0
    rows: int = 0
    activities: int = 0
    leads: int = 0
    records: int = 0
    orphans: int = 0
    bad: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def table(self) -> list[tuple[str, int]]:
        facts = [
            ("calls made", self.calls),
            ("calls whose end a hook took", self.ends_told),
            ("calls whose end no hook took (no server, no database and no disk)", self.calls - self.ends_told),
            ("statistics rows", self.rows),
            ("activities", self.activities),
            ("leads", self.leads),
            ("records, right by sha256", self.records),
            ("open calls left in the portal (their end unheard, or an answer lost for long)", self.orphans),
        ]
        return facts + [(kind, len(self.bad.get(kind, []))) for kind in KINDS]

    @property
    def clean(self) -> bool:
        return not any(self.bad.values())


class _Portal:
    """The double's dump, by call."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.rows: dict[str, list[Any]] = defaultdict(list)
        for row in known["statistics"]:
            self.rows[row["EXTERNAL_CALL_ID"]].append(row)
        self.by_call: dict[str, list[Any]] = defaultdict(list)
        for row in known["statistics"]:
            self.by_call[row["CALL_ID"]].append(row)
        self.activities = Counter(activity["call_id"] for activity in known["activities"])
        self.files: dict[str, list[Any]] = defaultdict(list)
        for file in known["files"]:
            self.files[file["call_id"]].append(file)
        self.open: dict[str, list[Any]] = defaultdict(list)
        for call in known["calls"]:
            self.open[call["external_call_id"]].append(call)


def judge(truths: list[Truth], known: dict[str, Any], dismissed: bool) -> Verdict:
    """`known`: the double's dump; `dismissed`: whether user 12 was none for a while."""
    verdict = Verdict(len(truths), orphans=len(known["calls"]))
    verdict.rows, verdict.activities = len(known["statistics"]), len(known["activities"])
    portal = _Portal(known)
    for truth in truths:
        verdict.ends_told += truth.end_told
        mine = portal.rows.get(truth.call_id, [])
        if truth.end_told and not mine:
            verdict.bad["lost"].append(f"{truth.call_id}: {truth}")
        if len(mine) > 1:
            verdict.bad["doubled"].append(f"{truth.call_id} {truth.kind}: {[row['CALL_ID'] for row in mine]}")
        if truth.end_told and len(mine) == 1:
            _compare(verdict, truth, mine[0], dismissed)
            _compare_activity(verdict, truth, mine[0], portal)
            _compare_record(verdict, truth, mine[0], portal)
        if truth.end_told and not (truth.users & {DISMISSED_USER} and dismissed):  # else the successor's is another
            _compare_registrations(verdict, truth, mine, portal)
    _compare_leads(verdict, truths, known["leads"], portal)
    verdict.bad["of no call"] += _of_no_call({truth.call_id for truth in truths}, portal)
    return verdict


def _of_no_call(made: set[str], portal: _Portal) -> list[str]:
    """What the portal has that no call asked for: rows and open calls of ids nobody used, and what hangs on no row."""
    strange = [f"{external}: a row" for external in portal.rows if external not in made]
    strange += [f"{external}: an open call" for external in portal.open if external not in made]
    strange += [f"{call_id}: an activity" for call_id in portal.activities if call_id not in portal.by_call]
    return strange + [f"{call_id}: a file" for call_id in portal.files if call_id not in portal.by_call]


def _compare_registrations(verdict: Verdict, truth: Truth, rows: list[Any], portal: _Portal) -> None:
    """While the portal finds a call again (by its start, as it was told) there is no reason for a second one of it."""
    known = [(float(row["CALL_ID"].rpartition(".")[2]), _started_at(row)) for row in rows]
    known += [(call["registered_at"], call["started_at"]) for call in portal.open.get(truth.call_id, [])]
    early = [at for at, started_at in sorted(known)[1:] if at < started_at + WINDOW_S - 1.0]
    if early:
        verdict.bad["registered twice"].append(f"{truth.call_id} {truth.kind}: {sorted(known)}")


def _compare_leads(verdict: Verdict, truths: list[Truth], leads: list[dict[str, Any]], portal: _Portal) -> None:
    """One for a client whose line asks for it, of who finished the call that made it; none for the others."""
    verdict.leads = len(leads)
    by_phone: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for lead in leads:
        by_phone[lead["phones"][0]].append(lead)
    calls: dict[Client, list[Truth]] = defaultdict(list)
    for truth in truths:
        calls[truth.who].append(truth)
    for client, made in calls.items():
        kind, why = _wrong_lead(client, made, by_phone[client.phone], portal)
        if kind:
            verdict.bad[kind].append(f"{made[0].call_id}: {client}, {why}")


def _wrong_lead(client: Client, calls: list[Truth], leads: list[dict[str, Any]], portal: _Portal) -> tuple[str, object]:
    """(what kind of mistake, its details), or two empty ones."""
    wanted = client.wants_lead and any(call.inbound for call in calls)
    if leads and not wanted:
        return "lead nobody wants", leads
    if len(leads) > 1:
        return "doubled lead", leads
    if not leads:
        return ("lead lost", "") if wanted and any(call.end_told for call in calls) else ("", "")
    (lead,) = leads
    maker = _rows_that_made(lead, portal)
    if maker and maker[0]["PORTAL_USER_ID"] != str(lead["responsible"]):
        return "wrong lead", f"{lead} is not of who finished {maker[0]['CALL_ID']}"
    return "", ""


def _rows_that_made(lead: dict[str, Any], portal: _Portal) -> list[Any]:
    """The statistics row of the call that left the lead; none where its registration was never finished."""
    if lead["created_by_call"]:
        return portal.by_call[lead["created_by_call"]]
    return portal.rows[lead["origin"][1]]


def _compare_activity(verdict: Verdict, truth: Truth, row: dict[str, Any], portal: _Portal) -> None:
    count = portal.activities[row["CALL_ID"]]
    if count > 1:
        verdict.bad["doubled activity"].append(f"{truth.call_id}: {count}")
    wanted = truth.who.responsible is not None or (truth.inbound and truth.who.wants_lead)
    if count < 1 and wanted:  # a stranger who calls becomes a lead where his line says so
        verdict.bad["activity lost"].append(f"{truth.call_id}: {row['CRM_ENTITY_TYPE']} {row['CRM_ENTITY_ID']}")


def _compare_record(verdict: Verdict, truth: Truth, row: dict[str, Any], portal: _Portal) -> None:
    files = portal.files.get(row["CALL_ID"], [])
    if len(files) > 1 or (files and not truth.sha256):
        verdict.bad["record doubled"].append(f"{truth.call_id}: {[file['name'] for file in files]}")
    elif truth.sha256 and [(file["sha256"], file["id"]) for file in files] != [(truth.sha256, row["RECORD_FILE_ID"])]:
        verdict.bad["record lost"].append(f"{truth.call_id} {truth.kind}: {row['RECORD_FILE_ID']}, {files}")
    else:
        verdict.records += bool(truth.sha256)


def _compare(verdict: Verdict, truth: Truth, row: dict[str, Any], dismissed: bool) -> None:
    wrong = [f"{name} is {found}, not {wanted}" for name, found, wanted in _exact(truth, row, dismissed)]
    wrong += [f"{name} is {found:.1f}, not {wanted:.1f}" for name, found, wanted in _times(truth, row)]
    told = f"told {sorted(truth.told)}, not {sorted(truth.untold)}"
    verdict.bad["wrong field"] += [f"{truth.call_id} {truth.kind}: {what}; {told}" for what in wrong]


def _exact(truth: Truth, row: dict[str, Any], dismissed: bool) -> list[tuple[str, str, set[str]]]:
    users = {str(user) for user in truth.users}
    if "12" in users and dismissed:
        # The successor of a manager dismissed meanwhile: his line's, where it has one.
        users |= {"1"} | (
            {str(truth.who.line.default_user)} if truth.inbound and truth.who.line.default_user else set()
        )
    client = truth.who
    fields = [
        ("user", row["PORTAL_USER_ID"], users),
        ("code", row["CALL_FAILED_CODE"], {truth.code}),
        ("number", row["PHONE_NUMBER"], {truth.client}),
        ("type", row["CALL_TYPE"], {"2" if truth.inbound else "1"}),
        ("line", row["PORTAL_NUMBER"], {(truth.inbound and client.line.number) or "REST_APP:"}),
    ]
    if client.responsible is not None:
        fields.append(("client", f"{row['CRM_ENTITY_TYPE']} {row['CRM_ENTITY_ID']}", {f"CONTACT {client.id}"}))
    return [(name, found, wanted) for name, found, wanted in fields if found not in wanted]


def _times(truth: Truth, row: dict[str, Any]) -> list[tuple[str, float, float]]:
    fields = [("start", _started_at(row), truth.started_at, _START_S)]
    if not (truth.kind == "transferred" and truth.untold):  # the pause between the two is not known then
        fields.append(("duration", float(row["CALL_DURATION"]), truth.talked, _TALK_S))
    return [(name, found, wanted) for name, found, wanted, spare in fields if abs(found - wanted) > spare]


def _started_at(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["CALL_START_DATE"]).timestamp()
