"""A call as its events tell it: legs, ends, what the portal knows. `fold` is the only way to make one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from itgrix_bx.calls import recording_names
from itgrix_bx.calls.events import HOOK_KINDS, Event, Kind
from itgrix_bx.calls.facts import of_manager, told_once
from itgrix_bx.calls.lines import Leads

IN, OUT, INTERNAL = "in", "out", "internal"

_CLOCKS_AGREE_S = 1.0  # what the wall clock may drift from the machine's own in a call
_THROUGH_A_TRUNK = re.compile(r"(\+?\d{7,})@[^/]+")  # DIALEDPEERNUMBER; no extension is that long
_BEFORE_TALK = (Kind.INBOUND, Kind.ROUTE, Kind.OUTBOUND, Kind.RING)


@dataclass(slots=True)
class Leg:
    """One employee's part of a call; times in unix seconds, None where it did not happen."""

    extension: str
    rang_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    dialled: str = ""  # the outside number, when the leg goes out through a trunk

    @property
    def talk(self) -> float:
        if self.answered_at is None or self.ended_at is None:
            return 0.0
        return max(0.0, self.ended_at - self.answered_at)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A request left at `since` and nobody knows what became of it; `running`: the portal may be at it still.

    `intent` is the id of the event that announced it.
    """

    since: float
    intent: str
    running: bool = True
    extra_s: float = 0.0  # how much longer than others that request may take


@dataclass(slots=True)
class Recording:
    """What was said of the call, in one file or several. The portal gets one."""

    paths: list[str] = field(default_factory=list)  # as Asterisk named them, in the order of the talk
    voicemail: bool = False  # it is the message a missed caller left
    state: str = "none"  # none | waiting | uploaded | missing | refused
    file_id: int | None = None
    detail: str = ""
    retry_at: float | None = None
    tries: int = 0  # that failed at the portal
    doubt: Doubt | None = None
    file_name: str = ""  # what the last request called the file
    linked: str = ""  # the file the portal was told to fetch from us
    fetched: str = ""  # the file somebody fetched whole
    sending: str = ""  # that file's sha256
    sent: str = ""  # the sha256 of what the portal has
    settled: list[str] | None = None  # the paths that request or the last verdict was about
    left_out: list[dict[str, str]] = field(default_factory=list)  # [{path, why}]: named, but not in what was sent

    @property
    def path(self) -> str:
        return self.paths[0] if self.paths else ""

    @property
    def fetchable(self) -> str:
        """The file the portal may fetch from us now: once, and while it has not answered."""
        told_so = self.doubt is not None and self.doubt.running and self.linked == self.file_name
        return self.linked if told_so and self.linked != self.fetched else ""


@dataclass(slots=True)
class Call:
    """The projection of a call's events. Times are unix seconds; absent is None or an empty string."""

    call_id: str
    direction: str = IN
    linkedid: str = ""
    client_number: str = ""
    client_name: str = ""
    did: str = ""
    trunk: str = ""
    line: str = ""  # the portal's external line
    line_rules: dict[str, Any] = field(default_factory=dict)  # {source, user, leads}: lines.py, what is usual left out
    line_known: bool = False  # whether anybody has looked
    caller_extension: str = ""  # who dialled, outbound
    started_at: float = 0.0
    ended_at: float | None = None
    heard_at: float = 0.0  # when the last hook came
    over_since: float | None = None  # when its end was heard, by the wall clock of that moment: what is due counts so
    legs: list[Leg] = field(default_factory=list)
    last_rung: list[str] = field(default_factory=list)
    talk_source: str = ""
    hangup: dict[str, str] = field(default_factory=dict)  # variables of the channel that ended the call
    first_leg_gone: bool = False
    end_unseen: str = ""  # who missed the call's channels, where no hook told its end: "ami"
    told_in_part: bool = False  # another server, or this one before it was started again, may know more
    skipped: str = ""
    entities: list[dict[str, Any]] | None = None  # None: never asked
    deals: list[dict[str, Any]] | None = None  # the client's open ones; None: not known
    routed: dict[str, Any] | None = None  # what the dialplan was told last: {extension, seconds, why}
    created: set[tuple[str, int]] = field(default_factory=set)  # what its registration made in the CRM: (type, id)
    register_params: dict[str, Any] | None = None
    register_doubt: Doubt | None = None
    register_tries: int = 0
    portal_call_id: str = ""
    entity_type: str = ""
    entity_id: int | None = None
    carded: list[int] = field(default_factory=list)  # users whose card came up with the registration
    forgotten: int = 0
    finish_doubt: Doubt | None = None
    finish_params: dict[str, Any] | None = None
    finish_tries: int = 0
    finished: bool = False
    activity_id: int | None = None
    lead_doubt: Doubt | None = None
    lead_tries: int = 0
    lead_settled: bool = False  # one was added, or none is wanted
    recording: Recording = field(default_factory=Recording)
    failed_step: str = ""
    last_error: str = ""
    error_at: float | None = None
    retry_at: float | None = None
    version: int = 0  # how many events it is made of: of two pictures of one call the higher is the newer

    @property
    def over(self) -> bool:
        return self.ended_at is not None

    @property
    def answered_at(self) -> float | None:
        return min((leg.answered_at for leg in self.legs if leg.answered_at is not None), default=None)

    @property
    def answered(self) -> bool:
        return self.answered_at is not None

    @property
    def talk_seconds(self) -> int:
        """Whole seconds to the nearest, at least 1 if a person answered (design: "What comes out of a call")."""
        if not self.answered or not self.over:
            return 0
        return max(1, int(sum(leg.talk for leg in self.legs) + 0.5))

    @property
    def talking(self) -> Leg | None:
        return next((leg for leg in self.legs if leg.answered_at is not None and leg.ended_at is None), None)

    @property
    def clients(self) -> list[dict[str, Any]]:
        """The entities the portal knew before this call."""
        return [entity for entity in self.entities or [] if (entity["type"], entity["id"]) not in self.created]

    @property
    def needs_recording(self) -> bool:
        """Only what a person said is worth keeping: a missed call's file holds a menu, music or nothing, but for the
        message its caller left."""
        return (self.answered or self.recording.voicemail) and bool(self.recording.path)

    @property
    def owes_lead(self) -> bool:
        """Whether it is to be found out if a known client needs a lead; what nobody knew register has made one of."""
        asked_for = self.direction == IN and self.line_rules.get("leads") == Leads.NOTHING_OPEN
        known = self.entity_type in ("CONTACT", "COMPANY") and bool(self.entity_id)
        return asked_for and known and not self.created and not self.lead_settled

    @property
    def state(self) -> str:
        if self.skipped:
            return "skipped"
        if self.failed_step:
            return "failed"
        if self.finished:
            owed = self.owes_lead or (self.needs_recording and self.recording.state == "waiting")
            return "finished" if owed else "complete"
        if self.over:
            return "ended"
        return "registered" if self.portal_call_id else "open"


