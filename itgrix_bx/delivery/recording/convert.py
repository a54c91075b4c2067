"""WAV to MP3 with LAME, a few seconds of sound at a time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from itgrix_bx.delivery.recording.sound import Sound, pieces
from itgrix_bx.delivery.recording.wav import A_LAW, PCM, U_LAW, Format

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_QUALITY = 5  # 2 takes twice the time for speech nobody tells apart
_CHUNK = 1 << 16

Decode = Callable[[bytes], bytes]


def installed() -> bool:
    """Whether the optional package is there."""
    return importlib.util.find_spec("lameenc") is not None


def why_not(sound: Sound) -> str:
    """Why this sound cannot be made an MP3, "" when it can."""
    if not isinstance(sound.format, Format):
        return "it is no WAV"
    if not installed():
        return "the package lameenc is not installed (pip install lameenc)"
    form = sound.format
    fits = _decoder(form) and form.channels in (1, 2) and form.rate in _RATES
    return "" if fits else f"{form}, {form.bits} bit, cannot be converted"


def to_mp3(sounds: Sequence[Sound], out: BinaryIO) -> None:
    """The sounds of one format that `why_not` has nothing against, in order, as one MP3. Raises NotReadyError,
    OSError."""
    form = sounds[0].format
    assert isinstance(form, Format)
    decode = _decoder(form)
    assert decode is not None
    encoder = _encoder(form)
    for sound in sounds:
        end = sound.end - (sound.end - sound.begin) % form.block
        for piece in pieces(sound.file, sound.begin, end, _CHUNK // form.block * form.block):
            out.write(encoder.encode(decode(piece)))
    out.write(encoder.flush())


def _encoder(form: Format) -> Any:
    import lameenc

    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(form.rate)
    encoder.set_channels(form.channels)
    encoder.set_bit_rate((24 if form.rate <= 12000 else 32) * form.channels)
    encoder.set_quality(_QUALITY)
    return encoder


def _decoder(form: Format) -> Decode | None:
    if (form.tag, form.bits) == (PCM, 16):
        return bytes
    return _BY_TABLE.get((form.tag, form.bits))


def _by_table(sample: Callable[[int], int]) -> Decode:
    """Bytes of one sample each to 16 bit: their low and high halves looked up by the interpreter's own loop."""
    values = [sample(byte).to_bytes(2, "little", signed=True) for byte in range(256)]
    low, high = bytes(value[0] for value in values), bytes(value[1] for value in values)

    def decode(coded: bytes) -> bytes:
        samples = bytearray(2 * len(coded))
        samples[0::2], samples[1::2] = coded.translate(low), coded.translate(high)
        return bytes(samples)

    return decode


def _from_u_law(byte: int) -> int:
    byte ^= 0xFF
    magnitude = ((byte & 0x0F) * 8 + 0x84 << (byte >> 4 & 7)) - 0x84
    return -magnitude if byte & 0x80 else magnitude


def _from_a_law(byte: int) -> int:
    byte ^= 0x55
    exponent, mantissa = byte >> 4 & 7, (byte & 0x0F) * 16
    magnitude = mantissa + 8 if not exponent else mantissa + 0x108 << exponent - 1
    return magnitude if byte & 0x80 else -magnitude


_BY_TABLE = {
    (PCM, 8): _by_table(lambda byte: byte - 128 << 8),
    (U_LAW, 8): _by_table(_from_u_law),
    (A_LAW, 8): _by_table(_from_a_law),
}
