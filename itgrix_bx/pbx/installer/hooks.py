"""The hooks of a generated dialplan (FreePBX, Issabel, Elastix): the shipped file, and how it lives with others.

The first definition of an extension wins in Asterisk, and a user's pattern may be better than ours, so two bodies of
one hook cannot stand side by side. A marked header line behind the user's own moves his body, untouched, into a context
of another name; ours has the hook's name and calls his.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources

from itgrix_bx.pbx.installer.reading import Line
from itgrix_bx.pbx.installer.steps import Step, wrong
from itgrix_bx.pbx.installer.system import CUSTOM, GENERATED, PREDIAL, System
from itgrix_bx.pbx.installer.tree import InstallError, Tree
from itgrix_bx.words import Phrase

INBOUND = "from-pstn-custom"
INTERNAL = "from-internal-noxfer-custom"  # what phones dial, where no hook comes before an extension
SHIPPED_ADDRESS = "127.0.0.1:4575"
_STOCK = ("extensions.conf", GENERATED)
_ENDING = re.compile(r",(?:MacroExit|Return|NoOp)(?:\(\))?$", re.I)
_STOCK_NAMES = re.compile(r"extensions_(?:additional|override_(?:issabel|elastix)).*\.conf$")


@dataclass
class Neighbours:
    """Who else uses the hooks. `chained`: hook -> the file with the user's body; `moved`: file -> line index -> the
    header line to add; `left`: hooks that are not ours to take; `warnings` say why, and the cure."""

    chained: dict[str, str] = field(default_factory=dict)
    moved: dict[str, dict[int, str]] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    warnings: list[Step] = field(default_factory=list)


def shipped(name: str, address: str) -> str:
    """A shipped file with the service's address."""
    text = resources.files("itgrix_bx.dialplan").joinpath(name).read_text(encoding="utf-8")
    return text.replace(f"agi://{SHIPPED_ADDRESS}", f"agi://{address}")


def neighbours(tree: Tree, dialplan: list[Line], *, internal: bool = False) -> Neighbours:
    """The user's own bodies of the hooks, in whatever file they are; `internal`: that of INTERNAL, too.

    Raises InstallError for hooks pasted by hand.
    """
    if pasted := next((line for line in dialplan if line.header and line.section == "b24-agi"), None):
        by_hand = Phrase(
            "{where}: the hooks were pasted here by hand; delete them from this file, then run this again",
            {"where": pasted.where},
        )
        raise InstallError(by_hand)
    found = Neighbours()
    for hook in (INBOUND, *PREDIAL, *[INTERNAL] * internal):
        body = [line for line in dialplan if line.section == hook]
        speaking = {line.file for line in body if _says(tree, line)}
        if headers := [line for line in body if line.header and line.file in speaking]:
            _chain(tree, dialplan, hook, headers, found)
    return found


def _says(tree: Tree, line: Line) -> bool:
    """Whether a body does anything: the stock hooks, which are read after ours, only end."""
    stock = line.file == tree.named(_STOCK[0]) and _ENDING.search(line.text)
    return not line.header and not line.text.startswith("#") and not stock


def _chain(tree: Tree, dialplan: list[Line], hook: str, headers: list[Line], found: Neighbours) -> None:
    obstacle = next(filter(None, (_obstacle(tree, line) for line in headers)), None) or _jumps(dialplan, hook)
    if obstacle:
        found.left.add(hook)
        found.warnings.append(obstacle)
        return
    found.chained[hook] = headers[0].file
    for line in headers:
        options = line.header[2] if line.header else None
        added = f"[{their(hook)}]" + (f"({options})" if options else "")
        found.moved.setdefault(line.file, {})[line.index] = added


def _obstacle(tree: Tree, line: Line) -> Step | None:
    """Why this body cannot be moved, and what to do; None when it can."""
    options = line.header[2] if line.header else None
    values = {"where": line.where, "hook": line.section, "lost": _lost(line.section), "options": options}
    if _is_stock(tree, line.file):
        theirs = Phrase("{where}: [{hook}] is in a file that is not the user's, so {lost}", values)
        return wrong(theirs, Phrase("move it to {file} and run `itgrix-bx dialplan install`", {"file": CUSTOM}))
    if options and options.strip() not in ("+", "!"):
        inherits = Phrase("{where}: [{hook}] takes lines from ({options}), so {lost}", values)
        return wrong(inherits, Phrase("write them out and run `itgrix-bx dialplan install`"))
    return None


