"""WAV files: whether Asterisk has closed one, and several as one.

Asterisk writes the sizes into the header when it closes the file, so a size that stands still is no sign of a
complete one; the header agreeing with the file is. The standard library's `wave` reads neither an unfinished header
nor anything but PCM.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from itgrix_bx.delivery.recording.sound import Sound, copy, is_quiet, size_of

PCM, A_LAW, U_LAW = 1, 6, 7
_EXTENSIBLE = 0xFFFE
_UNKNOWN_LENGTH = 0x7FFF_0000  # and above: what a converter writes into a pipe, where it cannot go back
_MOST_CHUNKS = 64
_NAMES = {PCM: "PCM", A_LAW: "A-law", U_LAW: "µ-law", 49: "GSM"}


@dataclass(frozen=True, slots=True)
class Format:
    """The `fmt ` chunk: `tag` says how a sample is coded, `block` bytes are never torn apart."""

    tag: int
    channels: int
    rate: int
    bytes_per_second: int
    block: int
    bits: int

    def __str__(self) -> str:
        return f"WAV, {_NAMES.get(self.tag, f'format {self.tag}')}, {self.rate} Hz, {self.channels} channel(s)"


def read(file: BinaryIO) -> Sound | None:
    """The sound in a WAV, as much as there is so far; None when it is no WAV."""
    size = size_of(file)
    head = os.pread(file.fileno(), 12, 0)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    form: Format | None = None
    for name, begin, length in _chunks(file, 12):
        if name == b"fmt ":
            form = _format(os.pread(file.fileno(), min(length, 40), begin))
        if name == b"data":
            return _sound(file, form, begin, length, size) if form else None
    return Sound(file, "wav", form, size, size, 0.0, growing=True, as_it_is=False)


def join(sounds: Sequence[Sound], out: BinaryIO) -> None:
    """One WAV of the sounds of one format, in order: the first one's header with true sizes, or one repaired.

    Raises NotReadyError, OSError.
    """
    first, form = sounds[0], sounds[0].format
    assert isinstance(form, Format)
    copy(first.file, 0, first.begin, out)
    length = 0
    for sound in sounds:
        whole = (sound.end - sound.begin) // form.block * form.block
        copy(sound.file, sound.begin, sound.begin + whole, out)
        length += whole
    out.write(b"\0" * (length & 1))
    _write_sizes(out, first, sounds, length)


def _write_sizes(out: BinaryIO, first: Sound, sounds: Sequence[Sound], length: int) -> None:
    sizes = [(4, first.begin + length + (length & 1) - 8), (first.begin - 4, length)]
    for name, begin, _ in _chunks(first.file, 12):
        if name == b"fact":  # samples, where they cannot be counted from the bytes
            sizes.append((begin, sum(_samples(sound) for sound in sounds)))
        if name in (b"fact", b"data"):
            break
    for at, value in sizes:
        out.seek(at)
        out.write(struct.pack("<I", value))
    out.seek(0, os.SEEK_END)


def _samples(sound: Sound) -> int:
    assert isinstance(sound.format, Format)
    return round(sound.seconds * sound.format.rate)


def _chunks(file: BinaryIO, at: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its content begins, announced length) of each chunk from byte `at` on."""
    for _ in range(_MOST_CHUNKS):
        head = os.pread(file.fileno(), 8, at)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, length
        at += 8 + length + (length & 1)


def _format(chunk: bytes) -> Format | None:
    if len(chunk) < 16:
        return None
    tag, channels, rate, per_second, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack("<H", chunk[24:26])
    return Format(tag, channels, rate, per_second, block, bits) if channels and rate and per_second and block else None


def _sound(file: BinaryIO, form: Format, begin: int, announced: int, size: int) -> Sound:
    if announced >= _UNKNOWN_LENGTH:
        end, growing, closed = size, not is_quiet(file), False
    else:
        closed = 0 < announced <= size - begin and _ends_cleanly(file, begin + announced, size)
        end, growing = (begin + announced if closed else size), not closed
    seconds = (end - begin) / form.bytes_per_second
    return Sound(file, "wav", form, begin, end, seconds, growing=growing, as_it_is=closed)


def _ends_cleanly(file: BinaryIO, end: int, size: int) -> bool:
    """Behind the sound come only further chunks: MixMonitor's option `a` writes on behind a header of before."""
    end += end & 1
    while end < size - 1:
        head = os.pread(file.fileno(), 8, end)
        if len(head) < 8 or not all(32 <= letter < 127 for letter in head[:4]):
            return False
        length = int.from_bytes(head[4:], "little")
        end += 8 + length + (length & 1)
    return end <= size + 1
