"""`itgrix-bx dialplan show|install|check|remove`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from itgrix_bx.cli.common import Context, Problem, echo_json, printable
from itgrix_bx.config import Settings, locate, split_address
from itgrix_bx.pbx.installer import plan as planning
from itgrix_bx.pbx.installer.advice import advice, is_here
from itgrix_bx.pbx.installer.checking import Step, check, reload
from itgrix_bx.pbx.installer.console import Console, console
from itgrix_bx.pbx.installer.copies import COPIES, Copies
from itgrix_bx.pbx.installer.hooks import shipped
from itgrix_bx.pbx.installer.plain import Chosen
from itgrix_bx.pbx.installer.plan import Plan, Told, Wishes
from itgrix_bx.pbx.installer.system import version_in
from itgrix_bx.pbx.installer.tree import ETC, InstallError, Tree

_FILES = {"plain": "itgrix-bx.conf", "site": "extensions.conf", "freepbx": "extensions_custom.conf"}
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
    return root(etc(command))


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


@click.group()
def dialplan() -> None:
    """The dialplan hooks: put them in, prove them, take them away."""


@dialplan.command()
@click.argument("kind", type=click.Choice(list(_FILES)), default="plain")
@click.pass_obj
def show(context: Context, kind: str) -> None:
    """Print the hooks, ready to paste, with this configuration's address.

    \b
    plain    the subroutines for plain Asterisk 13-22 (include it from extensions.conf)
    site     a small plain site that uses them
    freepbx  for FreePBX 13-17 and Issabel 4/5 (extensions_custom.conf)
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
@click.pass_obj
def install(
    context: Context, yes: bool, dry_run: bool, copies: Path, root: Path, etc: str, fastagi: str | None,
    inbound: tuple[str, ...], outbound: tuple[str, ...], ami: bool | None,
) -> None:  # fmt: skip
    """Put the hooks into the PBX's own custom files, reload, and prove them with a call.

    Nothing generated is edited, what is there stays as it is, and `dialplan remove` restores every file byte for byte.
    Run it again after an update or a change: it does only what is missing. What an option said the first time need not
    be said again.
    """
    settings = context.settings()
    tree = _tree(root, etc)
    address = _told_address(fastagi)
    with _plainly(), _asterisk(tree, settings) as (reached, told):
        earlier = planning.told(tree) or Told()
        choices = Told(address or earlier.address, earlier.ami if ami is None else ami)
        wishes = _wishes(context, choices, Chosen(inbound, outbound))
        plan = planning.installation(tree, wishes, version_in(told) if reached else "")
        click.echo(printable(plan.system))
        if not plan.system.generated:
            click.echo(f"contexts: {', '.join(plan.chosen.inbound) or 'none'} inbound, "
                       f"{', '.join(plan.chosen.outbound) or 'none'} outbound")  # fmt: skip
        if tree.foreign and is_here(wishes.address):
            plan.notes.append(f"that system will look for the service on itself ({wishes.address}); else --fastagi")
        for text in plan.notes:
            click.echo(f"· {printable(text)}")
        for text in plan.warnings:
            click.echo(f"! {printable(text)}")
        shelf = _carry_out(plan, Copies(copies, tree), reached, told, yes=yes, dry_run=dry_run)
        if dry_run:
            return
        if shelf is not None:
            click.echo(f"The files as they were are in {printable(shelf)}.")
        for text in advice(plan.system, wishes.address):
            click.echo(f"\n{text}")
        if reached is not None:
            click.echo("")
            _report(check(planning.installation(tree, _wishes(context, choices)), reached, told))
        elif plan.warnings:
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
    settings = context.settings()
    tree = _tree(root, etc)
    with _plainly(), _asterisk(tree, settings) as (reached, told):
        choices = planning.told(tree)
        if choices is None:
            raise Problem(f"the hooks are not installed in {tree.named('')}; run `itgrix-bx dialplan install`")
        plan = planning.installation(tree, _wishes(context, choices), version_in(told) if reached else "")
        _report(check(plan, reached, told), as_json=as_json)