def _lost(hook: str) -> Phrase:
    """What a hook that is left to its owner does not report."""
    if hook == INBOUND:
        return Phrase("inbound calls are not reported")
    if hook == PREDIAL[0]:
        return Phrase("outbound calls are not reported")
    if hook == INTERNAL:
        return Phrase("internal calls are not reported")
    return Phrase("who rings and who answers is not reported")


def _is_stock(tree: Tree, file: str) -> bool:
    of_a_module = "modules" in tree.place(file).parts  # where FreePBX's own files are links to
    return file in map(tree.named, _STOCK) or bool(_STOCK_NAMES.search(file)) or of_a_module


def _jumps(dialplan: Iterable[Line], hook: str) -> Step | None:
    """A body that jumps to itself by name would come to ours."""
    for line in dialplan:
        called = re.search(rf"\b(?:Goto|GotoIf|Gosub|GosubIf)\(.*\b{re.escape(hook)},", line.text, re.I)
        if called and line.section == hook:
            values = {"where": line.where, "hook": hook, "lost": _lost(hook)}
            jumps = Phrase("{where}: [{hook}] jumps to itself by its name, so {lost}", values)
            return wrong(jumps, Phrase("leave the name out there and run `itgrix-bx dialplan install`"))
    return None


def their(hook: str) -> str:
    """Where the user's body of `hook` stands; a Macro's context must begin with macro-."""
    return f"macro-b24-their-{hook.removeprefix('macro-')}" if hook.startswith("macro-") else f"b24-their-{hook}"


def _ours(hook: str) -> str:
    return f"macro-b24-own-{hook.removeprefix('macro-')}"


def render(system: System, address: str, found: Neighbours, *, internal: bool = False) -> str:
    """The block for extensions_custom.conf; `internal`: with the hook INTERNAL."""
    text = shipped("extensions_custom.conf", address)
    if internal:
        text += "\n" + shipped("extensions_internal.conf", address)
    before = [CHECK]
    for hook, where in found.chained.items():
        if hook == INBOUND:
            before.append(f"[b24-from-pstn]                 ; yours ({where}) comes right after ours\n")
            before.append(f"include => {their(hook)}\n\n")
        elif hook == INTERNAL:  # feature codes come to his at once, numbers by way of ours
            for context in (INTERNAL, "b24-from-internal"):
                before.append(f"[{context}]       ; with yours ({where})\n")
                before.append(f"include => {their(hook)}\n\n")
        else:
            before.append(_both(system, hook, where))
            text = _renamed(text, hook, _ours(hook))
    for hook in found.left:
        text = _renamed(text, hook, f"b24-unused-{hook}")
    return "".join(before) + text


def _renamed(text: str, context: str, name: str) -> str:
    changed, count = re.subn(rf"^\[{re.escape(context)}\]", f"[{name}]", text, flags=re.M)
    if not count:
        damaged = Phrase("the shipped dialplan has no [{context}]; install this program again", {"context": context})
        raise InstallError(damaged)
    return changed


def _both(system: System, hook: str, where: str) -> str:
    """The user's body first: it may decide that this trunk is not taken."""
    bypassed = ' same => n,GotoIf($["${PREDIAL_HOOK_RET}"="BYPASS"]?end)\n' if hook == PREDIAL[0] else ""
    return (
        f"[{hook}]          ; yours ({where}), then ours\n"
        f"exten => s,1,{_call(system, their(hook))}\n"
        f"{bypassed}"
        f" same => n,{_call(system, _ours(hook))}\n"
        f" same => n(end),{'Return()' if system.gosub else 'NoOp()'}\n\n"
    )


def _call(system: System, context: str) -> str:
    return f"Gosub({context},s,1())" if system.gosub else f"Macro({context.removeprefix('macro-')})"


# `dialplan check` calls it: the service knows the id for no call, and neither end of the call leaves a record.
CHECK = """\
[b24-check]
exten => s,1,Set(CDR_PROP(disable)=1)
 same => n,Answer()
 same => n,Wait(30)
exten => _X.,1,Set(CDR_PROP(disable)=1)
 same => n,Gosub(b24-agi,inbound,1(b24-check-${EXTEN},,))
 same => n,Set(GLOBAL(B24_CHECK)=${EXTEN}:${B24_RC}:${B24_STATE})
 same => n,Hangup()

"""
