"""MP3 files: what the first frame says, and several as one.

Layout: https://www.iso.org/standard/22412.html (frames), https://id3.org/id3v2.3.0 (the tag before them).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from itgrix_bx.delivery.recording.sound import Sound, copy, is_quiet, size_of

_LOOK_FOR_FRAME = 8192  # bytes behind the tag, some of which may be padding
_TAIL = 128  # an ID3v1 tag
# Layer III; kbit/s by index, the rate of MPEG 1 by index. MPEG 2 has half that rate, MPEG 2.5 a quarter.
_BITRATES = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_DIVISOR = {3: 1, 2: 2, 0: 4}  # by the version's two bits


@dataclass(frozen=True, slots=True)
class Format:
    """What frames must have in common to stand in one file; the bit rate may change."""

    rate: int
    mono: bool

    def __str__(self) -> str:
        return f"MP3, {self.rate} Hz, {'mono' if self.mono else 'stereo'}"


@dataclass(frozen=True, slots=True)
class _Frame:
    format: Format
    samples: int
    bytes_per_second: float
    size: int
    side: int  # bytes of header and side information: where an encoder's notes are, in a frame without sound


def read(file: BinaryIO) -> Sound | None:
    """The sound in an MP3; None when it is none. A file does not tell whether it is complete: rest does."""
    begin = _behind_tag(file)
    if begin is None:
        return None
    end, growing = size_of(file), not is_quiet(file)
    found = _first_frame(file, begin)
    if found is None:  # tagged as MP3, its frames somewhere: sent as it is, never joined
        return Sound(file, "mp3", object(), begin, end, 0.0, growing, as_it_is=True)
    begin, frame = found
    if os.pread(file.fileno(), 3, max(0, end - _TAIL)) == b"TAG":
        end -= _TAIL
    frames = _frames_noted(os.pread(file.fileno(), frame.side + 12, begin), frame)
    seconds = max(0, end - begin) / frame.bytes_per_second
    if frames is not None:
        begin += frame.size
        seconds = frames * frame.samples / frame.format.rate or seconds
    return Sound(file, "mp3", frame.format, begin, end, seconds, growing, as_it_is=True)


def join(sounds: Sequence[Sound], out: BinaryIO) -> None:
    """The frames of all, in order, without the tags and notes that tell the length of one.

    Raises NotReadyError, OSError.
    """
    for sound in sounds:
        copy(sound.file, sound.begin, sound.end, out)


def _behind_tag(file: BinaryIO) -> int | None:
    """Where frames may begin; None when the file begins with neither tag nor frame."""
    head = os.pread(file.fileno(), 10, 0)
    if head[:3] == b"ID3":
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        return 10 + size + (10 if len(head) == 10 and head[5] & 0x10 else 0)
    return 0 if _frame(head) else None


def _first_frame(file: BinaryIO, begin: int) -> tuple[int, _Frame] | None:
    window = os.pread(file.fileno(), _LOOK_FOR_FRAME, begin)
    at = window.find(b"\xff")
    while at >= 0:
        frame = _frame(window[at : at + 4])
        if frame is not None:
            return begin + at, frame
        at = window.find(b"\xff", at + 1)
    return None


def _frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # sync, layer III
        return None
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    first, mono = version == 3, head[3] >> 6 == 3
    hertz = _RATES[rate] // _DIVISOR[version]
    per_second = _BITRATES[first][bitrate - 1] * 125
    samples = 1152 if first else 576
    side = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    size = samples * per_second // hertz + (head[2] >> 1 & 1)
    return _Frame(Format(hertz, mono), samples, float(per_second), size, side)


def _frames_noted(content: bytes, frame: _Frame) -> int | None:
    """How many frames the file has if its first is an encoder's note (0: not said); None when that holds sound."""
    name, flags, frames = content[frame.side :][:4], content[frame.side + 4 :][:4], content[frame.side + 8 :][:4]
    if name not in (b"Xing", b"Info"):
        return None
    return int.from_bytes(frames, "big") if flags[-1:] and flags[-1] & 1 else 0
