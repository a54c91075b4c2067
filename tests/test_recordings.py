"""Which recordings may be sent: found wherever they went, inside the directory, real sound, complete, as one file."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.config import Recordings
from itgrix_bx.delivery.recording import collect, convert, places
from itgrix_bx.delivery.recording.collect import Collector
from itgrix_bx.delivery.recording.problems import BlockedError, NotReadyError, RefusedError
from tests.sounds import MP3_FRAME, aged, coded, growing, mp3, samples, wav

NAME = "external-101-+79161234567-20261123-140501-1700000000.1"  # as FreePBX makes them
ASTERISK = "/var/spool/asterisk/monitor"


class Shelf:
    """A monitor directory and what is made of a call's recordings in it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.began_at = time.time() - 60
        self.ended_at = time.time()
        self.collector = Collector(Recordings(directory=directory, asterisk_directory=ASTERISK, **settings))

    def load(self, *paths: str, patient: bool = True, voicemail: bool = False) -> Loaded:
        with self.collector.collect(
            paths, began_at=self.began_at, ended_at=self.ended_at, patient=patient, voicemail=voicemail
        ) as ready:
            return Loaded(ready.content(), ready.suffix, {each["path"]: each["why"] for each in ready.left_out})


class Loaded:
    def __init__(self, content: bytes, suffix: str, left_out: dict[str, str]) -> None:
        self.content, self.suffix, self.left_out = content, suffix, left_out

    @property
    def frames(self) -> int:
        with wave.open(io.BytesIO(self.content)) as file:
            return file.getnframes()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "monitor").mkdir()
    return Shelf(tmp_path / "monitor")


@pytest.fixture
def mp3_shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "monitor").mkdir()
    return Shelf(tmp_path / "monitor", mp3=True)


# --- where it is -------------------------------------------------------------------------------------


def test_a_complete_wav_is_taken_as_it_is(shelf: Shelf) -> None:
    content = wav(shelf.directory / "2026/11/23/in.wav")
    loaded = shelf.load(str(shelf.directory / "2026/11/23/in.wav"))
    assert (loaded.content, loaded.suffix, loaded.left_out) == (content, "wav", {})


@pytest.mark.parametrize("said", ["2026/in.wav", f"{ASTERISK}/2026/in.wav"])
def test_a_relative_name_and_asterisks_own_name_of_the_directory_are_understood(shelf: Shelf, said: str) -> None:
    content = wav(shelf.directory / "2026/in.wav")
    assert shelf.load(said).content == content


def test_a_bare_name_of_freepbx_is_found_by_the_date_in_it(shelf: Shelf) -> None:
    content = wav(shelf.directory / f"2026/11/23/{NAME}.wav")
    assert shelf.load(f"{NAME}.wav").content == content


def test_a_bare_name_without_a_date_is_found_by_the_day_of_the_call(shelf: Shelf) -> None:
    content = wav(shelf.directory / time.strftime("%Y/%m/%d", time.localtime(shelf.began_at)) / "in.wav")
    assert shelf.load("in.wav").content == content


@pytest.mark.parametrize("now_at", ["in.wav", "archive/2026/11/23/in.wav", "mp3/in.mp3", "2026/11/23/in.WAV"])
def test_a_file_that_was_moved_inside_the_directory_is_found(shelf: Shelf, now_at: str) -> None:
    path = shelf.directory / now_at
    content = mp3(path, 20) if now_at.endswith("mp3") else wav(path)
    assert shelf.load(f"{ASTERISK}/2026/11/23/in.wav").content == content


def test_an_old_file_of_the_same_name_elsewhere_is_another_calls(shelf: Shelf) -> None:
    wav(shelf.directory / "archive/79161234567.wav")
    aged(shelf.directory / "archive/79161234567.wav", 3600)
    with pytest.raises(NotReadyError, match="not there"):
        shelf.load("out/79161234567.wav")


