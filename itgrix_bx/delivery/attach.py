"""The last step of delivery: the recording joins the finished call, once."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bx24client import AuthFailed, BatchResult, Bitrix24, BitrixError, Command, FileRefused, PortalError, telephony
from itgrix_bx.calls.call import Call, Doubt, Recording
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.delivery.asking import Begin, Intent, row_of
from itgrix_bx.delivery.fetching import Fetching, How
from itgrix_bx.delivery.recording.collect import Collector, Ready
from itgrix_bx.delivery.recording.links import hidden
from itgrix_bx.delivery.recording.problems import BlockedError, NotReadyError, RefusedError
from itgrix_bx.delivery.schedule import settled_at
from itgrix_bx.delivery.trouble import fate, retry_in

log = logging.getLogger("itgrix_bx.delivery")

_ATTACH = "telephony.externalCall.attachRecord"
_REQUEST_S = 60.0
_BESIDE_FINISH = 1024 * 1024  # bytes; what is larger must not make an outcome late, or a request too large for it
_UPLOAD_FROM = 5 * 1024 * 1024  # bytes; larger recordings go to an uploadUrl instead of base64
_SLOWEST_LINE = 128 * 1024  # bytes a second an upload may be as slow as
_LONGEST_PAUSE_S = 600.0
_LONGEST_BLOCK_S = 3600.0  # a person must act: all calls wait, and each try is a line in the journal


@dataclass(frozen=True)
class Beside:
    """A recording that leaves in the request that finishes its call, behind that: one request in place of two.

    Each command stands for itself (no `halt`): of a finish that was refused the attach is refused too, which does no
    harm, and of one that another request has done it works.
    """

    call: Call
    command: Command[int]
    intent: Intent

    def came_of(self, result: BatchResult) -> list[Event]:
        """What became of it, from a result with `finish` and `attach`."""
        error = result.error("attach")
        if error is None:
            return [_event(self.call, "uploaded", file_id=result["attach"])]
        if result.error("finish") is not None:
            return self.not_yet(error)
        return [_failed(self.call, error, **fate(error, self.intent.event_id, None))]

    def not_yet(self, error: BitrixError) -> list[Event]:
        """The call is not finished: the recording has its turn after that."""
        left = self.intent.event_id
        return [_event(self.call, "waiting", **fate(error, left, None))] if left else []


class Attach:
    """Hands a call's recording to the portal. Two requests at once make two files, so nothing is sent while one may
    still run."""

    def __init__(self, settings: Settings, client: Bitrix24, fetching: Fetching) -> None:
        self._settings = settings
        self._client = client
        self._fetching = fetching
        self._collector = Collector(settings.recordings)

    def step(self, call: Call, begin: Begin) -> list[Event]:
        """What came of it, as events. Raises what `begin` raises; nothing was sent then."""
        patient = time.time() < self._wait_ends(call)
        try:
            if call.recording.doubt is not None:
                return [self._again(call, call.recording.doubt, patient, begin)]
            return [self._send(call, patient, begin)]
        except RefusedError as error:
            return [_over(call, "refused", str(error))]
        except NotReadyError as error:
            return [self._not_ready(call, patient, error)]
        except BitrixError as error:  # a question failed
            return [_failed(call, error)]

    def beside_finish(self, call: Call, begin: Begin) -> Beside | None:
        """The call's recording for the request that finishes it; None where it has to have its own turn: it is not
        whole yet, large, to be converted or fetched, or something has gone wrong before."""
        if not self._may_be_beside_finish(call):
            return None
        try:
            with self._collect(call, patient=True) as ready:
                if ready.size > _BESIDE_FINISH:
                    return None
                facts = _facts(call, ready) | {"name": self._name(call, ready.suffix), "bytes": ready.size}
                command = telephony.attach_record(call.portal_call_id, facts["name"], ready.content())
        except (NotReadyError, RefusedError):
            return None
        return Beside(call, command, Intent(begin, lambda: Event(call.call_id, Kind.ATTACHING, time.time(), facts)))

    def _may_be_beside_finish(self, call: Call) -> bool:
        recording = call.recording
        new = recording.doubt is None and not recording.tries and not call.finish_tries
        mine = not self._settings.recordings.mp3 and not self._fetching.public_url
        wanted = call.needs_recording and recording.state == "waiting"
        together = not self._client.bills_batches and self._client.has_room("telephony.externalCall.finish", _ATTACH)
        return new and mine and wanted and together

    def _collect(self, call: Call, *, patient: bool) -> AbstractContextManager[Ready]:
        return self._collector.collect(
            call.recording.paths,
            began_at=call.started_at,
            ended_at=call.ended_at or 0.0,
            patient=patient,
            voicemail=call.recording.voicemail,
        )

    def _wait_ends(self, call: Call) -> float:
        return (call.ended_at or call.started_at) + self._settings.recordings.wait

    # --- sending ---------------------------------------------------------------------------------

    def _again(self, call: Call, doubt: Doubt, patient: bool, begin: Begin) -> Event:
        """A request has left and nobody knows what became of it: the portal is asked first."""
        row = row_of(self._client, call)
        if row is not None and row.record_file_id not in (None, call.recording.file_id):
            return _event(call, "uploaded", file_id=row.record_file_id, found_in_statistics=True)
        if time.time() < settled_at(doubt):
            return _not_sure_yet(call, doubt)
        return self._send(call, patient, begin, "" if row else call.recording.file_name)

    def _send(self, call: Call, patient: bool, begin: Begin, earlier_name: str = "") -> Event:
        """`earlier_name`: of a request of which the portal does not show us whether it took the file."""
        with self._collect(call, patient=patient) as ready:
            facts = _facts(call, ready)
            if facts["sha256"] == call.recording.sent:
                return _event(call, "uploaded", **facts, note="what is there the portal has already")
            known = earlier_name.endswith(f".{ready.suffix}")
            name = earlier_name if known else self._name(call, ready.suffix)
            facts |= {"name": name, "bytes": ready.size}
            intent = Intent(begin, lambda: Event(call.call_id, Kind.ATTACHING, time.time(), dict(facts)))
            try:
                return _event(call, "uploaded", file_id=self._deliver(call, ready, facts, intent))
            except BitrixError as error:
                if known and isinstance(error, PortalError) and retry_in(error, 0) is None:
                    note = "the portal refuses the name a second time and does not show its statistics: it has the file"
                    return _event(call, "uploaded", note=note)
                return _failed(call, error, **fate(error, intent.event_id, call.recording.doubt))

    def _name(self, call: Call, suffix: str) -> str:
        # Unique in the portal's month folder, which all its calls share, and lower case to its end.
        stem = re.sub(r"[^a-z0-9.-]", "-", f"{self._settings.pbx.name}{call.call_id}".lower())[:80]
        return f"{stem.lstrip('.-') or 'call'}-{secrets.token_hex(4)}.{suffix}"

    def _deliver(self, call: Call, ready: Ready, facts: dict[str, Any], intent: Intent) -> int:
        """The file's id. Fetched by the portal where that goes well, which costs least; else we send it."""
        try:
            if _may_be_fetched(call.recording):
                with self._fetching.turn(ready.size) as how:
                    if how:
                        return self._be_fetched(call, ready, facts, intent, how)
        except FileRefused as refusal:
            error = hidden(refusal.description or str(refusal))
            log.info("call %s: the portal did not fetch its recording, so it is sent: %s", call.call_id, error)
            del facts["by_link"]
            facts["name"] = self._name(call, ready.suffix)
            file_id = self._hand_over(call, ready, facts, intent)
            self._fetching.failed(error)  # it takes the file itself, so what was wrong is the way
            return file_id
        return self._hand_over(call, ready, facts, intent)

    def _be_fetched(self, call: Call, ready: Ready, facts: dict[str, Any], intent: Intent, how: How) -> int:
        name, facts["by_link"] = facts["name"], True
        link = self._fetching.links.make(call.call_id, name)
        command = telephony.attach_record_url(call.portal_call_id, name, link)
        with self._fetching.shelf.holding(name, ready):
            if how == "together":
                return self._client.execute(command, timeout_s=_REQUEST_S, lane="recording", on_leaving=intent)
            # A chain shares its request with nobody.
            alone = self._client.batch(
                {"attach": command}, halt=True, timeout_s=_REQUEST_S, lane="recording", on_leaving=intent
            )
            return int(alone["attach"])

    def _hand_over(self, call: Call, ready: Ready, facts: dict[str, Any], intent: Intent) -> int:
        if ready.size < _UPLOAD_FROM:
            command = telephony.attach_record(call.portal_call_id, facts["name"], ready.content())
            return self._client.execute(command, timeout_s=_REQUEST_S, lane="recording", on_leaving=intent)
        facts["extra_s"] = ready.size / _SLOWEST_LINE
        try:
            return self._upload(call, ready, facts, intent)
        except AuthFailed:  # the token behind the address has expired while we waited for our turn
            return self._upload(call, ready, facts, intent)

    def _upload(self, call: Call, ready: Ready, facts: dict[str, Any], intent: Intent) -> int:
        place = self._client.execute(telephony.upload_url(call.portal_call_id, facts["name"]), lane="recording")
        return self._client.upload(
            place, ready.path, facts["name"], timeout_s=_REQUEST_S + facts["extra_s"], on_leaving=intent
        )

    # --- what came of it -------------------------------------------------------------------------

    def _not_ready(self, call: Call, patient: bool, error: NotReadyError) -> Event:
        now, blocked = time.time(), isinstance(error, BlockedError)
        waited = abs(now - (call.ended_at or now))
        again = now + min(_LONGEST_BLOCK_S if blocked else _LONGEST_PAUSE_S, max(0.5, waited / 3))
        if patient or blocked:
            again = again if blocked else min(again, self._wait_ends(call) + 0.1)
            return _event(call, "waiting", detail=str(error), retry_at=again)
        return _over(call, "missing", f"{error}; given up after {waited:.0f} s ([recordings] wait)")