def fold(events: Iterable[Event]) -> Call:
    """The call that `events` (any order, repeats allowed, at least one, all of one call) describe."""
    ordered = sorted({e.event_id: e for e in events}.values(), key=lambda e: e.at)
    call = Call(call_id=ordered[0].call_id, started_at=ordered[0].at, version=len(ordered))
    heard = _heard(ordered)
    call.heard_at = heard[-1].at if heard else call.started_at
    hooks = _on_one_clock(heard)
    if hooks is not heard:
        call.started_at = hooks[0].at
    hooks = told_once(hooks)
    _identify(call, hooks)
    call.told_in_part = _is_told_in_part(hooks)
    hangups = [e for e in hooks if e.kind is Kind.HANGUP]
    _build_legs(call, hooks)
    _complete_from_hangup(call, hooks, hangups)
    if end := _find_end(call, hooks, hangups):
        call.over_since = next(e.data.get("ended_at", e.at) for e in heard if e.event_id == end.event_id)
        _talk_on(call, hooks, hangups)
    _find_recordings(call, ordered)
    for event in ordered:
        if event.kind not in HOOK_KINDS:
            _PORTAL[event.kind](call, event)
    _notice_further_recordings(call)
    return call


def _heard(ordered: Sequence[Event]) -> list[Event]:
    """The hooks. A call that was closed unseen and told to the portal so stays as told, whatever comes afterwards."""
    hooks = [e for e in ordered if e.kind in HOOK_KINDS]
    told_at = _told_at(ordered)
    before = [e for e in hooks if told_at is not None and e.at <= told_at]
    return before if _closed_unseen(before) else hooks


