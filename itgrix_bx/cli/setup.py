"""`itgrix-bx setup`."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bx24client import Bitrix24, BitrixError, PortalUser, Webhook
from itgrix_bx import systemd
from itgrix_bx.cli.common import Context, Problem
from itgrix_bx.config import DEFAULT_PATH, ConfigError, load
from itgrix_bx.setup import checks, files

_USER = "itgrix-bx"
_MONITORS = ("/var/spool/asterisk/monitor", "/var/lib/asterisk/monitor")

_TEXTS = {
    "en": {
        "webhook": "Address of the incoming webhook (https://…/rest/…; it is not shown)",
        "default": "User id that owns calls nobody else does",
        "recordings": "Directory of the recordings",
        "shown": "a webhook on the command line shows in the process list; --webhook-file does not",
        "checked": "The portal answers; {active} active employees, {extensions} with an extension.",
        "written": "Written: {path}", "kept": "The former file is kept: {path}",
        "ready": "The database is ready; {count} users read.",
        "next": "Next: put the hooks into the dialplan (`itgrix-bx dialplan install`), start the service\n"
                "(`itgrix-bx serve`, or `itgrix-bx setup --service`), then look with `itgrix-bx doctor`.",
        "service": "The service {user} is installed and started; see `systemctl status itgrix-bx`.",
    },
    "ru": {
        "webhook": "Адрес входящего вебхука (https://…/rest/…; не показывается)",
        "default": "ID пользователя, которому достаются ничьи звонки",
        "recordings": "Каталог записей разговоров",
        "shown": "вебхук в командной строке виден в списке процессов; с --webhook-file – нет",
        "checked": "Портал отвечает; активных сотрудников: {active}, с внутренним номером: {extensions}.",
        "written": "Записано: {path}", "kept": "Прежний файл сохранён: {path}",
        "ready": "База данных готова; прочитано пользователей: {count}.",
        "next": "Дальше: добавьте хуки в диалплан (`itgrix-bx dialplan install`), запустите службу\n"
                "(`itgrix-bx serve` или `itgrix-bx setup --service`) и проверьте: `itgrix-bx doctor`.",
        "service": "Служба {user} установлена и запущена: `systemctl status itgrix-bx`.",
    },
}  # fmt: skip


@click.command()
@click.option("--webhook", help="Address of the incoming webhook; --webhook-file is safer.")
@click.option(
    "--webhook-file", type=click.Path(exists=True, dir_okay=False), help="File with the address; it is read each start."
)
@click.option("--default-user", type=click.IntRange(min=1), help="Portal user that owns calls nobody else does.")
@click.option("--recordings", type=click.Path(file_okay=False), help="Directory of the recordings.")
@click.option("--database", "database_url", help="SQLAlchemy URL; SQLite in /var/lib/itgrix-bx otherwise.")
@click.option("--journal", type=click.Path(file_okay=False), help="Directory of the spool.")
@click.option("--listen", help="HOST:PORT of the FastAGI server.")
@click.option("--country", help="Country of the numbers (RU).")
@click.option("--service", is_flag=True, help="Install a hardened systemd service running as its own user.")
@click.option("--print-unit", is_flag=True, help="Only print that service's unit.")
@click.option("--lang", type=click.Choice(["en", "ru"]), default="en", show_default=True)
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given takes its default.")
@click.pass_obj
def setup(context: Context, /, print_unit: bool, service: bool, lang: str, yes: bool, **given: Any) -> None:
    """Connect a portal: ask, check live, write the configuration, create the database, read the users.

    Every answer is also an option, so that scripts need --yes alone. An existing configuration keeps its other keys.
    """
    path = Path(context.config or os.environ.get("ITGRIX_BX_CONFIG") or DEFAULT_PATH)
    if print_unit:
        click.echo(_unit(path), nl=False)
        return
    texts = _TEXTS[lang]
    changes = _answers(path, given, yes, texts)
    kept = _write(path, changes)
    click.echo(texts["written"].format(path=path))
    if kept is not None:
        click.echo(texts["kept"].format(path=kept))
    context.config = str(path)
    _prepare(context, texts)
    if service:
        _install(path)
        click.echo(texts["service"].format(user=_USER))
    else:
        click.echo(texts["next"])


# --- questions -----------------------------------------------------------------------------------


def _answers(path: Path, given: dict[str, Any], yes: bool, texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    webhook, portal = _webhook(path, given, yes, texts)
    people = _try_portal(webhook)
    extensions = sum(1 for person in people if person.extension)
    click.echo(texts["checked"].format(active=len(people), extensions=extensions))
    owner = Webhook(webhook).user_id
    default = given["default_user"] or (owner if yes else click.prompt(texts["default"], default=owner, type=int))
    if default not in {person.id for person in people}:
        raise Problem(f"user {default} is not an active user of the portal; name another with --default-user")
    changes: dict[str, dict[str, Any]] = {"portal": portal | {"default_user": default}}
    recordings = given["recordings"] or _monitor()
    if not given["recordings"] and not yes:
        recordings = click.prompt(texts["recordings"], default=recordings)
    changes["recordings"] = {"directory": str(recordings)}
    for name, section, key in (("database_url", "database", "url"), ("journal", "journal", "directory"),
                               ("country", "numbers", "country")):  # fmt: skip
        if given[name]:
            changes[section] = {key: given[name]}
    changes["fastagi"] = {"listen": given["listen"] or _free_listen()}
    return changes


def _webhook(path: Path, given: dict[str, Any], yes: bool, texts: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """(the address, what to write into [portal])"""
    if given["webhook_file"]:
        name = str(Path(given["webhook_file"]).resolve())
        return Path(name).read_text(encoding="utf-8").strip(), {"webhook_file": name}
    url = given["webhook"]
    if url:
        click.echo(f"itgrix-bx: {texts['shown']}", err=True)
    url = url or os.environ.get("ITGRIX_BX__PORTAL__WEBHOOK") or _present(path)
    if not url and yes:
        raise Problem("the webhook is missing: give --webhook-file FILE, or set ITGRIX_BX__PORTAL__WEBHOOK")
    url = url or click.prompt(texts["webhook"], hide_input=True)
    return url.strip(), {"webhook": url.strip()}


def _present(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        return load(path).portal.webhook.get_secret_value()
    except ConfigError as error:
        raise Problem(str(error)) from None


def _try_portal(webhook: str) -> list[PortalUser]:
    """The active employees of the portal. Raises Problem."""
    try:
        client = Bitrix24(webhook)
    except ValueError as error:
        raise Problem(str(error)) from None
    with client, Console(stderr=True, quiet=not sys.stderr.isatty()).status("…"):
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


def _free_listen() -> str:
    """4575, or the next port nobody has: 4573 belongs to FreePBX."""
    for port in range(4575, 4600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return f"127.0.0.1:{port}"
    return "127.0.0.1:4575"


# --- doing ---------------------------------------------------------------------------------------


def _write(path: Path, changes: dict[str, dict[str, Any]]) -> Path | None:
    try:
        return files.write(path, changes)
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path}: this is no valid TOML ({error}); correct or remove it") from None
    except OSError as error:
        raise Problem(
            f"{path} cannot be written: {error.strerror}; run as root or name another with --config"
        ) from None


def _prepare(context: Context, texts: dict[str, str]) -> None:
    from itgrix_bx.employees import sync
    from itgrix_bx.service import portal_client
    from sql.schema import upgrade
    from sql.staff import Staff

    settings = context.settings()
    try:
        settings.journal.directory.mkdir(parents=True, exist_ok=True)
        if settings.database.url.get_secret_value().startswith("sqlite:///"):
            Path(settings.database.url.get_secret_value().removeprefix("sqlite:///")).parent.mkdir(
                parents=True, exist_ok=True
            )
    except OSError as error:
        raise Problem(f"{error.filename} cannot be created: {error.strerror}; run as root or give --journal") from None
    with context.database(checked=False) as database:
        upgrade(database)
        try:
            count = sync(Staff(database), portal_client(settings))
        except (BitrixError, ValueError) as error:
            raise Problem(f"the users could not be read: {error}") from None
    click.echo(texts["ready"].format(count=count))


def _unit(path: Path) -> str:
    program = shutil.which("itgrix-bx") or str(Path(sys.executable).parent / "itgrix-bx")
    groups = " ".join(name for name in ("asterisk",) if _has_group(name))
    return systemd.unit(program, str(path), _USER, groups)


def _has_group(name: str) -> bool:
    return any(group.gr_name == name for group in grp.getgrall())


def _install(path: Path) -> None:
    if os.geteuid() != 0:
        raise Problem("installing a service needs root: run again with sudo")
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise Problem(
            "this machine does not run systemd: use `itgrix-bx setup --print-unit` or start `itgrix-bx serve`"
        )
    if not any(user.pw_name == _USER for user in pwd.getpwall()):
        _run("useradd", "--system", "--home-dir", "/var/lib/itgrix-bx", "--shell", "/usr/sbin/nologin", _USER)
    shutil.chown(path, "root", _USER)
    path.chmod(0o640)
    _run("chown", "-R", f"{_USER}:{_USER}", "/var/lib/itgrix-bx")
    Path("/etc/systemd/system/itgrix-bx.service").write_text(_unit(path), encoding="utf-8")
    _run("systemctl", "daemon-reload")
    _run("systemctl", "enable", "--now", "itgrix-bx")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"{' '.join(command[:2])} failed: {' '.join(done.stderr.split())[-300:]}")
