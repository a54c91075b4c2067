"""A multipart/form-data body, as far as an upload needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_ATTRIBUTE = re.compile(r'\b(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part; `filename` is empty for a plain field."""

    name: str
    filename: str
    content: bytes


def parse(content_type: str, body: bytes) -> list[Part]:
    """The parts of a body; none when there is no boundary or no end."""
    match = _BOUNDARY.search(content_type)
    if not match:
        return []
    boundary = b"--" + (match[1] or match[2]).encode("utf-8", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        return []
    parts = (_part(piece) for piece in pieces[1:-1])
    return [part for part in parts if part]


def _part(piece: bytes) -> Part | None:
    head, separator, content = piece.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    disposition = next((line for line in lines if line.lower().startswith("content-disposition:")), "")
    attributes = {name.lower(): value for name, value in _ATTRIBUTE.findall(disposition)}
    if not separator or "name" not in attributes:
        return None
    return Part(attributes["name"], attributes.get("filename", ""), content)
