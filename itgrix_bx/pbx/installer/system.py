"""Which phone system this is: who generated its dialplan, how that calls its parts, which hooks it has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from itgrix_bx.pbx.installer.reading import Line
from itgrix_bx.pbx.installer.tree import Tree
from itgrix_bx.words import Phrase, as_is

FREEPBX, ISSABEL, ELASTIX, PLAIN = "FreePBX", "Issabel", "Elastix", "plain Asterisk"
GENERATED = "extensions_additional.conf"
CUSTOM = "extensions_custom.conf"
# What FreePBX calls before it dials; Issabel and Elastix have only the first.
PREDIAL = (
    "macro-dialout-trunk-predial-hook",
    "macro-dialout-one-predial-hook",
    "macro-dial-ringall-predial-hook",
    "macro-dial-hunt-predial-hook",
)
_CALLED = re.compile(r"(?:\bMacro\(|\bGosub\(macro-)([a-z-]+-predial-hook)\b")
_OWN_AGI = re.compile(r"\bagi://(?:127\.0\.0\.1|localhost)(?::4573)?/", re.I)
_VERSION = re.compile(r"\b(\d{1,2}(?:\.\d+)+\S*)")


@dataclass(frozen=True, slots=True)
class System:
    """`gosub`: its parts are called by Gosub (FreePBX 17), not by Macro; `hooks`: those it calls before it dials;
    `asterisk`: Asterisk's version, "" when it is not known; `own_fastagi`: it calls its own server on 4573."""

    kind: str
    gosub: bool = False
    hooks: frozenset[str] = frozenset()
    asterisk: str = ""
    own_fastagi: bool = False

    @property
    def generated(self) -> bool:
        return self.kind != PLAIN

    @property
    def globals(self) -> list[str]:
        """The settings of the hooks that this system needs."""
        macro = [] if self.gosub else ["B24_MACRO = 1"]
        return macro + ([] if self.hooked_extensions else ["B24_DIALOPT = 1"])

    @property
    def hooked_extensions(self) -> bool:
        """Whether it calls a hook before it dials an extension."""
        return "macro-dialout-one-predial-hook" in self.hooks

    @property
    def said(self) -> Phrase:
        """The system in one line."""
        version = Phrase("Asterisk {version}", {"version": self.asterisk})
        values = {"name": self._name, "asterisk": version if self.asterisk else Phrase("Asterisk of unknown version")}
        if not self.generated:
            return Phrase("plain Asterisk; {asterisk}", values)
        if self.gosub:
            return Phrase("{name}, its dialplan calls by Gosub; {asterisk}", values)
        return Phrase("{name}, its dialplan calls by Macro; {asterisk}", values)

    @property
    def _name(self) -> Phrase:
        if self.kind != FREEPBX:
            return as_is(self.kind)
        return Phrase("FreePBX 17 or later") if self.gosub else Phrase("FreePBX 13-16")


def recognise(tree: Tree, dialplan: list[Line], asterisk: str = "") -> System:
    """What the files show. `asterisk`: what the running one said of its version."""
    if not tree.exists(GENERATED) or not any(line.section == "from-pstn" for line in dialplan):
        return System(PLAIN, asterisk=asterisk or _packaged(tree))
    theirs = [line.text for line in dialplan if line.file != tree.named(CUSTOM)]
    calls = {f"macro-{name}" for text in theirs for name in _CALLED.findall(text)}
    return System(
        _product(tree),
        gosub=any("Gosub(macro-" in text for text in theirs),
        hooks=frozenset(calls & set(PREDIAL)),
        asterisk=asterisk or _told(dialplan) or _packaged(tree),
        own_fastagi=any(_OWN_AGI.search(text) for text in theirs),
    )


def version_in(text: str) -> str:
    """ "22.10.1" of what `core show version` prints."""
    found = _VERSION.search(text)
    return found[1] if found else ""


def _product(tree: Tree) -> str:
    if tree.exists("/etc/elastix.conf") or tree.exists("extensions_override_elastix.conf"):
        return ELASTIX
    issabel = ("/etc/issabel.conf", "extensions_override_issabelpbx.conf", "extensions_override_issabel.conf")
    return ISSABEL if any(tree.exists(name) for name in issabel) else FREEPBX


def _told(dialplan: Iterable[Line]) -> str:
    """FreePBX writes Asterisk's version into its globals."""
    pairs = (line.pair() for line in dialplan if line.section == "globals")
    return next((value for key, value in pairs if key == "astversion"), "")


def _packaged(tree: Tree) -> str:
    """By Debian's list of packages: what can be known of a system that does not run."""
    status = (tree.read("/var/lib/dpkg/status") or b"").decode("utf-8", "replace")
    found = re.search(r"^Package: asterisk\n(?:.+\n)*?Version: (?:\d+:)?([\d.]+)", status, re.M)
    return found[1] if found else ""