def _facts(call: Call, ready: Ready) -> dict[str, Any]:
    return {"paths": call.recording.paths, "left_out": ready.left_out, "sha256": ready.sha256()}


def _failed(call: Call, error: BitrixError, **fate_of_it: object) -> Event:
    wait = retry_in(error, call.recording.tries)
    if wait is None:
        return _over(call, "refused", str(error))
    return _event(call, "waiting", error=hidden(str(error)), retry_at=time.time() + wait, **fate_of_it)


def _over(call: Call, state: str, why: str) -> Event:
    """Said once; a person may put it right and let it be tried again."""
    log.warning("call %s: its recording is %s: %s", call.call_id, state, why)
    detail = f"{why}; to try again: itgrix-bx calls retry {call.call_id}"
    return _event(call, state, detail=detail, paths=call.recording.paths)


def _may_be_fetched(recording: Recording) -> bool:
    """Told so once and in vain, or in doubt, a recording is sent: what comes of that is known sooner."""
    return recording.doubt is None and not recording.linked


def _not_sure_yet(call: Call, doubt: Doubt) -> Event:
    now = time.time()
    retry_at = min(settled_at(doubt), now + max(2.0, now - doubt.since))
    return _event(call, "waiting", detail="no answer to the recording yet", retry_at=retry_at)


def _event(call: Call, state: str, **more: Any) -> Event:
    return Event(call.call_id, Kind.RECORDING, time.time(), {"state": state, **more})
