"""GET /recordings/<token>/<name>: the portal fetches a recording it was told of, once.

The path is only compared with what was signed, never looked up on disk: which files a call has the journal says, and
the collector opens them inside `[recordings] directory` alone. A link is used up when a whole file (a 200, not a part)
left for whoever asked, to its last byte; a HEAD, a part and a transfer that broke leave it good. It is over too when
the portal has answered.
"""

from __future__ import annotations

import io
import logging
import time
import wave
from collections.abc import Callable
from typing import BinaryIO, cast

from flask import Blueprint, Response, abort, request
from werkzeug.wsgi import wrap_file

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.config import Recordings
from itgrix_bx.delivery.fetching import Fetching
from itgrix_bx.delivery.recording.collect import Collector
from itgrix_bx.delivery.recording.links import LinkOverError, UnknownLinkError
from itgrix_bx.delivery.recording.problems import NotReadyError, RefusedError
from itgrix_bx.delivery.recording.sound import size_of
from itgrix_bx.logbook import Logbook
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.web")

_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def recordings(settings: Recordings, fetching: Fetching, logbook: Logbook) -> Blueprint:
    """The pages; there are none without `[recordings] public_url`."""
    pages = Blueprint("recordings", __name__)
    if not fetching.public_url:
        return pages
    counter = _Counter(settings, fetching, logbook)

    @pages.get("/recordings/<token>/<name>")
    def recording(token: str, name: str) -> Response:
        try:
            return counter.answer(token, name)
        except (UnknownLinkError, NotReadyError, RefusedError):
            abort(404)
        except LinkOverError:
            abort(410)
        except DatabaseAwayError:
            abort(503)

    return pages


class _Counter:
    """Hands recordings out."""

    def __init__(self, settings: Recordings, fetching: Fetching, logbook: Logbook) -> None:
        self._fetching = fetching
        self._logbook = logbook
        self._collector = Collector(settings)

    def answer(self, token: str, name: str) -> Response:
        """Raises UnknownLinkError, LinkOverError, NotReadyError, RefusedError, DatabaseAwayError."""
        call_id = self._fetching.links.call_of(token, name)
        if not call_id:
            return _response(_Body(io.BytesIO(probe()), len(probe())), name)
        call = self._logbook.journal.call(call_id)
        if call is None or call.recording.fetchable != name:
            raise LinkOverError
        try:
            file = self._fetching.shelf.take(name) or self._collected(call)
        except (NotReadyError, RefusedError) as problem:
            log.warning("call %s: the portal asks for its recording in vain: %s", call_id, problem)
            raise
        size = size_of(file)
        return _response(_Body(file, size, lambda: self._gone(call_id, name, size)), name)

    def _collected(self, call: Call) -> BinaryIO:
        """What was announced to the portal, made anew for the caller to read and close."""
        told = call.recording
        with self._collector.collect(
            told.settled or told.paths,
            began_at=call.started_at,
            ended_at=call.ended_at or 0.0,
            patient=False,
            voicemail=told.voicemail,
        ) as ready:
            if ready.sha256() != told.sending:
                raise NotReadyError("its files, or how [recordings] makes one of them, differ from what was announced")
            return ready.path.open("rb")

    def _gone(self, call_id: str, name: str, size: int) -> None:
        log.info("call %s: its recording %s was fetched, %d bytes", call_id, name, size)
        self._logbook.record_soon([Event(call_id, Kind.FETCHED, time.time(), {"name": name})])


class _Body:
    """A file on its way out. The web server reads it as the connection takes it, and closes it when all is gone or the
    connection is; `when_gone` is called if it was all, and `whole` says that it was to be all."""

    def __init__(self, file: BinaryIO, size: int, when_gone: Callable[[], None] = lambda: None) -> None:
        self._file = file
        self._when_gone = when_gone
        self.size = size
        self.whole = False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if not piece and size and self.tell() < self.size:
            raise OSError("the recording became shorter while it was sent")  # the connection ends, so nobody takes half
        return piece

    def close(self) -> None:
        if self._file.closed:
            return
        gone = self.whole and self.tell() == self.size
        self._file.close()
        if gone:
            self._when_gone()


def _response(body: _Body, name: str) -> Response:
    response = Response(wrap_file(request.environ, cast(BinaryIO, body)), direct_passthrough=True)
    response.mimetype = _TYPES[name.rpartition(".")[2]]
    response.content_length = body.size
    response.cache_control.no_store = True
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=body.size)
    except BaseException:  # a range that is not there
        body.close()
        raise
    body.whole = response.status_code == 200 and request.method == "GET"
    return response


def probe() -> bytes:
    """A WAV of a moment of silence: what `doctor` fetches."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()
