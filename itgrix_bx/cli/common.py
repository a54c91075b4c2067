"""What the commands share: settings, the database, plain errors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from rich.markup import escape

from bx24client import mask
from itgrix_bx.config import ConfigError, Settings, load
from itgrix_bx.times import unix
from sql.database import Database, DatabaseAwayError
from sql.schema import check

_C1 = re.compile("[\\x7f-\\x9f]")


class Problem(click.ClickException):
    """Something the user can put right, in one sentence; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"itgrix-bx: {printable(self.format_message())}", err=True, file=file)


@dataclass
class Context:
    """`config` is what `--config` said, or None."""

    config: str | None

    def settings(self) -> Settings:
        """The settings. Raises Problem."""
        try:
            return load(self.config)
        except ConfigError as error:
            raise Problem(str(error)) from None

    @contextlib.contextmanager
    def database(self, *, checked: bool = True) -> Iterator[Database]:
        """The configured database, its schema checked. Raises Problem."""
        database = Database(self.settings().database.url.get_secret_value())
        try:
            reason = check(database) if checked else None
            if reason:
                raise Problem(reason)
            yield database
        except DatabaseAwayError as error:
            raise Problem(f"{error}; check [database] url and that the server runs") from None
        finally:
            database.close()


def parse_time(text: str | None) -> float | None:
    """Unix seconds from what the user wrote. Raises Problem."""
    try:
        return None if text is None else unix(text)
    except ValueError:
        raise Problem(f"{text!r} is no time; write it as 2026-01-31 or 2026-01-31T18:00") from None


def echo_json(value: Any) -> None:
    """Print `value`; what somebody wrote into it that is a secret of ours is hidden."""
    text = json.dumps(_masked(value), ensure_ascii=False, indent=2)
    # JSON leaves these as they are, and terminals obey them.
    click.echo(_C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def printable(value: object) -> str:
    """What came from outside as text for the terminal: no control characters, no secrets."""
    text = "" if value is None else mask(str(value))
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def safe(value: object) -> str:
    """Likewise for rich: what looks like markup is none."""
    return escape(printable(value))


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(part) for key, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, (list, tuple)) else value