def _told_at(ordered: Sequence[Event]) -> float | None:
    """When the portal was told the outcome, for certain or perhaps."""
    told_at = None
    for event in ordered:
        if event.kind is Kind.FINISHING:
            told_at = event.at
        elif event.kind is Kind.FORGOTTEN or (event.kind is Kind.FINISH_FAILED and not event.data.get("doubt")):
            told_at = None
    return told_at


def _closed_unseen(hooks: Sequence[Event]) -> Event | None:
    """The event that closed the call without a hook; one that came after it shows that the call was alive."""
    return hooks[-1] if hooks and hooks[-1].kind is Kind.GONE else None


# --- when ----------------------------------------------------------------------------------------


def _on_one_clock(heard: list[Event]) -> list[Event]:
    """The hooks as a clock tells them that nobody sets, counted from the first one the machine heard.

    Set while people talk, the wall clock would make hours of talk, or none. `heard` itself where it was not set.
    """
    first: dict[str, Event] = {}
    stamped = [e for e in heard if e.data.get("clock")]
    for event in sorted(stamped, key=lambda e: e.data["clock"][1]):
        first.setdefault(event.data["clock"][0], event)
    told = [_retimed(e, first[e.data["clock"][0]]) if e.data.get("clock") else e for e in heard]
    if all(a is b for a, b in zip(told, heard, strict=True)):
        return heard
    return sorted(told, key=lambda e: e.at)


def _retimed(event: Event, first: Event) -> Event:
    at = first.at + event.data["clock"][1] - first.data["clock"][1]
    if abs(at - event.at) < _CLOCKS_AGREE_S:
        return event
    data = event.data
    if "ended_at" in data:
        data = data | {"ended_at": max(first.at, data["ended_at"] + at - event.at)}
    return replace(event, at=at, data=data)


# --- who and where -------------------------------------------------------------------------------


def _identify(call: Call, hooks: Sequence[Event]) -> None:
    call.direction = _direction(hooks)
    for event in _most_telling_first(hooks):
        data = event.data
        call.linkedid = call.linkedid or data.get("linkedid", "")
        call.client_number = call.client_number or data.get("client_number", "")
        call.client_name = call.client_name or data.get("client_name", "")
        call.did = call.did or data.get("did", "")
        call.trunk = call.trunk or data.get("trunk", "")
    # What was decided first stays, however the rules are changed while people talk; a hook without the DID knows none.
    knowing = (e.data for e in _most_telling_first(hooks) if "line" in e.data and e.data.get("did", "") == call.did)
    came_in = next(knowing, {})
    _line(call, came_in)
    if call.direction != IN:
        call.caller_extension = next(
            (e.data["extension"] for e in hooks if e.kind is Kind.OUTBOUND and e.data.get("extension")),
            next((e.data["caller"] for e in hooks if e.data.get("own_channel") and e.data.get("caller")), ""),
        )
    starts = [e.data["channel_start"] for e in hooks if e.data.get("own_channel") and e.data.get("channel_start")]
    if starts and not any(e.kind in (Kind.INBOUND, Kind.OUTBOUND) for e in hooks):
        call.started_at = min(starts)


def _line(call: Call, data: dict[str, Any]) -> None:
    call.line_known = call.line_known or "line" in data
    call.line, call.line_rules = data.get("line", ""), data.get("line_rules", {})


def _is_told_in_part(hooks: Sequence[Event]) -> bool:
    opened = any(e.kind in (Kind.INBOUND, Kind.ROUTE, Kind.OUTBOUND) for e in hooks)
    return not opened or len({e.teller for e in hooks if not of_manager(e)}) > 1


def _direction(hooks: Sequence[Event]) -> str:
    # An outbound leg of an inbound call (forwarding to a mobile) never changes its direction.
    if any(e.kind in (Kind.INBOUND, Kind.ROUTE) for e in hooks):
        return IN
    first = next((e for e in hooks if e.kind is Kind.OUTBOUND), None)
    if first is not None:
        return INTERNAL if first.data.get("internal") else OUT
    told = (INTERNAL if e.data.get("internal") else e.data["direction"] for e in hooks if e.data.get("direction"))
    return next(told, IN)


def _most_telling_first(hooks: Sequence[Event]) -> list[Event]:
    order = {Kind.INBOUND: 0, Kind.OUTBOUND: 1, Kind.ROUTE: 2, Kind.HANGUP: 3}
    return sorted(hooks, key=lambda e: (order.get(e.kind, 4), not e.data.get("own_channel", False), e.at))


