"""Recordings of a given size that pass for what they are: the portal and the product look at the first bytes."""

from __future__ import annotations

import io
import wave
from random import Random
from typing import Literal

Format = Literal["mp3", "wav"]

# MPEG-2 layer III, 32 kbit/s, 16 kHz, mono, no CRC: what telephone talk is usually converted to.
_FRAME_HEAD = bytes((0xFF, 0xF3, 0x48, 0xC4))
_FRAME = 72 * 32_000 // 16_000
_WAV_HEAD = 44


def recording(kind: Format, size: int, chance: Random) -> bytes:
    """A recording of about `size` bytes; no two are alike."""
    return _mp3(size, chance) if kind == "mp3" else _wav(size, chance)


def _mp3(size: int, chance: Random) -> bytes:
    body = _FRAME - len(_FRAME_HEAD)
    return b"".join(_FRAME_HEAD + chance.randbytes(body) for _ in range(max(1, size // _FRAME)))


def _wav(size: int, chance: Random) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(chance.randbytes(max(2, (size - _WAV_HEAD) // 2 * 2)))
    return out.getvalue()
