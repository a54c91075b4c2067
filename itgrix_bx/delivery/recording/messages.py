"""Where a voice message is. Every box has a msg0000, and deleting one renumbers the rest: only the very file counts
that Asterisk named, and only if it was written in the time of the call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from itgrix_bx.delivery.recording.places import SKEW_S, Places
from itgrix_bx.delivery.recording.problems import RefusedError


class Messages:
    """The `[recordings] voicemail_directory`, "" where none are wanted."""

    def __init__(self, directory: str) -> None:
        key, cure = "voicemail_directory", "mount it under the name it has there"
        self._places = Places(Path(directory), key=key, if_otherwise=cure) if directory else None

    def files(self, said: str, since: float, until: float) -> Iterator[BinaryIO]:
        """The message `said` (no ending) of a call between the two, in each of its formats, open.

        The caller closes them. Raises RefusedError, BlockedError.
        """
        if self._places is None:
            raise RefusedError("the recording is a voice message, and [recordings] voicemail_directory is not set")
        for file in self._places.named(said):
            if since - SKEW_S <= os.fstat(file.fileno()).st_mtime <= until + SKEW_S:
                yield file
            else:
                file.close()