# --- legs ----------------------------------------------------------------------------------------


def _build_legs(call: Call, hooks: Sequence[Event]) -> None:
    talking: Leg | None = None
    for event in hooks:
        match event.kind:
            case Kind.RING:
                talking = _ring(call, event, talking)
            case Kind.ANSWER:
                talking = _answer(call, event, talking)
            case Kind.PARKED:
                talking = _parked(event, talking)
            case Kind.OUTBOUND:
                extension = event.data.get("extension") or event.data.get("client_number", "")
                number = event.data.get("number", "")
                call.legs.append(Leg(extension, rang_at=event.at, dialled=number))
            case _:
                pass


def _ring(call: Call, event: Event, talking: Leg | None) -> Leg | None:
    extensions: list[str] = event.data.get("extensions", [])
    if not extensions or (talking is not None and set(extensions) == {talking.extension}):
        return talking  # who talks cannot ring: a repeated or late report
    if talking is not None:
        talking.ended_at = event.at
    for extension in extensions:
        if _unanswered(call, extension) is None:
            call.legs.append(Leg(extension, rang_at=event.at))
    call.last_rung = list(extensions)
    return None


def _answer(call: Call, event: Event, talking: Leg | None) -> Leg | None:
    extension: str = event.data.get("extension", "")
    if talking is not None and extension in ("", talking.extension):
        return talking
    leg = _unanswered(call, extension) if extension else _last_dialled_out(call)
    if leg is None:
        leg = Leg(extension or call.caller_extension)
        call.legs.append(leg)
    if talking is not None:
        talking.ended_at = event.at
    leg.answered_at = event.at
    call.talk_source = call.talk_source or event.data.get("source", "hooks")
    return leg


def _parked(event: Event, talking: Leg | None) -> Leg | None:
    """Whoever fetches the client begins a leg of their own, be it the one who parked them."""
    if talking is not None:
        talking.ended_at = event.at
    return None


def _unanswered(call: Call, extension: str) -> Leg | None:
    return next((g for g in call.legs if g.extension == extension and g.answered_at is None), None)


def _last_dialled_out(call: Call) -> Leg | None:
    return next((g for g in reversed(call.legs) if g.dialled and g.answered_at is None), None)


def _complete_from_hangup(call: Call, hooks: Sequence[Event], hangups: Sequence[Event]) -> None:
    """Where no `answer` came, the channel's own variables tell that and when somebody answered."""
    call.talk_source = call.talk_source or "hooks"
    for event in hangups:
        if call.answered_at is not None and call.answered_at < event.at:
            return
        seconds, source = _talk_by_variables(event.data.get("variables", {}))
        if not source or not event.data.get("own_channel", True):
            continue
        extension = _party_by_variables(call, event)
        leg = _unanswered(call, extension) or _dialled_out_by_variables(call, event)
        leg = leg or _answered_too_late(call, extension, event.at)
        if leg is None:
            leg = Leg(extension)
            call.legs.append(leg)
        # Asterisk counts by the wall clock: set meanwhile, it would have talked before the call came in.
        begun = min((e.at for e in hooks if e.kind in _BEFORE_TALK and e.at <= event.at), default=0.0)
        leg.answered_at = max(event.at - seconds, begun)
        if event.data["variables"].get("BLINDTRANSFER") and call.direction == OUT:
            leg.ended_at = event.at  # the extension's part; the client talks on with another
        call.talk_source = source
        return


def _dialled_out_by_variables(call: Call, event: Event) -> Leg | None:
    """The leg through a trunk that was answered: of an inbound call, where DIALEDPEERNUMBER is NUMBER@trunk."""
    leg = _last_dialled_out(call)
    peer = event.data.get("variables", {}).get("DIALEDPEERNUMBER", "")
    return leg if leg is not None and (call.direction == OUT or peer.split("@")[0] == leg.dialled) else None


def _talk_on(call: Call, hooks: Sequence[Event], hangups: Sequence[Event]) -> None:
    """Who asked a colleague in vain goes on with the client, whose channel never left the Dial() of the first one."""
    talked = max((g for g in call.legs if g.answered_at is not None), key=lambda g: g.answered_at or 0.0, default=None)
    if talked is not None and any(e.kind is Kind.PARKED and e.at == talked.ended_at for e in hooks):
        return
    for variables in (e.data.get("variables", {}) for e in hangups if e.data.get("own_channel", True)):
        stayed = variables.get("DIALSTATUS") == "ANSWER" and not _was_transferred(variables)
        if talked is not None and stayed and variables.get("CONNECTEDLINE(num)") == talked.extension:
            talked.ended_at = call.ended_at


