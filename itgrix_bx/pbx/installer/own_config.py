"""The manager's user in our own configuration, put there and taken away like everything else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bx24client import keep_secret
from itgrix_bx.pbx.installer import marks
from itgrix_bx.pbx.installer.tree import InstallError, in_file, unreadable
from itgrix_bx.words import Phrase

_HEADER = re.compile(rb"\s*\[ami\]\s*(?:#.*)?$")


def manager_user(config: Path | None) -> str:
    """The secret of the user we put there, "" without. Raises InstallError."""
    if config is None:
        return ""
    try:
        block = marks.block(_read(config))
    except marks.MarkError as error:
        raise in_file(config, error) from None
    return str(tomllib.loads(block.removeprefix("[ami]\n")).get("secret", ""))


def with_user(config: Path, name: str, secret: str) -> bytes:
    """The configuration with the user in [ami]. Raises InstallError."""
    keep_secret(secret)
    base = without_user(config)
    at = next((n for n, line in enumerate(marks.theirs(base)) if _HEADER.match(line.raw.rstrip())), None)
    body = f'username = "{name}"\nsecret = "{secret}"\n'
    body = body if at is not None else f"[ami]\n{body}"
    after = marks.with_block(base, body, what="Asterisk's manager", at=None if at is None else at + 1, sign="#")
    try:
        tomllib.loads(after.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        half = Phrase("{file} has a half [ami]; delete its username and secret, or use --no-ami", {"file": config})
        raise InstallError(half) from None
    return after


def without_user(config: Path) -> bytes:
    """The configuration as it was before. Raises InstallError."""
    try:
        return marks.without(_read(config)) or b""
    except marks.MarkError as error:
        raise in_file(config, error) from None


def _read(config: Path) -> bytes:
    try:
        return config.read_bytes()
    except OSError as error:
        raise unreadable(config, error) from None
