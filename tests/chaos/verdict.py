"""Comparing what the portal ended with to what truly happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.calls import Truth

_TALK_S = 1.6  # whole seconds to the nearest, and a loaded machine


@dataclass
class Verdict:
    """Counts; everything in `bad` must be empty."""

    calls: int = 0
    ends_told: int = 0
    rows: int = 0
    activities: int = 0
    records: int = 0
    orphans: int = 0
    untold: int = 0
    bad: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def table(self) -> list[tuple[str, int]]:
        facts = [
            ("calls made", self.calls),
            ("calls whose end a hook took", self.ends_told),
            ("calls whose end no hook took (server down)", self.untold),
            ("statistics rows", self.rows),
            ("activities", self.activities),
            ("records, right by sha256", self.records),
            ("open calls left in the portal (harmless: purged by it)", self.orphans),
        ]
        kinds = ("lost", "doubled", "doubled activity", "doubled lead", "record lost", "record doubled", "wrong field")
        return facts + [(kind, len(self.bad.get(kind, []))) for kind in kinds]

    @property
    def clean(self) -> bool:
        return not any(self.bad.values())


def judge(truths: list[Truth], known: dict[str, Any], dismissed: list[tuple[float, float]]) -> Verdict:
    """`known`: the double's dump; `dismissed`: when user 12 was none."""
    verdict = Verdict(calls=len(truths), orphans=len(known["calls"]))
    rows, activities, files = _indexed(known)
    verdict.rows, verdict.activities = len(known["statistics"]), len(known["activities"])
    for truth in truths:
        verdict.ends_told += truth.end_told
        verdict.untold += not truth.end_told
        mine = rows.get(truth.call_id, [])
        if truth.end_told and not mine:
            verdict.bad["lost"].append(f"{truth}")
        if len(mine) > 1:
            verdict.bad["doubled"].append(f"{truth.call_id} {truth.kind}: {[row['CALL_ID'] for row in mine]}")
        if truth.end_told and len(mine) == 1:
            _compare(verdict, truth, mine[0], activities, files, dismissed)
    leads: Counter[str] = Counter(phone for lead in known["leads"] for phone in lead["phones"])
    verdict.bad["doubled lead"] += [phone for phone, count in leads.items() if count > 1]
    return verdict


def _indexed(known: dict[str, Any]) -> tuple[dict[str, list[Any]], Counter[str], dict[str, list[Any]]]:
    rows: dict[str, list[Any]] = defaultdict(list)
    for row in known["statistics"]:
        rows[row["EXTERNAL_CALL_ID"]].append(row)
    activities = Counter(activity["origin_id"] for activity in known["activities"])
    files: dict[str, list[Any]] = defaultdict(list)
    for file in known["files"]:
        files[str(file["id"])].append(file)
    return rows, activities, files


def _compare(
    verdict: Verdict,
    truth: Truth,
    row: dict[str, Any],
    activities: Counter[str],
    files: dict[str, list[Any]],
    dismissed: list[tuple[float, float]],
) -> None:
    if activities[f"VI_{row['CALL_ID']}"] > 1:
        verdict.bad["doubled activity"].append(truth.call_id)
    for name, found, wanted in _fields(truth, row, dismissed):
        if found not in wanted:
            text = f"{truth.call_id} {truth.kind}: {name} is {found}, not {wanted}; told {sorted(truth.told)}"
            verdict.bad["wrong field"].append(text)
    if not (truth.kind == "transferred" and truth.untold) and abs(int(row["CALL_DURATION"]) - truth.talked) > _TALK_S:
        text = (
            f"{truth.call_id} {truth.kind}: {row['CALL_DURATION']} s, not {truth.talked:.1f}; told {sorted(truth.told)}"
        )
        verdict.bad["wrong field"].append(text)
    if truth.sha256:
        attached = files.get(str(row["RECORD_FILE_ID"]), [])
        if [file["sha256"] for file in attached] == [truth.sha256]:
            verdict.records += 1
        else:
            verdict.bad["record lost"].append(f"{truth.call_id} {truth.kind}: {row['RECORD_FILE_ID']}")


def _fields(truth: Truth, row: dict[str, Any], dismissed: list[tuple[float, float]]) -> list[tuple[str, str, set[str]]]:
    users = {str(user) for user in truth.users}
    if "12" in users and dismissed:
        users.add("1")  # the successor of a manager dismissed meanwhile
    return [
        ("user", row["PORTAL_USER_ID"], users),
        ("code", row["CALL_FAILED_CODE"], {truth.code}),
        ("number", row["PHONE_NUMBER"], {truth.client}),
        ("type", row["CALL_TYPE"], {"2" if truth.inbound else "1"}),
    ]
