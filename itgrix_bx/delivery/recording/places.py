"""Where the file may be that Asterisk named. It is opened inside the directory only, whatever its name or a link says.

Sites move recordings (dated directories, archives) and convert them, so a name is looked for in a few places. A
monitor directory may hold a million files: what is looked for everywhere is directories, and seldom.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from itgrix_bx.calls.recording_names import stem
from itgrix_bx.delivery.recording.problems import BlockedError, NotReadyError, RefusedError

_LONGEST_NAME = 1024
_ENDINGS = (".wav", ".mp3", ".WAV")  # Asterisk writes GSM in a WAV as .WAV
_DATE = re.compile(r"(?<!\d)(20\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])-\d{6}(?!\d)")
SKEW_S = 60.0  # between our clock and the one of a file server


class Places:
    """A directory of `[recordings]`, there called `key`; `asterisk_directory` is how Asterisk names the same."""

    def __init__(
        self,
        directory: Path,
        asterisk_directory: str = "",
        *,
        key: str = "directory",
        if_otherwise: str = "set [recordings] asterisk_directory",
    ) -> None:
        self._directory = directory
        self._key, self._if_otherwise = f"[recordings] {key}", if_otherwise
        self._bases = [base for base in (asterisk_directory, str(directory), os.path.realpath(directory)) if base]
        self._tree = Tree(os.path.realpath(directory))

    def files(self, said: str, since: float) -> Iterator[BinaryIO]:
        """Files that may be the recording `said` of a call that began at `since`, the likeliest first, open.

        The caller closes them. Raises RefusedError, BlockedError.
        """
        yield from self.named(said)
        root, path = self._root(), self._relative(said)
        for directory in self._elsewhere(path, since):
            for name in _names(path):
                if file := _found(root, directory / name, since):
                    yield file

    def named(self, said: str) -> Iterator[BinaryIO]:
        """Those at the very place that was said, open. The caller closes them. Raises RefusedError, BlockedError."""
        root, path = self._root(), self._relative(said)
        for name in _names(path):
            if file := _open(root, path.parent / name):
                yield file

    def _root(self) -> str:
        root = os.path.realpath(self._directory)
        if not os.path.isdir(root):
            raise BlockedError(f"{self._key} {self._directory} is not there: set it, or mount it")
        if not os.access(root, os.X_OK):
            raise BlockedError(_no_permission(str(self._directory)))
        return root

    def _relative(self, said: str) -> PurePosixPath:
        path = PurePosixPath(said)
        if "\0" in said or len(said) > _LONGEST_NAME or path.name in ("", "..") or not _encodable(said):
            raise RefusedError("the recording's name is not a file name")
        if not path.is_absolute():
            return path
        for base in self._bases:
            if path.is_relative_to(base):
                return path.relative_to(base)
        raise RefusedError(
            f"the recording lies outside {self._key}; where Asterisk names that directory otherwise, "
            f"{self._if_otherwise}"
        )

    def _elsewhere(self, path: PurePosixPath, since: float) -> Iterator[PurePosixPath]:
        """Other directories below the root, each once."""
        seen = {path.parent}
        likely = [PurePosixPath(), PurePosixPath(datetime.fromtimestamp(since).strftime("%Y/%m/%d"))]
        if date := _DATE.search(path.name):
            likely.insert(0, PurePosixPath(*date.groups()))
        for directory in chain(likely, self._tree.changed_since(since - SKEW_S)):
            if directory not in seen:
                seen.add(directory)
                yield directory


class Tree:
    """The directories below `root`, newest first, looked through at most twice a minute and to a limit."""

    _FRESH_S = 30.0
    _ENTRIES = 50_000  # some hundredths of a second on a local disk
    _DEEPEST = 6

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: list[tuple[float, PurePosixPath]] = []
        self._looked_at: float | None = None

    def changed_since(self, since: float) -> Iterator[PurePosixPath]:
        """Directories a file came into since then, as of half a minute ago at most."""
        with self._lock:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at > self._FRESH_S:
                self._known, self._looked_at = self._look(), now
            known = self._known
        return (directory for changed_at, directory in known if changed_at >= since)

    def _look(self) -> list[tuple[float, PurePosixPath]]:
        """Level by level, in each the newest first: what matters is found before the limit is reached."""
        found: list[tuple[float, PurePosixPath]] = []
        level, left = [PurePosixPath()], self._ENTRIES
        for _ in range(self._DEEPEST):
            below: list[tuple[float, PurePosixPath]] = []
            for directory in level:
                left -= self._read(directory, below, left)
            below.sort(key=lambda each: -each[0])
            found += below
            level = [directory for _, directory in below]
        return sorted(found, key=lambda each: -each[0])

    def _read(self, directory: PurePosixPath, below: list[tuple[float, PurePosixPath]], limit: int) -> int:
        count = 0
        try:
            with os.scandir(os.path.join(self._root, directory)) as entries:
                for entry in islice(entries, max(0, limit)):
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        below.append((entry.stat(follow_symlinks=False).st_mtime, directory / entry.name))
        except OSError:
            pass  # removed meanwhile, or not ours to read
        return count


def _names(path: PurePosixPath) -> list[str]:
    """The file names to try: as said, and as a conversion leaves it. What is no WAV or MP3 cannot be sent, so last."""
    bare = stem(path.name)
    names = [path.name, *(bare + ending for ending in _ENDINGS)]
    if not path.name.lower().endswith((".wav", ".mp3")):
        names.append(names.pop(0))
    return list(dict.fromkeys(names))


def _found(root: str, relative: PurePosixPath, since: float) -> BinaryIO | None:
    """Elsewhere than Asterisk said a file of that name may be another call's: not if it was written since."""
    try:
        file = _open(root, relative)
    except (RefusedError, NotReadyError):
        return None
    if file is not None and os.fstat(file.fileno()).st_mtime < since - SKEW_S:
        file.close()
        return None
    return file


def _open(root: str, relative: PurePosixPath) -> BinaryIO | None:
    """The regular file at `relative` below `root`, None when there is none.

    A link may lead elsewhere inside. Pipes and devices are not even opened.
    """
    path = os.path.realpath(os.path.join(root, relative))
    _require_inside(path, root)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise RefusedError("the recording is no regular file")
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise BlockedError(_no_permission(str(relative))) from None
    except OSError as error:
        raise NotReadyError(f"the recording cannot be opened: {error.strerror}") from None
    file = os.fdopen(handle, "rb")
    try:  # somebody may have put a link or a pipe there meanwhile
        _require_inside(os.readlink(f"/proc/self/fd/{handle}"), root)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise RefusedError("the recording is no regular file")
    except BaseException:
        file.close()
        raise
    return file


def _require_inside(path: str, root: str) -> None:
    if not Path(path).is_relative_to(root):
        raise RefusedError(f"the recording lies outside {root}")


def _no_permission(what: str) -> str:
    return f"no permission to read {what}: put the service's user in Asterisk's group"


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True
