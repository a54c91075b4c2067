"""The last step of delivery: the recording joins the finished call."""

from __future__ import annotations

import hashlib
import re
import secrets
import time

from bx24client import Bitrix24, BitrixError, telephony
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Settings
from itgrix_bx.delivery import recordings
from itgrix_bx.delivery.asking import row_of
from itgrix_bx.delivery.trouble import retry_in

_REQUEST_S = 60.0
_UPLOAD_FROM = 5 * 1024 * 1024  # bytes; larger recordings go to an uploadUrl instead of base64


class Attach:
    """Finds the call's recording and hands it to the portal, once."""

    def __init__(self, settings: Settings, client: Bitrix24) -> None:
        self._settings = settings
        self._client = client

    def step(self, call: Call) -> list[Event]:
        """Send the recording if it is ready; what came of it, as events."""
        waited = time.time() - (call.ended_at or 0.0)
        patient = waited < self._settings.recordings.wait
        where = self._settings.recordings
        try:
            ready = recordings.load(call.recording.path, where.directory, where.asterisk_directory, patient=patient)
        except recordings.RefusedError as error:
            return [_recording(call, "refused", str(error))]
        except recordings.NotReadyError as error:
            if not patient:
                return [_recording(call, "missing", f"{error}; given up after {waited:.0f} s")]
            retry_in = min(60.0, max(0.5, waited / 4))
            return [_recording(call, "waiting", str(error), retry_at=time.time() + retry_in)]
        try:
            return [self._send_recording(call, ready)]
        except BitrixError as error:
            return [self._attach_failure(call, error)]

    def _send_recording(self, call: Call, ready: recordings.Ready) -> Event:
        facts = {"bytes": len(ready.content), "sha256": hashlib.sha256(ready.content).hexdigest()}
        if call.recording.tries and (row := row_of(self._client, call)) and row.record_file_id:
            return _recording(call, "uploaded", "", file_id=row.record_file_id, **facts)
        # The name must be unique in the portal's month folder, and lower case to its end.
        stem = re.sub(r"[^a-z0-9.-]", "-", f"{self._settings.pbx.name}{call.call_id}".lower())[:80]
        name = f"{stem}-{call.recording.tries + 1}-{secrets.token_hex(3)}.{ready.suffix}"
        if len(ready.content) < _UPLOAD_FROM:
            command = telephony.attach_record(call.portal_call_id, name, ready.content)
            file_id = self._client.execute(command, timeout_s=_REQUEST_S, lane="recording")
        else:
            place = self._client.execute(telephony.upload_url(call.portal_call_id, name), lane="recording")
            file_id = self._client.upload(place, ready.content, name)
        return _recording(call, "uploaded", "", file_id=file_id, name=name, **facts)

    def _attach_failure(self, call: Call, error: BitrixError) -> Event:
        wait = retry_in(error, call.recording.tries)
        if wait is None:
            return _recording(call, "refused", str(error))
        return _recording(call, "waiting", str(error), retry_at=time.time() + wait)


def _recording(call: Call, state: str, detail: str, **more: object) -> Event:
    return Event(call.call_id, Kind.RECORDING, time.time(), {"state": state, "detail": detail, **more})
