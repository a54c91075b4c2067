"""What an installation or its removal changes, file by file, before anything is changed."""

from __future__ import annotations

import contextlib
import difflib
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from itgrix_bx.config import Ami
from itgrix_bx.pbx.installer import endpoints, hooks, manager, marks, own_config, plain, reading, system
from itgrix_bx.pbx.installer.copies import Copies
from itgrix_bx.pbx.installer.reading import Line
from itgrix_bx.pbx.installer.steps import Step, wrong
from itgrix_bx.pbx.installer.system import System
from itgrix_bx.pbx.installer.tree import InstallError, Tree, halves, in_file, is_half, replace
from itgrix_bx.words import Phrase

GLOBALS = "globals_custom.conf"
_MAIN = "extensions.conf"
_TOLD = re.compile(r"^; told:(?: --fastagi (\S+))?( --no-ami)?( --internal)?$", re.M)


@dataclass(frozen=True, slots=True)
class Change:
    """`before` None: a new file, with owner and rights of `like`; `after` None: the file goes; `ours`: our own
    configuration, which the service reads at its start."""

    name: str
    path: Path
    before: bytes | None
    after: bytes | None
    like: Path | None = None
    ours: bool = False

    @property
    def said(self) -> Phrase:
        """What is done to which file."""
        values = {"file": self.name}
        if self.before is None:
            return Phrase("make {file}", values)
        return Phrase("delete {file}", values) if self.after is None else Phrase("change {file}", values)

    def diff(self) -> str:
        """Unified, secrets hidden."""
        old, new = (manager.hidden(_readable(text or b"")).splitlines(True) for text in (self.before, self.after))
        was, becomes = ("/dev/null" if text is None else self.name for text in (self.before, self.after))
        lines = difflib.unified_diff(old, new, was, becomes)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _readable(text: bytes) -> str:
    """In the encoding that fits; what ends a line is no matter."""
    plain_ends = text.replace(b"\r\n", b"\n")
    try:
        return plain_ends.decode("utf-8")
    except UnicodeDecodeError:
        return plain_ends.decode("cp1251", "replace")


@dataclass
class Plan:
    """`warnings`: what keeps it from working, or part of it, each with its cure; `notes`: what the administrator should
    know, with nothing to do; `address`: where Asterisk will look for the service; `contexts`: those that must be loaded
    afterwards; `reloads`: the commands for it; `samples`: endpoint -> the context of ours it must come to."""

    tree: Tree
    system: System
    address: str = ""
    changes: list[Change] = field(default_factory=list)
    warnings: list[Step] = field(default_factory=list)
    notes: list[Phrase] = field(default_factory=list)
    chosen: plain.Chosen = field(default_factory=plain.Chosen)
    contexts: list[str] = field(default_factory=list)
    reloads: list[str] = field(default_factory=lambda: ["dialplan reload"])
    samples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """Choices that a later installation and `check` need not be told again, for they stand in the block of the hooks.

    `address`: HOST:PORT of --fastagi, "" without; `ami`: whether a user of the manager is wanted; `internal`: whether
    calls between extensions are reported.
    """

    address: str = ""
    ami: bool = True
    internal: bool = False

    def line(self) -> str:
        """For the block, "" when nothing was told."""
        words = f" --fastagi {self.address}" * bool(self.address)
        words += " --no-ami" * (not self.ami) + " --internal" * self.internal
        return f"; told:{words}\n" if words else ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the administrator asked for. `own_address`: where the service listens by our configuration; `ami`: the
    manager's user there; `config`: the file of our configuration, which learns that user."""

    own_address: str
    told: Told
    ami: Ami
    chosen: plain.Chosen = field(default_factory=plain.Chosen)
    config: Path | None = None

    @property
    def address(self) -> str:
        """Where Asterisk finds the service."""
        return self.told.address or self.own_address


@dataclass
class _Edit:
    """What is put into one file: lines by the index of the line before them, a block at an index (None: at the end)."""

    body: str = ""
    what: str = ""
    at: int | None = None
    lines: dict[int, str] = field(default_factory=dict)


def marked(tree: Tree) -> list[str]:
    """The files that hold something of ours."""
    return [name for name in tree.everything() if not is_half(name) and marks.ANY.search(tree.read(name) or b"")]


