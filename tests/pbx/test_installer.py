"""The dialplan installer on file trees of every kind of phone system: whole lines are added, and all taken away."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from itgrix_bx.calls.events import CHECK_ID
from itgrix_bx.cli import main
from itgrix_bx.pbx.ami_user import READ, WRITE
from itgrix_bx.pbx.installer import endpoints, hooks, marks, reading
from itgrix_bx.pbx.installer.system import PREDIAL
from itgrix_bx.pbx.installer.tree import Tree
from tests.pbx.trees import PJSIP, SHAPES, THEIRS, Shape, plant

NAMES = [shape.name for shape in SHAPES]
GENERATED = [shape.name for shape in SHAPES if shape.generated]
CONFIG = '# ours\n[portal]\nwebhook = "http://127.0.0.1:9/rest/1/hunter2pw/"'


class Machine:
    """A phone system's files, and the program with a configuration of its own."""

    def __init__(self, tmp_path: Path, name: str) -> None:
        self.root = tmp_path / "root"
        self.shape: Shape = next(shape for shape in SHAPES if shape.name == name)
        plant(self.root, self.shape)
        self.etc = self.root / "etc/asterisk"
        self.copies = tmp_path / "lib/copies"
        self.copies.parent.mkdir()
        self.config = tmp_path / "config.toml"
        self.config.write_text(CONFIG)
        self.config.chmod(0o640)

    def run(self, *args: str, answer: str | None = None, color: bool = False) -> Result:
        command = ["--config", str(self.config), "dialplan", *args, "--root", str(self.root)]
        if args[0] in ("install", "remove"):
            command += ["--copies", str(self.copies)]
        return CliRunner().invoke(main, command, input=answer, color=color)

    def install(self, *args: str) -> Result:
        result = self.run("install", "--yes", *args)
        assert result.exit_code == 0, result.output
        return result

    def remove(self) -> Result:
        result = self.run("remove", "--yes")
        assert result.exit_code == 0, result.output
        return result

    def snapshot(self) -> dict[str, tuple[bytes, int, int, int]]:
        """Every file, directory and link with its content, mode and owner, but for the copies that are kept."""
        found = (path for path in self.root.parent.rglob("*") if self.copies not in (path, *path.parents))
        return {str(path): _about(path) for path in found}

    def text(self, name: str) -> str:
        return (self.etc / name).read_bytes().decode("latin-1")

    def dialplan(self) -> list[tuple[str, str]]:
        """(context, line) as Asterisk reads it: ours and theirs."""
        return list(whole(self.etc, "extensions.conf", [""]))


def _about(path: Path) -> tuple[bytes, int, int, int]:
    about = path.lstat()
    holds = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
    return holds, about.st_mode, about.st_uid, about.st_gid


def whole(etc: Path, name: str, section: list[str]) -> Iterator[tuple[str, str]]:
    """Asterisk's own view, by a reader of the test's."""
    for raw in (etc / name).read_bytes().decode("latin-1").split("\n"):
        line = raw.split(";")[0].strip()
        if line.startswith("#include"):
            included = line.split()[1].strip('"')
            if (etc / included).exists():
                yield from whole(etc, included, list(section))
        elif header := re.match(r"\[([^\]]+)\]", line):
            section[0] = header[1]
        elif line:
            yield section[0], line


