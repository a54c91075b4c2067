"""Asterisk's configuration files as Asterisk reads them, #includes in their place, without what is ours."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from itgrix_bx.pbx.installer import marks
from itgrix_bx.pbx.installer.tree import InstallError, Tree, in_file
from itgrix_bx.words import Phrase

_SIGN = re.compile(r"\\;|(?P<opens>;--(?!-))|(?P<closes>--;)|(?P<rest>;)")
_HEADER = re.compile(r"\[([^\]]*)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"""#(?:try)?include\s+["<]?([^">]+)""", re.I)
_MOST_FILES = 2000  # files that include each other by wildcards would have us read for ever


@dataclass(frozen=True, slots=True)
class Line:
    """A line of somebody else: `number` in the file as it is, `index` in it without what is ours; `circular`: it
    includes a file that includes it."""

    file: str
    number: int
    index: int
    section: str
    text: str
    circular: bool = False

    @property
    def header(self) -> re.Match[str] | None:
        """Set in the line that begins a section: its name, and what stands in parentheses."""
        return _HEADER.match(self.text)

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    def pair(self) -> tuple[str, str]:
        """("context", "from-trunk") of `context=from-trunk`."""
        key, _, value = self.text.partition("=")
        return key.strip().lower(), value.removeprefix(">").strip()


def lines(tree: Tree, name: str) -> list[Line]:
    """Every line that says something, in the order in which Asterisk reads them. Raises InstallError."""
    return list(_Reader(tree).read(tree.named(name), "", ()))


def own_lines(tree: Tree, name: str) -> list[marks.Theirs]:
    """The lines of one file that are not ours. Raises InstallError."""
    try:
        return marks.theirs(tree.read(name) or b"")
    except marks.MarkError as error:
        raise in_file(tree.named(name), error) from None


def first_section(tree: Tree, name: str) -> int | None:
    """The index of the first section's line, None without one: what stands before it belongs to an earlier file."""
    found = (line.index for line in _texts(tree, tree.named(name)) if line.header)
    return next(found, None)


class _Reader:
    """Follows each #include, but never into a file it comes from, where Asterisk goes ten rounds."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._left = _MOST_FILES

    def read(self, name: str, section: str, way: tuple[str, ...]) -> Iterator[Line]:
        way, self._left = (*way, name), self._left - 1
        if self._left < 0:
            values = {"file": name}
            endless = Phrase("{file} is included without end; take its #include out, then run this again", values)
            raise InstallError(endless)
        for line in _texts(self._tree, name):
            section = line.header[1] if line.header else section
            include = _INCLUDE.match(line.text)
            names = self._tree.matching(include[1].strip()) if include else []
            yield replace(line, section=section, circular=any(included in way for included in names))
            for included in names:
                if included not in way:
                    yield from self.read(included, section, way)


def _texts(tree: Tree, name: str) -> Iterator[Line]:
    """The lines of one file without comments."""
    depth = 0
    for index, line in enumerate(own_lines(tree, name)):
        text, depth = _spoken(line.raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape"), depth)
        if text.strip():
            yield Line(name, line.number, index, "", text.strip())


def _spoken(text: str, depth: int) -> tuple[str, int]:
    """(what is no comment, how deep in `;-- --;` its end is)."""
    kept, at = "", 0
    for sign in _SIGN.finditer(text):
        if not depth:
            kept += text[at : sign.start()]
        at = sign.end()
        if sign["opens"]:
            depth += 1
        elif sign["closes"]:
            # Outside of a comment `--;` is two signs of minus and the beginning of one.
            if not depth:
                return kept + "--", 0
            depth -= 1
        elif not depth and sign["rest"]:
            return kept, 0
        elif not depth:
            kept += ";"
    return (kept if depth else kept + text[at:]), depth