def installation(tree: Tree, wishes: Wishes, asterisk: str = "") -> Plan:
    """What `install` would do. Raises InstallError."""
    dialplan = reading.lines(tree, _MAIN)
    if not dialplan:
        values = {"file": tree.named(_MAIN)}
        raise InstallError(Phrase("{file} is not there or empty; name Asterisk's configuration with --etc DIR", values))
    plan = Plan(tree, system.recognise(tree, dialplan, asterisk), wishes.address)
    plan.notes += [
        Phrase("{where} includes a file that leads back here; take the line out", {"where": line.where})
        for line in dialplan
        if line.circular
    ]
    _refuse_clash(plan.system, wishes.address)
    edits: dict[str, _Edit] = {}
    if plan.system.generated:
        _generated(plan, edits, dialplan, wishes)
    else:
        _plain(plan, edits, wishes)
    if wishes.told.ami:
        _manager_user(plan, edits, wishes)
    elif wishes.config is not None:
        plan.changes += _of_config(wishes.config, own_config.without_user(wishes.config))
    plan.changes[:0] = list(_changes(tree, edits))
    plan.reloads += _of_manager(plan)
    return plan


def removal(tree: Tree, config: Path | None = None) -> Plan:
    """What `remove` would do. Raises InstallError."""
    plan = Plan(tree, system.recognise(tree, reading.lines(tree, _MAIN)))
    plan.changes = list(_changes(tree, {}))
    chosen = installed_contexts(tree)
    moved = [entry for entry in endpoints.entries(tree) if entry.context in (*chosen.inbound, *chosen.outbound)]
    # Endpoints leave our contexts before these go.
    plan.reloads = [*endpoints.reloads(moved), *plan.reloads, *_of_manager(plan)]
    if config is not None:
        plan.changes += _of_config(config, own_config.without_user(config))
    return plan


def told(tree: Tree) -> Told | None:
    """What an earlier installation was told, None without one. Raises InstallError."""
    block = _block_of(tree, system.CUSTOM) or _block_of(tree, plain.LIBRARY)
    found = _TOLD.search(block)
    return Told(found[1] or "", not found[2], bool(found[3])) if found else Told() if block else None


def installed_contexts(tree: Tree) -> plain.Chosen:
    """The contexts an earlier installation was told."""
    return plain.installed(_block_of(tree, plain.LIBRARY))


def apply(plan: Plan, copies: Copies) -> Path | None:
    """Do it: all files or none; where the copies are. Raises InstallError."""
    try:
        with plan.tree.alone():
            return _apply(plan, copies)
    except OSError as error:
        raise _not_written(error, plan.tree.etc) from None


def _apply(plan: Plan, copies: Copies) -> Path | None:
    done: list[Change] = []
    try:
        for change in plan.changes:
            if (change.path.read_bytes() if change.path.exists() else None) != change.before:
                meanwhile = Phrase(
                    "{file} was changed by somebody else just now; run this again", {"file": change.name}
                )
                raise InstallError(meanwhile)
        changed = [c.path for c in plan.changes if c.before is not None and not is_half(c.name)]
        shelf = copies.keep(changed) if changed else None
        for change in plan.changes:
            replace(change.path, change.after, change.like)
            done.append(change)
    except OSError:
        for change in reversed(done):
            with contextlib.suppress(OSError):
                replace(change.path, change.before, change.like)
        raise
    return shelf


def _not_written(error: OSError, where: str) -> InstallError:
    values = {"file": error.filename or where, "reason": error.strerror, "cure": _CURES.get(error.errno or 0, _AS_ROOT)}
    return InstallError(Phrase("{file}: {reason}; nothing is changed: {cure}", values))


_AS_ROOT = Phrase("run this as root")
_CURES = {
    errno.ENOSPC: Phrase("make room on the disk, then run this again"),
    errno.EDQUOT: Phrase("make room on the disk, then run this again"),
    errno.EROFS: Phrase("mount it for writing, then run this again"),
    errno.EPERM: Phrase("take its protection away (`lsattr`, `chattr -i`), then run this again"),
    errno.EBUSY: Phrase("it is a mount of its own; mount its directory instead, then run this again"),
}


def _of_manager(plan: Plan) -> list[str]:
    return ["manager reload"] if any("/manager" in change.name for change in plan.changes) else []


# --- the files -----------------------------------------------------------------------------------


def _changes(tree: Tree, edits: dict[str, _Edit]) -> Iterator[Change]:
    of_place = {tree.place(name): (tree.named(name), edit) for name, edit in edits.items()}
    for name in marked(tree):  # two names may lead to one file
        of_place.setdefault(tree.place(name), (name, _Edit()))
    for _, (name, edit) in sorted(of_place.items()):
        before = tree.read(name)
        try:
            after = _edited(before, edit)
        except marks.MarkError as error:
            raise in_file(name, error) from None
        if after != before:
            model = tree.place(manager.MAIN if "manager" in name else _MAIN)
            yield Change(name, tree.place_to_write(name), before, after, model)
    directory = tree.place(tree.etc)
    for path in halves(directory):
        yield Change(tree.named(str(path.relative_to(directory))), path, path.read_bytes(), None)


