"""What the commands share: settings, the database, plain errors."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from bx24client import mask
from itgrix_bx.config import ConfigError, Settings, load
from itgrix_bx.setup.files import database_file
from itgrix_bx.times import unix
from itgrix_bx.words import LANGUAGES, Phrase, preferred
from sql.database import Database, DatabaseAwayError
from sql.schema import check

_PIPE_COLUMNS = 10_000
_C1 = re.compile("[\\x7f-\\x9f]")


class Problem(click.ClickException):
    """Something the user can put right, in one sentence; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"itgrix-bx: {printable(self.format_message())}", err=True, file=file)


class Group(click.Group):
    """Says what each of its commands does in a whole sentence, which click would cut to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(400)) for name, command in commands if command])


@dataclass
class Context:
    """`config` is what `--config` said, or None; `lang` the language of the words."""

    config: str | None
    lang: str = field(default_factory=preferred)

    def words(self, phrase: Phrase) -> str:
        """A sentence in the language that was asked for, fit for the terminal."""
        return printable(phrase.said(self.lang))

    def say(self, phrase: Phrase) -> None:
        """Print it."""
        click.echo(self.words(phrase))

    def problem(self, phrase: Phrase) -> Problem:
        """The sentence as an error, to be raised."""
        return Problem(self.words(phrase))

    def progress(self, what: Phrase) -> contextlib.AbstractContextManager[object]:
        """Shows, on a terminal, what is being done meanwhile."""
        return Console(stderr=True, quiet=not sys.stderr.isatty()).status(self.words(what))

    def settings(self) -> Settings:
        """The settings. Raises Problem."""
        try:
            return load(self.config)
        except ConfigError as error:
            raise Problem(str(error)) from None

    @contextlib.contextmanager
    def database(self, *, checked: bool = True) -> Iterator[Database]:
        """The configured database, its schema checked. Raises Problem."""
        url = self.settings().database.url.get_secret_value()
        database = Database(url)
        try:
            reason = check(database) if checked else None
            if reason:
                raise self.problem(reason)
            yield database
        except DatabaseAwayError as error:
            raise self.problem(_away(error, database_file(url))) from None
        finally:
            database.close()


def console() -> Console:
    """Standard output: a terminal's lines are as wide as it is, a pipe's as long as what they say."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPE_COLUMNS, height=25)  # both, or a dumb terminal has 80 columns


def _away(reason: DatabaseAwayError, file: Path | None) -> Phrase:
    where = f" ({file})" if file is not None else ""
    return Phrase("{reason}{where}; {cure}", {"reason": reason, "where": where, "cure": reason.cure})


def _speak(ctx: click.Context, _option: click.Parameter, lang: str | None) -> None:
    context = ctx.find_object(Context)
    if lang is not None and context is not None:
        context.lang = lang


LANG = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    expose_value=False,
    is_eager=True,
    callback=_speak,
    help="Language of the words.  [default: by the locale]",
)


@contextlib.contextmanager
def private() -> Iterator[None]:
    """Files made meanwhile are for their owner alone: who called whom is nobody else's business."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def parse_time(text: str | None) -> float | None:
    """Unix seconds from what the user wrote. Raises Problem."""
    try:
        return None if text is None else unix(text)
    except (ValueError, OverflowError):
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
