"""The body of a file upload, read from disk while it is sent."""

from __future__ import annotations

import io
import os
import re
import secrets
from pathlib import Path

from bx24client.errors import FileRefused

_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,198}\.(?:wav|mp3)")


def check_filename(filename: str) -> str:
    """The name as it may be sent: plain characters, lower-case `.wav` or `.mp3`. Raises FileRefused.

    The portal refuses other endings in its own language, so better here and in ours.
    """
    if not _FILENAME.fullmatch(filename):
        raise FileRefused(description="the file name must be plain letters and digits ending in .wav or .mp3")
    return filename


class Multipart:
    """One file as multipart/form-data. A file on disk is sent with the size it has now.

    Raises OSError when the file cannot be read, FileRefused when it is empty or badly named.
    """

    def __init__(self, field: str, filename: str, source: Path | bytes) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", field):
            raise FileRefused(description="the portal names an odd field for the upload")
        boundary = secrets.token_hex(16)
        self._source = source
        self._size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
        if not self._size:
            raise FileRefused(description="the recording is empty")
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
            f'filename="{check_filename(filename)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def open(self) -> io.RawIOBase:
        """A fresh stream over head, file and tail."""
        return _Parts(self._head, self._source, self._size, self._tail)


class _Parts(io.RawIOBase):
    def __init__(self, head: bytes, source: Path | bytes, size: int, tail: bytes) -> None:
        super().__init__()
        self._head, self._tail = io.BytesIO(head), io.BytesIO(tail)
        self._file = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115
        self._left = size

    def close(self) -> None:
        self._file.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        wanted = 1 << 30 if size is None or size < 0 else size
        if chunk := self._head.read(wanted):
            return chunk
        if self._left:
            return self._of_file(wanted)
        self._file.close()
        return self._tail.read(wanted)

    def _of_file(self, wanted: int) -> bytes:
        chunk = self._file.read(min(wanted, self._left))
        if not chunk:
            # Stopping here leaves the request incomplete, so the portal cannot take half a recording.
            raise OSError("the recording became shorter while it was sent")
        self._left -= len(chunk)
        return chunk
