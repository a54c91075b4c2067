"""The configuration files of an Asterisk, of this machine or below another root, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import os
import shutil
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from itgrix_bx.words import Phrase, SpokenError

ETC = "/etc/asterisk"
_MOST_LINKS = 40
_HALF = ".itgrix-bx-"


class InstallError(SpokenError):
    """The installer does not go on; one sentence that says what to do."""


class Tree:
    """Files are named as Asterisk names them (`/etc/asterisk/…`); links are followed inside the root only, as in a
    chroot."""

    def __init__(self, root: Path = Path("/"), etc: str = ETC) -> None:
        self.root = root
        self.etc = etc

    @property
    def foreign(self) -> bool:
        """Whether the files are another system's."""
        return self.root != Path("/")

    def named(self, name: str) -> str:
        """The whole name of a file that is told as in an #include."""
        return str(PurePosixPath(self.etc) / name)

    def place(self, name: str) -> Path:
        """The file behind `name` on this machine. Raises InstallError."""
        return self._followed(name)[0]

    def place_to_write(self, name: str) -> Path:
        """Likewise, but not by a link that somebody laid to a file that is not his: the configuration's directory is
        often Asterisk's own, and we are root. Raises InstallError."""
        place, links = self._followed(name)
        owner = (place if place.exists() else place.parent).stat().st_uid
        for link in links:
            if link.lstat().st_uid not in (0, os.geteuid(), owner):
                laid = Phrase(
                    "{file} is reached by the link {link}, whose owner is not that of the file; put the file itself "
                    "there, or give both one owner, then run this again",
                    {"file": place, "link": link},
                )
                raise InstallError(laid)
        return place

    def _followed(self, name: str) -> tuple[Path, list[Path]]:
        """The file, and the links on the way to it."""
        left, at = deque(PurePosixPath(self.named(name)).parts[1:]), PurePosixPath("/")
        links: list[Path] = []
        while left:
            part = left.popleft()
            here = self._on_disk(at / part)
            if part == "..":
                at = at.parent
            elif not here.is_symlink():
                at = at / part
            elif len(links) >= _MOST_LINKS:
                nowhere = Phrase(
                    "{file} is a link that leads nowhere; put that right, then run this again", {"file": name}
                )
                raise InstallError(nowhere)
            else:
                links.append(here)
                target = PurePosixPath(os.readlink(here))
                at = PurePosixPath("/") if target.is_absolute() else at
                left.extendleft(reversed([part for part in target.parts if part != "/"]))
        return self._on_disk(at), links

    def read(self, name: str) -> bytes | None:
        """None when there is no such file. Raises InstallError."""
        try:
            place = self.place(name)
            return place.read_bytes() if place.is_file() else None
        except OSError as error:
            raise unreadable(self.named(name), error) from None

    def exists(self, name: str) -> bool:
        return self.place(name).is_file()

    def matching(self, pattern: str) -> list[str]:
        """The files an #include names, by Asterisk's own wildcards."""
        whole = PurePosixPath(self.named(pattern))
        if not any(sign in whole.name for sign in "*?["):
            return [str(whole)]
        directory = self.place(str(whole.parent))
        names = sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []
        return [str(whole.parent / name) for name in names if fnmatch.fnmatch(name, whole.name)]

    def everything(self) -> list[str]:
        """Every file of Asterisk's configuration."""
        directory = self.place(self.etc)
        found = (path.relative_to(directory) for path in directory.rglob("*"))
        return sorted(self.named(str(name)) for name in found)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes these files by us meanwhile. Raises InstallError."""
        handle = os.open(self.place(self.etc), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            values = {"directory": self.etc}
            busy = Phrase("another `itgrix-bx dialplan` is at work in {directory}; run this again later", values)
            raise InstallError(busy) from None
        finally:
            os.close(handle)

    def _on_disk(self, name: PurePosixPath) -> Path:
        return self.root / name.relative_to("/")


def in_file(name: object, error: SpokenError) -> InstallError:
    """What is wrong in a file, with its name before it."""
    return InstallError(Phrase("{file}, {what}", {"file": name, "what": error.said}))


def unreadable(name: object, error: OSError) -> InstallError:
    """The error for a file that the system does not let us read."""
    values = {"file": name, "reason": error.strerror}
    return InstallError(Phrase("{file} cannot be read ({reason}); run this as root", values))


def is_half(name: str) -> bool:
    """Whether a file is one that is being written, in a place of its own, before it takes that of the old one."""
    return PurePosixPath(name).name.startswith(".") and _HALF in PurePosixPath(name).name


def halves(directory: Path, *, deep: bool = True) -> list[Path]:
    """Those that a power cut has left. A link is none of ours, wherever it leads."""
    found = directory.rglob("*") if deep else directory.iterdir()
    return sorted(path for path in found if is_half(path.name) and path.is_file() and not path.is_symlink())


def replace(path: Path, data: bytes | None, like: Path | None = None) -> None:
    """Write `path` in one step, owner, rights and labels as they were (of a new file: those of `like`); None deletes.

    Raises OSError; the file is then as it was.
    """
    if data is None:
        path.unlink(missing_ok=True)
        return
    model = path if path.exists() else like
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{_HALF}")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if model is not None:
            _dress(Path(name), model)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _settle(path.parent)


def _dress(new: Path, model: Path) -> None:
    about = model.stat()
    if (os.stat(new).st_uid, os.stat(new).st_gid) != (about.st_uid, about.st_gid):
        os.chown(new, about.st_uid, about.st_gid)
    shutil.copystat(model, new)  # SELinux's labels too
    os.chmod(new, stat.S_IMODE(about.st_mode))
    os.utime(new)  # Asterisk reads some files again only when they are newer


def _settle(directory: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
