"""Asterisk's command line: by `asterisk -rx` on its own machine, else by the manager where its user may use Command."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from itgrix_bx.config import Ami
from itgrix_bx.pbx.ami import manager_of
from itgrix_bx.pbx.installer.tree import InstallError
from itgrix_bx.pbx.link import Link
from itgrix_bx.pbx.messages import AmiError, AmiLoginError
from itgrix_bx.words import Phrase

_WAIT_S = 20


class Console(Protocol):
    def run(self, command: str) -> str:
        """What Asterisk prints. Raises InstallError."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The command line and Asterisk's version as it tells it; None and why there is none."""

    console: Console | None
    version: str = ""
    why_not: Phrase | None = None


class Local:
    """`asterisk -rx`."""

    def run(self, command: str) -> str:
        try:
            done = subprocess.run(
                ["asterisk", "-rx", command], capture_output=True, errors="replace", timeout=_WAIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            silent = Phrase("Asterisk does not answer `asterisk -rx`; start it and run this as root")
            raise InstallError(silent) from None
        return done.stdout


class ByManager:
    """AMI's Command."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, command: str) -> str:
        try:
            return "\n".join(self._link.ask("Command", {"Command": command}).answer.output)
        except AmiError as error:
            raise InstallError(_no_manager(error)) from None


@contextlib.contextmanager
def console(ami: Ami) -> Iterator[Reached]:
    """The command line, or why there is none."""
    why = Phrase("there is no `asterisk` on this machine, and [ami] is not set")
    if shutil.which("asterisk"):
        if told := _version(Local()):
            yield Reached(Local(), told)
            return
        why = Phrase("Asterisk does not answer `asterisk -rx`: it does not run, or this is not run as root")
    if not ami.username:
        yield Reached(None, "", why)
        return
    try:
        with Link(manager_of(ami)) as link:
            link.login()
            yield _by_manager(ByManager(link), ami.username)
    except AmiError as error:
        yield Reached(None, "", _no_manager(error))


def _by_manager(manager: ByManager, user: str) -> Reached:
    if told := _version(manager):
        return Reached(manager, told)
    may_not = Phrase("the manager's user {user} may not use Command: run this on the PBX, as root", {"user": user})
    return Reached(None, "", may_not)


def _no_manager(error: AmiError) -> Phrase:
    if isinstance(error, AmiLoginError):
        return Phrase("Asterisk's manager refuses the user of [ami]: run this on the PBX as root instead")
    return Phrase(
        "Asterisk's manager does not answer ({reason}): run this on the PBX as root instead", {"reason": error}
    )


def _version(reached: Console) -> str:
    try:
        told = reached.run("core show version")
    except InstallError:
        return ""
    return told if told.startswith("Asterisk ") else ""
