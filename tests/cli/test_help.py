"""Every command explains itself and is in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from itgrix_bx.cli import main

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_a_command_has_help_and_each_option_too(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert len((ALL[path].help or "").split()) >= 3
    options = [option for option in ALL[path].params if isinstance(option, click.Option)]
    assert [o.name for o in options if not o.help and o.name not in ("lang", "listen", "log_level", "help")] == []


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_a_command_is_documented(path: tuple[str, ...]) -> None:
    assert f"`{' '.join(path)}`" in DOCS.read_text(encoding="utf-8")


def test_a_group_says_of_each_command_a_whole_sentence() -> None:
    groups = [(path, command) for path, command in ALL.items() if isinstance(command, click.Group)]
    assert len(groups) >= 8
    for path, _ in groups:
        assert "..." not in CliRunner().invoke(main, [*path, "--help"]).output.partition("Commands:")[2]
