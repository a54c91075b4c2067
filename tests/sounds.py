"""Recordings as Asterisk and what comes after it leave them."""

from __future__ import annotations

import os
import struct
import time
import wave
from pathlib import Path

MP3_FRAME = bytes.fromhex("ffe338c4") + bytes(212)  # MPEG 2.5, layer III, 24 kbit/s, 8 kHz, mono: 72 ms
MP3_SECONDS = 0.072


def wav(
    path: Path, seconds: float = 1.0, *, sample: int = 513, rate: int = 8000, channels: int = 1, width: int = 2
) -> bytes:
    """A closed WAV, every sample of it `sample`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(sample.to_bytes(width, "little") * int(rate * seconds) * channels)
    return path.read_bytes()


def growing(path: Path, seconds: float = 1.0) -> bytes:
    """As Asterisk leaves it while the call lasts: the sound is there, the header says 0. What it will be."""
    content = wav(path, seconds)
    path.write_bytes(content[:4] + struct.pack("<I", 36) + content[8:40] + struct.pack("<I", 0) + content[44:])
    return content


def coded(path: Path, tag: int, sound: bytes, *, rate: int = 8000, bits: int = 8, block: int = 1) -> bytes:
    """A WAV of another coding than PCM: 6 is A-law, 7 µ-law, 49 GSM."""
    per_second = 1625 if tag == 49 else rate * block
    head = struct.pack("<HHIIHHH", tag, 1, rate, per_second, block, bits, 0)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"fact" + struct.pack("<II", 4, 0)
    chunks += b"data" + struct.pack("<I", len(sound)) + sound
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)
    return path.read_bytes()


def mp3(path: Path, frames: int, *, tagged: bool = False, noted: bool = False) -> bytes:
    """A finished MP3 of `frames` frames; with the tags and the note an encoder adds, if asked."""
    note = MP3_FRAME[:13] + b"Info" + struct.pack(">II", 1, frames) + bytes(191)
    content = (note if noted else b"") + MP3_FRAME * frames
    if tagged:
        content = b"ID3\x03\0\0\0\0\0\x14" + bytes(20) + content + b"TAG" + bytes(125)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    aged(path)
    return content


def aged(path: Path, seconds: float = 30.0) -> None:
    """Nobody has written to it for so long."""
    at = time.time() - seconds
    os.utime(path, (at, at))


def samples(content: bytes) -> list[int]:
    """What is heard in a WAV of 16 bit mono, each run of one sample once."""
    heard: list[int] = []
    start = content.index(b"data") + 8
    for (sample,) in struct.iter_unpack("<h", content[start:]):
        if not heard or heard[-1] != sample:
            heard.append(sample)
    return heard
