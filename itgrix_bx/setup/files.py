"""Writing the configuration: atomically, with safe permissions, keeping what it does not know."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import tomli_w


def write(path: Path, changes: dict[str, dict[str, Any]], *, mode: int = 0o600) -> Path | None:
    """Put `changes` (section -> key -> value) into the TOML at `path`; the dated copy of what was there, or None.

    Raises OSError, and tomllib.TOMLDecodeError when the present file is broken.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for section, values in changes.items():
        tables[section] = tables.get(section, {}) | values
        if "webhook" in values or "webhook_file" in values:
            other = "webhook_file" if "webhook" in values else "webhook"
            tables[section].pop(other, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        shutil.copy2(path, kept)
    _replace(path, tomli_w.dumps(tables), mode)
    return kept


def _replace(path: Path, text: str, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