def test_the_search_reads_a_large_directory_seldom_and_to_a_limit(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (shelf.directory / f"{number}.wav").touch()
    (shelf.directory / "2026/11").mkdir(parents=True)
    monkeypatch.setattr(places.Tree, "_ENTRIES", 100)
    read: list[str] = []
    scandir = os.scandir

    def counted(path: str) -> Any:
        entries = scandir(path)
        return _Counted(entries, read)

    monkeypatch.setattr(places.os, "scandir", counted)
    for _ in range(5):
        with pytest.raises(NotReadyError):
            shelf.load("gone.wav")
    assert 0 < len(read) <= 100


class _Counted:
    def __init__(self, entries: Any, read: list[str]) -> None:
        self.entries, self.read = entries, read

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.entries.close()

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> Any:
        entry = next(self.entries)
        self.read.append(entry.name)
        return entry


# --- what must not be read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../secret.wav", "a/../../secret.wav", "/etc/passwd", f"{ASTERISK}/../../../../etc/passwd"]
)
def test_a_path_that_leads_out_is_refused(shelf: Shelf, name: str) -> None:
    wav(shelf.directory.parent / "secret.wav")
    with pytest.raises(RefusedError, match="outside"):
        shelf.load(name)


@pytest.mark.parametrize("name", ["x\0.wav", "..", "a/..", "x" * 2000, "\ud800.wav"])
def test_what_is_no_file_name_is_refused(shelf: Shelf, name: str) -> None:
    with pytest.raises(RefusedError, match="not a file name"):
        shelf.load(name)


def test_a_name_too_long_for_the_disk_is_never_there(shelf: Shelf) -> None:
    with pytest.raises(NotReadyError):
        shelf.load("x" * 300 + ".wav")


def test_a_link_that_leads_out_is_refused(shelf: Shelf) -> None:
    wav(shelf.directory.parent / "secret.wav")
    (shelf.directory / "in.wav").symlink_to(shelf.directory.parent / "secret.wav")
    with pytest.raises(RefusedError, match="outside"):
        shelf.load("in.wav")


def test_a_link_that_leads_elsewhere_inside_is_followed(shelf: Shelf) -> None:
    content = wav(shelf.directory / "real/in.wav")
    (shelf.directory / "in.wav").symlink_to("real/in.wav")
    assert shelf.load("in.wav").content == content