@dialplan.command()
@_doing
@_where
@click.pass_obj
def remove(context: Context, yes: bool, dry_run: bool, copies: Path, root: Path, etc: str) -> None:
    """Take the hooks away again: every file is as it was, but for what you changed yourself since.

    Copies that `install` kept are deleted where the file itself holds the same again.
    """
    tree = _tree(root, etc)
    settings = context.settings()
    with _plainly(), _asterisk(tree, settings) as (reached, told):
        plan = planning.removal(tree, locate(context.config))
        kept = Copies(copies, tree)
        _carry_out(plan, kept, reached, told, yes=yes, dry_run=dry_run)
        if not dry_run and (left := _cleared(kept)):
            click.echo(f"Older copies of files that you have changed since are left in {printable(left)}; delete them "
                       "when you do not need them.")  # fmt: skip


def _cleared(kept: Copies) -> Path | None:
    try:
        return kept.clear()
    except OSError as error:
        raise Problem(f"{error.filename} cannot be deleted ({error.strerror}); delete it as root") from None


# --- what the commands share -----------------------------------------------------------------------


def _carry_out(
    plan: Plan, copies: Copies, reached: Console | None, why_not: str, *, yes: bool, dry_run: bool
) -> Path | None:
    """Where the copies are, if any were made."""
    if not plan.changes:
        click.echo("Nothing to change.")
        return None
    if dry_run:
        for change in plan.changes:
            click.echo(printable_lines(change.diff()), nl=False)
        return None
    for change in plan.changes:
        doing = "make" if change.before is None else "delete" if change.after is None else "change"
        click.echo(f"  {doing} {printable(change.name)}")
    if not yes:
        click.confirm("Go on?", abort=True)
    shelf = planning.apply(plan, copies)
    click.echo("Done.")
    if any(change.ours for change in plan.changes):
        click.echo("The configuration changed: systemctl restart itgrix-bx")
    if reached is not None:
        reload(plan, reached)
    else:
        commands = "; ".join(f'asterisk -rx "{command}"' for command in plan.reloads)
        click.echo(f"Nothing was reloaded ({why_not}). On the PBX: {commands}")
    return shelf


def _report(steps: Iterable[Step], *, as_json: bool = False) -> None:
    """Exit code 1 when something is wrong."""
    found = []
    for step in steps:
        found.append(step)
        if not as_json:
            cure = f" → {printable(step.cure)}" if step.cure and not step.ok else ""
            click.echo(f"{_MARKS[step.ok]} {printable(step.what)}{cure}")
    if as_json:
        echo_json([step.as_json() for step in found])
    if any(step.ok is False for step in found):
        sys.exit(1)


def printable_lines(text: str) -> str:
    """A diff for the terminal: a file may hold anything."""
    return "".join(f"{printable(line)}\n" for line in text.split("\n")[:-1])


def _tree(root: Path, etc: str) -> Tree:
    return Tree(root.resolve(), str(Path(etc).absolute()))


def _wishes(context: Context, choices: Told, chosen: Chosen | None = None) -> Wishes:
    settings = context.settings()
    return Wishes(_address(settings), choices, settings.ami, chosen or Chosen(), locate(context.config))


@contextlib.contextmanager
def _asterisk(tree: Tree, settings: Settings) -> Iterator[tuple[Console | None, str]]:
    if tree.foreign:
        yield None, "these are the files of another system"
        return
    with console(settings.ami) as found:
        yield found


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except InstallError as error:
        raise Problem(str(error)) from None


def _address(settings: Settings) -> str:
    host, port = split_address(settings.fastagi.listen)
    return f"{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{port}"


def _told_address(given: str | None) -> str:
    if given is None:
        return ""
    host, _, port = given.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or not set(host) <= set(_HOST_SIGNS):
        raise click.BadParameter("must be HOST:PORT, for example 192.168.1.5:4575", param_hint="--fastagi")
    return given


_HOST_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
