"""Which recordings may be sent: inside the directory, real audio, complete."""

from __future__ import annotations

import os
import struct
import wave
from pathlib import Path

import pytest

from itgrix_bx.delivery.recordings import NotReadyError, RefusedError, load


def wav(path: Path, seconds: float = 1.0) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x01\x02" * int(8000 * seconds))
    return path.read_bytes()


def growing(path: Path) -> bytes:
    """As Asterisk leaves it while the call lasts: the audio is there, the header says 0."""
    content = wav(path)
    path.write_bytes(content[:4] + struct.pack("<I", 36) + content[8:40] + struct.pack("<I", 0) + content[44:])
    return content


def test_a_complete_wav_is_taken_as_it_is(tmp_path: Path) -> None:
    content = wav(tmp_path / "2026/11/23/in.wav")
    ready = load(str(tmp_path / "2026/11/23/in.wav"), tmp_path, "")
    assert (ready.content, ready.suffix) == (content, "wav")


def test_a_name_relative_to_the_directory_is_found(tmp_path: Path) -> None:
    wav(tmp_path / "2026/in.wav")
    assert load("2026/in.wav", tmp_path, "").path == tmp_path / "2026/in.wav"


def test_asterisks_own_name_of_the_directory_is_translated(tmp_path: Path) -> None:
    wav(tmp_path / "in.wav")
    assert load("/var/spool/asterisk/monitor/in.wav", tmp_path, "/var/spool/asterisk/monitor").suffix == "wav"


def test_a_file_still_being_written_is_waited_for(tmp_path: Path) -> None:
    growing(tmp_path / "in.wav")
    with pytest.raises(NotReadyError, match="still being written"):
        load("in.wav", tmp_path, "")


def test_a_file_never_closed_is_repaired_when_the_waiting_is_over(tmp_path: Path) -> None:
    content = growing(tmp_path / "in.wav")
    assert load("in.wav", tmp_path, "", patient=False).content == content


@pytest.mark.parametrize(
    "name", ["../secret.wav", "a/../../secret.wav", "/etc/passwd", "/tmp/../etc/passwd", "x\0.wav"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "monitor"
    directory.mkdir()
    wav(tmp_path / "secret.wav")
    with pytest.raises(RefusedError):
        load(name, directory, "")


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "monitor"
    directory.mkdir()
    wav(tmp_path / "secret.wav")
    (directory / "in.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(RefusedError, match="outside"):
        load("in.wav", directory, "")


def test_an_mp3_beside_a_wav_that_was_converted_is_taken(tmp_path: Path) -> None:
    (tmp_path / "in.mp3").write_bytes(b"ID3\x03" + b"\0" * 100)
    os.utime(tmp_path / "in.mp3", (0, 0))
    assert load("in.wav", tmp_path, "").suffix == "mp3"


def test_a_missing_file_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="not there"):
        load("in.wav", tmp_path, "")


@pytest.mark.parametrize("content", [b"", b"RIFF"])
def test_an_empty_file_is_waited_for(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.wav").write_bytes(content)
    with pytest.raises(NotReadyError):
        load("in.wav", tmp_path, "")


def test_a_header_without_audio_is_no_recording(tmp_path: Path) -> None:
    wav(tmp_path / "in.wav", 0)
    with pytest.raises(NotReadyError, match="empty"):
        load("in.wav", tmp_path, "", patient=False)


def test_text_is_refused_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_text("root:x:0:0:root:/root:/bin/bash\n" * 10)
    with pytest.raises(RefusedError, match="neither WAV nor MP3"):
        load("in.wav", tmp_path, "")


def test_a_device_or_a_pipe_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.wav")
    with pytest.raises(RefusedError):
        load("in.wav", tmp_path, "")
