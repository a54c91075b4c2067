"""Where events go while the database is away: a local append-only file, replayed in order later."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from itgrix_bx.calls.events import Event, Kind

log = logging.getLogger("itgrix_bx.spool")

LARGEST = 256 * 1024 * 1024  # bytes; about half a million calls


class SpoolError(OSError):
    """The spool could not take the event: neither database nor disk is there."""


class Spool:
    """One JSON object a line; a line is in the file only when it is on the disk (fsync)."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "spool.jsonl"
        self._replaying = directory / "spool.replaying.jsonl"
        self._lock = threading.Lock()

    def append(self, events: list[Event]) -> None:
        """Put `events` at the end. Raises SpoolError."""
        lines = "".join(json.dumps(dataclasses.asdict(event), ensure_ascii=True) + "\n" for event in events)
        try:
            with self._lock:
                if self.size() > LARGEST:
                    raise SpoolError(f"{self.path} is full")
                self._write(lines.encode())
        except OSError as error:
            raise SpoolError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def _write(self, data: bytes) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(handle).st_size
            try:
                written = os.write(handle, data)
                if written != len(data):
                    raise OSError(None, "the disk is full")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)  # no half line: the next one must not be glued to it
                raise
        finally:
            os.close(handle)

    def writable(self) -> bool:
        """Whether the directory would take a line."""
        return os.access(self.path.parent, os.W_OK)

    def size(self) -> int:
        """Bytes that wait."""
        return sum(path.stat().st_size for path in (self._replaying, self.path) if path.exists())

    def replay(self, store: Callable[[list[Event]], object]) -> int:
        """Hand every waiting event to `store`, oldest first, then forget them; how many there were.

        What `store` raises ends the replay and keeps the file: events carry ids, so a second replay is harmless.
        """
        count = 0
        while self._take():
            for line in self._replaying.read_bytes().splitlines():
                event = _event(line)
                if event is not None:
                    store([event])
                    count += 1
            self._replaying.unlink()
        return count

    def _take(self) -> bool:
        """Move what waits aside, unless a replay that did not end left its file there."""
        with self._lock:
            if not self._replaying.exists() and self.path.exists():
                self.path.rename(self._replaying)
        return self._replaying.exists()


def _event(line: bytes) -> Event | None:
    try:
        fields = json.loads(line)
        return Event(fields["call_id"], Kind(fields["kind"]), fields["at"], fields["data"], fields["event_id"])
    except (ValueError, KeyError, TypeError):
        log.error("spool: a damaged line of %d bytes was left out", len(line))
        return None