def _answered_too_late(call: Call, extension: str, ended_at: float) -> Leg | None:
    """A leg whose `answer` was reported after the end: that it answered is true, when is not."""
    late = (g for g in call.legs if g.answered_at is not None and g.answered_at >= ended_at)
    return next((g for g in late if g.extension == extension), None)


def _talk_by_variables(variables: dict[str, str]) -> tuple[float, str]:
    """(seconds, source), or (0, "") when nobody answered.

    Dial() leaves ANSWEREDTIME with DIALSTATUS=ANSWER; Queue() leaves DIALSTATUS unset, names the agent in
    MEMBERINTERFACE and, from Asterisk 22 on, sets ANSWEREDTIME too; else only CDR is left.
    """
    status = variables.get("DIALSTATUS", "")
    by_queue = not status and bool(variables.get("MEMBERINTERFACE"))
    if status != "ANSWER" and not by_queue:
        return 0.0, ""
    for name in ("ANSWEREDTIME", "CDR(billsec)"):
        seconds = variables.get(name, "")
        if seconds.isdigit():
            return float(seconds), name
    return 0.0, "DIALSTATUS"


def _party_by_variables(call: Call, event: Event) -> str:
    if call.direction == OUT:
        return call.caller_extension
    variables = event.data.get("variables", {})
    if dialled := _THROUGH_A_TRUNK.fullmatch(variables.get("DIALEDPEERNUMBER", "")):
        return dialled[1]
    if variables.get("CONNECTEDLINE(num)"):
        return str(variables["CONNECTEDLINE(num)"])
    member = variables.get("MEMBERINTERFACE") or variables.get("DIALEDPEERNUMBER", "")
    return str(member.rsplit("/", 1)[-1] if member.count("/") == 1 else member.split("/")[0]).split("@")[0]


# --- the end -------------------------------------------------------------------------------------


def _find_end(call: Call, hooks: Sequence[Event], hangups: Sequence[Event]) -> Event | None:
    """The hangup that was the call's end, or None."""
    own = [e for e in hangups if e.data.get("own_channel", True)]
    other = [e for e in hangups if not e.data.get("own_channel", True)]
    call.first_leg_gone = bool(own)
    ends = _outbound_ends(call, own, other) if call.direction == OUT else _inbound_ends(hooks, own, other)
    end = _the_end(hooks, ends)
    if end is None:
        return None
    call.ended_at = end.at
    if end.kind is Kind.GONE:
        call.ended_at, call.end_unseen = end.data["ended_at"], end.data["source"]
        call.talk_source = "last sign of life"
    call.hangup = next((e.data.get("variables", {}) for e in (*own, *ends)), {})
    for leg in call.legs:
        if leg.answered_at is not None:  # no leg outlives its call, whatever was reported late
            leg.ended_at = call.ended_at if leg.ended_at is None else min(leg.ended_at, call.ended_at)
    return end


def _the_end(hooks: Sequence[Event], ends: Sequence[Event]) -> Event | None:
    return min(ends, key=lambda e: e.at) if ends else _closed_unseen(hooks)


def _inbound_ends(hooks: Sequence[Event], own: list[Event], other: list[Event]) -> list[Event]:
    # A forwarded call has a trunk leg whose end is not the client's; without one any hangup is the end.
    forwarded = any(e.kind is Kind.OUTBOUND for e in hooks)
    return own or ([] if forwarded else other)


def _outbound_ends(call: Call, own: list[Event], other: list[Event]) -> list[Event]:
    """The client's leg ends an answered call; the extension's leg ends it unless it was transferred away.

    A trunk leg that ends unanswered is one trunk of several failing, not the end of the call.
    """
    answered_at = call.answered_at
    client_gone = [e for e in other if answered_at is not None and e.at >= answered_at]
    extension_gone = [e for e in own if not _transferred(e) and not _handed_over(call, e)]
    return client_gone + extension_gone


def _handed_over(call: Call, event: Event) -> bool:
    """Whether the extension left the client to a colleague by a feature code, which sets no variable of its own."""
    party = event.data.get("variables", {}).get("CONNECTEDLINE(num)", "")
    colleagues = (g for g in call.legs if not g.dialled and g.extension != call.caller_extension)
    return any(g.extension == party and g.answered_at is not None and g.answered_at <= event.at for g in colleagues)


