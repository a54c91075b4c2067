"""Writing the configuration: atomically, with safe permissions, keeping what it does not know."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit


def write(path: Path, changes: dict[str, dict[str, Any]], *, mode: int = 0o600) -> Path | None:
    """Put `changes` (section -> key -> value) into the TOML at `path`; the dated copy of what was there, or None.

    Raises OSError, and tomllib.TOMLDecodeError when the present file is broken.
    """
    text = _edited(path.read_text(encoding="utf-8-sig") if path.exists() else "", changes)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        shutil.copy2(path, kept)
        os.chmod(kept, mode)
    _replace(path, text, mode)
    return kept


def merged(tables: Mapping[str, Any], changes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """`tables` with `changes`; of a secret and the file that holds it the one that is told now counts."""
    found = dict(tables)
    for section, values in changes.items():
        others = {key.removesuffix("_file") if key.endswith("_file") else f"{key}_file" for key in values}
        kept = {key: value for key, value in found.get(section, {}).items() if key not in others}
        found[section] = kept | values
    return found


def _edited(text: str, changes: Mapping[str, dict[str, Any]]) -> str:
    """What is not changed stays to the letter: comments, and the marks by which the installer finds its own lines."""
    wanted = merged(tomllib.loads(text), changes)
    document = tomlkit.parse(text)
    for section in changes:
        table: Any = document.setdefault(section, tomlkit.table())
        for key in [key for key in table if key not in wanted[section]]:
            del table[key]
        for key, value in changes[section].items():
            if table.get(key) != value:
                table[key] = value
    return tomlkit.dumps(document)


def why_not(path: Path) -> str | None:
    """Why `path` could not be written, None when it could: to be known before somebody answers questions."""
    if path.is_dir():
        return os.strerror(errno.EISDIR)
    above = next(parent for parent in path.parents if os.path.exists(parent))
    if not os.path.isdir(above):
        return os.strerror(errno.ENOTDIR)
    return None if os.access(above, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)


def database_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for a server's."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _replace(path: Path, text: str, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        if path.exists():
            _as_before(Path(name), path.stat())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _as_before(file: Path, before: os.stat_result) -> None:
    """Who could read what is replaced still can, but for everybody: the service's user is in its group."""
    with contextlib.suppress(PermissionError):
        os.chown(file, before.st_uid, before.st_gid)
        file.chmod(stat.S_IMODE(before.st_mode) & 0o660)
