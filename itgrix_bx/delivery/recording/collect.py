"""One file of a call's recordings: waits for what is not complete, joins what belongs together, converts if asked."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from itgrix_bx.config import Recordings
from itgrix_bx.delivery.recording import convert, mp3, wav
from itgrix_bx.delivery.recording.messages import Messages
from itgrix_bx.delivery.recording.places import Places
from itgrix_bx.delivery.recording.problems import BlockedError, NotReadyError, RefusedError
from itgrix_bx.delivery.recording.sound import Sound, pieces, size_of

log = logging.getLogger("itgrix_bx.delivery")

_Make = Callable[[Sequence[Sound], BinaryIO], None]
_Find = Callable[[str], Iterator[BinaryIO]]

_EMPTY = 44  # bytes: a WAV header and nothing else
_LARGEST = 2_000_000_000  # bytes; the portal takes 2 GB in a request
# When one file of a call has been complete this long, another that is absent was only announced, not recorded.
_SETTLED_S = 120.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A recording as it may be sent, open. `left_out`: [{path, why}], named by the call but not in it."""

    file: BinaryIO
    suffix: str  # "wav" or "mp3"
    left_out: list[dict[str, str]]

    @property
    def size(self) -> int:
        """Bytes."""
        return size_of(self.file)

    @property
    def path(self) -> Path:
        """This very file, whatever its name leads to by now."""
        return Path(f"/proc/self/fd/{self.file.fileno()}")

    def content(self) -> bytes:
        """All of it, in memory."""
        self.file.seek(0)
        return self.file.read()

    def sha256(self) -> str:
        """Its fingerprint, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in pieces(self.file, 0, self.size):
            digest.update(piece)
        return digest.hexdigest()


@dataclass(slots=True)
class _Part:
    """One of the call's recordings, as far as it is there."""

    path: str
    sound: Sound | None = None
    problem: Exception = field(default_factory=lambda: NotReadyError("the recording is not there yet"))


class Collector:
    """Makes recordings ready as `[recordings]` wants them."""

    def __init__(self, settings: Recordings) -> None:
        self._places = Places(settings.directory, settings.asterisk_directory)
        self._messages = Messages(settings.voicemail_directory)
        self._mp3 = settings.mp3
        self._said: set[str] = set()

    @contextmanager
    def collect(
        self, paths: Sequence[str], *, began_at: float, ended_at: float, patient: bool, voicemail: bool = False
    ) -> Iterator[Ready]:
        """The recordings `paths` of a call (unix seconds) as one, open as long as the context lasts.

        `voicemail`: they are voice messages. Without `patient` what there is counts as complete. Raises NotReadyError,
        BlockedError, RefusedError.
        """
        find: _Find = partial(self._places.files, since=began_at)
        if voicemail:
            find = partial(self._messages.files, since=began_at, until=ended_at)
        with ExitStack() as stack:
            parts = _each_once([_look(path, find, stack) for path in paths])
            if patient:
                _wait_for_more(parts, ended_at)
            chosen = _longest_of_one_format(parts)
            left_out = [{"path": part.path, "why": _why_left(part)} for part in parts if part not in chosen]
            file, suffix = self._one_file([part.sound for part in chosen if part.sound], stack)
            yield Ready(file, suffix, left_out)

    # --- one file of it --------------------------------------------------------------------------

    def _one_file(self, sounds: Sequence[Sound], stack: ExitStack) -> tuple[BinaryIO, str]:
        if sum(sound.end - sound.begin for sound in sounds) > _LARGEST:
            raise RefusedError(f"the recording is larger than the {_LARGEST // 10**9} GB the portal takes")
        if self._mp3 and sounds[0].suffix == "wav":
            if not (reason := convert.why_not(sounds[0])):
                return self._made(convert.to_mp3, sounds, stack), "mp3"
            self._say_once(f"[recordings] mp3: {reason}; such recordings are sent as they are")
        if len(sounds) == 1 and sounds[0].as_it_is:
            return sounds[0].file, sounds[0].suffix
        join = mp3.join if sounds[0].suffix == "mp3" else wav.join
        return self._made(join, sounds, stack), sounds[0].suffix

    def _made(self, make: _Make, sounds: Sequence[Sound], stack: ExitStack) -> BinaryIO:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as the stack
            make(sounds, file)
            file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise BlockedError(f"the recording could not be prepared in {where}: {error.strerror or error}") from None
        return file

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning(text)


def _look(path: str, find: _Find, stack: ExitStack) -> _Part:
    part = _Part(path)
    try:
        for file in find(path):
            stack.enter_context(file)
            if sound := _sound(file):
                part.sound = sound
                break
            part.problem = NotReadyError("the recording is empty so far")
    except BlockedError:
        raise
    except (NotReadyError, RefusedError) as error:
        part.problem = error
    return part


def _sound(file: BinaryIO) -> Sound | None:
    """What the file holds, None when it is nothing so far. Raises RefusedError."""
    sound = wav.read(file) or mp3.read(file)
    if sound is None and size_of(file) >= _EMPTY:
        raise RefusedError("the recording is neither WAV nor MP3 audio: let the PBX record in the format wav")
    return sound if sound is not None and sound.end > sound.begin else None


def _each_once(parts: Sequence[_Part]) -> list[_Part]:
    """Two names may lead to one file."""
    files: dict[tuple[int, int] | str, _Part] = {}
    for part in parts:
        status = os.fstat(part.sound.file.fileno()) if part.sound else None
        files.setdefault((status.st_dev, status.st_ino) if status else part.path, part)
    return list(files.values())


def _wait_for_more(parts: Sequence[_Part], ended_at: float) -> None:
    """Raises NotReadyError while there may come more of it."""
    sounds = [part.sound for part in parts if part.sound]
    if any(sound.growing for sound in sounds):
        raise NotReadyError("the recording is still being written")
    last_written = max((os.fstat(sound.file.fileno()).st_mtime for sound in sounds), default=time.time())
    if time.time() - max(last_written, ended_at) >= _SETTLED_S:
        return
    for part in parts:
        if part.sound is None and isinstance(part.problem, NotReadyError):
            raise part.problem
    if len({sound.format for sound in sounds}) > 1:
        raise NotReadyError("the call's recordings are of different formats so far: one may be converted just now")


def _longest_of_one_format(parts: Sequence[_Part]) -> list[_Part]:
    """The parts to be sent. Raises what keeps the first one back when there is no sound at all."""
    by_format: dict[object, list[_Part]] = {}
    for part in parts:
        if part.sound:
            by_format.setdefault(part.sound.format, []).append(part)
    if not by_format:
        raise next((part.problem for part in parts if isinstance(part.problem, NotReadyError)), parts[0].problem)
    return max(by_format.values(), key=lambda group: sum(part.sound.seconds for part in group if part.sound))


def _why_left(part: _Part) -> str:
    if part.sound is None:
        return str(part.problem)
    form = part.sound.format if isinstance(part.sound.format, (wav.Format, mp3.Format)) else "MP3"
    return f"{form}, {part.sound.seconds:.0f} s: another format than what was sent"