def _transferred(event: Event) -> bool:
    return _was_transferred(event.data.get("variables", {}))


def _was_transferred(variables: dict[str, str]) -> bool:
    return bool(variables.get("BLINDTRANSFER") or variables.get("ATTENDEDTRANSFER"))


def _find_recordings(call: Call, events: Sequence[Event]) -> None:
    message = "" if call.answered or call.direction != IN else recording_names.message(events)
    call.recording.voicemail = bool(message)
    call.recording.paths = [message] if message else recording_names.named(events)
    if call.needs_recording:
        call.recording.state = "waiting"


def _notice_further_recordings(call: Call) -> None:
    """A file that came to light after the verdict: the portal gets all of them together."""
    recording = call.recording
    if recording.settled is None or recording.state in ("none", "waiting"):
        return
    if recording_names.without(recording.paths, recording.settled):
        recording.state, recording.retry_at = "waiting", None


# --- what the portal and delivery said -----------------------------------------------------------


def _skipped(call: Call, event: Event) -> None:
    call.skipped = call.skipped or str(event.data.get("reason", "a rule"))
    if event.data.get("internal"):
        call.direction = INTERNAL


def _client(call: Call, event: Event) -> None:
    if call.entities is None:  # what is found later may have come of the call itself
        call.entities, call.deals = event.data.get("entities", []), event.data.get("deals")


def _routed(call: Call, event: Event) -> None:
    call.routed = event.data


def _registering(call: Call, event: Event) -> None:
    call.register_params = event.data.get("params", call.register_params)
    call.register_doubt, call.retry_at = Doubt(event.at, event.event_id), None
    call.register_tries += 1


def _registered(call: Call, event: Event) -> None:
    call.created |= {(made["type"], made["id"]) for made in event.data.get("created", [])}
    if call.portal_call_id:
        return
    call.portal_call_id = event.data["portal_call_id"]
    call.entity_type = event.data.get("entity_type") or ""
    call.entity_id = event.data.get("entity_id")
    call.carded = event.data.get("card", [])
    call.register_doubt = None
    _delivered(call)


def _register_failed(call: Call, event: Event) -> None:
    call.register_doubt = _still_in_doubt(call.register_doubt, event)
    _failed(call, event)


def _finishing(call: Call, event: Event) -> None:
    call.finish_doubt, call.retry_at = Doubt(event.at, event.event_id), None
    call.finish_params = event.data.get("params", call.finish_params)
    if call.finish_params:  # the id the portal was told, whatever a late answer to a register says
        call.portal_call_id = call.finish_params.get("CALL_ID", call.portal_call_id)
    call.finish_tries += 1


def _finished(call: Call, event: Event) -> None:
    call.finished = True
    call.finish_doubt = None
    call.activity_id = event.data.get("activity_id") or call.activity_id
    if event.data.get("entity_id") and not call.entity_id:
        call.entity_type, call.entity_id = event.data.get("entity_type") or "", event.data["entity_id"]
    _delivered(call)


def _finish_failed(call: Call, event: Event) -> None:
    call.finish_doubt = _still_in_doubt(call.finish_doubt, event)
    _failed(call, event)


def _still_in_doubt(doubt: Doubt | None, event: Event) -> Doubt | None:
    data = event.data
    if doubt is None or "doubt" not in data:  # a question failed
        return doubt
    if data.get("intent", doubt.intent) != doubt.intent:
        return doubt  # of a worker that lost its lease: what it sent is not what is in doubt now
    if not data["doubt"]:
        return None
    if not data.get("running", True):
        return replace(doubt, running=False)
    # It was announced before it left: a slow journal or a full bucket may lie between the two.
    return replace(doubt, since=max(doubt.since, data.get("left_at", 0.0)))


def _forgotten(call: Call, event: Event) -> None:
    call.portal_call_id, call.register_doubt, call.finish_doubt = "", None, None
    call.forgotten += 1
    _failed(call, event)


def _leading(call: Call, event: Event) -> None:
    call.lead_doubt, call.retry_at = Doubt(event.at, event.event_id), None
    call.lead_tries += 1


def _lead(call: Call, event: Event) -> None:
    call.lead_settled, call.lead_doubt = True, None
    _delivered(call)
    _note_error(call, event, event.data.get("error", ""))