@pytest.fixture(params=NAMES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


@pytest.fixture
def freepbx(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "freepbx16")


@pytest.fixture
def plain(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "plain")


# --- every shape ---------------------------------------------------------------------------------


def test_install_again_and_remove_leave_every_file_as_it_was(machine: Machine) -> None:
    before = machine.snapshot()
    assert machine.shape.says in machine.install().output
    installed = machine.snapshot()
    assert installed != before
    assert {path: about[1:] for path, about in installed.items() if path in before} == {
        path: about[1:] for path, about in before.items()
    }
    assert "Nothing to change" in machine.install().output
    assert machine.snapshot() == installed
    assert list(machine.copies.rglob("*.conf"))
    machine.remove()
    assert machine.snapshot() == before
    assert not machine.copies.exists()


def test_check_tells_whether_the_files_hold_the_hooks(machine: Machine) -> None:
    refused = machine.run("check")
    assert refused.exit_code == 1
    assert "run `itgrix-bx dialplan install`" in refused.output
    machine.install()
    checked = machine.run("check")
    assert checked.exit_code == 0, checked.output
    assert "✔ the files hold the hooks" in checked.output
    assert "– what Asterisk has loaded" in checked.output


def test_check_as_json_is_one_array_of_steps(freepbx: Machine) -> None:
    freepbx.install()
    steps = json.loads(freepbx.run("check", "--json").output)
    assert {"what": "the files hold the hooks", "ok": True, "cure": ""} in steps
    assert [step["ok"] for step in steps] == [True, True, None]


def test_a_dry_run_shows_a_diff_and_changes_nothing(machine: Machine) -> None:
    before = machine.snapshot()
    result = machine.run("install", "--dry-run")
    assert result.exit_code == 0
    assert "+; >>> itgrix-bx" in result.output
    assert machine.snapshot() == before
    machine.install()
    installed = machine.snapshot()
    assert "-; >>> itgrix-bx" in machine.run("remove", "--dry-run").output
    assert machine.snapshot() == installed


def test_it_asks_before_it_changes_anything(machine: Machine) -> None:
    before = machine.snapshot()
    declined = machine.run("install", answer="n\n")
    assert declined.exit_code == 1
    assert "itgrix-bx: nothing is changed" in declined.output
    assert machine.snapshot() == before
    assert machine.run("install", answer="y\n").exit_code == 0
    assert machine.snapshot() != before


def test_what_the_user_changes_meanwhile_stays(machine: Machine) -> None:
    machine.install()
    custom = machine.etc / machine.shape.hooked
    untouched = machine.snapshot()
    custom.write_bytes(b"; first\n" + custom.read_bytes() + b"\n[mine]\nexten => 1,1,NoOp()\n")
    edited = custom.read_bytes()
    machine.install()
    assert custom.read_bytes() == edited
    machine.remove()
    theirs = machine.shape.files[custom.name].encode("latin-1")
    assert custom.read_bytes() == b"; first\n" + theirs + b"\n[mine]\nexten => 1,1,NoOp()\n"
    assert str(custom) in untouched


def test_what_was_there_is_copied_where_only_root_reads(machine: Machine) -> None:
    before = machine.snapshot()
    machine.install()
    (shelf,) = next(machine.copies.iterdir()).iterdir()
    assert [path.stat().st_mode & 0o777 for path in (shelf.parent, shelf)] == [0o700, 0o700]
    kept = {str(path).removeprefix(str(shelf)): _about(path) for path in shelf.rglob("*") if path.is_file()}
    assert kept.items() <= before.items()
    assert len(kept) >= 3


def test_two_installations_within_a_second_keep_copies_of_their_own(machine: Machine) -> None:
    machine.install()
    machine.install("--fastagi", "192.0.2.7:4600")
    machine.install("--fastagi", "192.0.2.8:4600")
    assert len(list(next(machine.copies.iterdir()).iterdir())) == 3


def test_a_copy_of_what_the_user_has_changed_since_is_left_to_him(machine: Machine) -> None:
    custom = machine.etc / machine.shape.hooked
    first = custom.read_bytes()
    machine.install()
    custom.write_bytes(b"; mine\n" + custom.read_bytes())
    removed = machine.remove().output
    left = [path for path in machine.copies.rglob("*") if path.is_file()]
    assert [(path.name, path.read_bytes()) for path in left] == [(custom.name, first)]
    told = f"Older copies of files that you have changed since are left in {next(machine.copies.iterdir())}"
    assert told in removed
    assert custom.read_bytes() == b"; mine\n" + first


def test_copies_of_another_systems_files_are_left_alone(tmp_path: Path) -> None:
    one, other = Machine(tmp_path / "1", "plain"), Machine(tmp_path / "2", "plain")
    other.copies = one.copies
    one.install()
    other.install()
    one.remove()
    assert len(list(one.copies.iterdir())) == 1
    other.remove()
    assert not one.copies.exists()


def test_the_managers_user_has_the_least_rights_and_its_secret_is_never_shown(machine: Machine) -> None:
    file = "manager_custom.conf" if machine.shape.generated else "manager.conf"
    dry = machine.run("install", "--dry-run").output
    shown = dry + machine.install().output
    assert "systemctl restart itgrix-bx" in shown
    secret = re.search(r'secret = "(.+)"', machine.config.read_text())
    assert secret is not None
    user = marks.block((machine.etc / file).read_bytes())
    assert f"secret = {secret[1]}\n" in user
    nobody_else = "deny = 0.0.0.0/0.0.0.0\ndeny = ::/0\n"
    assert f"{nobody_else}permit = 127.0.0.1/255.255.255.255\nread = {READ}\nwrite = {WRITE}\n" in user
    shown += machine.run("remove", "--dry-run").output
    assert secret[1] not in shown
    assert "hunter22" not in shown
    assert "theirs\n" not in shown
    assert "secret = ********" in shown


def test_a_diff_shows_no_password_of_any_phone_or_trunk(plain: Machine) -> None:
    (plain.etc / "pjsip_wizard.conf").write_text(
        "[mtt]\ntype=wizard\noutbound_auth/password=hidden-1\n;old_secret = hidden-2\nendpoint/context=from-trunk\n"
    )
    (plain.etc / "sip.conf").write_text(
        "[out]\ntype=peer\nhost=192.0.2.9\nmd5secret=hidden-3\nauth=101:hidden-4@asterisk\ncontext=from-trunk\n"
        "[general]\nregister => 101:hidden-5@192.0.2.9/101\n"
    )
    shown = plain.run("install", "--dry-run").output
    assert "outbound_auth/password=********" in shown
    assert "context=b24-in-from-trunk" in shown
    assert "hidden-" not in shown


def test_what_stands_in_the_files_cannot_speak_to_the_terminal(freepbx: Machine) -> None:
    (freepbx.etc / "extensions_custom.conf").write_text("#include red\x1b[31m*.conf\n")
    (freepbx.etc / "red\x1b[31m1.conf").write_text("[from-pstn-custom]\nexten => _X.,1,NoOp(1)\n")
    additional = freepbx.etc / "extensions_additional.conf"
    additional.write_text(freepbx.text(additional.name).replace("16.24.1", "16\x1b]0;title\x07"))
    shown = freepbx.run("install", "--yes", color=True).output
    assert "\ufffd[31m1.conf" in shown
    freepbx.config.write_text(CONFIG)
    (freepbx.etc / "red\x1b[31m1.conf").write_text("[b24-agi]\nexten => s,1,NoOp(1)\n")
    refused = freepbx.run("install", "--yes", color=True)
    assert "\ufffd[31m1.conf:1: the hooks were pasted here" in refused.output
    assert "\x1b" not in shown + refused.output


def test_no_manager_user_is_made_where_none_is_wanted_and_none_later(machine: Machine) -> None:
    before = machine.snapshot()
    manager = "manager_custom.conf" if machine.shape.generated else "manager.conf"
    machine.install("--no-ami")
    installed = machine.snapshot()
    assert "Nothing to change" in machine.install().output
    assert machine.run("check").exit_code == 0
    assert machine.snapshot() == installed
    assert machine.text(manager).encode("latin-1") == before[str(machine.etc / manager)][0]
    assert machine.config.read_text() == CONFIG
    machine.install("--ami")
    assert "[itgrix-bx]" in machine.text(manager)
    machine.install("--no-ami")  # what the service would log in with goes too
    assert machine.snapshot() == installed
    machine.remove()
    assert machine.snapshot() == before


def test_check_misses_the_managers_user_that_somebody_took_away(machine: Machine) -> None:
    machine.install()
    file = machine.etc / ("manager_custom.conf" if machine.shape.generated else "manager.conf")
    file.write_bytes(marks.without(file.read_bytes()) or b"")
    checked = machine.run("check")
    assert checked.exit_code == 1
    assert f"{file.name} is not as it should be" in checked.output


def test_check_misses_an_address_that_changed_in_the_configuration(machine: Machine) -> None:
    machine.install()
    machine.config.write_text(machine.config.read_text() + '[fastagi]\nlisten = "127.0.0.1:4600"\n')
    assert machine.run("check").exit_code == 1
    machine.install()
    assert machine.run("check").exit_code == 0


def test_every_choice_is_remembered_beside_one_that_is_made_anew(plain: Machine) -> None:
    plain.install("--no-ami", "--fastagi", "crm.example.com:4575", "--inbound", "from-trunk")
    shown = plain.install("--outbound", "from-internal").output
    assert "contexts: from-trunk inbound, from-internal outbound" in shown
    assert "agi://crm.example.com:4575" in plain.text("itgrix-bx.conf")
    assert "[itgrix-bx]" not in plain.text("manager.conf")


def test_a_remote_services_address_is_remembered(machine: Machine) -> None:
    on_itself = "· that system will look for the service on itself (127.0.0.1:4575); else say --fastagi HOST:PORT"
    assert on_itself in machine.run("install", "--dry-run").output
    assert on_itself not in machine.install("--fastagi", "192.168.1.20:4575").output
    installed = machine.snapshot()
    assert "Nothing to change." in machine.install().output
    assert machine.snapshot() == installed
    machine.install("--fastagi", "127.0.0.1:4575")
    assert machine.snapshot() != installed


def test_a_remote_service_gets_its_address_and_its_firewall_line(machine: Machine) -> None:
    shown = machine.install("--fastagi", "192.0.2.7:4600").output
    assert "agi://192.0.2.7:4600" in "\n".join(line for _, line in machine.dialplan())
    assert "iptables -I INPUT -p tcp -s PBX --dport 4600 -j ACCEPT" in shown
    everything = b"".join(about[0] for about in machine.snapshot().values())
    assert b"permit = 192.0.2.7/255.255.255.255" in everything
    assert machine.run("check").exit_code == 0


@pytest.mark.parametrize("half", ["; >>> itgrix-bx: the hooks", "; <<< itgrix-bx"])
def test_a_mark_without_its_other_half_is_refused_with_its_line(machine: Machine, half: str) -> None:
    custom = machine.etc / machine.shape.hooked
    custom.write_bytes(b"; one\n" + half.encode() + b"\n" + custom.read_bytes())
    before = machine.snapshot()
    for command in ("install", "remove"):
        refused = machine.run(command, "--yes")
        assert refused.exit_code == 1
        assert f"{custom.name}, line 2:" in refused.output
        assert "delete what is left of it by hand" in refused.output
    assert machine.snapshot() == before


def test_marks_of_another_program_are_nothing_of_ours(machine: Machine) -> None:
    custom = machine.etc / machine.shape.hooked
    custom.write_bytes(b"; >>> itgrix\n; >>> other\n" + custom.read_bytes())
    before = machine.snapshot()
    machine.install()
    machine.remove()
    assert machine.snapshot() == before


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
@pytest.mark.parametrize("last", ["", "end"])
def test_line_ends_and_strange_bytes_are_kept(tmp_path: Path, ending: str, last: str) -> None:
    machine = Machine(tmp_path, "freepbx16")
    custom = machine.etc / "extensions_custom.conf"
    text = THEIRS.replace("\r", "").replace("\n", ending)
    custom.write_bytes(text.encode("latin-1") + b"; \xff\xfe\x80" + (b"" if last else ending.encode()))
    before = machine.snapshot()
    machine.install()
    ours = custom.read_bytes().split(b">>> itgrix-bx")[1].split(b"<<< itgrix-bx")[0]
    assert ours.count(b"\r\n") == (ours.count(b"\n") if ending == "\r\n" else 0)
    assert "Nothing to change" in machine.install().output
    machine.remove()
    assert machine.snapshot() == before


def test_owners_are_kept(machine: Machine) -> None:
    if os.geteuid() != 0:
        pytest.fail("run the tests as root: owners cannot be tried otherwise")
    for path in (machine.etc, *machine.etc.rglob("*")):
        os.chown(path, 995, 994)
    before = machine.snapshot()
    machine.install()
    assert {(about[2], about[3]) for path, about in machine.snapshot().items() if "asterisk" in path} == {(995, 994)}
    machine.remove()
    assert machine.snapshot() == before


def test_a_linked_file_is_written_behind_its_link(machine: Machine) -> None:
    name = machine.shape.hooked
    elsewhere = machine.root / "srv/pbx"
    elsewhere.mkdir(parents=True)
    (machine.etc / name).rename(elsewhere / name)
    (machine.etc / name).symlink_to(f"/srv/pbx/{name}")  # as the system itself sees it, not this machine
    before = machine.snapshot()
    machine.install()
    assert (machine.etc / name).is_symlink()
    assert b">>> itgrix-bx" in (elsewhere / name).read_bytes()
    machine.remove()
    assert machine.snapshot() == before


def test_two_names_of_one_file_are_one_file(freepbx: Machine) -> None:
    (freepbx.etc / "a_link.conf").symlink_to("extensions_custom.conf")
    before = freepbx.snapshot()
    freepbx.install()
    assert "Nothing to change" in freepbx.install().output
    freepbx.remove()
    assert freepbx.snapshot() == before


def test_what_is_no_file_is_not_read(freepbx: Machine) -> None:
    os.mkfifo(freepbx.etc / "pipe.conf")
    freepbx.install()


def test_a_new_file_with_a_secret_has_the_rights_of_the_one_beside_it(freepbx: Machine) -> None:
    (freepbx.etc / "manager_custom.conf").unlink()
    (freepbx.etc / "extensions.conf").chmod(0o644)
    (freepbx.etc / "manager.conf").chmod(0o600)
    before = freepbx.snapshot()
    freepbx.install()
    assert (freepbx.etc / "manager_custom.conf").stat().st_mode & 0o777 == 0o600
    freepbx.remove()
    assert freepbx.snapshot() == before


def test_a_link_that_leads_nowhere_is_refused(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.unlink()
    custom.symlink_to(custom.name)
    refused = freepbx.run("install", "--yes")
    assert refused.exit_code == 1
    assert "a link that leads nowhere" in refused.output


def test_when_one_file_cannot_be_written_none_is_changed(freepbx: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from itgrix_bx.pbx.installer import plan

    before = freepbx.snapshot()
    real, count = plan.replace, [0]

    def failing(path: Path, data: bytes | None, like: Path | None = None) -> None:
        count[0] += 1
        if count[0] == 3:
            raise OSError(28, "No space left on device", str(path))
        real(path, data, like)

    monkeypatch.setattr(plan, "replace", failing)
    refused = freepbx.run("install", "--yes")
    assert refused.exit_code == 1
    assert "No space left on device; nothing is changed" in refused.output
    assert freepbx.snapshot() == before


# --- generated dialplans ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("freepbx16", ["B24_MACRO = 1"]),
        ("freepbx17", []),
        ("issabel", ["B24_MACRO = 1", "B24_DIALOPT = 1"]),
    ],
)
def test_each_generation_gets_its_settings(tmp_path: Path, name: str, settings: list[str]) -> None:
    machine = Machine(tmp_path, name)
    machine.install()
    found = [line for context, line in machine.dialplan() if context == "globals" and line.startswith("B24_")]
    assert found == settings


@pytest.mark.parametrize("name", GENERATED)
def test_the_shipped_hooks_are_what_is_installed(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, name)
    machine.etc.joinpath("extensions_custom.conf").write_text("[from-internal-custom]\nexten => 1,1,NoOp()\n")
    machine.install()
    block = marks.block((machine.etc / "extensions_custom.conf").read_bytes())
    assert hooks.shipped("extensions_custom.conf", "127.0.0.1:4575") in block + "\n"


def test_contexts_are_not_asked_for_where_the_dialplan_is_generated(freepbx: Machine) -> None:
    before = freepbx.snapshot()
    refused = freepbx.run("install", "--yes", "--inbound", "from-trunk")
    assert refused.exit_code == 1
    assert "--inbound and --outbound are for a plain Asterisk; leave them out on FreePBX" in refused.output
    assert freepbx.snapshot() == before


@pytest.mark.parametrize("name", GENERATED)
def test_a_users_own_hooks_are_called_by_ours_and_stay_as_they_are(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, name)
    shown = machine.install().output
    custom = "/etc/asterisk/extensions_custom.conf"
    assert f"· your [from-pstn-custom] in {custom} would hide ours: ours comes first now and calls it" in shown
    assert f"· your [macro-dialout-trunk-predial-hook] in {custom} would hide ours" in shown
    dialplan = machine.dialplan()

    def body(context: str) -> list[str]:
        return [line for found, line in dialplan if found == context]

    assert body("b24-their-from-pstn-custom") == [
        "exten => _X.,1,NoOp(mine)",
        "exten => _X.,n,Goto(ext-did,${EXTEN},1)",
    ]
    assert body("b24-from-pstn")[0] == "include => b24-their-from-pstn-custom"
    assert all("b24-inbound" in line for line in body("from-pstn-custom"))
    trunk = body("macro-dialout-trunk-predial-hook")
    their, ours = "macro-b24-their-dialout-trunk-predial-hook", "macro-b24-own-dialout-trunk-predial-hook"
    assert any("PREDIAL_HOOK_RET=BYPASS" in line for line in body(their))
    assert any("b24-agi,outbound" in line for line in body(ours))
    called = [f"Gosub({their},s,1())", f"Gosub({ours},s,1())"] if name == "freepbx17" else [
        f"Macro({their[6:]})", f"Macro({ours[6:]})"
    ]  # fmt: skip
    assert [call for line in trunk for call in called if call in line] == called
    assert "BYPASS" in trunk[1]
    # The stock file's empty hook comes after ours and changes nothing: the first definition wins.
    assert trunk[0] == f"exten => s,1,{called[0]}"
    assert f"same => n(end),{'Return()' if name == 'freepbx17' else 'NoOp()'}" in trunk


def test_every_hook_of_a_user_is_found_in_every_file_of_his(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.write_text('#include "mine/*.conf"\n')
    (freepbx.etc / "mine").mkdir()
    for hook in PREDIAL:
        (freepbx.etc / f"mine/{hook}.conf").write_text(f"[{hook}]\nexten => s,1,NoOp()\n[next]\nexten => 1,1,NoOp()")
    before = freepbx.snapshot()
    freepbx.install()
    for hook in PREDIAL:
        assert f"[{hook}]\n[{hooks.their(hook)}] ; <> itgrix-bx" in freepbx.text(f"mine/{hook}.conf")
    freepbx.remove()
    assert freepbx.snapshot() == before


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "extensions_additional.conf",
            "[macro-dialout-trunk-predial-hook]\nexten => s,1,NoOp(theirs)\n",
            "move it to extensions_custom.conf",
        ),
        (
            "extensions_custom.conf",
            "[t](!)\nexten => s,1,NoOp()\n[macro-dialout-trunk-predial-hook](t)\nexten => s,2,NoOp()\n",
            "write them out",
        ),
        (
            "extensions_custom.conf",
            "[macro-dialout-trunk-predial-hook]\nexten => s,1,Goto(macro-dialout-trunk-predial-hook,s,5)\n",
            "leave the name out",
        ),
    ],
)
def test_a_hook_that_cannot_be_chained_is_left_to_its_owner_and_told(
    freepbx: Machine, file: str, text: str, said: str
) -> None:
    (freepbx.etc / "extensions_custom.conf").write_text("")
    (freepbx.etc / file).write_text((freepbx.etc / file).read_text() + text)
    before = freepbx.snapshot()
    result = freepbx.run("install", "--yes")
    assert result.exit_code == 1
    assert re.search(rf"! /etc/asterisk/{file}:\d+: .*{said}", result.output)
    ours = marks.block((freepbx.etc / "extensions_custom.conf").read_bytes())
    assert "[macro-dialout-trunk-predial-hook]" not in ours
    assert "[macro-dialout-one-predial-hook]" in ours
    checked = freepbx.run("check")
    assert checked.exit_code == 1
    assert "✘" in checked.output
    freepbx.remove()
    assert freepbx.snapshot() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("used", [True, False])
