"""What `doctor` checks: each part, what was found, and the cure."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import sqlalchemy as sa

from bx24client import Bitrix24, BitrixError, Command, ScopeMissing
from bx24client.auth import is_loopback
from itgrix_bx.config import Settings, split_address
from itgrix_bx.delivery.fetching import Fetching
from itgrix_bx.delivery.recording import convert
from itgrix_bx.delivery.recording.links import PROBE
from itgrix_bx.pbx.ami import manager_of
from itgrix_bx.pbx.ami_user import READ, WRITE
from itgrix_bx.pbx.cdr import Records, RecordsAwayError
from itgrix_bx.pbx.link import Link, Timings
from itgrix_bx.pbx.messages import AmiError, AmiLoginError, AmiRefusedError
from itgrix_bx.pbx.own_lists import blacklist, blocked, extensions
from itgrix_bx.setup.files import database_file
from itgrix_bx.times import ago
from itgrix_bx.web.recordings import probe
from sql.database import Database, DatabaseAwayError
from sql.notes import Notes
from sql.schema import check as check_schema
from sql.staff import Staff

OK, WARNING, BAD, OFF = "ok", "warning", "bad", "off"
SCOPES = {"telephony": "calls", "crm": "clients and leads", "user_brief": "employees and their extensions"}
# Without them the administrator's own tables are all there is; nothing stops.
MORE_SCOPES = {"department": "heads come from `users head` only", "calendar": "absences come from `users absent` only"}
_SKEW_S = 60.0
_SLOW_NAME_S = 0.5


@dataclass(frozen=True)
class Check:
    """One finding. `result`: ok | warning | bad | off; `cure` is empty when there is nothing to do."""

    part: str
    found: str
    result: str
    cure: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def everything(settings: Settings, config: Path | None, client: Bitrix24 | None) -> Iterator[Check]:
    """All checks, in the order in which they are worth putting right."""
    yield config_file(config)
    yield from portal(settings, client)
    yield from database(settings)
    yield spool(settings)
    yield fastagi(settings)
    yield from recordings(settings)
    yield from fetching(settings)
    yield dialplan()
    yield ami(settings)
    if settings.ami.username:
        yield own_numbers(settings)
    yield cdr(settings)
    yield host_name()
    yield from not_yet(settings)


def config_file(path: Path | None) -> Check:
    if path is None:
        return Check("configuration", "none: built-in defaults", BAD, "run `itgrix-bx setup`")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        return Check("configuration", f"{path} can be read by everybody", BAD, f"chmod o-rwx {path}: it holds secrets")
    return Check("configuration", str(path), OK)


# --- the portal ----------------------------------------------------------------------------------


def portal(settings: Settings, client: Bitrix24 | None) -> Iterator[Check]:
    if client is None:
        yield Check("portal", "no webhook", BAD, "create an incoming webhook in Bitrix24, then run `itgrix-bx setup`")
        return
    try:
        # The portal's clock against ours also tells whether it can be reached at all.
        theirs = datetime.fromisoformat(client.execute(Command("server.time", {}, str, idempotent=True), timeout_s=10))
    except (BitrixError, ValueError) as error:
        yield Check("portal", str(error), BAD, "check the address, the network and the webhook")
        return
    yield Check("portal", f"{client.portal} answers", OK)
    yield _clock(theirs)
    yield from scopes(client)
    yield from employees(settings, client)


def _clock(theirs: datetime) -> Check:
    skew = abs(time.time() - theirs.timestamp())
    if skew > _SKEW_S:
        return Check("clock", f"differs from the portal's by {skew:.0f} s", BAD, "switch time synchronisation on (NTP)")
    return Check("clock", "agrees with the portal's", OK)


def scopes(client: Bitrix24) -> Iterator[Check]:
    try:
        granted = {str(s) for s in client.execute(Command("scope", {}, list, idempotent=True), timeout_s=10)}
    except BitrixError as error:
        yield Check(
            "webhook rights", str(error), WARNING, "create the webhook with the rights telephony, crm, user_brief"
        )
        return
    users = granted & {"user", "user_basic", "user_brief"}
    missing = [s for s in ("telephony", "crm") if s not in granted] + ([] if users else ["user_brief"])
    for scope in missing:
        yield Check(
            "webhook rights", f"{scope} is missing: {SCOPES[scope]}", BAD, f"add {scope} to the webhook in Bitrix24"
        )
    if not missing:
        yield Check("webhook rights", ", ".join(sorted(granted & {*SCOPES, *MORE_SCOPES, *users})), OK)
    for scope, without in MORE_SCOPES.items():
        if scope not in granted:
            yield Check(f"webhook right {scope}", f"not given: {without}", OFF)


def employees(settings: Settings, client: Bitrix24) -> Iterator[Check]:
    try:
        people = client.users(timeout_s=20)
    except ScopeMissing:
        return  # said by `scopes`
    except BitrixError as error:
        yield Check("employees", str(error), BAD, "see the portal")
        return
    active = [person for person in people if person.active]
    with_extension = [person for person in active if person.extension]
    default = settings.portal.default_user
    if default not in {person.id for person in active}:
        cure = "set [portal] default_user to an active user"
        yield Check("default user", f"user {default} is not an active user of the portal", BAD, cure)
    found = f"{len(active)} active, {len(with_extension)} with an extension"
    cure = "" if with_extension else "enter inner numbers in Bitrix24 (Telephony, users) or use `itgrix-bx users map`"
    yield Check("employees", found, OK if with_extension else WARNING, cure)


# --- our own parts -------------------------------------------------------------------------------


def database(settings: Settings) -> Iterator[Check]:
    opened = Database(settings.database.url.get_secret_value())
    try:
        reason = str(check_schema(opened) or "")
        found, _, cure = reason.partition(": ")
        name = opened.engine.dialect.name
        yield Check("database", found or f"{name}, schema up to date", BAD if reason else OK, cure)
        yield from _seen_by_others(database_file(settings.database.url.get_secret_value()))
        yield from durability(opened)
        if not reason:
            yield from staff(Staff(opened))
            opened.write(lambda _: None)  # what can be read may be held against writing (SQLite)
    except DatabaseAwayError as error:
        yield Check("database", str(error), BAD, str(error.cure))
    finally:
        opened.close()


def _seen_by_others(file: Path | None) -> Iterator[Check]:
    if file is not None and file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o007:
        yield Check(
            "database file", f"{file} can be read by everybody", WARNING, f"chmod o-rwx {file}: it tells who called"
        )


def staff(stored: Staff) -> Iterator[Check]:
    """What calls go by: the list of employees, and whose an extension is that two have. Raises DatabaseAwayError."""
    if not stored.synced_at():
        yield Check("users list", "never read", WARNING, "run `itgrix-bx users sync`")
    directory = stored.directory()
    for extension, people in directory.shared().items():
        found = f"{extension} is rung for users {', '.join(map(str, people))}, and calls on it are user {people[0]}'s"
        cure = f"give each their own inner number in Bitrix24, or say whose it is: `itgrix-bx users map {extension} ID`"
        yield Check(f"extension {extension}", found, WARNING, cure)


def durability(opened: Database) -> Iterator[Check]:
    """Whether a commit is on the disk when the hook is told so. Raises DatabaseAwayError."""
    if opened.engine.dialect.name == "sqlite":
        return  # every connection of ours asks for it
    query = sa.text("SELECT @@innodb_flush_log_at_trx_commit")
    if (found := opened.read(lambda c: c.execute(query).scalar())) != 1:
        cure = "set innodb_flush_log_at_trx_commit = 1 on the database server: a power cut loses calls otherwise"
        yield Check("database on disk", f"innodb_flush_log_at_trx_commit is {found}", WARNING, cure)


def spool(settings: Settings) -> Check:
    directory = settings.journal.directory
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        return Check("spool", f"{directory} cannot be written", BAD, f"create {directory} for the service's user")
    free = shutil.disk_usage(directory).free // 2**20
    return Check(
        "spool", f"{directory}, {free} MiB free", OK if free > 200 else WARNING, "" if free > 200 else "free space"
    )


def fastagi(settings: Settings) -> Check:
    host, port = split_address(settings.fastagi.listen)
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        cure = "start it: systemctl start itgrix-bx (or `itgrix-bx serve`)"
        return Check("FastAGI server", f"nothing answers on {settings.fastagi.listen}", BAD, cure)
    if port == 4573:
        return Check(
            "FastAGI server", "4573 belongs to FreePBX 14+", WARNING, "use 4575 in [fastagi] listen and the dialplan"
        )
    return Check("FastAGI server", f"answers on {settings.fastagi.listen}", OK)


def recordings(settings: Settings) -> Iterator[Check]:
    yield _readable("recordings", settings.recordings.directory, "directory")
    if settings.recordings.voicemail_directory:
        yield _readable("voice messages", Path(settings.recordings.voicemail_directory), "voicemail_directory")
    if settings.recordings.mp3 and not convert.installed():
        cure = f"{sys.executable} -m pip install lameenc"
        yield Check("recordings as MP3", "lameenc is not installed: they are sent as they are", WARNING, cure)
    elif settings.recordings.mp3:
        yield Check("recordings as MP3", "WAV is converted before it is sent", OK)


def _readable(part: str, directory: Path, key: str) -> Check:
    if not directory.is_dir():
        return Check(part, f"{directory} is not there", WARNING, f"set [recordings] {key}")
    if not os.access(directory, os.R_OK | os.X_OK):
        return Check(part, f"{directory} cannot be read", BAD, "put the service's user in Asterisk's group")
    return Check(part, str(directory), OK)


def fetching(settings: Settings) -> Iterator[Check]:
    """Whether the portal can fetch recordings from us: seen from here, and by what it has shown."""
    url = settings.recordings.public_url
    if not url:
        return
    opened = Database(settings.database.url.get_secret_value())
    try:
        asked = Fetching(url, Notes(opened))
        asked.prepare()
        yield _reached(settings, asked.links.make("", PROBE))
        yield _fetched(asked)
    except DatabaseAwayError:
        return  # said by `database`
    finally:
        opened.close()


def _reached(settings: Settings, link: str) -> Check:
    part, url = "[recordings] public_url", settings.recordings.public_url
    try:
        with requests.get(link, timeout=10, stream=True) as answer:
            good = answer.status_code == 200 and answer.raw.read(len(probe()) + 1) == probe()
        found = "" if good else f"does not lead to our recordings (it answers {answer.status_code})"
    except requests.RequestException as error:
        found = f"cannot be reached from here ({type(error).__name__})"
    if found:
        cure = f"let the proxy pass it on to http://{settings.web.listen}/recordings/ and start `itgrix-bx serve` there"
        return Check(part, f"{url} {found}", WARNING, cure)
    if url.startswith("http:") and not is_loopback(urlsplit(url).hostname):
        return Check(part, f"{url} leads here, readable by everybody on the way", WARNING, "use https")
    return Check(part, f"{url} leads here", OK)


def _fetched(fetching: Fetching) -> Check:
    part = "fetched by the portal"
    if trouble := fetching.trouble():
        return Check(part, trouble, WARNING, fetching.cure)
    worked = fetching.shown().worked_at
    return Check(part, "recordings" if worked else "nothing yet: the first recording will show", OK)


def dialplan() -> Check:
    if shutil.which("asterisk") is None:
        return Check(
            "dialplan",
            "no Asterisk on this machine",
            OFF,
            "on the PBX: `itgrix-bx dialplan check`, see docs/dialplan.md",
        )
    done = subprocess.run(["asterisk", "-rx", "dialplan show b24-agi"], capture_output=True, text=True, check=False)
    if "b24-agi" in done.stdout and "There is no existence" not in done.stdout:
        return Check("dialplan", "the hooks are loaded", OK)
    return Check("dialplan", "Asterisk has no context b24-agi", BAD, "install the hooks: `itgrix-bx dialplan install`")


def ami(settings: Settings) -> Check:
    """Whether the manager lets us in and answers what we ask it."""
    if not settings.ami.username:
        return Check("AMI", "not configured", OFF, "[ami] tells of calls what hooks cannot see: docs/ami.md")
    user = settings.ami.username
    try:
        with Link(manager_of(settings.ami), timings=Timings(connect=3.0, answer=5.0)) as link:
            link.login()
            version = link.ask("CoreSettings").answer.get("AsteriskVersion")
            count = len(link.ask("CoreShowChannels").items)
            link.ask("DeviceStateList")
            heard = link.ask("Events", {"EventMask": READ}).answer.get("Events")
    except AmiLoginError as error:
        cure = f"compare [ami] username and secret with [{user}] in manager.conf, and its permit="
        return Check("AMI", str(error), BAD, cure)
    except AmiRefusedError as error:
        return Check("AMI", str(error), BAD, f"give [{user}] in manager.conf `write = {WRITE}` and `read = {READ}`")
    except AmiError as error:
        cure = "manager.conf: [general] enabled = yes, port and bindaddr as in [ami] address; then `manager reload`"
        return Check("AMI", str(error), BAD, cure)
    if heard.lower() == "off":
        return Check("AMI", f"[{user}] hears no events", BAD, f"give [{user}] in manager.conf `read = {READ}`")
    return Check("AMI", f"Asterisk {version} on {settings.ami.address}, {count} channels", OK)


def own_numbers(settings: Settings) -> Check:
    """Whether the PBX's own extensions and black list can be read."""
    try:
        with Link(manager_of(settings.ami), timings=Timings(connect=3.0, answer=5.0)) as link:
            link.login()
            count, unwanted = len(extensions(link.ask)), len(blocked(blacklist(link.ask)))
    except AmiRefusedError as error:
        rights = "reporting,command" if error.action == "Command" else "reporting"
        cure = f"give [{settings.ami.username}] in manager.conf `write = {rights}`: docs/numbers.md"
        return Check("PBX numbers", str(error), WARNING, cure)
    except AmiError as error:
        return Check("PBX numbers", f"not read: {error}", OFF, "see the line AMI")
    return Check("PBX numbers", f"{count} extensions, {unwanted} numbers on the PBX's black list", OK)


