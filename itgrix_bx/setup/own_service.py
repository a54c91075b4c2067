"""The systemd service: its unit, its own user, and what that user must be able to read."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from itgrix_bx import systemd
from itgrix_bx.config import Settings
from itgrix_bx.setup.files import database_file
from itgrix_bx.words import Phrase, SpokenError

USER = "itgrix-bx"
HOME = Path("/var/lib/itgrix-bx")
_UNIT = Path("/etc/systemd/system/itgrix-bx.service")


class ServiceError(SpokenError):
    """The service cannot be installed; the text says what to do."""


def unit(config: Path) -> str:
    """The unit that serves `config`."""
    program = shutil.which("itgrix-bx") or str(Path(sys.executable).parent / "itgrix-bx")
    groups = " ".join(name for name in ("asterisk",) if _has_group(name))
    return systemd.unit(program, str(config), USER, groups)


def require() -> None:
    """Raises ServiceError where no service can be installed: better before a question than after the last."""
    if os.geteuid() != 0:
        raise ServiceError(Phrase("installing a service needs root: run again with sudo"))
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise ServiceError(
            Phrase("this machine does not run systemd: use `itgrix-bx setup --print-unit` or start `itgrix-bx serve`")
        )


def require_places(config: Path, tables: dict[str, Any], settings: Settings) -> None:
    """Raises ServiceError for places that the service could not read, or that its unit does not let it write to.

    `tables`, `settings`: what will stand in `config`.
    """
    database = database_file(settings.database.url.get_secret_value())
    for place in (settings.journal.directory, database):
        if place is not None and not place.is_relative_to(HOME):
            raise ServiceError(
                Phrase(
                    "the service may write below {home} only, and {place} is elsewhere: choose a place there",
                    {"home": HOME, "place": place},
                )
            )
    _require_readable(config, tables)


def install(
    config: Path,
    *,
    home: Path = HOME,
    unit_file: Path = _UNIT,
    run: Callable[..., None] | None = None,
    own: Callable[[Path, str, str], None] = shutil.chown,
) -> None:
    """Make the user, give it what it needs, write the unit, start it. Raises ServiceError, OSError."""
    files = _require_readable(config, tomllib.loads(config.read_text(encoding="utf-8")))
    do = run or _run
    if not any(user.pw_name == USER for user in pwd.getpwall()):
        do("useradd", "--system", "--home-dir", str(home), "--shell", "/usr/sbin/nologin", USER)
    for file in files:
        own(file, "root", USER)
        file.chmod(0o640)
    do("chown", "-R", f"{USER}:{USER}", str(home))
    unit_file.write_text(unit(config), encoding="utf-8")
    do("systemctl", "daemon-reload")
    do("systemctl", "enable", USER)
    do("systemctl", "restart", USER)


def _require_readable(config: Path, tables: dict[str, Any]) -> list[Path]:
    """The configuration and the files it names in place of secrets. Raises ServiceError."""
    files = [config, *_secret_files(tables)]
    for file in files:
        if directory := _closed(file):
            raise ServiceError(
                Phrase(
                    "the service could not read {file}, {directory} is closed to it: put the file into /etc/itgrix-bx",
                    {"file": file, "directory": directory},
                )
            )
    return files


def _secret_files(tables: dict[str, Any]) -> Iterator[Path]:
    for section in tables.values():
        yield from (Path(value) for key, value in section.items() if key.endswith("_file") and Path(value).is_file())


def _closed(file: Path) -> Path | None:
    """The directory above `file` that the service's user cannot pass."""
    return next((above for above in file.parents if above.is_dir() and not above.stat().st_mode & 0o001), None)


def _has_group(name: str) -> bool:
    return any(group.gr_name == name for group in grp.getgrall())


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        values = {"command": " ".join(command[:2]), "said": " ".join(done.stderr.split())[-300:]}
        raise ServiceError(Phrase("{command} failed: {said}", values))
