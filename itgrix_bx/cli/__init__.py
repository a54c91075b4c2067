"""`itgrix-bx`: thin click commands; each lives in the module of its name and is loaded when it is called."""

from __future__ import annotations

import importlib

import click

from itgrix_bx.cli.common import Context

_COMMANDS = {
    "serve": "Run the service: FastAGI server, delivery, web.",
    "demo": "Show three calls going through the program, without a PBX or a portal.",
    "setup": "Connect a portal and write the configuration.",
    "doctor": "Check every part and say how to cure what is wrong.",
    "status": "What is going on: calls by state, backlog, spool.",
    "calls": "What happened to calls.",
    "catch-up": "Calls the hooks never told us of, from the PBX's own records.",
    "users": "Whose extension is whose.",
    "lines": "Which DID is which line of the portal.",
    "numbers": "What telephone numbers mean, and which are for the CRM.",
    "routing": "Who is rung first for a known client.",
    "dialplan": "The dialplan hooks.",
    "db": "The database schema.",
    "emulator": "Doubles of Bitrix24 and Asterisk, to try things out.",
}


class _Lazy(click.Group):
    """Loads a command's module only when it is needed: `--help` and `serve` start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"itgrix_bx.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", metavar="FILE", help="Configuration; else $ITGRIX_BX_CONFIG, else /etc/itgrix-bx/config.toml."
)
@click.version_option(package_name="itgrix-bx", prog_name="itgrix-bx")
@click.pass_context
def main(ctx: click.Context, /, config: str | None) -> None:
    """The link between an Asterisk phone system and the Bitrix24 CRM."""
    ctx.obj = Context(config)
