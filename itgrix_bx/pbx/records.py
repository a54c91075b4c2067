"""What Asterisk wrote about its calls: CDR rows and CEL events, read from the columns FreePBX gives them.

The tables keep local times without a zone. A channel's uniqueid begins with the second in which it was made, so a
call tells its zone itself, whatever zone this machine has and on either side of a change of the clocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_EPOCH = re.compile(r"(?:^|-)(\d{9,11})\.\d+$")
_NAME = re.compile(r'^\s*"?([^"<]*?)"?\s*<')
_QUARTER_S = 900  # zones differ by quarters of an hour


@dataclass(frozen=True, slots=True)
class Row:
    """A CDR row: `channel` tried to reach, or talked with, `dstchannel`. Times are unix seconds."""

    start: float
    duration: int
    billsec: int
    answered: bool
    disposition: str
    channel: str
    dstchannel: str
    caller: str
    name: str
    dst: str
    context: str
    lastapp: str
    lastdata: str
    uniqueid: str
    linkedid: str
    sequence: int
    did: str
    recording: str

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def answer(self) -> float:
        """When `channel` was answered; in this row or, where it had been before, at the row's start."""
        return self.end - self.billsec


@dataclass(frozen=True, slots=True)
class Happening:
    """A CEL event of `channel`. `dialled`: Dial() or Queue() made the channel, nobody called with it."""

    at: float
    kind: str
    channel: str
    uniqueid: str
    number: str
    exten: str
    context: str
    app: str
    dialled: bool
    peers: tuple[str, ...]
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Everything recorded of channels that had to do with each other, oldest first; without CEL only `rows`."""

    rows: Sequence[Row]
    happenings: Sequence[Happening]

    @property
    def last_at(self) -> float:
        return max([row.end for row in self.rows] + [h.at for h in self.happenings], default=0.0)


def groups(cdr: Iterable[Mapping[str, Any]], cel: Iterable[Mapping[str, Any]]) -> list[Group]:
    """The groups that database rows make, in the order they began; what cannot be read as a row is left out.

    A group is a linkedid, or several: a channel that is transferred into an older call goes on under that one's.
    """
    cdr = [row for row in cdr if _seconds(row["calldate"]) is not None]
    heads = _heads(cdr)
    by_head: dict[str, tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = {}
    for row in cdr:
        by_head.setdefault(heads[str(row["linkedid"])], ([], []))[0].append(row)
    for event in cel:
        if (head := heads.get(str(event["linkedid"]))) is not None and _seconds(event["eventtime"]) is not None:
            by_head[head][1].append(event)
    return sorted((_group(*found) for found in by_head.values()), key=lambda found: found.rows[0].start)


def _heads(cdr: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """linkedid -> the one its group goes by: linkedids that share a calling channel belong together."""
    heads: dict[str, str] = {}
    channels: dict[str, str] = {}
    for row in cdr:
        linkedid = str(row["linkedid"])
        head = heads.setdefault(linkedid, linkedid)
        other = channels.setdefault(str(row["uniqueid"]), head)
        if heads[other] != head:
            heads.update({known: heads[other] for known, its in heads.items() if its == head})
    return heads


def _group(cdr: Sequence[Mapping[str, Any]], cel: Sequence[Mapping[str, Any]]) -> Group:
    ahead = zone([(row["calldate"], str(row["uniqueid"])) for row in cdr])
    rows = sorted((_row(row, ahead) for row in cdr), key=lambda row: (row.start, row.sequence))
    return Group(rows, [_happening(event, ahead) for event in cel])


def zone(starts: Sequence[tuple[Any, str]]) -> float:
    """Seconds by which stored times are ahead of UTC, from (stored start, uniqueid) of a call's rows.

    A later row of a channel begins after the channel did, so the least difference is the zone's.
    """
    ahead = []
    for stored, uniqueid in starts:
        made, seconds = made_at(uniqueid), _seconds(stored)
        if made is not None and seconds is not None:
            ahead.append(seconds - made)
    if ahead:
        return float(round(min(ahead) / _QUARTER_S) * _QUARTER_S)
    first = _seconds(starts[0][0]) if starts else None
    here = datetime.fromtimestamp(first or 0.0, UTC).replace(tzinfo=None).astimezone().utcoffset()
    return here.total_seconds() if here else 0.0


def made_at(uniqueid: str) -> float | None:
    """When the channel with this uniqueid (or linkedid) was made, in whole unix seconds; None where it does not say."""
    epoch = _EPOCH.search(uniqueid)
    return float(epoch[1]) if epoch is not None else None


def stored(at: float, ahead: float) -> str:
    """A time as the tables spell it."""
    return datetime.fromtimestamp(at + ahead, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(value: Any) -> float | None:
    """A stored time, read as if it were UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return float(value.replace(tzinfo=UTC).timestamp()) if isinstance(value, datetime) else None


def _row(row: Mapping[str, Any], ahead: float) -> Row:
    def text(name: str) -> str:
        return str(row.get(name) or "")

    clid = _NAME.match(text("clid"))
    disposition = text("disposition").upper()
    return Row(
        start=(_seconds(row["calldate"]) or 0.0) - ahead,
        duration=_whole(row["duration"]),
        billsec=_whole(row["billsec"]),
        answered=disposition == "ANSWERED",
        disposition=disposition,
        channel=text("channel"),
        dstchannel=text("dstchannel"),
        # FreePBX keeps the caller's own number in cnum: src becomes the trunk's.
        caller=text("cnum") or text("src"),
        name=text("cnam") or (clid[1] if clid else ""),
        dst=text("dst"),
        context=text("dcontext"),
        lastapp=text("lastapp"),
        lastdata=text("lastdata"),
        uniqueid=text("uniqueid"),
        linkedid=text("linkedid"),
        sequence=_whole(row.get("sequence")),
        did=text("did"),
        recording=text("recordingfile"),
    )


def _happening(event: Mapping[str, Any], ahead: float) -> Happening:
    def text(name: str) -> str:
        return str(event.get(name) or "")

    return Happening(
        at=(_seconds(event["eventtime"]) or 0.0) - ahead,
        kind=text("eventtype").upper(),
        channel=text("channame"),
        uniqueid=text("uniqueid"),
        number=text("cid_num"),
        exten=text("exten"),
        context=text("context"),
        app=text("appname"),
        dialled=text("appdata") == "(Outgoing Line)",
        peers=tuple(peer for peer in text("peer").split(",") if peer),
        extra=_extra(text("extra")),
    )


def _extra(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:  # older versions write something else, and the column may have cut it
        return {}
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> int:
    try:
        return max(0, int(value or 0))
    except (TypeError, ValueError):
        return 0
