"""`itgrix-bx setup`."""

from __future__ import annotations

import contextlib
import os
import socket
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from bx24client import Bitrix24, BitrixError, PortalUser, Webhook
from itgrix_bx.cli.common import LANG, Context, Problem, private
from itgrix_bx.config import DEFAULT_PATH, ConfigError, Settings, read, with_environment
from itgrix_bx.setup import checks, files, own_service
from itgrix_bx.words import Phrase, SpokenError

T = TypeVar("T")
Tables = dict[str, dict[str, Any]]

_MONITORS = ("/var/spool/asterisk/monitor", "/var/lib/asterisk/monitor")


@click.command()
@click.option("--webhook", help="Address of the incoming webhook; --webhook-file is safer.")
@click.option(
    "--webhook-file", type=click.Path(exists=True, dir_okay=False), help="File with the address; it is read each start."
)
@click.option("--default-user", type=click.IntRange(min=1), help="Portal user that owns calls nobody else does.")
@click.option("--recordings", type=click.Path(file_okay=False), help="Directory of the recordings.")
@click.option("--database", "database_url", help="SQLAlchemy URL; SQLite in /var/lib/itgrix-bx otherwise.")
@click.option("--journal", type=click.Path(file_okay=False), help="Directory of the spool.")
@click.option("--listen", help="HOST:PORT of the FastAGI server; 127.0.0.1:4575, or the next port that is free.")
@click.option("--country", help="Country of the numbers, as two letters.  [default: RU]")
@click.option("--service", is_flag=True, help="Install a hardened systemd service running as its own user.")
@click.option("--print-unit", is_flag=True, help="Only print that service's unit.")
@LANG
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given stays, or takes its default.")
@click.pass_obj
def setup(context: Context, /, print_unit: bool, service: bool, yes: bool, **given: Any) -> None:
    """Connect a portal: ask, check live, write the configuration, create the database, read the users.

    Every answer is also an option, so that scripts need --yes alone. An existing configuration keeps what is neither
    asked nor given.
    """
    path = Path(context.config or os.environ.get("ITGRIX_BX_CONFIG") or DEFAULT_PATH).absolute()
    if print_unit:
        click.echo(own_service.unit(path), nl=False)
        return
    if service:
        _spoken(context, own_service.require)
    present = _Present.of(context, path, given)
    changes = _Answers(context, present, given, yes).changes()
    tables = files.merged(present.tables, changes)
    settings = _checked(tables)
    if service:
        _spoken(context, lambda: own_service.require_places(path, tables, settings))
    kept = _write(context, path, changes)
    context.say(Phrase("Written: {path}", {"path": path}))
    if kept is not None:
        context.say(Phrase("The former file is kept: {path}", {"path": kept}))
    context.config = str(path)
    _prepare(context, settings)
    if service:
        _spoken(context, lambda: own_service.install(path))
        context.say(Phrase("The service itgrix-bx is installed and started; see `systemctl status itgrix-bx`."))
    context.say(_next(service))


# --- what is there ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Present:
    """The configuration as it is: the file's own tables, and the settings with all defaults."""

    path: Path
    tables: dict[str, Any]
    settings: Settings

    @classmethod
    def of(cls, context: Context, path: Path, given: dict[str, Any]) -> _Present:
        """Raises Problem for a file that is wrong already where `given` does not put it right, or could not be written
        in the end."""
        if (reason := files.why_not(path)) is not None:
            raise context.problem(_unwritable(path, reason))
        try:
            tables = read(path) if path.exists() else {}
            settings = with_environment(_without_replaced(tables, given), source=str(path))
        except ConfigError as error:
            raise Problem(str(error)) from None
        return cls(path, tables, settings)

    def value(self, section: str, key: str) -> str:
        """What the file itself says, "" when it leaves it to the default."""
        return str(self.tables.get(section, {}).get(key, ""))

    @property
    def has_webhook(self) -> bool:
        return bool(self.value("portal", "webhook") or self.value("portal", "webhook_file"))


# option -> the section it is of, and the keys it replaces
_REPLACES = {
    "webhook": ("portal", "webhook", "webhook_file"),
    "webhook_file": ("portal", "webhook", "webhook_file"),
    "default_user": ("portal", "default_user"),
    "recordings": ("recordings", "directory"),
    "database_url": ("database", "url", "url_file"),
    "journal": ("journal", "directory"),
    "listen": ("fastagi", "listen"),
    "country": ("numbers", "country"),
}