def test_a_directory_swapped_for_a_link_at_the_last_moment_gives_nothing_away(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = shelf.directory.parent / "outside"
    wav(outside / "in.wav", sample=7)
    wav(shelf.directory / "day/in.wav")
    check = os.lstat

    def swapped(path: Any, **how: Any) -> os.stat_result:
        found = check(path, **how)
        if str(path).endswith("day/in.wav"):
            monkeypatch.undo()
            (shelf.directory / "day").rename(shelf.directory / "was")
            (shelf.directory / "day").symlink_to(outside)
        return found

    monkeypatch.setattr(places.os, "lstat", swapped)
    with pytest.raises(RefusedError, match="outside"):
        shelf.load("day/in.wav")


def test_links_that_go_round_in_a_circle_are_refused(shelf: Shelf) -> None:
    (shelf.directory / "a.wav").symlink_to("b.wav")
    (shelf.directory / "b.wav").symlink_to("a.wav")
    with pytest.raises(RefusedError):
        shelf.load("a.wav")


def test_a_device_or_a_pipe_is_refused_without_hanging(shelf: Shelf) -> None:
    os.mkfifo(shelf.directory / "in.wav")
    with pytest.raises(RefusedError, match="regular file"):
        shelf.load("in.wav")


def test_text_is_refused_whatever_its_name(shelf: Shelf) -> None:
    (shelf.directory / "in.wav").write_text("root:x:0:0:root:/root:/bin/bash\n" * 10)
    with pytest.raises(RefusedError, match="neither WAV nor MP3"):
        shelf.load("in.wav")


def test_a_directory_that_is_not_mounted_is_nobodys_missing_recording(tmp_path: Path) -> None:
    with pytest.raises(BlockedError, match="is not there"):
        Shelf(tmp_path / "monitor").load("in.wav", patient=False)


def test_a_file_we_may_not_read_names_the_cure(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    wav(shelf.directory / "in.wav")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(places.os, "open", denied)
    with pytest.raises(BlockedError, match="Asterisk's group"):
        shelf.load("in.wav", patient=False)


# --- a voice message -----------------------------------------------------------------------------


@pytest.fixture
def boxes(tmp_path: Path) -> Shelf:
    """Voicemail as Asterisk keeps it, beside a monitor directory."""
    (tmp_path / "monitor").mkdir()
    (tmp_path / "voicemail").mkdir()
    return Shelf(tmp_path / "monitor", voicemail_directory=str(tmp_path / "voicemail"))


def inbox(boxes: Shelf, box: str = "101") -> Path:
    return boxes.directory.parent / "voicemail" / "default" / box / "INBOX"


@pytest.mark.parametrize("ending", ["wav", "WAV"])
def test_a_message_is_where_asterisk_left_it_with_the_ending_of_its_format(boxes: Shelf, ending: str) -> None:
    content = wav(inbox(boxes) / f"msg0000.{ending}")
    assert boxes.load(str(inbox(boxes) / "msg0000"), voicemail=True).content == content


def test_the_message_of_that_number_in_another_box_is_somebody_elses(boxes: Shelf) -> None:
    wav(inbox(boxes, "102") / "msg0000.wav")
    with pytest.raises(NotReadyError):
        boxes.load(str(inbox(boxes) / "msg0000"), voicemail=True, patient=False)


@pytest.mark.parametrize("after_the_call_s", [-300, 300])
def test_a_message_of_another_time_has_only_taken_the_number(boxes: Shelf, after_the_call_s: int) -> None:
    wav(inbox(boxes) / "msg0000.wav")
    at = boxes.ended_at + after_the_call_s
    os.utime(inbox(boxes) / "msg0000.wav", (at, at))
    with pytest.raises(NotReadyError):
        boxes.load(str(inbox(boxes) / "msg0000"), voicemail=True, patient=False)


def test_a_message_outside_its_directory_is_refused(boxes: Shelf) -> None:
    wav(boxes.directory / "msg0000.wav")
    for path in (boxes.directory / "msg0000", inbox(boxes) / "../../../../monitor/msg0000"):
        with pytest.raises(RefusedError, match="outside"):
            boxes.load(str(path), voicemail=True)


def test_a_recording_in_the_voicemail_directory_is_refused(boxes: Shelf) -> None:
    wav(inbox(boxes) / "msg0000.wav")
    with pytest.raises(RefusedError, match="outside"):
        boxes.load(str(inbox(boxes) / "msg0000"))


def test_a_message_is_refused_when_its_directory_is_no_longer_set(shelf: Shelf) -> None:
    with pytest.raises(RefusedError, match=r"\[recordings\] voicemail_directory"):
        shelf.load("/var/spool/asterisk/voicemail/default/101/INBOX/msg0000", voicemail=True)


# --- whether it is complete --------------------------------------------------------------------------


def test_a_missing_file_is_waited_for(shelf: Shelf) -> None:
    with pytest.raises(NotReadyError, match="not there"):
        shelf.load("in.wav")


@pytest.mark.parametrize("content", [b"", b"RIFF"])
def test_an_empty_file_is_waited_for(shelf: Shelf, content: bytes) -> None:
    (shelf.directory / "in.wav").write_bytes(content)
    with pytest.raises(NotReadyError, match="empty"):
        shelf.load("in.wav")


def test_a_header_without_sound_is_no_recording(shelf: Shelf) -> None:
    wav(shelf.directory / "in.wav", 0)
    with pytest.raises(NotReadyError, match="empty"):
        shelf.load("in.wav", patient=False)


def test_a_file_still_being_written_is_waited_for(shelf: Shelf) -> None:
    growing(shelf.directory / "in.wav")
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.wav")


def test_a_file_never_closed_is_repaired_when_the_waiting_is_over(shelf: Shelf) -> None:
    content = growing(shelf.directory / "in.wav")
    assert shelf.load("in.wav", patient=False).content == content


def test_half_a_sample_at_the_end_of_a_file_never_closed_is_left_away(shelf: Shelf) -> None:
    content = growing(shelf.directory / "in.wav")
    with (shelf.directory / "in.wav").open("ab") as file:
        file.write(b"\x01")
    assert shelf.load("in.wav", patient=False).content == content


def test_a_closed_file_written_on_behind_its_sound_is_waited_for(shelf: Shelf) -> None:
    """FreePBX goes on in the same file after an attended transfer: MixMonitor's option `a`."""
    wav(shelf.directory / "in.wav")
    with (shelf.directory / "in.wav").open("ab") as file:
        file.write(b"\x03\x04" * 4000)
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.wav")
    assert shelf.load("in.wav", patient=False).frames == 12_000


def test_a_copy_that_has_not_arrived_completely_is_waited_for(shelf: Shelf) -> None:
    content = wav(shelf.directory / "in.wav")
    (shelf.directory / "in.wav").write_bytes(content[:9000])
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.wav")


def test_chunks_behind_the_sound_are_no_sign_of_an_open_file(shelf: Shelf) -> None:
    wav(shelf.directory / "in.wav")
    with (shelf.directory / "in.wav").open("ab") as file:
        file.write(b"LIST\x05\0\0\0INFOx\0")
    assert shelf.load("in.wav").content == (shelf.directory / "in.wav").read_bytes()


def test_a_wav_from_a_converters_pipe_is_complete_when_it_rests_and_gets_its_true_length(shelf: Shelf) -> None:
    content = wav(shelf.directory / "in.wav")
    streamed = content[:4] + b"\xff\xff\xff\xff" + content[8:40] + b"\xff\xff\xff\xff" + content[44:]
    (shelf.directory / "in.wav").write_bytes(streamed)
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.wav")
    aged(shelf.directory / "in.wav")
    assert shelf.load("in.wav").content == content


def test_an_mp3_that_was_written_to_just_now_is_waited_for(shelf: Shelf) -> None:
    mp3(shelf.directory / "in.mp3", 20)
    aged(shelf.directory / "in.mp3", 0.0)
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.mp3")


def test_an_mp3_from_the_future_of_a_file_server_does_not_rest(shelf: Shelf) -> None:
    mp3(shelf.directory / "in.mp3", 20)
    aged(shelf.directory / "in.mp3", -3.0)
    with pytest.raises(NotReadyError, match="still being written"):
        shelf.load("in.mp3")


@pytest.mark.parametrize("how", [{"tagged": True}, {"noted": True}, {}])
def test_an_mp3_in_the_place_of_a_wav_that_was_converted_is_taken(shelf: Shelf, how: dict[str, bool]) -> None:
    mp3(shelf.directory / "in.mp3", 20, **how)
    loaded = shelf.load("in.wav")
    assert (loaded.content, loaded.suffix) == ((shelf.directory / "in.mp3").read_bytes(), "mp3")


def test_a_name_in_a_format_that_cannot_be_sent_leads_to_its_conversion(shelf: Shelf) -> None:
    (shelf.directory / "in.gsm").write_bytes(b"\xd2" * 3300)
    content = wav(shelf.directory / "in.wav")
    assert shelf.load("in.gsm").content == content


# --- several files of one call --------------------------------------------------------------------------


def test_the_files_of_one_call_are_joined_in_order(shelf: Shelf) -> None:
    wav(shelf.directory / "a.wav", 2.0, sample=1)
    wav(shelf.directory / "b.wav", 1.0, sample=2)
    growing(shelf.directory / "c.wav", 0.5)
    loaded = shelf.load("a.wav", "b.wav", "c.wav", patient=False)
    assert (loaded.frames, samples(loaded.content)) == (28_000, [1, 2, 513])
    assert loaded.left_out == {}


def test_gsm_files_are_joined_and_tell_their_true_length(shelf: Shelf) -> None:
    for name in ("a.wav", "b.wav"):
        coded(shelf.directory / name, 49, bytes(65) * 50, bits=0, block=65)
    content = shelf.load("a.wav", "b.wav").content
    fact = content.index(b"fact") + 8
    assert int.from_bytes(content[fact : fact + 4], "little") == 2 * 16_000
    assert content.endswith(bytes(6500))


def test_mp3_files_are_joined_frame_by_frame_without_what_tells_the_length_of_one(shelf: Shelf) -> None:
    mp3(shelf.directory / "a.mp3", 20, tagged=True, noted=True)
    mp3(shelf.directory / "b.mp3", 30, noted=True)
    assert shelf.load("a.mp3", "b.mp3").content == MP3_FRAME * 50


def test_of_different_formats_the_longest_is_sent_and_the_rest_is_named(shelf: Shelf) -> None:
    wav(shelf.directory / "a.wav", 2.0)
    content = wav(shelf.directory / "b.wav", 5.0, rate=16_000)
    shelf.ended_at -= 300
    for name in ("a.wav", "b.wav"):
        aged(shelf.directory / name, 300)
    loaded = shelf.load("a.wav", "b.wav")
    assert loaded.content == content
    assert loaded.left_out == {"a.wav": "WAV, PCM, 8000 Hz, 1 channel(s), 2 s: another format than what was sent"}


def test_an_mp3s_length_is_what_its_encoder_noted(shelf: Shelf) -> None:
    wav(shelf.directory / "a.wav", 3.0)
    mp3(shelf.directory / "b.mp3", 100, noted=True)  # 7.2 s
    assert shelf.load("a.wav", "b.mp3", patient=False).suffix == "mp3"
    mp3(shelf.directory / "b.mp3", 20, noted=True)  # 1.4 s
    assert shelf.load("a.wav", "b.mp3", patient=False).suffix == "wav"


def test_a_file_that_may_be_in_conversion_is_waited_for(shelf: Shelf) -> None:
    wav(shelf.directory / "a.wav")
    mp3(shelf.directory / "b.mp3", 100)
    with pytest.raises(NotReadyError, match="different formats"):
        shelf.load("a.wav", "b.mp3")


def test_a_second_file_that_was_only_announced_does_not_keep_the_first_for_ever(shelf: Shelf) -> None:
    """FreePBX names a recording when it is armed; whether there will be a file nobody knows."""
    content = wav(shelf.directory / "a.wav")
    with pytest.raises(NotReadyError, match="not there"):
        shelf.load("a.wav", "b.wav")
    shelf.ended_at -= 300
    aged(shelf.directory / "a.wav", 300)
    loaded = shelf.load("a.wav", "b.wav")
    assert (loaded.content, loaded.left_out) == (content, {"b.wav": "the recording is not there yet"})


def test_a_file_that_is_refused_does_not_keep_the_others(shelf: Shelf) -> None:
    content = wav(shelf.directory / "a.wav")
    loaded = shelf.load("/etc/passwd", "a.wav")
    assert loaded.content == content
    assert "outside" in loaded.left_out["/etc/passwd"]


def test_two_names_of_one_file_are_one_recording(shelf: Shelf) -> None:
    content = wav(shelf.directory / "2026/in.wav")
    loaded = shelf.load("2026/in.wav", f"{ASTERISK}/2026/in.wav")
    assert (loaded.content, loaded.left_out) == (content, {})


def test_long_recordings_are_joined_and_read_without_holding_them_in_memory(shelf: Shelf) -> None:
    for name in ("a.wav", "b.wav"):
        wav(shelf.directory / name, 60.0)
        with (shelf.directory / name).open("r+b") as file:  # 64 MiB of silence, sparse
            file.truncate(64 << 20)
    tracemalloc.start()
    try:
        paths = ("a.wav", "b.wav")
        with shelf.collector.collect(paths, began_at=shelf.began_at, ended_at=0.0, patient=False) as ready:
            assert len(ready.sha256()) == 64
            assert ready.size > 120 << 20
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_no_room_to_prepare_a_recording_is_said_and_loses_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("a.wav", "b.wav"):
        wav(shelf.directory / name)
    monkeypatch.setattr(collect.wav, "join", full)
    with pytest.raises(BlockedError, match="No space left"):
        shelf.load("a.wav", "b.wav", patient=False)


# --- as MP3 ---------------------------------------------------------------------------------------


def mp3_seconds(content: bytes) -> float:
    """The length of what LAME made: frames of 72 ms at 8 kHz and 24 kbit/s."""
    assert content[:2] == b"\xff\xe3"
    assert content.count(content[:3]) >= len(content) // 216 - 1
    return len(content) / 3000


Write = Callable[[Path], object]
CONVERTED: dict[str, Write] = {
    "16 bit": lambda path: wav(path, 10.0),
    "8 bit": lambda path: wav(path, 10.0, width=1, sample=128),
    "µ-law": lambda path: coded(path, 7, b"\xff" * 80_000),
    "A-law": lambda path: coded(path, 6, b"\xd5" * 80_000),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_a_wav_becomes_an_mp3_of_the_same_length(mp3_shelf: Shelf, kind: str) -> None:
    CONVERTED[kind](mp3_shelf.directory / "in.wav")
    loaded = mp3_shelf.load("in.wav")
    assert loaded.suffix == "mp3"
    assert mp3_seconds(loaded.content) == pytest.approx(10.0, abs=0.3)


def test_a_stereo_wav_becomes_a_stereo_mp3(mp3_shelf: Shelf) -> None:
    wav(mp3_shelf.directory / "in.wav", 10.0, channels=2)
    content = mp3_shelf.load("in.wav").content
    assert content[3] >> 6 != 3
    assert len(content) / 6000 == pytest.approx(10.0, abs=0.3)


def test_the_files_of_one_call_become_one_mp3(mp3_shelf: Shelf) -> None:
    wav(mp3_shelf.directory / "a.wav", 6.0)
    growing(mp3_shelf.directory / "b.wav", 4.0)
    loaded = mp3_shelf.load("a.wav", "b.wav", patient=False)
    assert mp3_seconds(loaded.content) == pytest.approx(10.0, abs=0.3)


def test_an_mp3_is_not_converted_again(mp3_shelf: Shelf) -> None:
    content = mp3(mp3_shelf.directory / "in.mp3", 20)
    assert mp3_shelf.load("in.mp3").content == content


@pytest.mark.parametrize(
    ("tag", "values"),
    [(7, (-32124, 32124, -16764, -120, 0, 0)), (6, (-5504, 5504, -6784, -688, 848, -848))],
)
def test_loud_and_soft_keep_their_place_in_u_law_and_a_law(tag: int, values: tuple[int, ...]) -> None:
    """As in the tables of ITU-T G.711, at 16 bit."""
    coded_samples = bytes.fromhex("00 80 0f 70 ff 7f")
    assert struct.unpack("<6h", convert._BY_TABLE[tag, 8](coded_samples)) == values


@pytest.mark.parametrize("why", ["GSM", "lameenc"])
def test_what_cannot_be_converted_is_sent_as_it_is_and_said_once(
    mp3_shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    if why == "lameenc":
        monkeypatch.setattr(convert, "installed", lambda: False)
        content = wav(mp3_shelf.directory / "in.wav")
    else:
        content = coded(mp3_shelf.directory / "in.wav", 49, bytes(65) * 50, bits=0, block=65)
    for _ in range(3):
        loaded = mp3_shelf.load("in.wav")
        assert (loaded.content, loaded.suffix) == (content, "wav")
    assert len([record for record in caplog.records if why in record.getMessage()]) == 1


def test_a_recording_larger_than_the_portal_takes_is_refused_and_not_read(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav(shelf.directory / "in-1.wav", 2.0)
    monkeypatch.setattr(collect, "_LARGEST", 16_000)
    with pytest.raises(RefusedError, match="larger than"):
        shelf.load("in-1.wav")
