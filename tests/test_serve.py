"""`itgrix-bx serve` as a process: start, health, reload, stop."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.emulator.asterisk import AgiCall
from itgrix_bx.emulator.portal import PortalEmulator
from tests.ports import free_port


class Served:
    """The program in a process of its own, with no portal behind it."""

    def __init__(self, tmp_path: Path) -> None:
        self.agi, self.web = ("127.0.0.1", free_port()), free_port()
        self.config = tmp_path / "config.toml"
        self.directory = tmp_path
        self.write()
        self.process: subprocess.Popen[str] | None = None

    def write(self, allow: str = "127.0.0.0/8", webhook: str = "", more: str = "") -> None:
        webhook = webhook or f"http://127.0.0.1:{free_port()}/rest/1/hunter2pw/"
        self.config.write_text(
            f'[portal]\nwebhook = "{webhook}"\n'
            f'[database]\nurl = "sqlite:///{self.directory}/journal.db"\n[journal]\ndirectory = "{self.directory}"\n'
            f'[fastagi]\nlisten = "127.0.0.1:{self.agi[1]}"\nallow = ["{allow}"]\n'
            f'[web]\nlisten = "127.0.0.1:{self.web}"\n[inbound]\ndeadline = 0.3\n{more}'
        )

    def start(self, *args: str) -> None:
        command = [sys.executable, "-m", "itgrix_bx", "--config", str(self.config), "serve", *args]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def hook(self, name: str, *args: str) -> dict[str, str]:
        env = {"agi_uniqueid": args[0], "agi_callerid": "89161234567"}
        return AgiCall(self.agi, name, args, env=env, timeout_s=5).run()

    def hook_refused(self) -> bool:
        try:
            return not self.hook("ring", "17.1", "101")
        except OSError:
            return True

    def ready(self) -> dict[str, object]:
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/healthz", timeout=2) as answer:
                    return dict(json.load(answer))
            except OSError:
                assert time.monotonic() < end, "not healthy in time"
                time.sleep(0.05)

    def json(self, *args: str) -> Any:
        command = [sys.executable, "-m", "itgrix_bx", "--config", str(self.config), *args, "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(how)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def test_it_starts_creates_its_database_answers_hooks_and_stops_cleanly(served: Served) -> None:
    served.start()
    health = served.ready()
    assert health["status"] == "ok"
    reply = served.hook("inbound", "17.1", "74950000001")
    assert (reply["B24_RC"], reply["B24_STATE"]) == ("ok", "deferred")
    made = [path for path in served.directory.iterdir() if path != served.config]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made} == {0}, made
    code, log = served.stop()
    assert code == 0
    assert "79161234567" not in log
    assert "hunter2pw" not in log
    assert "Traceback" not in log


def test_fastagi_server_py_is_the_agi_part_alone(served: Served) -> None:
    command = [sys.executable, "fastagi_server.py", "--config", str(served.config)]
    served.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 20
    while True:
        try:
            assert served.hook("ring", "17.1", "101")["B24_RC"] == "ok"
            break
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{served.web}/healthz", timeout=2)
    assert served.stop()[0] == 0


def test_a_taken_port_is_said_in_one_sentence(served: Served) -> None:
    with socket.socket() as other:
        other.bind(served.agi)
        other.listen()
        served.start()
        assert served.process is not None
        _, err = served.process.communicate(timeout=30)
    assert served.process.returncode == 1
    assert "[fastagi] listen" in err
    assert "Traceback" not in err


def test_a_wrong_setting_stops_the_start_with_one_sentence(served: Served) -> None:
    served.write(allow="everybody")
    served.start()
    assert served.process is not None
    _, err = served.process.communicate(timeout=30)
    assert (served.process.returncode, err.count("\n")) == (1, 1)
    assert "[fastagi] allow" in err


def test_sighup_takes_new_settings_and_keeps_the_old_ones_when_they_are_wrong(served: Served) -> None:
    served.start()
    served.ready()
    assert served.process is not None
    served.write(allow="everybody")
    served.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert served.hook("ring", "17.1", "101")["B24_RC"] == "ok"
    served.write(allow="10.0.0.0/8")
    served.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while served.hook_refused() is False:
        assert time.monotonic() < end, "the new setting was not taken"
        time.sleep(0.05)
    code, log = served.stop()
    assert code == 0
    assert "settings not taken" in log


def test_a_portal_that_repeats_our_secrets_gets_them_into_no_log_and_no_listing(served: Served) -> None:
    secrets = ("emulator-secret", "s3cretOfTheDatabase", "s3cretOfTheManager")
    cdr = f"mysql+pymysql://cdr:{secrets[1]}@127.0.0.1:9/asteriskcdrdb"
    with PortalEmulator(rate=0) as portal:
        served.write(webhook=portal.webhook_url, more=f'[ami]\nsecret = "{secrets[2]}"\n[cdr]\nurl = "{cdr}"\n')
        said = {"code": "emulator-secret", "description": " ".join((portal.webhook_url, *secrets))}
        served.start("--log-level", "debug")
        served.ready()
        portal.faults([{"method": "telephony.externalCall.finish", "kind": "error", "times": -1, **said}])
        served.hook("inbound", "17.1", "74950000001")
        served.hook("hangup", "17.1", "in")
        end = time.monotonic() + 30
        while not (failed := served.json("calls", "list", "--state", "failed")):
            assert time.monotonic() < end, "the portal's refusal was not journalled"
        told = [failed, served.json("calls", "show", "17.1"), served.json("status"), served.ready(), served.stop()[1]]
    assert "***" in told[0][0]["last_error"]
    for secret in secrets:
        assert secret not in str(told)


def test_a_second_instance_started_by_mistake_is_told_what_holds_the_port_and_touches_nothing(served: Served) -> None:
    served.start()
    served.ready()
    command = [sys.executable, "-m", "itgrix_bx", "--config", str(served.config), "serve"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    (sentence,) = second.stderr.splitlines()
    assert f"[web] listen 127.0.0.1:{served.web}: Address already in use" in sentence
    assert "itgrix-bx status" in sentence
    assert served.hook("ring", "17.1", "101")["B24_RC"] == "ok"
    assert served.stop()[0] == 0


def test_a_second_part_with_the_hooks_is_told_so_too(served: Served) -> None:
    served.start()
    served.ready()
    command = [sys.executable, "-m", "itgrix_bx", "--config", str(served.config), "serve", "--only", "agi"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"[fastagi] listen 127.0.0.1:{served.agi[1]}: Address already in use" in second.stderr


def test_a_played_call_tells_what_the_dialplan_would_be_told(served: Served) -> None:
    play = [sys.executable, "-m", "itgrix_bx", "--config", str(served.config), "emulator", "asterisk", "--talk", "0.1"]
    nobody = subprocess.run(play, capture_output=True, text=True, timeout=60, check=False)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)
    assert "is `itgrix-bx serve` running?" in nobody.stderr
    served.start()
    served.ready()
    told = subprocess.run(
        [*play, "--answered-by", "101"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "ms  B24_STATE=deferred  B24_RC=ok" in told
    assert "see: itgrix-bx calls show " in told
    wrong = subprocess.run([*play, "--talk", "-1"], capture_output=True, text=True, timeout=60, check=False)
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
