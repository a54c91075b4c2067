"""The log of requests: what was asked, what came of it, how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from itgrix_bx.emulator.portal.answers import RestError
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Store

_LONGEST_VALUE = 300


@dataclass
class Entry:
    """A request in hand."""

    at: float
    begin: float
    batch_id: int | None = None
    record: dict[str, Any] | None = field(default=None)
    kind: tuple[str, bool, str] = ("", False, "")

    @property
    def lasted_s(self) -> float:
        """Seconds since it came."""
        return time.perf_counter() - self.begin


class Journal:
    """Writes the store's `requests`; a batch's commands follow it, each with the batch's id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self) -> Entry:
        """An HTTP request has come."""
        with self._store.lock:
            self._store.http_requests += 1
        return Entry(self._store.clock.now(), time.perf_counter())

    def begin_command(self, batch_id: int | None) -> Entry:
        """A command of a batch begins."""
        return Entry(self._store.clock.now(), time.perf_counter(), batch_id)

    def end(
        self,
        entry: Entry,
        method: str,
        params: Params,
        status: int = 200,
        error: RestError | None = None,
        fault: str | None = None,
    ) -> None:
        """Note the outcome. A second call for one entry changes its record: the answer was spoilt after the work."""
        record = {
            "at": entry.at,
            "method": method,
            "params": _short(params),
            "http_status": status,
            "error": None if error is None else error.description or error.code,
            "error_code": None if error is None else error.code,
            "fault": fault,
            "ms": round(entry.lasted_s * 1000, 2),
            "batch_id": entry.batch_id,
        }
        kind = (method, method != "batch" and entry.batch_id is not None, fault or _outcome(error))
        with self._store.lock:
            self._store.tally[kind] += 1
            if entry.record is None:
                entry.record = record
                self._store.requests.append(record)
            else:
                self._store.tally[entry.kind] -= 1
                entry.record.update(record)
            entry.kind = kind

    def count_batch(self, length: int) -> None:
        """A batch of `length` commands was run."""
        with self._store.lock:
            self._store.batches[length] += 1


def _outcome(error: RestError | None) -> str:
    return "ok" if error is None else error.code or "refused"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return f"{value[:40]}… ({len(value)} characters)"
    return value