def cdr(settings: Settings) -> Check:
    """Whether what the hooks miss can be read from the PBX's records."""
    url = settings.cdr.url.get_secret_value()
    if not url:
        cure = "set [cdr] url to FreePBX's asteriskcdrdb, so that calls missed while we are down are caught up"
        return Check("call records", "[cdr] url is not set", OFF, cure)
    try:
        with contextlib.closing(Records(url)) as records:
            sight = records.look()
    except RecordsAwayError as error:
        return Check(
            "call records", str(error), BAD, "correct [cdr] url; calls go on, but missed ones are not caught up"
        )
    if not sight.cel:
        cure = "switch CEL on (FreePBX: Settings, CEL; else cel.conf and cel_odbc.conf): talk times become exact"
        return Check("call records", "CDR without CEL", WARNING, cure)
    newest = f"the newest {ago(sight.newest)} ago" if sight.newest else "none yet"
    return Check("call records", f"CDR and CEL, {newest}", OK)


def host_name() -> Check:
    """Asterisk looks its host's name up while it offers sound: a resolver that does not answer delays calls by 5 s."""
    name = socket.gethostname()
    began = time.monotonic()
    with contextlib.suppress(OSError):
        socket.getaddrinfo(name, None)
    seconds = time.monotonic() - began
    if seconds > _SLOW_NAME_S:
        cure = f"on the PBX add `127.0.1.1 {name}` to /etc/hosts: Asterisk asks for it, and calls wait"
        return Check("host name", f"looking {name} up took {seconds:.0f} s", WARNING, cure)
    return Check("host name", f"{name} is looked up at once", OK)


def not_yet(settings: Settings) -> Iterator[Check]:
    """Settings of the contract whose feature this version does not have."""
    asked: dict[str, Callable[[Settings], object]] = {
        "[portal.application]": lambda s: s.portal.application.client_id,
    }
    for name, is_set in asked.items():
        if is_set(settings):
            yield Check(name, "set, but this version does not have it yet", WARNING, "it is accepted and has no effect")
