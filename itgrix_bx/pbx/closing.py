"""Calls whose end no hook told (we were down, Asterisk crashed, a transfer left our dialplan): closed as best known.

After a start, after each reconnection and every minute the open calls of the journal are held against the
channels that exist. A call that has none, twice in succession and without a hook in between, is over. It ended at its
last sign of life: what cannot be shown is not counted as talk.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.calls.portal import external_call_id
from itgrix_bx.clock import stamp
from itgrix_bx.config import Settings
from itgrix_bx.logbook import Logbook
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.looking import Looking
from itgrix_bx.pbx.messages import AmiError, AmiProtocolError
from itgrix_bx.pbx.signs import Signs, ids_of
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.pbx")

YOUNG_S = 60.0  # a call's first hooks come within this
PATIENCE_S = 5.0  # between the two times a call is found without channels
CDR_FIRST_S = 300.0  # the call detail records know better; they are written when a call ends, sometimes in batches
EVERY_S = 60.0  # one request, and as exact as a sign of life can be after a kill
_SOON_S = 5.0
_AT_ONCE = 1000
_REMEMBERED_S = 1800.0  # signs of life of calls the journal does not tell open, or cannot be asked about

_SAME_CALL = uuid.UUID("6f1c2d2e-6a0b-4d55-9d0f-0c7c4b1f5a11")


@dataclass(frozen=True, slots=True)
class _Missing:
    """A call without channels: since when (monotonic), and when the last hook of it came."""

    since: float
    heard_at: float


class Closer:
    """Looks after calls whose end was lost, from `start` to `stop`; to be made before `ami` is started."""

    def __init__(self, settings: Settings, logbook: Logbook, ami: Ami) -> None:
        self._pbx_name = settings.pbx.name
        self._patience_s = CDR_FIRST_S if settings.cdr.url.get_secret_value() else PATIENCE_S
        self._logbook = logbook
        self._ami = ami
        self._signs = Signs(settings.journal.directory / "alive.json")
        self._missing: dict[str, _Missing] = {}
        self._kept: set[str] = set()
        ami.on("Hangup", self._signs.hung_up)
        ami.on_link(lambda there: None if there else self._signs.out_of_sight(ami.heard_at))
        looking = Looking("closing", self._look_and_forget, ami, first_s=EVERY_S)
        ami.on_gap(lambda _: looking.soon())
        self.start, self.stop = looking.start, looking.stop

    def _look_and_forget(self) -> float:
        pause_s = self._try_to_look()
        self._signs.forget(since=time.time() - _REMEMBERED_S, but=self._kept)
        return pause_s

    def _try_to_look(self) -> float:
        try:
            return self._look()
        except AmiError as error:
            log.debug("whether calls have ended is asked later: %s", error)
        except DatabaseAwayError as error:
            log.debug("whether calls have ended is looked at later: %s", error)
            return _SOON_S
        except Exception:
            log.exception("closing calls whose end was lost failed; it is tried again")
        return EVERY_S

    # --- looking ---------------------------------------------------------------------------------

    def _look(self) -> float:
        """Close what is ripe; seconds until the next look. Raises AmiError, DatabaseAwayError."""
        if self._logbook.away_since is not None or self._logbook.spool.size():
            return _SOON_S  # the ends may lie in the spool
        unended = self._logbook.journal.unended(before=time.time() - YOUNG_S, limit=_AT_ONCE)
        # The journal first: what it says is over by the time the channels are asked would only be closed twice.
        alive = self._ask_for_channels()
        gone = [call for call in unended if alive.isdisjoint((call.call_id, call.linkedid))]
        if gone:
            system = self._ami.ask("CoreSettings").answer.get("SystemName")
            gone = [call for call in gone if self._is_from_here(call, system)]
        for call in self._ripe(gone):
            self._close(call)
        self._kept = {one for call in unended for one in (call.call_id, call.linkedid)}
        self._signs.save()
        return min(self._patience_s, EVERY_S) if self._missing else EVERY_S

    def _ask_for_channels(self) -> frozenset[str]:
        """The ids of all channels. Raises AmiError; AmiProtocolError when the list is not whole."""
        reply = self._ami.ask("CoreShowChannels")
        told = reply.end.get("ListItems", "0") if reply.end is not None else "none"
        if told != str(len(reply.items)):
            raise AmiProtocolError(f"of {told} channels {len(reply.items)} were listed")
        self._signs.listed(reply.items, reply.answer.at)
        return frozenset().union(*map(ids_of, reply.items))

    def _is_from_here(self, call: Call, system: str) -> bool:
        """Whether the call began on this Asterisk: several may share a journal, each knowing its own channels only."""
        prefix = f"{re.escape(system)}-" if system else ""
        if not re.fullmatch(rf"{prefix}\d+\.\d+", call.call_id):
            return False
        external = (call.register_params or {}).get("EXTERNAL_CALL_ID")
        return external in (None, external_call_id(self._pbx_name, call.call_id))

    def _ripe(self, gone: list[Call]) -> list[Call]:
        """Those found without channels before, long enough ago, of which nothing was heard since."""
        now = time.monotonic()
        before, self._missing = self._missing, {}
        ripe = []
        for call in gone:
            known = before.get(call.call_id)
            if known is None or known.heard_at != call.heard_at:
                known = _Missing(now, call.heard_at)
            if known.since + self._patience_s <= now:
                ripe.append(call)
            else:
                self._missing[call.call_id] = known
        return ripe

    def _close(self, call: Call) -> None:
        ended_at = max(self._signs.last(call.call_id, call.linkedid), call.heard_at)
        # Two workers that close the same call make one event of it.
        event_id = uuid.uuid5(_SAME_CALL, f"{call.call_id} {call.heard_at}").hex
        data = {"source": "ami", "ended_at": ended_at} | stamp(time.time())
        at = max(time.time(), call.heard_at + 0.001)  # after the last hook, whatever the clock did since
        self._logbook.record([Event(call.call_id, Kind.GONE, at, data, event_id)])
        log.info("call %s: its channels are gone and no hook told its end; closed", call.call_id)
