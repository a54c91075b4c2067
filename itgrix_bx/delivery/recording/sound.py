"""What one file holds: where in it the sound lies, in which format, how much of it."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from itgrix_bx.delivery.recording.problems import NotReadyError

_QUIET_S = 5.0
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound in `file` from byte `begin` to `end`. Files of the same `format` can be joined.

    `growing`: somebody still writes it, as far as one can tell. `as_it_is`: the file itself is fit to be sent.
    """

    file: BinaryIO
    suffix: str  # "wav" or "mp3"
    format: Hashable
    begin: int
    end: int
    seconds: float
    growing: bool
    as_it_is: bool


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def is_quiet(file: BinaryIO) -> bool:
    """Whether nobody has written to it for some seconds: for files that do not tell their length.

    A time in the future is a file server's clock, and says nothing.
    """
    return time.time() - os.fstat(file.fileno()).st_mtime >= _QUIET_S


def pieces(file: BinaryIO, begin: int, end: int, longest: int = _CHUNK) -> Iterator[bytes]:
    """Bytes `begin` to `end`, some at a time. Raises NotReadyError when they are not all there any more."""
    while begin < end:
        piece = os.pread(file.fileno(), min(longest, end - begin), begin)
        if not piece:
            raise NotReadyError("the recording became shorter while it was read")
        yield piece
        begin += len(piece)


def copy(file: BinaryIO, begin: int, end: int, out: BinaryIO) -> None:
    """Bytes `begin` to `end` of `file` to `out`. Raises NotReadyError, OSError."""
    for piece in pieces(file, begin, end):
        out.write(piece)
