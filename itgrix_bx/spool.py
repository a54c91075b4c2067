"""Where events go while the database is away: a local append-only file, replayed in order later."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from itgrix_bx.calls.events import Event, Kind

log = logging.getLogger("itgrix_bx.spool")

_AT_ONCE = 500
LARGEST = 256 * 1024 * 1024  # bytes; about half a million calls


class SpoolError(OSError):
    """The spool could not take the event: neither database nor disk is there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What the database has yet to be told; `oldest` in unix seconds."""

    bytes: int
    events: int
    oldest: float | None


@dataclasses.dataclass(slots=True)
class _Entry:
    lines: str
    taken: bool = False
    error: str | None = None


class Spool:
    """One JSON object a line; a line is in the file only when it is on the disk (fsync)."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "spool.jsonl"
        self._replaying = directory / "spool.replaying.jsonl"
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()
        self.refused: str | None = None  # why the last write was, until one succeeds
        # Processes that share the directory (serve --only agi, serve --only worker) take turns by these.
        self._writing = directory / "spool.lock"
        self._emptying = directory / "spool.replaying.lock"

    def append(self, events: Sequence[Event]) -> None:
        """Put `events` at the end. Raises SpoolError."""
        mine = _Entry("".join(map(_line, events)))
        self._entries.append(mine)
        with self._lock:
            if not mine.taken:
                self._write_waiting()
        if mine.error is not None:
            raise SpoolError(f"{self.path} {mine.error}")

    def _write_waiting(self) -> None:
        """Whatever waits goes to the disk at once: a burst of calls must not wait for a sync each."""
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        error = self._try_to_write("".join(entry.lines for entry in entries))
        for entry in entries:
            entry.taken, entry.error = True, error
        self.refused = error

    def _try_to_write(self, lines: str) -> str | None:
        """Why it could not be, or None."""
        try:
            with _turn(self._writing):
                if self.size() > LARGEST:
                    return "is full"
                self._write(lines.encode())
        except OSError as error:
            return f"cannot be written: {error.strerror or error}"
        return None

    def _write(self, data: bytes) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            end = os.fstat(handle).st_size
            try:
                written = os.write(handle, data)
                if written != len(data):
                    raise OSError(None, "the disk is full")
                os.fsync(handle)
                if not end:
                    _sync_name(self.path)
            except OSError:
                os.ftruncate(handle, end)  # no half line: the next one must not be glued to it
                raise
        finally:
            os.close(handle)

    def trouble(self) -> str | None:
        """Why it takes no line, or None: one sentence that names the cure."""
        if self.refused is not None:
            return f"{self.path} {self.refused}: free space on its disk, or put the database right"
        if not os.access(self.path.parent, os.W_OK):
            return f"{self.path.parent} cannot be written: give it to the service's user"
        return None

    def size(self) -> int:
        """Bytes that wait."""
        return _size(self._replaying) + _size(self.path)

    def waiting(self) -> Waiting:
        """What waits."""
        paths = (self._replaying, self.path)
        first = next((event.at for path in paths if (event := _first(path)) is not None), None)
        return Waiting(self.size(), sum(map(_lines, paths)), first)

    def replay(self, store: Callable[[list[Event]], object]) -> int | None:
        """Hand what waits now to `store`, oldest first, some hundreds at a time, then forget it; how many events, None
        while another program is about it.

        What comes meanwhile, or came after a replay that broke off, is for the next one: it may never cease. What
        `store` raises ends the replay and keeps the file: events carry ids, so a second replay is harmless.
        """
        if not self.size():
            return 0
        count = 0
        with contextlib.suppress(BlockingIOError), _turn(self._emptying, wait=False):
            if self._take():
                for events in self._chunks():
                    store(events)
                    count += len(events)
                self._replaying.unlink()
            return count
        return None

    def _take(self) -> bool:
        """Move what waits aside, unless a replay that did not end left its file there."""
        with self._lock, _turn(self._writing):
            if not self._replaying.exists() and self.path.exists():
                self.path.rename(self._replaying)
        return self._replaying.exists()

    def _chunks(self) -> Iterator[list[Event]]:
        with self._replaying.open("rb") as lines:
            while some := list(itertools.islice(lines, _AT_ONCE)):
                yield [event for line in some if (event := _event(line)) is not None]


def _sync_name(path: Path) -> None:
    """A power cut must not take the new file's name away."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# A replay that has ended takes its file away under whoever looks.


def _line(event: Event) -> str:
    data = {"call_id": event.call_id, "kind": event.kind, "at": event.at, "data": event.data}
    return json.dumps(data | {"event_id": event.event_id}) + "\n"


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _lines(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return 0


def _first(path: Path) -> Event | None:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        line = file.readline()
        return _event(line) if line else None
    return None


@contextlib.contextmanager
def _turn(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file; a process that dies lets go. Raises BlockingIOError when it may not wait."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _event(line: bytes) -> Event | None:
    try:
        fields = json.loads(line)
        return Event(fields["call_id"], Kind(fields["kind"]), fields["at"], fields["data"], fields["event_id"])
    except (ValueError, KeyError, TypeError):
        log.error("spool: a damaged line of %d bytes was left out", len(line))
        return None
