"""What is ours in somebody else's file: a block between two marks, and single marked lines.

Only whole lines are added and none is changed, so that taking ours away restores the file byte for byte, whatever was
edited around it. Everything works on bytes: the files have any encoding and either line end. A byte order mark stays
the first thing of its file, where Asterisk skips it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

from itgrix_bx.words import Phrase, SpokenError

TAKEN_AWAY = "`itgrix-bx dialplan remove` takes it away"
_BEGIN = re.compile(rb"[;#] >>> itgrix-bx\b(.*)")
_END = re.compile(rb"[;#] <<< itgrix-bx\b")
_LINE = re.compile(rb"[;#] <> itgrix-bx\b(.*)")
ANY = re.compile(rb"[;#] (?:>>>|<<<|<>) itgrix-bx\b")
_NO_END = {b"\n": b"(the line before had no LF)", b"\r\n": b"(the line before had no CR LF)"}
_NEW_FILE = b"(the file is ours)"


class MarkError(SpokenError, ValueError):
    """Marks that do not pair; the text says in which line and what to do."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """A line that is not ours: its number in the file as it is now, and its bytes with the line end."""

    number: int
    raw: bytes


def theirs(data: bytes) -> list[Theirs]:
    """The lines that are not ours. Raises MarkError."""
    kept: list[Theirs] = []
    began, flags, last = 0, b"", b""
    order, data = _order_mark(data)
    for number, raw in enumerate(_lines(data), 1):
        if begin := _BEGIN.match(raw):
            if began:
                raise _unpaired(number, Phrase("a second block of itgrix-bx begins before the first has ended"))
            began, flags = number, begin[1]
        elif _END.match(raw):
            if not began:
                raise _unpaired(number, Phrase("a block of itgrix-bx ends that has not begun"))
            began, last = 0, flags
        elif not began and (single := _LINE.search(raw)):
            last = single[1]
        elif not began:
            kept.append(Theirs(number, raw))
            last = b""
    if began:
        raise _unpaired(began, Phrase("the block of itgrix-bx that begins here has no end"))
    for end, flag in _NO_END.items():
        if flag in last and kept:
            kept[-1] = Theirs(kept[-1].number, kept[-1].raw.removesuffix(end))
    if order:
        kept[:1] = [Theirs(kept[0].number, order + kept[0].raw) if kept else Theirs(1, order)]
    return kept


def without(data: bytes) -> bytes | None:
    """The file as it was before us; None when it was not there. Raises MarkError."""
    rest = b"".join(line.raw for line in theirs(data))
    return None if not rest and is_new(data) else rest


def block(data: bytes) -> str:
    """What stands in our block, "" when there is none; line ends are plain. Raises MarkError."""
    theirs(data)
    _, data = _order_mark(data)
    found = re.search(rb"^[;#] >>> itgrix-bx\b[^\n]*\n(.*?)^[;#] <<< itgrix-bx\b", data, re.S | re.M)
    return found[1].replace(b"\r\n", b"\n").decode("utf-8", "replace") if found else ""


def is_new(data: bytes) -> bool:
    """Whether the file was made by us."""
    return any(_NEW_FILE in begin[1] for begin in map(_BEGIN.match, _lines(_order_mark(data)[1])) if begin)


def with_block(
    data: bytes | None, body: str, *, what: str, at: int | None = None, new: bool = False, sign: str = ";"
) -> bytes:
    """`body` as our block before line index `at`, at the end without it. `new`: the file is ours and goes with it."""
    order, data = _order_mark(data or b"")
    lines, end = _lines(data), line_end(data)
    place = len(lines) if at is None else at
    flags = b" " + _NEW_FILE if new else b""
    before = b"".join(lines[:place])
    if before and not before.endswith(b"\n"):
        before += end
        flags += b" " + _NO_END[end]
    text = f"{sign} >>> itgrix-bx: {what}; {TAKEN_AWAY}".encode() + flags
    inner = [
        text,
        *body.encode("utf-8", "surrogateescape").rstrip(b"\n").split(b"\n"),
        f"{sign} <<< itgrix-bx".encode(),
    ]
    return order + before + b"".join(line + end for line in inner) + b"".join(lines[place:])


def with_lines(data: bytes, additions: Mapping[int, str], *, sign: str = ";") -> bytes:
    """Each text of `additions` as a marked line behind the line of that index."""
    lines, end = _lines(data), line_end(data)
    for index in sorted(additions, reverse=True):
        added = f"{additions[index]} {sign} <> itgrix-bx: {TAKEN_AWAY}".encode("utf-8", "surrogateescape")
        if lines[index].endswith(b"\n"):
            lines.insert(index + 1, added + end)
        else:
            lines[index] += end + added + b" " + _NO_END[end]
    return b"".join(lines)


def line_end(data: bytes) -> bytes:
    """CR LF where most of the file's lines end so."""
    return b"\r\n" if 2 * data.count(b"\r\n") > data.count(b"\n") else b"\n"


def _order_mark(data: bytes) -> tuple[bytes, bytes]:
    """The mark by which Windows' editors begin a file, and the rest."""
    rest = data.removeprefix(codecs.BOM_UTF8)
    return data[: len(data) - len(rest)], rest


def _lines(data: bytes) -> list[bytes]:
    """Only a line feed ends a line, as for Asterisk."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def _unpaired(number: int, what: Phrase) -> MarkError:
    values = {"number": number, "what": what}
    return MarkError(Phrase("line {number}: {what}; delete what is left of it by hand, then run this again", values))
