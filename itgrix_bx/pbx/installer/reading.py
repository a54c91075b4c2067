"""Asterisk's configuration files as Asterisk reads them, #includes in their place, without what is ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from itgrix_bx.pbx.installer import marks
from itgrix_bx.pbx.installer.tree import Tree, in_file

_SIGN = re.compile(r"\\;|(?P<opens>;--(?!-))|(?P<closes>--;)|(?P<rest>;)")
_HEADER = re.compile(r"\[([^\]]*)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"""#(?:try)?include\s+["<]?([^">]+)""", re.I)
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A line of somebody else: `number` in the file as it is, `index` in it without what is ours."""

    file: str
    number: int
    index: int
    section: str
    text: str

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
    return list(_read(tree, tree.named(name), "", 0))


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


def _read(tree: Tree, name: str, section: str, depth: int) -> Iterator[Line]:
    for line in _texts(tree, name):
        if header := line.header:
            section = header[1]
        if (include := _INCLUDE.match(line.text)) and depth < _DEEPEST:
            yield Line(name, line.number, line.index, section, line.text)
            for included in tree.matching(include[1].strip()):
                yield from _read(tree, included, section, depth + 1)
        else:
            yield Line(name, line.number, line.index, section, line.text)


def _texts(tree: Tree, name: str) -> Iterator[Line]:
    """The lines of one file without comments."""
    depth = 0
    for index, line in enumerate(own_lines(tree, name)):
        text, depth = _spoken(line.raw.decode("latin-1"), depth)
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