def _edited(before: bytes | None, edit: _Edit) -> bytes | None:
    base = None if before is None else marks.without(before)
    if edit.lines and base is not None:
        base = marks.with_lines(base, edit.lines)
    if not edit.body:
        return base
    if before is None or marks.is_new(before):  # what somebody added to a file of ours stays behind our block
        return marks.with_block(base, edit.body, what=edit.what, at=0, new=True)
    return marks.with_block(base, edit.body, what=edit.what, at=edit.at)


def _generated(plan: Plan, edits: dict[str, _Edit], dialplan: list[Line], wishes: Wishes) -> None:
    tree = plan.tree
    if wishes.chosen:
        generated = Phrase(
            "--inbound and --outbound are for a plain Asterisk; leave them out on {system}",
            {"system": plan.system.kind},
        )
        raise InstallError(generated)
    unhooked = wishes.told.internal and not plan.system.hooked_extensions
    found = hooks.neighbours(tree, dialplan, internal=unhooked)
    plan.warnings += found.warnings
    plan.notes += [
        Phrase(
            "your [{hook}] in {file} would hide ours: ours comes first now and calls it", {"hook": hook, "file": where}
        )
        for hook, where in found.chained.items()
    ]
    edits |= {name: _Edit(lines=lines) for name, lines in found.moved.items()}
    custom = edits.setdefault(tree.named(system.CUSTOM), _Edit())
    custom.body = wishes.told.line() + hooks.render(plan.system, wishes.address, found, internal=unhooked)
    custom.what, custom.at = "the hooks", reading.first_section(tree, system.CUSTOM)
    if settings := _missing_globals(plan, dialplan, internal=wishes.told.internal and not unhooked):
        edits[tree.named(GLOBALS)] = _Edit(body=settings, what="settings of the hooks")
    used = (hooks.INBOUND, *sorted(plan.system.hooks), *[hooks.INTERNAL] * unhooked)
    plan.contexts = [hook for hook in used if hook not in found.left]
    for name in (system.CUSTOM, *([GLOBALS] if settings else [])):
        _look_for_include(plan, dialplan, name)
    if unhooked and not any(line.pair() == ("include", hooks.INTERNAL) for line in dialplan):
        elsewhere = Phrase("what phones dial does not come by [{context}]", {"context": hooks.INTERNAL})
        plan.warnings.append(Step(elsewhere, False, Phrase("internal calls are not reported")))


def _missing_globals(plan: Plan, dialplan: list[Line], *, internal: bool) -> str:
    there = {line.pair() for line in dialplan if line.section == "globals"}
    due = [*plan.system.globals, *["B24_INTERNAL = 1"] * internal]
    wanted = [text for text in due if _pair(text) not in there]
    return "".join(f"{text}\n" for text in wanted)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(" = ")
    return name.lower(), value


def _look_for_include(plan: Plan, found: list[Line], name: str) -> None:
    whole = plan.tree.named(name)
    includes = (re.match(r'#(?:try)?include\s+["<]?([^">]+)', line.text, re.I) for line in found)
    if not any(whole in plan.tree.matching(include[1].strip()) for include in includes if include):
        values = {"file": name, "system": plan.system.kind}
        unread = Phrase("nothing includes {file}, so Asterisk does not read it", values)
        cure = Phrase(
            "put `#include {file}` back where {system} has it (it generates those files; its own update or reload does "
            "that)",
            values,
        )
        plan.warnings.append(wrong(unread, cure))


