"""What a real Asterisk writes, while it writes and after: when a recording counts as complete."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.config import Recordings
from itgrix_bx.delivery.recording.collect import Collector
from itgrix_bx.delivery.recording.problems import NotReadyError
from tests.real.asterisk import Asterisk, Site, running
from tests.service.conftest import eventually

pytestmark = pytest.mark.real

# One end plays a tone into the other, which records it.
_DIALPLAN = """
[recorded]
exten => plain,1,Answer()
 same => n,MixMonitor(2026/11/23/plain.wav)
 same => n,Wait(4)
exten => again,1,Answer()
 same => n,MixMonitor(2026/11/23/plain.wav,a)
 same => n,Wait(4)
exten => gsm,1,Answer()
 same => n,MixMonitor(gsm.WAV)
 same => n,Wait(4)
exten => moved,1,Answer()
 same => n,MixMonitor(moved.wav,,mkdir -p ${ASTSPOOLDIR}/monitor/archive && mv ^{MIXMONITOR_FILENAME} ${ASTSPOOLDIR}/monitor/archive/)
 same => n,Wait(2)
exten => armed,1,Answer()
 same => n,MixMonitor(armed.wav)
 same => n,Hangup()
"""  # noqa: E501


@pytest.fixture(scope="module")
def asterisk() -> Iterator[Asterisk]:
    with running(Site(phones=[], queues={}, dialplan=_DIALPLAN, agi_port=1)) as started:
        yield started


class Heard:
    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._collector = Collector(
            Recordings(directory=asterisk.monitor, asterisk_directory=asterisk.asterisk_monitor)
        )
        self._began_at = time.time()

    def begins(self, what: str) -> None:
        self._began_at = time.time()
        self._asterisk.cli(f"channel originate Local/{what}@recorded/n application Milliwatt")

    def seconds(self, said: str) -> float | None:
        """How long the recording is; None while it is not complete."""
        try:
            with self._collector.collect(
                [f"{self._asterisk.asterisk_monitor}/{said}"],
                began_at=self._began_at, ended_at=time.time(), patient=True,
            ) as ready:  # fmt: skip
                return ready.size / (1625 if said.endswith("WAV") else 16_000)
        except NotReadyError:
            return None

    def path(self, said: str) -> Path:
        return self._asterisk.monitor / said

    def has_sound(self, said: str, since: int = 0) -> bool:
        """Whether half a second of it is on the disk, from byte `since` on."""
        path = self.path(said)
        return path.exists() and path.stat().st_size > since + 8000


@pytest.fixture
def heard(asterisk: Asterisk) -> Heard:
    return Heard(asterisk)


def test_a_recording_is_complete_when_asterisk_has_closed_it_and_open_again_when_it_goes_on(heard: Heard) -> None:
    name = "2026/11/23/plain.wav"
    heard.begins("plain")
    eventually(lambda: heard.has_sound(name))
    assert heard.seconds(name) is None
    first = eventually(lambda: heard.seconds(name))
    assert 2.5 < first < 5.0
    heard.begins("again")
    eventually(lambda: heard.has_sound(name, since=int(first * 16_000)))
    assert heard.seconds(name) is None
    assert eventually(lambda: heard.seconds(name)) > first + 2.5


def test_gsm_in_a_wav_is_complete_when_it_is_closed(heard: Heard) -> None:
    heard.begins("gsm")
    assert 2.5 < eventually(lambda: heard.seconds("gsm.WAV")) < 5.0


def test_a_recording_that_mixmonitors_command_moves_is_found(heard: Heard) -> None:
    heard.begins("moved")
    eventually(heard.path("archive/moved.wav").exists)
    assert not heard.path("moved.wav").exists()
    assert 1.0 < heard.seconds("moved.wav") < 3.0


def test_a_call_that_ends_at_once_leaves_no_recording(heard: Heard) -> None:
    heard.begins("armed")
    time.sleep(2)
    assert heard.seconds("armed.wav") is None