def test_the_pbxs_own_fastagi_port_is_refused(freepbx: Machine, host: str, used: bool) -> None:
    """FreePBX has it since 14, whether its dialplan uses it already or not."""
    additional = freepbx.etc / "extensions_additional.conf"
    if not used:
        additional.write_text(additional.read_text().replace("agi://127.0.0.1/", ""))
    refused = freepbx.run("install", "--yes", "--fastagi", f"{host}:4573")
    assert refused.exit_code == 1
    assert "port 4573 belongs to FreePBX's own FastAGI server" in refused.output


@pytest.mark.parametrize("options", ["(+)", "(!)"])
def test_a_hook_that_goes_on_or_is_a_template_is_chained_as_it_is(freepbx: Machine, options: str) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.write_text(f"[macro-dialout-trunk-predial-hook]{options}\nexten => s,1,NoOp(mine)\n")
    freepbx.install()
    theirs = f"[macro-b24-their-dialout-trunk-predial-hook]{options} ; <> itgrix-bx"
    assert theirs in freepbx.text("extensions_custom.conf")


def test_a_hook_that_only_includes_what_is_not_there_says_nothing(freepbx: Machine) -> None:
    (freepbx.etc / "extensions_custom.conf").write_text("[macro-dialout-trunk-predial-hook]\n#include none.conf\n")
    assert "would hide ours" not in freepbx.install().output


