"""`itgrix-bx dialplan show|install|check|remove`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from itgrix_bx.cli.common import LANG, Context, Group, echo_json, printable
from itgrix_bx.config import Settings, locate, split_address
from itgrix_bx.pbx.installer import plan as planning
from itgrix_bx.pbx.installer.advice import advice, is_here
from itgrix_bx.pbx.installer.checking import check, reload
from itgrix_bx.pbx.installer.console import Reached, console
from itgrix_bx.pbx.installer.copies import COPIES, Copies
from itgrix_bx.pbx.installer.hooks import shipped
from itgrix_bx.pbx.installer.plain import Chosen
from itgrix_bx.pbx.installer.plan import Plan, Told, Wishes
from itgrix_bx.pbx.installer.steps import Step
from itgrix_bx.pbx.installer.system import version_in
from itgrix_bx.pbx.installer.tree import ETC, InstallError, Tree, unreadable
from itgrix_bx.words import Phrase

_FILES = {
    "plain": "itgrix-bx.conf",
    "site": "extensions.conf",
    "freepbx": "extensions_custom.conf",
    "internal": "extensions_internal.conf",
}
_MARKS = {True: "✔", False: "✘", None: "–"}

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _where(command: _Command) -> _Command:
    """The options that say which system is meant."""
    etc = click.option("--etc", metavar="DIR", default=ETC, show_default=True, help="Asterisk's configuration.")
    root = click.option(
        "--root",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path("/"),
        help="Work on the files of another system, mounted or copied to DIR; nothing is reloaded.",
    )
    return root(etc(LANG(command)))


def _doing(command: _Command) -> _Command:
    """The options of what changes files."""
    yes = click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
    dry_run = click.option("--dry-run", is_flag=True, help="Print what would change as a diff, and change nothing.")
    copies = click.option(
        "--copies",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(COPIES),
        show_default=True,
        help="Where the files as they were are kept.",
    )
    return yes(dry_run(copies(command)))


@click.group(cls=Group)
def dialplan() -> None:
    """The dialplan hooks: put them in, prove them, take them away."""


@dialplan.command()
@click.argument("kind", type=click.Choice(list(_FILES)), default="plain")
@LANG
@click.pass_obj
def show(context: Context, kind: str) -> None:
    """Print the hooks, ready to paste, with this configuration's address.

    \b
    plain    the subroutines for plain Asterisk 13-22 (include it from extensions.conf)
    site     a small plain site that uses them
    freepbx  for FreePBX 13-17 and Issabel 4/5 (extensions_custom.conf)
    internal the same for calls between extensions on Issabel (behind it)
    """
    click.echo(shipped(_FILES[kind], _address(context.settings())), nl=False)


@dialplan.command()
@_doing
@_where
@click.option(
    "--fastagi",
    metavar="HOST:PORT",
    help="Where Asterisk finds the service; else as told before, or by [fastagi] listen.",
)
@click.option("--inbound", metavar="CONTEXT", multiple=True, help="Plain Asterisk: a context= of trunks (repeatable).")
@click.option("--outbound", metavar="CONTEXT", multiple=True, help="Plain Asterisk: a context= of phones (repeatable).")
@click.option("--ami/--no-ami", default=None, help="Whether to make a user for Asterisk's manager.  [default: --ami]")
@click.option(
    "--internal/--no-internal",
    default=None,
    help="Whether to report calls between extensions (`numbers internal on`).  [default: --no-internal]",
)
@click.pass_obj
def install(
    context: Context, yes: bool, dry_run: bool, copies: Path, root: Path, etc: str, fastagi: str | None,
    inbound: tuple[str, ...], outbound: tuple[str, ...], ami: bool | None, internal: bool | None,
) -> None:  # fmt: skip
    """Put the hooks into the PBX's own custom files, reload, and prove them with a call.

    Nothing generated is edited, what is there stays as it is, and `dialplan remove` restores every file byte for byte.
    Run it again after an update or a change: it does only what is missing. What an option said the first time need not
    be said again.
    """
    tree = _tree(root, etc)
    address = _told_address(context, fastagi)
    with _plainly(context), _asterisk(context, tree) as reached:
        earlier = planning.told(tree) or Told()
        choices = Told(
            address or earlier.address,
            earlier.ami if ami is None else ami,
            earlier.internal if internal is None else internal,
        )
        plan = _planned(context, tree, choices, reached, Chosen(inbound, outbound))
        if tree.foreign and is_here(plan.address):
            itself = Phrase(
                "that system will look for the service on itself ({address}); else say --fastagi HOST:PORT",
                {"address": plan.address},
            )
            plan.notes.append(itself)
        _describe(context, plan)
        shelf = _carry_out(context, plan, Copies(copies, tree), reached, yes=yes, dry_run=dry_run)
        if dry_run:
            return
        if shelf is not None:
            context.say(Phrase("The files as they were are in {directory}.", {"directory": shelf}))
        for line in advice(plan.system, plan.address):
            context.say(line)
        if reached.console is not None:
            click.echo("")
            _report(context, check(_planned(context, tree, choices, reached), reached))
        elif any(step.ok is False for step in plan.warnings):
            sys.exit(1)


@dialplan.command("check")
@_where
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_obj
def check_command(context: Context, root: Path, etc: str, as_json: bool) -> None:
    """Prove that the hooks work: files, what Asterisk has loaded, and a call through the service.

    The call is one of a Local channel, nobody's phone rings, and nothing is registered in the CRM. Exit code 1 when
    something is wrong; each line says the cure.
    """
    tree = _tree(root, etc)
    with _plainly(context), _asterisk(context, tree) as reached:
        choices = planning.told(tree)
        if choices is None:
            values = {"directory": tree.named("")}
            missing = Phrase("the hooks are not installed in {directory}; run `itgrix-bx dialplan install`", values)
            raise context.problem(missing)
        _report(context, check(_planned(context, tree, choices, reached), reached), as_json=as_json)


@dialplan.command()
@_doing
@_where
@click.pass_obj
def remove(context: Context, yes: bool, dry_run: bool, copies: Path, root: Path, etc: str) -> None:
    """Take the hooks away again: every file is as it was, but for what you changed yourself since.

    Copies that `install` kept are deleted where the file itself holds the same again.
    """
    tree = _tree(root, etc)
    with _plainly(context), _asterisk(context, tree) as reached:
        kept = Copies(copies, tree)
        _carry_out(context, planning.removal(tree, locate(context.config)), kept, reached, yes=yes, dry_run=dry_run)
        if not dry_run:
            _clear(context, kept)


def _clear(context: Context, kept: Copies) -> None:
    try:
        left = kept.clear()
    except OSError as error:
        values = {"file": error.filename, "reason": error.strerror}
        raise context.problem(Phrase("{file} cannot be deleted ({reason}); delete it as root", values)) from None
    if left is not None:
        older = Phrase(
            "Older copies of files that you have changed since are left in {directory}; "
            "delete them when you do not need them.",
            {"directory": left},
        )
        context.say(older)


# --- what the commands share -----------------------------------------------------------------------


def _describe(context: Context, plan: Plan) -> None:
    context.say(plan.system.said)
    if not plan.system.generated:
        values = {"inbound": _named(plan.chosen.inbound), "outbound": _named(plan.chosen.outbound)}
        context.say(Phrase("contexts: {inbound} inbound, {outbound} outbound", values))
    for note in plan.notes:
        click.echo(f"· {context.words(note)}")
    for step in plan.warnings:
        click.echo(f"! {_line(context, step)}")


def _named(contexts: tuple[str, ...]) -> object:
    return ", ".join(contexts) or Phrase("none")


def _carry_out(
    context: Context, plan: Plan, copies: Copies, reached: Reached, *, yes: bool, dry_run: bool
) -> Path | None:
    """Where the copies are, if any were made."""
    if not plan.changes:
        context.say(Phrase("Nothing to change."))
        return None
    for change in plan.changes:
        if dry_run:
            click.echo(printable_lines(change.diff()), nl=False)
        else:
            click.echo(f"  {context.words(change.said)}")
    if dry_run:
        return None
    if not yes and not click.confirm(context.words(Phrase("Go on?"))):
        raise context.problem(Phrase("nothing is changed"))
    shelf = planning.apply(plan, copies)
    context.say(Phrase("Done."))
    if any(change.ours for change in plan.changes):
        context.say(Phrase("The configuration changed: systemctl restart itgrix-bx"))
    _reload(context, plan, reached)
    return shelf


def _reload(context: Context, plan: Plan, reached: Reached) -> None:
    if reached.console is not None:
        reload(plan, reached.console)
        return
    commands = "; ".join(f'asterisk -rx "{command}"' for command in plan.reloads)
    values = {"why": reached.why_not, "commands": commands}
    if plan.tree.foreign:
        context.say(Phrase("Bring the files to that system, then on it: {commands}", values))
        return
    context.say(Phrase("Nothing was reloaded ({why}). On the PBX: {commands}", values))


def _report(context: Context, steps: Iterable[Step], *, as_json: bool = False) -> None:
    """Exit code 1 when something is wrong."""
    found = []
    for step in steps:
        found.append(step)
        if not as_json:
            click.echo(f"{_MARKS[step.ok]} {_line(context, step)}")
    if as_json:
        echo_json([step.as_json(context.lang) for step in found])
    if any(step.ok is False for step in found):
        sys.exit(1)


def _line(context: Context, step: Step) -> str:
    cure = f" → {context.words(step.cure)}" if step.cure and not step.ok else ""
    return f"{context.words(step.what)}{cure}"


def printable_lines(text: str) -> str:
    """A diff for the terminal: a file may hold anything."""
    return "".join(f"{printable(line)}\n" for line in text.split("\n")[:-1])


def _tree(root: Path, etc: str) -> Tree:
    return Tree(root.resolve(), str(Path(etc).absolute()))


def _planned(context: Context, tree: Tree, choices: Told, reached: Reached, chosen: Chosen | None = None) -> Plan:
    settings = context.settings()
    wishes = Wishes(_address(settings), choices, settings.ami, chosen or Chosen(), locate(context.config))
    return planning.installation(tree, wishes, version_in(reached.version))


@contextlib.contextmanager
def _asterisk(context: Context, tree: Tree) -> Iterator[Reached]:
    ami = context.settings().ami
    if tree.foreign:
        by_hand = Phrase(
            'on that system: asterisk -rx "channel originate Local/s@b24-check extension 1000000001@b24-check"; then '
            'asterisk -rx "dialplan show globals" must show B24_CHECK=1000000001:ok:skipped'
        )
        yield Reached(None, "", by_hand)
        return
    with console(ami) as reached:
        yield reached


@contextlib.contextmanager
def _plainly(context: Context) -> Iterator[None]:
    try:
        yield
    except InstallError as error:
        raise context.problem(error.said) from None
    except OSError as error:
        raise context.problem(unreadable(error.filename, error).said) from None


def _address(settings: Settings) -> str:
    host, port = split_address(settings.fastagi.listen)
    return f"{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{port}"


def _told_address(context: Context, given: str | None) -> str:
    if given is None:
        return ""
    host, _, port = given.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or not set(host) <= set(_HOST_SIGNS):
        form = Phrase("must be HOST:PORT, for example 192.168.1.5:4575")
        raise click.BadParameter(context.words(form), param_hint="--fastagi")
    return given


_HOST_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