def _plain(plan: Plan, edits: dict[str, _Edit], wishes: Wishes) -> None:
    tree = plan.tree
    if tree.read(plain.LIBRARY) and not _block_of(tree, plain.LIBRARY):
        by_hand = Phrase(
            "{file} was put there by hand; use those hooks, or delete it and its #include and run this again",
            {"file": tree.named(plain.LIBRARY)},
        )
        raise InstallError(by_hand)
    found = endpoints.entries(tree)
    plan.chosen = wishes.chosen.or_else(installed_contexts(tree)) or _guessed(plan, endpoints.places(found))
    for file, lines in plain.redirected(found, plan.chosen).items():
        edits[file] = _Edit(lines=lines)
    contexts = plain.render(wishes.address, plan.chosen, internal=wishes.told.internal)
    edits[plain.LIBRARY] = _Edit(wishes.told.line() + contexts, "the hooks")
    at = reading.first_section(tree, plain.DIALPLAN)
    edits[tree.named(plain.DIALPLAN)] = _Edit(body=f'#include "{plain.LIBRARY}"\n', what="the hooks", at=at)
    plan.warnings += plain.gaps(plan.chosen)
    moved = [entry for entry in found if plain.target(entry, plan.chosen)]
    plan.reloads += endpoints.reloads(moved)
    for entry in moved:
        for name in (*entry.trunks[:1], *entry.phones[:1]):
            plan.samples[name] = plain.target(entry, plan.chosen)
    plan.contexts = [f"b24-in-{c}" for c in plan.chosen.inbound] + [f"b24-out-{c}" for c in plan.chosen.outbound]


def _guessed(plan: Plan, places: list[endpoints.Place]) -> plain.Chosen:
    chosen = plain.guessed(places)
    if not chosen:
        raise _undecided(places)
    plan.warnings += [
        wrong(
            Phrase("{context} is left out: trunks and phones share it", {"context": place.context}),
            Phrase("name it with --inbound and --outbound"),
        )
        for place in places
        if place.trunks and place.phones
    ]
    return chosen


def _undecided(places: list[endpoints.Place]) -> InstallError:
    if not places:
        return InstallError(
            Phrase(
                "no endpoint in pjsip.conf, pjsip_wizard.conf or sip.conf names a context; set context= there, or put "
                "the hooks into the dialplan by hand: `itgrix-bx dialplan show site`"
            )
        )
    there = {"contexts": plain.described(places)}
    return InstallError(
        Phrase("say to which contexts trunks and phones come, --inbound and --outbound; there are {contexts}", there)
    )


def _block_of(tree: Tree, name: str) -> str:
    try:
        return marks.block(tree.read(name) or b"")
    except marks.MarkError as error:
        raise in_file(tree.named(name), error) from None


def _refuse_clash(found: System, address: str) -> None:
    host, _, port = address.rpartition(":")
    theirs = found.own_fastagi or found.kind == system.FREEPBX  # since 14 it is there, used or not
    if theirs and port == "4573" and host in ("127.0.0.1", "localhost"):
        taken = Phrase(
            "port 4573 belongs to {system}'s own FastAGI server, which our calls would end; "
            'set [fastagi] listen = "127.0.0.1:4575", restart the service, then run this again',
            {"system": found.kind},
        )
        raise InstallError(taken)


# --- the manager's user --------------------------------------------------------------------------


def _manager_user(plan: Plan, edits: dict[str, _Edit], wishes: Wishes) -> None:
    tree = plan.tree
    file = manager.CUSTOM if plan.system.generated else manager.MAIN
    if not (there := reading.lines(tree, manager.MAIN)):
        return  # no manager, no user
    ours = own_config.manager_user(wishes.config)
    configured = wishes.ami.username if not ours else ""
    name = configured or manager.USERNAME
    if theirs := manager.of_user(there, name):
        if not configured:
            already = Phrase("{where}: there is a user {name} already", {"where": theirs.where, "name": name})
            plan.warnings.append(wrong(already, Phrase("put its name and secret into [ami]")))
        return
    if not configured and wishes.config is None:
        unmade = Phrase("no configuration file, so no manager user is made")
        plan.warnings.append(wrong(unmade, Phrase("run `itgrix-bx setup`, then `itgrix-bx dialplan install`")))
        return
    secret = wishes.ami.secret.get_secret_value() if configured else ours or manager.new_secret()
    edits[tree.named(file)] = _Edit(body=manager.block(name, secret, wishes.address), what="the service's user")
    if plan.system.generated:
        _look_for_include(plan, there, file)
    if not manager.is_on(there):
        cure = Phrase("set enabled = yes in [general] of {file}", {"file": tree.named(manager.MAIN)})
        plan.warnings.append(wrong(Phrase("the manager is off"), cure))
    if not configured and wishes.config is not None:
        plan.changes += _of_config(wishes.config, own_config.with_user(wishes.config, name, secret))


def _of_config(config: Path, after: bytes) -> list[Change]:
    before, path = config.read_bytes(), config.resolve()
    left = [half for half in halves(path.parent, deep=False) if half.name.startswith(f".{path.name}.")]
    changes = [Change(str(half), half, half.read_bytes(), None) for half in left]
    return [Change(str(config), path, before, after, ours=True), *changes] if after != before else changes