def test_a_hook_in_a_file_of_one_of_the_pbxs_modules_is_left_to_it(freepbx: Machine) -> None:
    theirs = freepbx.root / "var/www/html/admin/modules/crm/etc/crm.conf"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[macro-dialout-trunk-predial-hook]\nexten => s,1,NoOp(a module's)\n")
    (freepbx.etc / "crm.conf").symlink_to("/var/www/html/admin/modules/crm/etc/crm.conf")
    (freepbx.etc / "extensions_custom.conf").write_text("#include crm.conf\n")
    before = theirs.read_bytes()
    refused = freepbx.run("install", "--yes")
    assert "[macro-dialout-trunk-predial-hook] is in a file that is not the user's" in refused.output
    assert theirs.read_bytes() == before


def test_a_manager_that_is_off_is_told(machine: Machine) -> None:
    manager = machine.etc / "manager.conf"
    manager.write_text(manager.read_text().replace("enabled = yes", "enabled = no"))
    shown = machine.run("install", "--yes").output
    assert "the manager is off → set enabled = yes in [general] of /etc/asterisk/manager.conf" in shown


def test_what_was_changed_is_newer_than_it_was(machine: Machine) -> None:
    """Asterisk reads some files again only when they are."""
    for path in machine.etc.rglob("*.conf"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    machine.install()
    assert (machine.etc / machine.shape.hooked).stat().st_mtime > 1_000_000_000


def test_hooks_pasted_by_hand_are_not_doubled(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.write_text(hooks.shipped("extensions_custom.conf", "127.0.0.1:4575"))
    refused = freepbx.run("install", "--yes")
    assert refused.exit_code == 1
    assert re.search(r"extensions_custom\.conf:\d+: the hooks were pasted here by hand; delete them", refused.output)


def test_a_missing_include_is_told_and_not_made(freepbx: Machine) -> None:
    stock = freepbx.etc / "extensions.conf"
    stock.write_text(stock.read_text().replace("#include extensions_custom.conf\n", ""))
    before = stock.read_bytes()
    result = freepbx.run("install", "--yes")
    assert result.exit_code == 1
    assert "nothing includes extensions_custom.conf" in result.output
    assert stock.read_bytes() == before


def test_what_to_put_into_the_pbxs_screens_is_told(tmp_path: Path) -> None:
    assert "Target `b24-customdest,s,1`" in Machine(tmp_path / "f", "freepbx17").install().output
    assert "`b24-then,600,1`" in Machine(tmp_path / "i", "issabel").install().output


@pytest.mark.parametrize("name", GENERATED)
def test_a_reload_that_writes_the_generated_files_anew_keeps_the_hooks(tmp_path: Path, name: str) -> None:
    """`fwconsole reload` after any change in the PBX's screens; it takes the custom files as they are."""
    machine = Machine(tmp_path, name)
    custom = {file: machine.text(file) for file in machine.shape.files if "custom" in file}
    machine.install()
    for file in ("extensions_additional.conf", "manager.conf"):
        path = machine.etc / file
        path.unlink()
        path.write_text(machine.shape.files[file] + "; written anew\n")
    assert machine.run("check").exit_code == 0
    assert "Nothing to change." in machine.install().output
    read = machine.dialplan()
    assert ("b24-agi", "same => n,Return()") in read
    assert ("from-pstn-custom", "exten => s,1,Goto(b24-inbound,s,1)") in read
    assert "[itgrix-bx]" in machine.text("manager_custom.conf")
    machine.remove()
    assert {file: machine.text(file) for file in custom} == custom
    assert machine.text("manager.conf").endswith("; written anew\n")
    everything = b"".join(about[0] for about in machine.snapshot().values())
    assert b"itgrix-bx:" not in everything


def test_commented_hooks_are_none(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.write_text(
        ";--\n[from-pstn-custom]\nexten => _X.,1,NoOp()\n--;\n;[from-pstn-custom]\n[a]\nexten => 1,1,NoOp()\n"
    )
    freepbx.install()
    assert "b24-their-from-pstn-custom" not in custom.read_text()


# --- calls between extensions ------------------------------------------------------------------------

REPORTED = {
    "freepbx16": ("globals", "B24_INTERNAL = 1"),
    "freepbx17": ("globals", "B24_INTERNAL = 1"),
    "issabel": ("b24-from-internal", "include => from-internal-xfer"),
    "elastix": ("b24-from-internal", "include => from-internal-xfer"),
    "plain": ("b24-enter-out-from-internal", "same => n(inside),Gosub(b24-colleague-from-internal,s,1)"),
    "plain-wizard": ("b24-enter-out-from-internal", "same => n(inside),Gosub(b24-colleague-from-internal,s,1)"),
    "plain-sip": ("b24-enter-out-from-internal", "same => n(inside),Gosub(b24-colleague-from-internal,s,1)"),
}


def test_internal_calls_are_reported_where_that_is_told_until_it_is_taken_back(machine: Machine) -> None:
    before = machine.snapshot()
    machine.install()
    without = machine.snapshot()
    assert REPORTED[machine.shape.name] not in machine.dialplan()
    machine.install("--internal")
    assert REPORTED[machine.shape.name] in machine.dialplan()
    assert (("globals", "B24_INTERNAL = 1") in machine.dialplan()) is machine.shape.name.startswith("freepbx")
    assert "Nothing to change." in machine.install().output
    assert machine.run("check").exit_code == 0
    machine.install("--no-internal")
    assert machine.snapshot() == without
    machine.remove()
    assert machine.snapshot() == before


def test_every_choice_together_is_remembered(machine: Machine) -> None:
    machine.install("--internal", "--no-ami", "--fastagi", "192.0.2.7:4600")
    installed = machine.snapshot()
    assert "Nothing to change." in machine.install().output
    assert machine.snapshot() == installed


@pytest.mark.parametrize("name", ["issabel", "elastix"])
def test_a_users_own_way_for_what_phones_dial_goes_on_beside_ours(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, name)
    custom = machine.etc / "extensions_custom.conf"
    custom.write_text("[from-internal-noxfer-custom]\nexten => _X.,1,NoOp(mine)\nexten => *77,1,NoOp(mine too)\n")
    before = machine.snapshot()
    machine.install()
    assert "[from-internal-noxfer-custom]" in machine.text("extensions_custom.conf").splitlines()[-3]
    shown = machine.install("--internal").output
    assert "your [from-internal-noxfer-custom] in /etc/asterisk/extensions_custom.conf would hide ours" in shown
    dialplan = machine.dialplan()
    theirs = "b24-their-from-internal-noxfer-custom"
    assert [line for found, line in dialplan if found == theirs] == [
        "exten => _X.,1,NoOp(mine)", "exten => *77,1,NoOp(mine too)",
    ]  # fmt: skip
    ours = [line for found, line in dialplan if found == "from-internal-noxfer-custom"]
    assert ours[0] == f"include => {theirs}"
    assert [line for line in ours if line.startswith("exten")] == [ours[1]]
    assert next(line for found, line in dialplan if found == "b24-from-internal") == f"include => {theirs}"
    machine.remove()
    assert machine.snapshot() == before


def test_internal_calls_that_cannot_be_reported_are_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "issabel")
    stock = machine.etc / "extensions.conf"
    stock.write_text(stock.read_text().replace("include => from-internal-noxfer-custom\n", ""))
    result = machine.run("install", "--yes", "--internal")
    assert result.exit_code == 1
    assert "what phones dial does not come by [from-internal-noxfer-custom] → internal calls are not" in result.output
    assert machine.run("install", "--yes", "--no-internal").exit_code == 0


# --- plain Asterisk ----------------------------------------------------------------------------------


def test_endpoints_come_to_contexts_of_ours_and_the_dialplan_stays(plain: Machine) -> None:
    shown = plain.install().output
    assert "contexts: from-trunk inbound, from-internal outbound" in shown
    pjsip = plain.text("pjsip.conf")
    assert "context=from-internal ; phones\ncontext=b24-out-from-internal ; <> itgrix-bx" in pjsip
    assert "context=from-trunk\ncontext=b24-in-from-trunk ; <> itgrix-bx" in pjsip
    theirs = [line for line in plain.text("extensions.conf").splitlines() if line.startswith("exten")]
    assert theirs == [line for line in plain.shape.files["extensions.conf"].splitlines() if line.startswith("exten")]
    assert ("b24-in-from-trunk", "include => from-trunk") in plain.dialplan()


def test_the_contexts_that_were_told_are_remembered(plain: Machine) -> None:
    untold = "outbound calls are not reported → say --outbound with the context= that phones come to"
    assert f"! {untold}" in plain.install("--inbound", "from-trunk").output
    assert f"– {untold}" in plain.run("check").output
    assert "b24-out-" not in plain.text("itgrix-bx.conf")
    assert "Nothing to change" in plain.install().output
    plain.install("--inbound", "from-trunk", "--outbound", "from-internal")
    assert "b24-out-from-internal" in plain.text("pjsip.conf")


def test_a_context_no_endpoint_has_is_refused_with_those_there_are(plain: Machine) -> None:
    before = plain.snapshot()
    refused = plain.run("install", "--yes", "--inbound", "from-mtt")
    assert refused.exit_code == 1
    assert "no endpoint has context=from-mtt (known are from-internal, from-trunk)" in refused.output
    assert plain.snapshot() == before


@pytest.mark.parametrize("context", ["a,b", "a]b", "x" * 70, "a b", "a;b"])
def test_a_context_that_is_no_name_is_refused(plain: Machine, context: str) -> None:
    assert "cannot be used as a context" in plain.run("install", "--yes", "--inbound", context).output


def test_a_context_that_trunks_and_phones_share_must_be_told(plain: Machine) -> None:
    pjsip = plain.etc / "pjsip.conf"
    pjsip.write_text(PJSIP.replace("from-trunk", "default").replace("from-internal", "default"))
    refused = plain.run("install", "--yes")
    assert refused.exit_code == 1
    assert "--inbound and --outbound; there are default (trunks mtt, phones 101, 102)" in refused.output
    plain.install("--inbound", "default", "--outbound", "default")
    assert "context=default\ncontext=b24-in-default" in pjsip.read_text()
    assert "context=default ; phones\ncontext=b24-out-default" in pjsip.read_text()


def test_trunks_and_phones_on_one_line_are_refused(plain: Machine) -> None:
    (plain.etc / "pjsip.conf").write_text(PJSIP.replace("[mtt]\ntype=endpoint\ncontext=from-trunk", "[mtt](phone)"))
    refused = plain.run("install", "--yes", "--inbound", "from-internal", "--outbound", "from-internal")
    assert "give the trunks a context= of their own" in refused.output


def test_the_wizard_and_the_old_driver_are_read_too(plain: Machine) -> None:
    (plain.etc / "pjsip.conf").unlink()
    (plain.etc / "pjsip_wizard.conf").write_text(
        "[t](!)\ntype=wizard\nendpoint/context=phones\naccepts_registrations=yes\n[201](t)\n"
        "[zadarma]\ntype=wizard\nremote_hosts=sip.example.com\nendpoint/context=world"
    )
    (plain.etc / "sip.conf").write_text(
        "[general]\ncontext=nowhere\n#include more/sip-*.conf\n[out]\ntype=peer\nhost=192.0.2.9\ncontext = world\n"
    )
    (plain.etc / "more").mkdir()
    (plain.etc / "more/sip-phones.conf").write_text("[301]\ntype=friend\nhost=dynamic\ncontext=phones\n")
    before = plain.snapshot()
    shown = plain.install().output
    assert "contexts: world inbound, phones outbound" in shown
    assert "endpoint/context=world\nendpoint/context=b24-in-world ; <>" in plain.text("pjsip_wizard.conf")
    assert "context=phones\ncontext=b24-out-phones ; <>" in plain.text("more/sip-phones.conf")
    assert "context = world\ncontext=b24-in-world ; <>" in plain.text("sip.conf")
    assert "nowhere\ncontext" not in plain.text("sip.conf")
    for command in ("res_pjsip_config_wizard.so", "chan_sip.so"):
        assert f'asterisk -rx "module reload {command}"' in shown
    plain.remove()
    assert plain.snapshot() == before


def test_the_line_that_counts_is_the_one_that_is_followed(plain: Machine) -> None:
    """Of a repeated setting the last, of several templates the last with one; a template is no phone itself."""
    (plain.etc / "pjsip.conf").write_text(
        "[one](!)\ntype=endpoint\ncontext=first\n[two](!)\ncontext=second\n[none](!)\nauth=x\n"
        "[101](one,two,none)\nauth=101\n[102]\ntype=endpoint\nauth=102\ncontext=third\ncontext=fourth\n"
        "[mtt]\ntype=endpoint\noutbound_auth=mtt\ncontext=world\n"
        "[103]\ntype=endpoint\ncontext=world\n[gate]\ntype=endpoint\ncontext=world\n"
    )
    phones = {place.context: place.phones for place in endpoints.places(endpoints.entries(Tree(plain.root)))}
    assert phones == {"first": (), "second": ("101",), "third": (), "fourth": ("102",), "world": ("103",)}
    undecided = plain.run("install", "--yes", "--inbound", "nowhere").output
    assert "known are first, fourth, second, third, world" in undecided
    shown = plain.run("install", "--yes", "--outbound", "second", "--outbound", "fourth", "--inbound", "world").output
    assert "contexts: world inbound, second, fourth outbound" in shown
    pjsip = plain.text("pjsip.conf")
    assert "context=second\ncontext=b24-out-second" in pjsip
    assert "context=fourth\ncontext=b24-out-fourth" in pjsip
    assert pjsip.count("context=world\ncontext=b24-in-world") == 3
    plain.remove()
    places = plain.run("install", "--yes").output
    assert "first (phones" not in places
    assert "world is left out: trunks and phones share it" in places


def test_endpoints_leave_our_contexts_before_these_go(plain: Machine) -> None:
    assert re.search(r"dialplan reload.*res_pjsip", plain.install().output)
    assert re.search(r"res_pjsip.*dialplan reload", plain.remove().output)


def test_hooks_used_by_hand_are_left_alone(plain: Machine) -> None:
    (plain.etc / "itgrix-bx.conf").write_text(hooks.shipped("itgrix-bx.conf", "127.0.0.1:4575"))
    refused = plain.run("install", "--yes")
    assert refused.exit_code == 1
    assert "itgrix-bx.conf was put there by hand" in refused.output


def test_what_somebody_adds_to_our_file_stays_in_it(plain: Machine) -> None:
    plain.install()
    ours = plain.etc / "itgrix-bx.conf"
    ours.write_text(ours.read_text() + "[mine]\nexten => 1,1,NoOp()\n")
    assert "Nothing to change" in plain.install().output
    plain.remove()
    assert ours.read_text() == "[mine]\nexten => 1,1,NoOp()\n"


def test_half_a_block_in_our_file_is_told(plain: Machine) -> None:
    plain.install()
    ours = plain.etc / "itgrix-bx.conf"
    ours.write_text(ours.read_text().replace("; <<< itgrix-bx\n", ""))
    refused = plain.run("install", "--yes")
    assert refused.exit_code == 1
    assert "itgrix-bx.conf, line 1: the block of itgrix-bx that begins here has no end" in refused.output


def test_no_asterisk_is_told(plain: Machine) -> None:
    refused = plain.run("install", "--yes", "--etc", "/etc/nothing")
    assert refused.exit_code == 1
    assert "name Asterisk's configuration with --etc DIR" in refused.output


# --- the manager's user ------------------------------------------------------------------------------


def test_a_user_the_configuration_names_is_made_with_its_secret(freepbx: Machine) -> None:
    freepbx.config.write_text(CONFIG + '\n[ami]\nusername = "bx"\nsecret = "se;cret99"\n')
    configured = freepbx.config.read_bytes()
    freepbx.install()
    assert "[bx]\nsecret = se\\;cret99\n" in marks.block((freepbx.etc / "manager_custom.conf").read_bytes())
    assert freepbx.config.read_bytes() == configured


def test_a_linked_configuration_stays_a_link(freepbx: Machine) -> None:
    elsewhere = freepbx.config.with_name("elsewhere.toml")
    freepbx.config.rename(elsewhere)
    freepbx.config.symlink_to(elsewhere)
    freepbx.install()
    assert freepbx.config.is_symlink()
    assert "[ami]" in elsewhere.read_text()
    freepbx.remove()
    assert elsewhere.read_text() == CONFIG


def test_without_a_manager_no_user_is_made(plain: Machine) -> None:
    (plain.etc / "manager.conf").unlink()
    plain.install()
    assert not (plain.etc / "manager.conf").exists()


def test_a_user_that_is_there_is_left_alone(freepbx: Machine) -> None:
    freepbx.config.write_text(CONFIG + '\n[ami]\nusername = "dialer"\nsecret = "hunter22"\n')
    manager = freepbx.text("manager_custom.conf")
    freepbx.install()
    assert freepbx.text("manager_custom.conf") == manager


def test_an_ami_section_without_a_user_is_completed(freepbx: Machine) -> None:
    freepbx.config.write_text(CONFIG + '\n[ami] # the manager\naddress = "127.0.0.1:5039"\n')
    before = freepbx.snapshot()
    freepbx.install()
    assert '# <<< itgrix-bx\naddress = "127.0.0.1:5039"\n' in freepbx.config.read_text()
    freepbx.remove()
    assert freepbx.snapshot() == before


def test_a_service_that_is_named_needs_an_address_for_the_manager(freepbx: Machine) -> None:
    refused = freepbx.run("install", "--yes", "--fastagi", "crm.example.com:4575")
    assert refused.exit_code == 1
    assert "give --fastagi the service's IP address, or --no-ami" in refused.output
    freepbx.install("--fastagi", "crm.example.com:4575", "--no-ami")


@pytest.mark.parametrize("address", ["4575", "host", "h:0", "h:99999", "h,x:1", "h\n:1"])
def test_an_address_that_is_none_is_wrong_usage(freepbx: Machine, address: str) -> None:
    assert freepbx.run("install", "--yes", "--fastagi", address).exit_code == 2


# --- the parts -----------------------------------------------------------------------------------------


def test_the_test_calls_id_is_one_the_service_registers_nothing_for() -> None:
    assert f"inbound,1({CHECK_ID}${{EXTEN}},,)" in hooks.CHECK


def test_an_include_goes_on_in_the_section_it_stands_in(tmp_path: Path) -> None:
    (tmp_path / "etc/asterisk").mkdir(parents=True)
    etc = tmp_path / "etc/asterisk"
    (etc / "a.conf").write_text("[one]\n#include b.conf\nx=2\n")
    (etc / "b.conf").write_text("x=1 ; said \\; so\n;-- not\nx=9\n--; x=3\n[two]\ny=1\n#tryinclude none.conf\n")
    found = [(line.section, line.text) for line in reading.lines(Tree(tmp_path), "a.conf") if "=" in line.text]
    assert found == [("one", "x=1"), ("one", "x=3"), ("two", "y=1"), ("one", "x=2")]


@pytest.mark.parametrize(
    ("name", "file", "text", "says"),
    [
        ("issabel", "/etc/elastix.conf", "", "Elastix, its dialplan calls by Macro; Asterisk 16.7.0"),
        (
            "plain",
            "/var/lib/dpkg/status",
            "Package: a\nVersion: 1\n\nPackage: asterisk\nStatus: ok\nVersion: 1:20.6.0~dfsg-2\n\n",
            "plain Asterisk; Asterisk 20.6.0",
        ),
    ],
)
def test_a_system_that_does_not_run_is_known_by_its_files(
    tmp_path: Path, name: str, file: str, text: str, says: str
) -> None:
    machine = Machine(tmp_path, name)
    path = machine.root / file[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert says in machine.run("install", "--dry-run").output


# --- in Russian --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["install", "--dry-run"], "та система будет искать службу у себя (127.0.0.1:4575)"),
        (["install", "--yes", "--inbound", "a b"], "для обычного Asterisk; для FreePBX они не нужны"),
        (["install", "--yes", "--fastagi", "127.0.0.1:4573"], "порт 4573 занят собственным FastAGI-сервером FreePBX"),
        (["install", "--fastagi", "host"], "нужно ХОСТ:ПОРТ, например 192.168.1.5:4575"),
        (["check"], "хуков нет; выполните `itgrix-bx dialplan install`"),
        (["remove"], "Менять нечего."),
    ],
)
def test_it_speaks_russian(freepbx: Machine, args: list[str], says: str) -> None:
    assert says in freepbx.run(*args, "--lang", "ru").output


def test_an_installation_and_its_check_are_told_in_russian(machine: Machine) -> None:
    english = re.compile(r"\b(the|is|and|run|this)\b")
    for command in (
        ["install", "--fastagi", "192.0.2.7:4600", "--yes"],
        ["check"],
        ["check", "--json"],
        ["remove", "--yes"],
    ):
        shown = machine.run(*command, "--lang", "ru").output
        assert re.search("[а-я]", shown)
        assert not english.search(re.sub(r"`[^`]*`", "", shown)), shown


def test_the_language_changes_nothing_in_the_files(machine: Machine) -> None:
    machine.install("--lang", "ru")
    installed = machine.snapshot()
    assert "Nothing to change." in machine.install("--lang", "en").output
    assert machine.snapshot() == installed
