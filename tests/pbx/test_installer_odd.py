"""The installer on files as nobody would wish them, and interrupted: one clear sentence, and nothing lost."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.pbx.installer import marks
from tests.pbx.test_installer import NAMES, Machine

OF_ASTERISK = 995


@pytest.fixture(params=NAMES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "plain")


@pytest.fixture
def freepbx(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "freepbx16")


# --- what files hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "last", "encoding"), [("\r\n", "", "cp1251"), ("\r\n", "end", "utf-8"), ("\n", "end", "cp1251")]
)
def test_every_file_in_any_encoding_and_with_any_line_end_comes_back(
    machine: Machine, ending: str, last: str, encoding: str
) -> None:
    for path in [path for path in machine.etc.rglob("*") if path.is_file()]:
        lines = path.read_bytes().decode("latin-1").replace("\r", "").rstrip("\n").split("\n")
        text = ending.join([*lines, "; обработка звонков"]) + ("" if last else ending)
        path.write_bytes(text.encode(encoding, "replace"))
    before = machine.snapshot()
    machine.install()
    assert "Nothing to change" in machine.install().output
    assert machine.run("check").exit_code == 0
    machine.remove()
    assert machine.snapshot() == before
    assert not machine.copies.exists()


def test_a_byte_order_mark_stays_first_and_hides_no_section(machine: Machine) -> None:
    for path in [path for path in machine.etc.rglob("*") if path.is_file()]:
        at = path.read_bytes().find(b"[") if path.name == machine.shape.hooked else 0
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes()[at:])
    before = machine.snapshot()
    told = machine.install().output
    if machine.shape.generated:  # his first section begins at the mark
        assert "your [from-pstn-custom] in /etc/asterisk/extensions_custom.conf" in told
    installed = (machine.etc / machine.shape.hooked).read_bytes()
    assert installed.rindex(codecs.BOM_UTF8) == 0
    assert "Nothing to change" in machine.install().output
    machine.remove()
    assert machine.snapshot() == before


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_names_that_are_not_latin_are_kept_to_the_byte(plain: Machine, encoding: str) -> None:
    name = "телефоны".encode(encoding)
    trunk = b"[mtt]\ntype=endpoint\noutbound_auth=x\ncontext=from-trunk\n"
    (plain.etc / "pjsip.conf").write_bytes(b"#include " + name + b"/*.conf\n" + trunk)
    directory = os.fsencode(plain.etc) + b"/" + name
    os.mkdir(directory)
    with open(directory + b"/one.conf", "wb") as file:
        file.write(b"[" + name + b"]\ntype=endpoint\ncontext=from-internal\nauth=x\n")
    before = plain.snapshot()
    assert "contexts: from-trunk inbound, from-internal outbound" in plain.install().output
    with open(directory + b"/one.conf", "rb") as file:
        assert b"context=from-internal\ncontext=b24-out-from-internal ; <>" in file.read()
    plain.remove()
    assert plain.snapshot() == before


def test_a_diff_is_readable_whatever_the_encoding_and_the_line_end(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.write_bytes("; наши правила\r\n[mine]\r\nexten => 1,1,NoOp()\r\n".encode("cp1251"))
    shown = freepbx.run("install", "--dry-run").output
    assert " ; наши правила\n" in shown
    assert "\ufffd\n" not in shown
    assert "\r" not in shown
    (freepbx.etc / "globals_custom.conf").unlink()
    assert "--- /dev/null\n+++ /etc/asterisk/globals_custom.conf\n" in freepbx.run("install", "--dry-run").output


def test_a_file_nobody_may_write_is_written_and_stays_so(machine: Machine) -> None:
    for path in [path for path in machine.etc.rglob("*") if path.is_file()]:
        path.chmod(0o444)
    before = machine.snapshot()
    machine.install()
    assert {about[1] & 0o777 for path, about in machine.snapshot().items() if path.endswith("_custom.conf")} <= {0o444}
    machine.remove()
    assert machine.snapshot() == before


# --- #include ----------------------------------------------------------------------------------------


def test_an_include_that_leads_back_is_told_and_followed_once(plain: Machine) -> None:
    (plain.etc / "more.conf").write_text("[more]\nexten => 1,1,NoOp()\n#include extensions.conf\n")
    extensions = plain.etc / "extensions.conf"
    extensions.write_text("#include more.conf\n" + extensions.read_text())
    before = plain.snapshot()
    note = "· /etc/asterisk/more.conf:3 includes a file that leads back here; take the line out"
    assert plain.install().output.count(note) == 1
    plain.remove()
    assert plain.snapshot() == before


def test_files_that_include_each_other_without_end_are_refused(plain: Machine) -> None:
    for number in range(12):
        (plain.etc / f"x{number}.conf").write_text("#include x*.conf\n")
    extensions = plain.etc / "extensions.conf"
    extensions.write_text("#include x*.conf\n" + extensions.read_text())
    before = plain.snapshot()
    refused = plain.run("install", "--yes")
    assert refused.exit_code == 1
    assert "is included without end; take its #include out" in refused.output
    assert plain.snapshot() == before


# --- links -------------------------------------------------------------------------------------------


def test_a_link_of_asterisks_own_to_a_file_of_roots_is_not_followed(machine: Machine) -> None:
    shadow = machine.root / "etc/shadow"
    shadow.write_text("root:x:\n")
    file = machine.etc / machine.shape.hooked
    if machine.shape.generated:
        file.unlink()
    else:
        file = machine.etc / "itgrix-bx.conf"
        shadow.write_text("")
    file.symlink_to("/etc/shadow")
    os.chown(file, OF_ASTERISK, OF_ASTERISK, follow_symlinks=False)
    before = machine.snapshot()
    refused = machine.run("install", "--yes")
    assert refused.exit_code == 1
    assert "whose owner is not that of the file; put the file itself there" in refused.output
    assert machine.snapshot() == before


def test_a_link_of_the_files_own_owner_is_followed(machine: Machine) -> None:
    file, elsewhere = machine.etc / machine.shape.hooked, machine.root / "srv"
    elsewhere.mkdir()
    file.rename(elsewhere / file.name)
    os.chown(elsewhere / file.name, OF_ASTERISK, OF_ASTERISK)
    file.symlink_to(f"../../srv/{file.name}")
    os.chown(file, OF_ASTERISK, OF_ASTERISK, follow_symlinks=False)
    before = machine.snapshot()
    machine.install()
    assert b">>> itgrix-bx" in (elsewhere / file.name).read_bytes()
    machine.remove()
    assert machine.snapshot() == before


def test_a_link_beyond_the_root_stays_below_it(freepbx: Machine) -> None:
    custom = freepbx.etc / "extensions_custom.conf"
    custom.unlink()
    custom.symlink_to("../../../../../../../outside.conf")
    freepbx.install()
    assert b">>> itgrix-bx" in (freepbx.root / "outside.conf").read_bytes()
    freepbx.remove()
    assert not (freepbx.root / "outside.conf").exists()


# --- power cuts and others at work -------------------------------------------------------------------


def cut(machine: Machine, command: str, at: int) -> bool:
    """Run `command` until it moves the file number `at` into its place; whether it came so far."""
    child = os.fork()
    if not child:
        moved = [0]
        real = Path.rename

        def rename(self: Path, target: Path) -> Path:
            moved[0] += 1
            return real(self, target) if moved[0] < at else os._exit(9)

        Path.rename = rename  # type: ignore[assignment,method-assign]
        machine.run(command, "--yes")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def half_written(machine: Machine) -> list[Path]:
    return list(machine.root.parent.rglob(".*.itgrix-bx-*"))


@pytest.mark.parametrize("then", ["install", "remove"])
def test_after_a_power_cut_at_any_file_it_goes_on_or_back(machine: Machine, then: str) -> None:
    before = machine.snapshot()
    at = 1
    while cut(machine, "install", at):
        assert half_written(machine)
        if then == "install":
            machine.install()
            assert machine.run("check").exit_code == 0
        machine.remove()
        assert machine.snapshot() == before, at
        assert not machine.copies.exists()
        at += 1
    assert at > 3
    at = 1
    while cut(machine, "remove", at):
        if then == "install":
            machine.install()
        machine.remove()
        assert machine.snapshot() == before, at
        machine.install()
        at += 1
    assert at > 3


def test_a_link_that_looks_like_a_file_of_ours_is_left_alone(machine: Machine) -> None:
    theirs = machine.root / "etc/shadow"
    theirs.write_text("root:x:\n")
    (machine.etc / ".sip.conf.itgrix-bx-abcdefgh").symlink_to("/etc/shadow")
    (machine.etc / ".pjsip.conf.itgrix-bx-abcdefgh").mkdir()
    before = machine.snapshot()
    machine.install()
    machine.remove()
    assert machine.snapshot() == before


def test_no_room_on_the_disk_is_told_and_everything_stays(freepbx: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = freepbx.snapshot()
    count = [0]

    def full(_handle: int) -> None:
        count[0] += 1
        if count[0] == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = freepbx.run("install", "--yes")
    assert "/etc/asterisk: No space left on device; nothing is changed: make room on the disk" in refused.output
    assert freepbx.snapshot() == before


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_half_a_block_is_refused_with_the_line_and_nothing_is_touched(machine: Machine, kept: int) -> None:
    machine.install()
    file = machine.etc / ("extensions_custom.conf" if machine.shape.generated else "itgrix-bx.conf")
    whole = file.read_bytes()
    begin = whole.index(b"; >>> itgrix-bx")
    end = whole.index(b"; <<< itgrix-bx")
    file.write_bytes(whole[: begin + (end - begin) * kept // 6])
    before = machine.snapshot()
    for command in ("install", "remove"):
        refused = machine.run(command, "--yes")
        assert refused.exit_code == 1
        assert f"{file.name}, line {before[str(file)][0][:begin].count(10) + 1}: the block" in refused.output
        assert "delete what is left of it by hand, then run this again" in refused.output
    assert machine.snapshot() == before
    file.write_bytes(whole[:begin] + whole[end:].partition(b"\n")[2])  # the cure
    machine.install()
    assert marks.block(file.read_bytes())


def test_two_at_work_at_once_are_told(machine: Machine) -> None:
    before = machine.snapshot()
    handle = os.open(machine.etc, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    refused = machine.run("install", "--yes")
    assert refused.exit_code == 1
    assert "another `itgrix-bx dialplan` is at work in /etc/asterisk; run this again later" in refused.output
    assert machine.snapshot() == before
    os.close(handle)
    machine.install()


def test_installations_that_race_leave_one_whole_one(freepbx: Machine) -> None:
    before = freepbx.snapshot()
    command = [sys.executable, "-m", "itgrix_bx", "--config", str(freepbx.config), "dialplan", "install", "--yes"]
    where = ["--root", str(freepbx.root), "--copies", str(freepbx.copies)]
    racing = [subprocess.Popen([*command, *where], stdout=-1, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    said = [(one.communicate()[0], one.returncode) for one in racing]
    assert 0 in [code for _, code in said]
    refused = [text for text, code in said if code]
    assert all("run this again" in text and "Traceback" not in text for text in refused), refused
    assert "Nothing to change" in freepbx.install().output
    assert freepbx.run("check").exit_code == 0
    freepbx.remove()
    assert freepbx.snapshot() == before


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Not root for a while."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o700])
def test_who_may_not_read_or_write_is_told_to_be_root(freepbx: Machine, mode: int) -> None:
    temporary = Path(tempfile.gettempdir())
    for directory in [path for path in (freepbx.root, *freepbx.root.parents) if temporary in path.parents]:
        directory.chmod(directory.stat().st_mode | 0o055)
    freepbx.config.chmod(0o644)
    for path in freepbx.etc.iterdir():
        path.chmod(0o644)
    freepbx.etc.chmod(mode)
    before = freepbx.snapshot()
    for command in ("install", "remove"):
        freepbx.run(command, "--dry-run")  # what is imported late is root's to read
        with nobody():
            refused = freepbx.run(command, "--yes")
        if command == "install" or mode == 0o700:
            assert refused.exit_code == 1, refused.output
            assert "run this as root" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
    assert freepbx.snapshot() == before
