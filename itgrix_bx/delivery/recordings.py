"""Finding a call's recording on disk and telling whether it may be sent: inside the directory, real audio,
and complete.

A WAV that Asterisk still writes has data length 0 in its header (it writes the sizes when it closes the file),
so a size that stands still is no sign; the header agreeing with the size is.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_QUIET_S = 2.0  # a compressed file has no length in it: this long without a change counts as complete
_LARGEST_HEADER = 4096
_EMPTY = 44  # bytes: a WAV header and nothing else
_LARGEST = 500 * 1024 * 1024


class RefusedError(Exception):
    """The file must not or cannot be sent, ever; says why."""


class NotReadyError(Exception):
    """The file is not there or not complete yet; says which."""


@dataclass(frozen=True, slots=True)
class Ready:
    path: Path
    content: bytes
    suffix: str  # "wav" or "mp3"


def load(said: str, directory: Path, asterisk_directory: str, *, patient: bool = True) -> Ready:
    """The recording Asterisk named `said`. Without `patient` an unfinished WAV is repaired instead of waited for.

    Raises NotReadyError (try later) or RefusedError (never).
    """
    path = _inside(said, directory, asterisk_directory)
    content = _read(path)
    if content.startswith(b"RIFF") and content[8:12] == b"WAVE":
        return Ready(path, _complete_wav(content, patient=patient), "wav")
    if _is_mp3(content):
        if patient and time.time() - path.stat().st_mtime < _QUIET_S:
            raise NotReadyError("the recording is still being written")
        return Ready(path, content, "mp3")
    if len(content) < _EMPTY:
        raise NotReadyError("the recording is empty so far")
    raise RefusedError("the recording is neither WAV nor MP3 audio")


def _inside(said: str, directory: Path, asterisk_directory: str) -> Path:
    """The real path below `directory`; names come from the phone network by way of the dialplan."""
    if "\0" in said or len(said) > 1024:
        raise RefusedError("the recording's name is not a file name")
    relative = _relative(PurePosixPath(said), directory, asterisk_directory)
    root = directory.resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root):
        raise RefusedError("the recording lies outside [recordings] directory")
    if not path.exists():
        sibling = path.with_suffix(".mp3")  # converted after the call, the WAV removed
        if path.suffix.lower() != ".mp3" and sibling.exists() and sibling.resolve().is_relative_to(root):
            return sibling.resolve()
        raise NotReadyError("the recording is not there yet")
    return path


def _relative(said: PurePosixPath, directory: Path, asterisk_directory: str) -> PurePosixPath:
    if not said.is_absolute():
        return said
    for base in (asterisk_directory, str(directory), os.path.realpath(directory)):
        if base and said.is_relative_to(base):
            return said.relative_to(base)
    raise RefusedError("the recording lies outside [recordings] directory")


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise NotReadyError("no permission to read the recording: put the service's user in Asterisk's group") from None
    except OSError as error:
        raise RefusedError(f"the recording cannot be opened: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        if not os.path.isfile(f"/proc/self/fd/{handle}"):
            raise RefusedError("the recording is no regular file")
        if os.fstat(handle).st_size > _LARGEST:
            raise RefusedError(f"the recording is larger than {_LARGEST // 2**20} MiB")
        return file.read(_LARGEST)


def _complete_wav(content: bytes, *, patient: bool) -> bytes:
    start = content.find(b"data", 12, _LARGEST_HEADER)
    if start < 0:
        raise NotReadyError("the recording has no audio yet")
    (announced,) = struct.unpack_from("<I", content.ljust(start + 8, b"\0"), start + 4)
    present = len(content) - start - 8
    if present <= 0:
        raise NotReadyError("the recording is empty so far")
    if announced and announced <= present:
        return content
    if patient:
        raise NotReadyError("the recording is still being written")
    riff, data = struct.pack("<I", len(content) - 8), struct.pack("<I", present)
    return content[:4] + riff + content[8 : start + 4] + data + content[start + 8 :]


def _is_mp3(content: bytes) -> bool:
    return content.startswith(b"ID3") or (len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0)
