"""Copies of the files as they were before an installation changed them: the program's own, none among the PBX's files.

A copy is named after the file it was made of: `…/etc-asterisk/20261126-054000-x7kq/etc/asterisk/pjsip.conf`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from itgrix_bx.pbx.installer import marks
from itgrix_bx.pbx.installer.tree import Tree

# Of root alone: the journal's directory is the service's, and systemd gives it all that is in it.
COPIES = "/var/lib/itgrix-bx-copies"


class Copies:
    """Those of one tree's files, below `directory`. Only who made them reads them: there are secrets in some."""

    def __init__(self, directory: Path, tree: Tree) -> None:
        self._all = directory
        self.directory = directory / str(tree.place(tree.etc)).strip("/").replace("/", "-")

    def keep(self, paths: Iterable[Path]) -> Path:
        """Copy the files; the new directory with the copies. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shelf = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=self.directory))
        for path in paths:
            _copy(path, shelf / path.relative_to("/"))
        return shelf

    def clear(self) -> Path | None:
        """Delete what the files themselves hold again; the directory if something else is left. Raises OSError."""
        for copy in [path for path in self.directory.rglob("*") if path.is_file() and not path.is_symlink()]:
            if _is_needless(copy, Path("/", *copy.relative_to(self.directory).parts[1:])):
                copy.unlink()
        _prune(self.directory)
        with contextlib.suppress(OSError):
            self._all.rmdir()
        return self.directory if self.directory.exists() else None


def _copy(path: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, kept)
    about = path.stat()
    os.chown(kept, about.st_uid, about.st_gid)


def _is_needless(copy: Path, path: Path) -> bool:
    """Whether `path` holds all that is theirs in its copy."""
    now = path.read_bytes() if path.is_file() else None
    try:
        return marks.without(copy.read_bytes()) == now
    except marks.MarkError:
        return False


def _prune(directory: Path) -> None:
    """Take away what is empty."""
    for path, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)
