"""A call as the PBX tells it, in its records or by its manager: what the hooks would have reported, one moment after
the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from itgrix_bx.calls.call import IN, OUT
from itgrix_bx.calls.events import Kind
from itgrix_bx.pbx.channels import Channels, is_short, local_number
from itgrix_bx.pbx.records import Group, Row

CDR, CEL = "cdr", "cel"
DIALLED = re.compile(r"\+?\d{5,}")  # in PJSIP/89161234567@trunk or SIP/trunk/89161234567
_DATED = re.compile(r"-(\d{4})(\d\d)(\d\d)-\d{6}-")


@dataclass(frozen=True, slots=True)
class First:
    """The channel a call began on, whose uniqueid is the call's id: the client's inbound, the extension's outbound."""

    direction: str
    row: Row

    @property
    def channel(self) -> str:
        return self.row.channel

    @property
    def uniqueid(self) -> str:
        return self.row.uniqueid


@dataclass(frozen=True, slots=True)
class Moment:
    """Something a hook would have reported at `at`, with the data it would have given.

    `mark` tells it from others of its kind, however often and by whomever the story is told; "": its place does.
    """

    at: float
    kind: Kind
    data: dict[str, Any] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How the call ended, in the words of the channel that called; `own` when it was this channel's end.

    `status` is DIALSTATUS, `cause` Q.850, `answered_at` when the channel was answered, be it by a menu.
    """

    own: bool
    status: str
    cause: str
    source: str
    answered_at: float | None


@dataclass(slots=True)
class Story:
    """A call that began on `channel`, whose uniqueid is its id. `number`, `name` and `did` are as Asterisk has them;
    `extension` is who called, outbound. The last moment of a call that is over is its end."""

    source: str
    direction: str
    channel: str
    call_id: str
    linkedid: str
    started_at: float
    number: str
    name: str = ""
    did: str = ""
    extension: str = ""
    recordings: list[str] = field(default_factory=list)
    lastapp: str = ""
    queued: bool = False
    moments: list[Moment] = field(default_factory=list)

    @property
    def ended_at(self) -> float:
        return self.moments[-1].at if self.moments else self.started_at

    def end(self, at: float, end: End) -> None:
        """Add the end, as the hangup hook would have told it."""
        talked = any(moment.kind is Kind.ANSWER for moment in self.moments)
        # In a queue DIALSTATUS is not the queue's word, and ANSWER where nobody talked is a menu's or a fax's.
        silent = self.lastapp == "Queue" or (end.status == "ANSWER" and not talked)
        variables = {
            "DIALSTATUS": "" if silent else end.status,
            "HANGUPCAUSE": end.cause,
            "CHANNEL(hangupsource)": end.source,
            "QUEUESTATUS": "TIMEOUT" if self.queued and self.lastapp != "Queue" else "",
            "CDR(lastapp)": self.lastapp,
            "CDR(answer,u)": "" if end.answered_at is None else str(end.answered_at),
            "VMSTATUS": "SUCCESS" if self.lastapp.startswith("VoiceMail") else "",
        }
        told = {name: value for name, value in variables.items() if value}
        self.moments.append(Moment(at, Kind.HANGUP, {"own_channel": end.own, "variables": told}))


def firsts(group: Group, channels: Channels) -> list[First]:
    """Where the calls of the group that are for the CRM began; none when everybody in it is one of ours.

    What a phone or a trunk was dialled for is no beginning, even when it called on later (a transfer).
    """
    dialled = {row.dstchannel for row in group.rows}
    began = [row for row in _first_rows(group.rows) if row.channel not in dialled and channels.is_real(row.channel)]
    inbound = [row for row in began if channels.is_outside(row.channel) and not _from_inside(row, group)]
    if inbound:
        return [First(IN, row) for row in inbound]
    return [First(OUT, row) for row in began if any(dials_out(r, channels) for r in rows_of(row.uniqueid, group))]


def _first_rows(rows: Sequence[Row]) -> list[Row]:
    seen: dict[str, Row] = {}
    for row in rows:
        seen.setdefault(row.uniqueid, row)
    return list(seen.values())


def _from_inside(row: Row, group: Group) -> bool:
    """A phone by a name we do not know, or a trunk to another office of ours: it comes in where phones do.

    The row's own context proves nothing, a blind transfer leaves the one it went to.
    """
    entered = (h.context for h in group.happenings if h.kind == "CHAN_START" and h.uniqueid == row.uniqueid)
    return next(entered, "").startswith("from-internal") or (not row.did and is_short(row.caller))


def rows_of(uniqueid: str, group: Group) -> list[Row]:
    """The rows of one calling channel, in order."""
    return [row for row in group.rows if row.uniqueid == uniqueid]


def dials_out(row: Row, channels: Channels) -> bool:
    """Whether the row is an attempt to reach the telephone network; a trunk that is down has no channel."""
    if row.dstchannel:
        return channels.is_outside(row.dstchannel)
    return row.lastapp == "Dial" and bool(DIALLED.search(row.lastdata.split(",")[0]))


def dialled_number(row: Row) -> str:
    """The number an outbound row called, as the trunk got it."""
    found = DIALLED.findall(row.lastdata.split(",")[0].split("&")[0]) if row.lastapp == "Dial" else []
    return found[-1] if found else row.dst


def calling_extension(row: Row, channels: Channels) -> str:
    """Who called with the row's channel; it may be a Local one (a call the PBX was asked for)."""
    known = row.caller if channels.is_ours(row.caller) or is_short(row.caller) else ""
    return channels.extension(row.channel) or known or local_number(row.channel)


def recording_path(said: str) -> str:
    """Where the recording of a CDR row is, below the directory of recordings.

    FreePBX gives the name alone and files it by the day in it; Issabel gives the whole path.
    """
    dated = _DATED.search(said)
    return said if dated is None or "/" in said else f"{'/'.join(dated.groups())}/{said}"


def began(first: First, source: str, group: Group, channels: Channels) -> Story:
    """The story without its moments."""
    rows = rows_of(first.uniqueid, group)
    # Under another linkedid is what the client was transferred into, with a recording of its own.
    said = [row.recording for row in group.rows if row.recording and row.linkedid == first.row.linkedid]
    row = first.row
    story = Story(
        source, first.direction, row.channel, row.uniqueid, row.linkedid, row.start, number=row.caller, name=row.name
    )
    story.recordings = list(dict.fromkeys(recording_path(name) for name in said))
    story.lastapp = rows[-1].lastapp
    story.queued = any(row.lastapp == "Queue" for row in rows)
    if first.direction == IN:
        story.did = next((row.did for row in rows if row.did), "") or _dialled_in(first, group)
    else:
        out = next(row for row in rows if dials_out(row, channels))
        story.number, story.extension = dialled_number(out), calling_extension(first.row, channels)
    return story


def _dialled_in(first: First, group: Group) -> str:
    """The number the client called, where the table has no column for it."""
    entered = (h.exten for h in group.happenings if h.kind == "CHAN_START" and h.uniqueid == first.uniqueid)
    number = next(entered, first.row.dst)
    return number if DIALLED.fullmatch(number) else ""