def _without_replaced(tables: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """So that a mistake in them does not keep anybody from putting it right."""
    kept = {name: dict(section) if isinstance(section, dict) else section for name, section in tables.items()}
    for option, (section, *keys) in _REPLACES.items():
        if given[option] and isinstance(there := kept.get(section), dict):
            kept[section] = {key: value for key, value in there.items() if key not in keys}
    return kept


def _checked(tables: dict[str, Any]) -> Settings:
    """The settings as they will be. Raises Problem; nothing is written then."""
    try:
        return with_environment(tables, source="the options")
    except ConfigError as error:
        raise Problem(str(error)) from None


# --- questions -------------------------------------------------------------------------------------


class _Answers:
    """What the options say, what is there, and what is asked where neither does."""

    def __init__(self, context: Context, present: _Present, given: dict[str, Any], yes: bool) -> None:
        self._context, self._present, self._given, self._yes = context, present, given, yes

    def changes(self) -> Tables:
        """section -> key -> value, to be written. Raises Problem."""
        webhook, portal, people = self._connected()
        values = {"active": len(people), "extensions": sum(1 for person in people if person.extension)}
        self._context.say(
            Phrase("The portal answers; {active} active employees, {extensions} with an extension.", values)
        )
        changes: Tables = {"portal": portal | {"default_user": self._default_user(webhook, people)}}
        changes["recordings"] = {"directory": self._recordings()}
        changes["fastagi"] = {"listen": self._given["listen"] or self._present.value("fastagi", "listen") or _free()}
        if self._given["database_url"]:
            changes["database"] = {"url": _absolute_url(self._given["database_url"])}
        if self._given["journal"]:
            changes["journal"] = {"directory": str(Path(self._given["journal"]).absolute())}
        if self._given["country"]:
            changes["numbers"] = {"country": self._given["country"]}
        return changes

    def _connected(self) -> tuple[str, dict[str, Any], list[PortalUser]]:
        """(the webhook, what to write of it, the active employees)"""
        url, written = self._webhook()
        try:
            if url:
                return url, written, _employees(self._context, url)
            if self._yes:
                raise self._context.problem(
                    Phrase("the webhook is missing: give --webhook-file FILE, or set ITGRIX_BX__PORTAL__WEBHOOK")
                )
        except Problem as problem:
            if self._yes or self._given["webhook"] or self._given["webhook_file"]:
                raise
            problem.show()
        question = Phrase("Address of the incoming webhook (https://…/rest/…; it is not shown)")
        url, people = self._ask(question, lambda said: (said, _employees(self._context, said)), hidden=True)
        return url, {"webhook": url}, people

    def _webhook(self) -> tuple[str, dict[str, Any]]:
        """(the webhook that was told, "" for none; what to write of it)"""
        if self._given["webhook_file"]:
            name = str(Path(self._given["webhook_file"]).resolve())
            return _content(self._context, name), {"webhook_file": name}
        if url := (self._given["webhook"] or "").strip():
            shown = Phrase("a webhook on the command line shows in the process list; --webhook-file does not")
            click.echo(f"itgrix-bx: {self._context.words(shown)}", err=True)
            return url, {"webhook": url}
        url = self._present.settings.portal.webhook.get_secret_value()
        return url, {} if self._present.has_webhook else {"webhook": url}

    def _default_user(self, webhook: str, people: list[PortalUser]) -> int:
        active = {person.id for person in people}

        def checked(said: str) -> int:
            if not said.isdecimal() or int(said) not in active:
                raise self._context.problem(
                    Phrase(
                        "user {user} is not an active user of the portal; name another with --default-user",
                        {"user": said},
                    )
                )
            return int(said)

        if self._given["default_user"]:
            return checked(str(self._given["default_user"]))
        usual = self._present.value("portal", "default_user") or str(Webhook(webhook).user_id)
        if self._yes:
            return checked(usual)
        return self._ask(Phrase("User id that owns calls nobody else does"), checked, default=usual)

    def _recordings(self) -> str:
        said, usual = self._given["recordings"], self._present.value("recordings", "directory") or _monitor()
        if not said:
            said = usual if self._yes else self._ask(Phrase("Directory of the recordings"), str, default=usual)
        directory = Path(said).absolute()
        if not directory.is_dir():
            self._context.say(
                Phrase(
                    "{directory} is not there (yet): recordings are sent once it is; `itgrix-bx doctor` looks again",
                    {"directory": directory},
                )
            )
        return str(directory)

    def _ask(self, question: Phrase, check: Callable[[str], T], *, default: str = "", hidden: bool = False) -> T:
        """Until there is an answer that `check` takes; what is wrong with another is said."""
        while True:
            said = click.prompt(self._context.words(question), default=default or None, hide_input=hidden)
            try:
                return check(str(said).strip())
            except Problem as problem:
                problem.show()


def _content(context: Context, name: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if found := Path(name).read_text(encoding="utf-8").strip():
            return found
    raise context.problem(
        Phrase("{path} holds no webhook: write its address into it, and nothing else", {"path": name})
    )


def _employees(context: Context, webhook: str) -> list[PortalUser]:
    """The active employees of the portal. Raises Problem."""
    try:
        client = Bitrix24(webhook)
    except ValueError as error:
        raise Problem(str(error)) from None
    with client, context.progress(Phrase("Asking the portal…")):
        for check in checks.scopes(client):
            if check.result == checks.BAD:
                raise Problem(f"{check.found}; {check.cure}")
            if check.result == checks.WARNING:
                raise Problem(check.found)
        try:
            return [person for person in client.users(timeout_s=30) if person.active]
        except BitrixError as error:
            raise Problem(str(error)) from None


def _monitor() -> str:
    return next((name for name in _MONITORS if Path(name).is_dir()), _MONITORS[0])


def _free() -> str:
    """4575, or the next port nobody has: 4573 belongs to FreePBX."""
    for port in range(4575, 4600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return f"127.0.0.1:{port}"
    return "127.0.0.1:4575"


def _absolute_url(url: str) -> str:
    """The service has another working directory."""
    file = files.database_file(url)
    return url if file is None else f"sqlite:///{file.absolute()}"


# --- doing -----------------------------------------------------------------------------------------


def _write(context: Context, path: Path, changes: Tables) -> Path | None:
    try:
        return files.write(path, changes)
    except tomllib.TOMLDecodeError as error:  # changed while we asked
        raise Problem(f"{path}: this is no valid TOML ({error}); correct or remove it") from None
    except OSError as error:
        raise context.problem(_unwritable(path, error.strerror)) from None


def _unwritable(path: Path, reason: object) -> Phrase:
    return Phrase(
        "{path} cannot be written: {reason}; run as root or name another with --config",
        {"path": path, "reason": reason},
    )


def _prepare(context: Context, settings: Settings) -> None:
    from itgrix_bx.employees import sync
    from itgrix_bx.service import portal_client
    from sql.schema import upgrade
    from sql.staff import Staff

    with private():
        _make(context, settings.journal.directory, "--journal")
        if file := files.database_file(settings.database.url.get_secret_value()):
            _make(context, file.parent, "--database")
        with context.database(checked=False) as database:
            with context.progress(Phrase("Creating the tables…")):
                upgrade(database)
            try:
                with portal_client(settings) as client, context.progress(Phrase("Reading the portal's users…")):
                    found = sync(Staff(database), client)
            except (BitrixError, ValueError) as error:
                raise context.problem(Phrase("the users could not be read: {error}", {"error": error})) from None
    context.say(Phrase("The database is ready; {count} users read.", {"count": found.users}))
    for gap in found.gaps:
        click.echo(f"{gap}.")


def _make(context: Context, directory: Path, option: str) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        values = {"directory": directory, "reason": error.strerror, "option": option}
        raise context.problem(
            Phrase("{directory} cannot be created: {reason}; run as root or name another with {option}", values)
        ) from None


def _spoken(context: Context, do: Callable[[], object]) -> None:
    try:
        do()
    except SpokenError as error:
        raise context.problem(error.said) from None


def _next(served: bool) -> Phrase:
    if served:
        return Phrase("Next: put the hooks into the dialplan (`itgrix-bx dialplan install`), then `itgrix-bx doctor`.")
    return Phrase(
        "Next: put the hooks into the dialplan (`itgrix-bx dialplan install`), start the service (`itgrix-bx serve`, or"
        " `itgrix-bx setup --service`), then look with `itgrix-bx doctor`."
    )