def _lead_failed(call: Call, event: Event) -> None:
    call.lead_doubt = _still_in_doubt(call.lead_doubt, event)
    _failed(call, event)


def _attaching(call: Call, event: Event) -> None:
    recording = call.recording
    recording.doubt = Doubt(event.at, event.event_id, extra_s=event.data.get("extra_s", 0.0))
    recording.retry_at = None
    recording.file_name = event.data.get("name", "")
    if event.data.get("by_link"):
        recording.linked = recording.file_name
    recording.sending = event.data.get("sha256", "")
    recording.settled = event.data.get("paths")
    recording.left_out = event.data.get("left_out", [])


def _fetched(call: Call, event: Event) -> None:
    call.recording.fetched = event.data["name"]


def _recording(call: Call, event: Event) -> None:
    recording = call.recording
    recording.state = event.data["state"]
    recording.doubt = _still_in_doubt(recording.doubt, event) if recording.state == "waiting" else None
    if recording.doubt is None and recording.linked == recording.file_name:
        recording.linked = ""  # fetched, or turned away for another reason than that it could not be fetched
    recording.detail = event.data.get("error") or event.data.get("detail", "")
    recording.file_id = event.data.get("file_id") or recording.file_id
    recording.retry_at = event.data.get("retry_at")
    recording.settled = event.data.get("paths", recording.settled)
    recording.left_out = event.data.get("left_out", recording.left_out)
    if recording.state == "uploaded":
        recording.sent = event.data.get("sha256", recording.sending)
    recording.tries += "error" in event.data
    _note_error(call, event, recording.detail if recording.state in ("missing", "refused", "waiting") else "")


def _gave_up(call: Call, event: Event) -> None:
    call.failed_step = event.data.get("step", "delivery")
    if call.failed_step == "finish":
        call.finish_doubt = _still_in_doubt(call.finish_doubt, event)
    elif call.failed_step == "register":
        call.register_doubt = _still_in_doubt(call.register_doubt, event)
    _note_error(call, event, event.data.get("error", ""))


def _retry(call: Call, event: Event) -> None:
    call.failed_step, call.retry_at = "", event.at
    recording = call.recording
    recording.retry_at, recording.tries, recording.linked = None, 0, ""
    if recording.state in ("missing", "refused") or recording.left_out:
        recording.state = "waiting"


def _clock(call: Call, event: Event) -> None:
    """The wall clock has been put back: what left or ended later than now did so now at the latest."""
    now, recording = event.data["now"], call.recording
    call.retry_at = recording.retry_at = now
    call.over_since = None if call.over_since is None else min(call.over_since, now)
    call.register_doubt = _not_later(call.register_doubt, now)
    call.finish_doubt = _not_later(call.finish_doubt, now)
    call.lead_doubt = _not_later(call.lead_doubt, now)
    recording.doubt = _not_later(recording.doubt, now)


def _not_later(doubt: Doubt | None, now: float) -> Doubt | None:
    return doubt and replace(doubt, since=min(doubt.since, now))


def _delivered(call: Call) -> None:
    call.retry_at, call.last_error, call.error_at = None, "", None


def _failed(call: Call, event: Event) -> None:
    call.retry_at = event.data.get("retry_at")
    _note_error(call, event, event.data.get("error", ""))


def _note_error(call: Call, event: Event, error: str) -> None:
    call.last_error, call.error_at = error, event.at if error else None


_PORTAL = {
    Kind.SKIPPED: _skipped,
    Kind.LINE: lambda call, event: _line(call, event.data),
    Kind.CLIENT: _client,
    Kind.ROUTED: _routed,
    Kind.REGISTERING: _registering,
    Kind.REGISTERED: _registered,
    Kind.REGISTER_FAILED: _register_failed,
    Kind.FINISHING: _finishing,
    Kind.FINISHED: _finished,
    Kind.FINISH_FAILED: _finish_failed,
    Kind.FORGOTTEN: _forgotten,
    Kind.LEADING: _leading,
    Kind.LEAD: _lead,
    Kind.LEAD_FAILED: _lead_failed,
    Kind.ATTACHING: _attaching,
    Kind.FETCHED: _fetched,
    Kind.RECORDING: _recording,
    Kind.GAVE_UP: _gave_up,
    Kind.RETRY: _retry,
    Kind.CLOCK: _clock,
}
