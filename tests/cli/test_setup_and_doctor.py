"""`setup` connects a portal and `doctor` tells what is wrong, against the portal's double."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.cli import main
from itgrix_bx.config import load
from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.pbx.installer.own_config import manager_user, with_user, without_user
from itgrix_bx.setup import checks, own_service
from tests.pbx.database import create, fill, rows_of


@pytest.fixture
def portal() -> Iterator[PortalEmulator]:
    with PortalEmulator(rate=0) as running:
        yield running


class Machine:
    def __init__(self, directory: Path, portal: PortalEmulator) -> None:
        self.directory, self.portal = directory, portal
        self.config = directory / "config.toml"
        self.secret = directory / "webhook"
        self.secret.write_text(portal.webhook_url + "\n")
        (directory / "monitor").mkdir()

    def run(self, *args: str, **how: Any) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *args], **how)

    def setup(self, *args: str, **how: Any) -> Result:
        places = ("--journal", str(self.directory), "--database", f"sqlite:///{self.directory}/journal.db")
        return self.run("setup", *places, "--recordings", str(self.directory / "monitor"), *args, **how)

    def doctor(self) -> tuple[int, dict[str, dict[str, str]]]:
        result = self.run("doctor", "--json")
        return result.exit_code, {check["part"]: check for check in json.loads(result.stdout)}


@pytest.fixture
def machine(tmp_path: Path, portal: PortalEmulator) -> Machine:
    return Machine(tmp_path, portal)


def test_setup_by_options_alone_writes_a_working_configuration(machine: Machine) -> None:
    result = machine.setup("--webhook-file", str(machine.secret), "--yes")
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o600
    written = tomllib.loads(machine.config.read_text())
    assert written["portal"] == {"webhook_file": str(machine.secret), "default_user": 1}
    assert "emulator-secret" not in machine.config.read_text() + result.output
    assert len(json.loads(machine.run("users", "list", "--json").stdout)) == 4
    assert "dialplan install" in result.output


def test_setup_asks_and_never_shows_the_secret(machine: Machine) -> None:
    result = machine.setup("--lang", "ru", input=f"{machine.portal.webhook_url}\n\n")
    assert result.exit_code == 0, result.output
    assert "Портал отвечает" in result.output
    assert machine.portal.webhook_url not in result.output


def test_setup_again_keeps_other_keys_and_a_copy(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    with machine.config.open("a") as file:
        file.write('[pbx]\nname = "office-"\n')
    assert machine.setup("--webhook-file", str(machine.secret), "--yes", "--country", "DE").exit_code == 0
    written = tomllib.loads(machine.config.read_text())
    assert (written["pbx"]["name"], written["numbers"]["country"]) == ("office-", "DE")
    copies = [path for path in machine.directory.iterdir() if path.name.startswith("config.toml.")]
    assert len(copies) == 1


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        ("http://127.0.0.1:9/rest/1/hunter2pw/", "cannot be reached"),
        ("https://example.bitrix24.ru/", "webhook"),
        ("http://example.bitrix24.ru/rest/1/hunter2pw/", "http"),
    ],
)
def test_a_wrong_webhook_is_refused_before_anything_is_written(machine: Machine, webhook: str, says: str) -> None:
    machine.secret.write_text(webhook)
    result = machine.setup("--webhook-file", str(machine.secret), "--yes")
    assert result.exit_code == 1
    assert says in result.output
    assert "hunter2pw" not in result.output
    assert "Traceback" not in result.output
    assert not machine.config.exists()


def test_a_webhook_without_rights_says_which_to_add(machine: Machine) -> None:
    machine.portal.seed({"settings": {"webhook_scopes": ["crm", "user_brief"]}})
    result = machine.setup("--webhook-file", str(machine.secret), "--yes")
    assert (result.exit_code, "add telephony to the webhook" in result.output) == (1, True)


def test_a_default_user_who_was_dismissed_is_refused(machine: Machine) -> None:
    result = machine.setup("--webhook-file", str(machine.secret), "--yes", "--default-user", "14")
    assert (result.exit_code, "user 14 is not an active user" in result.output) == (1, True)


def test_setup_asks_again_after_a_wrong_answer_and_says_what_was_wrong(machine: Machine) -> None:
    url = machine.portal.webhook_url
    answers = ("nonsense", "http://127.0.0.1:9/rest/1/hunter2pw/", url, "boss", "99", "11", "")
    result = machine.setup("--lang", "ru", input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    for said in ("must look like", "cannot be reached", "boss – не активный", "99 – не активный"):
        assert said in result.output
    assert "hunter2pw" not in result.output
    assert tomllib.loads(machine.config.read_text())["portal"]["default_user"] == 11


def test_setup_tells_how_many_users_were_read_and_what_was_not(machine: Machine) -> None:
    result = machine.setup("--webhook-file", str(machine.secret), "--yes")
    assert "5 users read." in result.output
    assert "Synced(" not in result.output
    (gap,) = [line for line in result.output.splitlines() if "heads" in line]
    assert "tick telephony, user_brief and crm, and department" in gap
    russian = machine.setup("--webhook-file", str(machine.secret), "--yes", "--lang", "ru")
    assert "прочитано пользователей: 5." in russian.output


def test_setup_again_on_a_running_system_keeps_its_port_its_user_and_its_places(machine: Machine) -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        listen = f"127.0.0.1:{ours.getsockname()[1]}"
        options = ("--listen", listen, "--default-user", "11")
        assert machine.setup("--webhook-file", str(machine.secret), "--yes", *options).exit_code == 0
        before = tomllib.loads(machine.config.read_text())
        again = machine.run("setup", "--yes", "--country", "DE")
    assert again.exit_code == 0, again.output
    assert tomllib.loads(machine.config.read_text()) == before | {"numbers": {"country": "DE"}}


def test_a_portal_that_refuses_the_old_webhook_may_be_given_a_new_one(machine: Machine) -> None:
    machine.config.write_text('[portal]\nwebhook = "http://127.0.0.1:9/rest/1/hunter2pw/"\n')
    result = machine.setup(input=f"{machine.portal.webhook_url}\n\n")
    assert result.exit_code == 0, result.output
    assert "cannot be reached" in result.output
    assert tomllib.loads(machine.config.read_text())["portal"]["webhook"] == machine.portal.webhook_url


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--listen", "4575"), "[fastagi] listen: must be HOST:PORT"),
        (("--country", "Russia"), "[numbers] country: must be a country's two capital letters"),
        (("--country", "XX"), "[numbers] country: must be a country's two capital letters"),
        (("--database", "postgres://x"), "[database] url: must begin with sqlite:///"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    machine: Machine, args: tuple[str, ...], says: str
) -> None:
    result = machine.run("setup", "--webhook-file", str(machine.secret), "--yes", *args)
    assert (result.exit_code, says in result.output) == (1, True), result.output
    assert not machine.config.exists()


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "holds no webhook"), (b"\xd0\xff\x80", "holds no webhook"), (b"x", "must look like")]
)
def test_a_webhook_file_with_anything_else_is_said_in_a_sentence(machine: Machine, content: bytes, says: str) -> None:
    machine.secret.write_bytes(content)
    result = machine.setup("--webhook-file", str(machine.secret), input="")
    assert (result.exit_code, says in result.output) == (1, True)
    assert isinstance(result.exception, SystemExit)


def test_a_place_where_nothing_can_be_written_is_told_before_the_first_question(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.directory / "file").touch()
    for place in (machine.directory, machine.directory / "file" / "config.toml"):
        machine.config = place
        result = machine.setup()
        assert result.exit_code == 1
        assert f"{place} cannot be written" in result.output
        assert "webhook" not in result.output
    machine.config = machine.directory / "closed" / "config.toml"
    monkeypatch.setattr(os, "access", lambda _, mode, **_how: mode == os.R_OK)
    assert "Permission denied; run as root or name another with --config" in machine.setup().output


def test_a_database_or_spool_that_cannot_be_made_names_its_option(machine: Machine) -> None:
    (machine.directory / "file").touch()
    inside = str(machine.directory / "file" / "x")
    usual = ("setup", "--webhook-file", str(machine.secret), "--yes")
    journal = machine.run(*usual, "--journal", inside, "--database", f"sqlite:///{machine.directory}/journal.db")
    assert (journal.exit_code, "another with --journal" in journal.output) == (1, True)
    database = machine.run(*usual, "--journal", str(machine.directory), "--database", f"sqlite:///{inside}/journal.db")
    assert (database.exit_code, "another with --database" in database.output) == (1, True)


def test_setup_writes_whole_paths_and_nobody_else_may_read_what_it_makes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.directory)
    places = ("--journal", "spool", "--database", "sqlite:///data/journal.db", "--recordings", "monitor")
    result = machine.run("setup", *places, "--webhook-file", "webhook", "--yes")
    assert result.exit_code == 0, result.output
    written = tomllib.loads(machine.config.read_text())
    assert written["journal"]["directory"] == str(machine.directory / "spool")
    assert written["database"]["url"] == f"sqlite:///{machine.directory}/data/journal.db"
    assert written["recordings"]["directory"] == str(machine.directory / "monitor")
    assert written["portal"]["webhook_file"] == str(machine.secret)
    assert stat.S_IMODE((machine.directory / "data" / "journal.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((machine.directory / "spool").stat().st_mode) == 0o700


def test_the_services_user_can_still_read_what_setup_wrote_again(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    os.chown(machine.config, os.getuid(), os.getgid())
    machine.config.chmod(0o640)
    assert machine.run("setup", "--yes", "--country", "DE").exit_code == 0
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o640
    machine.config.chmod(0o644)
    assert machine.run("setup", "--yes", "--country", "RU").exit_code == 0
    assert stat.S_IMODE(machine.config.stat().st_mode) == 0o640
    (copy, *_) = [path for path in machine.directory.iterdir() if path.name.startswith("config.toml.")]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_setup_again_leaves_every_other_line_as_it_is(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    theirs = '\n# Ромашка, офис  # (c) admin\n[pbx]\nname = "office-"   # прежний\n'
    installed = with_user(machine.config, "itgrix-bx", "s3cret-of-the-manager") + theirs.encode()
    machine.config.write_bytes(installed)
    assert machine.run("setup", "--yes").exit_code == 0
    assert machine.config.read_bytes() == installed
    assert machine.run("setup", "--yes", "--country", "DE", "--default-user", "11").exit_code == 0
    assert machine.config.read_text().replace("= 11", "= 1") == installed.decode() + '\n[numbers]\ncountry = "DE"\n'
    assert manager_user(machine.config) == "s3cret-of-the-manager"
    assert theirs in without_user(machine.config).decode()


def test_recordings_that_are_not_there_yet_are_said_and_taken(machine: Machine) -> None:
    nowhere = str(machine.directory / "nowhere")
    result = machine.setup("--webhook-file", str(machine.secret), "--yes", "--recordings", nowhere)
    assert (result.exit_code, f"{nowhere} is not there (yet)" in result.output) == (0, True)


def test_without_an_answer_and_without_asking_setup_says_what_is_missing(machine: Machine) -> None:
    result = machine.setup("--yes")
    assert (result.exit_code, "--webhook-file" in result.output) == (1, True)


def test_the_unit_is_hardened_and_has_a_watchdog(machine: Machine) -> None:
    unit = machine.run("setup", "--print-unit").output
    for line in ("Type=notify", "WatchdogSec=10", "NoNewPrivileges=yes", "ProtectSystem=strict", "User=itgrix-bx"):
        assert line in unit
    assert f"--config {machine.config} serve" in unit


def test_a_service_that_cannot_be_installed_is_told_before_the_first_question(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = machine.setup("--service")
    assert (result.exit_code, result.output) == (
        1,
        "itgrix-bx: installing a service needs root: run again with sudo\n",
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = machine.setup("--service", "--lang", "ru")
    assert (result.exit_code, "нет systemd" in result.output) == (1, True)
    assert not machine.config.exists()


def test_a_service_is_not_installed_where_its_sandbox_would_not_let_it_write(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_service, "require", lambda: None)
    result = machine.setup("--service", "--yes", "--webhook-file", str(machine.secret))
    assert (result.exit_code, "may write below /var/lib/itgrix-bx only" in result.output) == (1, True)
    assert not machine.config.exists()


def test_a_service_is_not_installed_where_it_could_not_read_the_webhook(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_service, "require", lambda: None)
    monkeypatch.setattr(own_service, "HOME", machine.directory)
    monkeypatch.setattr(own_service, "_closed", lambda file: file.parent if file == machine.secret else None)
    result = machine.setup("--service", "--yes", "--webhook-file", str(machine.secret))
    assert (result.exit_code, f"could not read {machine.secret}" in result.output) == (1, True)
    assert not machine.config.exists()


@pytest.mark.parametrize(
    "wrong",
    ['[portal]\nwebhook_file = "/nowhere/webhook"', '[database]\nurl = "postgres://x"', "[recordings]\ndirectory = 5"],
)
def test_what_an_option_replaces_may_have_been_wrong(machine: Machine, wrong: str) -> None:
    machine.config.write_text(f"{wrong}\n")
    result = machine.setup("--webhook-file", str(machine.secret), "--yes")
    assert result.exit_code == 0, result.output
    assert tomllib.loads(machine.config.read_text())["portal"]["webhook_file"] == str(machine.secret)


def test_the_services_user_may_read_the_configuration_and_the_files_it_names(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    with pytest.raises(own_service.ServiceError, match="is closed to it: put the file into /etc/itgrix-bx"):
        own_service.install(machine.config, run=lambda *_: pytest.fail("nothing may be done yet"))
    monkeypatch.setattr(own_service, "_closed", lambda _: None)
    owned: list[tuple[Path, str, str]] = []
    ran: list[tuple[str, ...]] = []
    own_service.install(
        machine.config,
        unit_file=machine.directory / "unit",
        run=lambda *command: ran.append(command),
        own=lambda *of: owned.append(of),
    )
    assert owned == [(file, "root", "itgrix-bx") for file in (machine.config, machine.secret)]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (machine.config, machine.secret)} == {0o640}
    assert ran[0][0] == "useradd"
    assert ran[1] == ("chown", "-R", "itgrix-bx:itgrix-bx", "/var/lib/itgrix-bx")
    assert [command[1] for command in ran[2:]] == ["daemon-reload", "enable", "restart"]
    assert f"--config {machine.config} serve" in (machine.directory / "unit").read_text()


def test_doctor_finds_all_well_but_the_server_that_is_not_started(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    code, found = machine.doctor()
    assert code == 1
    assert [part for part, check in found.items() if check["result"] == "bad"] == ["FastAGI server"]
    assert "systemctl start" in found["FastAGI server"]["cure"]
    assert found["employees"]["found"] == "4 active, 3 with an extension"


def test_doctor_says_whose_an_extension_is_that_two_people_have(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    machine.portal.seed({"users": [{"id": 21, "name": "Z", "extension": "101"}]})
    machine.run("users", "sync")
    check = machine.doctor()[1]["extension 101"]
    assert check["found"] == "101 is rung for users 11, 21, and calls on it are user 11's"
    assert (check["result"], "users map 101 ID" in check["cure"]) == ("warning", True)
    machine.run("users", "map", "101", "21")
    assert "extension 101" not in machine.doctor()[1]


def test_doctor_says_what_to_do_about_each_fault(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes")
    machine.config.chmod(0o644)
    (machine.directory / "monitor").rmdir()
    (machine.directory / "journal.db").unlink()
    with machine.config.open("a") as file:
        file.write('[portal.application]\nclient_id = "local.1"\n')
    machine.portal.stop()
    code, found = machine.doctor()
    assert code == 1
    assert "chmod" in found["configuration"]["cure"]
    assert found["database"]["found"] == "the database has no tables yet"
    assert found["portal"]["result"] == "bad"
    assert "db upgrade" in found["database"]["cure"]
    assert found["recordings"]["result"] == "warning"
    assert "does not have it yet" in found["[portal.application]"]["found"]


def test_doctor_says_when_everybody_can_read_the_database(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    assert "database file" not in machine.doctor()[1]
    (machine.directory / "journal.db").chmod(0o644)
    check = machine.doctor()[1]["database file"]
    assert (check["result"], check["cure"].startswith(f"chmod o-rwx {machine.directory}")) == ("warning", True)


def test_doctor_says_when_recordings_cannot_become_mp3(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    monkeypatch.setenv("ITGRIX_BX__RECORDINGS__MP3", "true")
    assert machine.doctor()[1]["recordings as MP3"]["result"] == "ok"
    monkeypatch.setattr("itgrix_bx.delivery.recording.convert.installed", lambda: False)
    check = machine.doctor()[1]["recordings as MP3"]
    assert check["result"] == "warning"
    assert "-m pip install lameenc" in check["cure"]


def test_doctor_looks_at_the_records_of_the_pbx(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    assert machine.doctor()[1]["call records"]["result"] == "off"
    records = f"sqlite:///{machine.directory}/asteriskcdrdb"
    with machine.config.open("a") as file:
        file.write(f'[cdr]\nurl = "{records}"\n')
    away = machine.doctor()[1]["call records"]
    assert (away["result"], "[cdr] url" in away["found"] + away["cure"]) == ("bad", True)
    create(records, cel=False)
    assert machine.doctor()[1]["call records"]["result"] == "warning"
    (machine.directory / "asteriskcdrdb").unlink()
    create(records)
    fill(records, *rows_of(["busy"]))
    there = machine.doctor()[1]["call records"]
    assert (there["result"], there["found"].startswith("CDR and CEL, the newest")) == ("ok", True)


def test_doctor_says_when_the_disk_is_full_and_the_default_user_is_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    monkeypatch.setenv("ITGRIX_BX__PORTAL__DEFAULT_USER", "14")
    found = machine.doctor()[1]
    assert (found["spool"]["result"], found["spool"]["cure"]) == ("warning", "free space")
    assert found["default user"]["found"] == "user 14 is not an active user of the portal"
    assert found["default user"]["result"] == "bad"


def test_doctor_says_when_our_clock_is_not_the_portals() -> None:
    now = datetime.now(UTC)
    assert checks._clock(now - timedelta(seconds=30)).result == checks.OK
    for theirs in (now - timedelta(seconds=90), now + timedelta(seconds=90)):
        check = checks._clock(theirs)
        assert (check.result, "NTP" in check.cure) == (checks.BAD, True)


def test_doctor_says_when_we_listen_on_the_port_of_freepbx_itself(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:4573")
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    check = checks.fastagi(load(machine.config))
    assert (check.result, "4575" in check.cure) == ("warning", True)


def test_doctor_warns_of_a_host_name_that_makes_asterisk_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver_that_does_not_answer(*_: object) -> None:
        time.sleep(0.6)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolver_that_does_not_answer)
    check = checks.host_name()
    assert check.result == checks.WARNING
    assert "/etc/hosts" in check.cure


def test_a_table_for_people_names_parts_and_cures(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    shown = machine.run("doctor").output
    assert "FastAGI server" in shown
    assert "→ start it" in shown


def test_the_dialplan_is_shown_with_this_servers_address(machine: Machine) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:4599")
    for kind in ("plain", "freepbx"):
        shown = machine.run("dialplan", "show", kind).output
        assert "agi://127.0.0.1:4599" in shown
        assert "4575" not in shown
    assert os.linesep.join(["#include"]) in machine.run("dialplan", "show", "site").output


def test_doctor_says_whether_voice_messages_can_be_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.setup("--webhook-file", str(machine.secret), "--yes", "--listen", "127.0.0.1:1")
    assert "voice messages" not in machine.doctor()[1]
    monkeypatch.setenv("ITGRIX_BX__RECORDINGS__VOICEMAIL_DIRECTORY", str(machine.directory / "voicemail"))
    check = machine.doctor()[1]["voice messages"]
    assert (check["result"], check["cure"]) == ("warning", "set [recordings] voicemail_directory")
    (machine.directory / "voicemail").mkdir()
    assert machine.doctor()[1]["voice messages"]["result"] == "ok"
