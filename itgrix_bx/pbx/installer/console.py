"""Asterisk's command line: by `asterisk -rx` on its own machine, else by the manager where its user may use Command."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Protocol

from itgrix_bx.config import Ami
from itgrix_bx.pbx.ami import manager_of
from itgrix_bx.pbx.installer.tree import InstallError
from itgrix_bx.pbx.link import Link
from itgrix_bx.pbx.messages import AmiError

_WAIT_S = 20


class Console(Protocol):
    def run(self, command: str) -> str:
        """What Asterisk prints. Raises InstallError."""


class Local:
    """`asterisk -rx`."""

    def run(self, command: str) -> str:
        try:
            done = subprocess.run(
                ["asterisk", "-rx", command], capture_output=True, errors="replace", timeout=_WAIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            raise InstallError("Asterisk does not answer `asterisk -rx`; start it and run this as root") from None
        return done.stdout


class ByManager:
    """AMI's Command."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, command: str) -> str:
        try:
            return "\n".join(self._link.ask("Command", {"Command": command}).answer.output)
        except AmiError as error:
            raise InstallError(f"{error}; run this on the PBX as root instead") from None


@contextlib.contextmanager
def console(ami: Ami) -> Iterator[tuple[Console | None, str]]:
    """(the command line, Asterisk's version as it tells it), or (None, why there is none)."""
    why = "there is no `asterisk` on this machine, and [ami] is not set"
    if shutil.which("asterisk"):
        told = _version(Local())
        if told:
            yield Local(), told
            return
        why = "Asterisk does not answer `asterisk -rx`: it does not run, or this is not run as root"
    if not ami.username:
        yield None, why
        return
    try:
        with Link(manager_of(ami)) as link:
            link.login()
            told = _version(ByManager(link))
            may = f"the manager's user {ami.username} may not use Command: run this on the PBX, as root"
            yield (ByManager(link), told) if told else (None, may)
    except AmiError as error:
        yield None, str(error)


def _version(reached: Console) -> str:
    try:
        told = reached.run("core show version")
    except InstallError:
        return ""
    return told if told.startswith("Asterisk ") else ""
