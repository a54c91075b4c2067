"""A real MariaDB server on a scratch directory and a free port, for the length of a `with`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql

from tests.ports import free_port

_START_S = 60


@dataclass
class Server:
    """A running server; `kill` and `start` let a test take it away and bring it back."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/itgrix_bx"

    def start(self) -> None:
        log = (self.directory / "mariadbd.log").open("ab")
        self.process = subprocess.Popen(
            [_program(), "--no-defaults", *_directories(self.directory), f"--port={self.port}",
             "--bind-address=127.0.0.1", f"--socket={self.directory}/socket", "--user=root",
             f"--pid-file={self.directory}/pid", "--skip-grant-tables", "--skip-networking=0"],
            stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        self._await()

    def kill(self) -> None:
        """End the server as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def _await(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            try:
                with contextlib.closing(pymysql.connect(host="127.0.0.1", port=self.port, user="root")) as connection:
                    connection.cursor().execute("CREATE DATABASE IF NOT EXISTS itgrix_bx CHARACTER SET utf8mb4")
                return
            except pymysql.err.OperationalError:
                if time.monotonic() > end or (self.process is not None and self.process.poll() is not None):
                    raise RuntimeError(f"MariaDB did not start: {self.directory}/mariadbd.log says why") from None
                time.sleep(0.1)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server of its own."""
    _install()
    directory = Path(tempfile.mkdtemp(prefix="itgrix-bx-mariadb-"))
    (directory / "tmp").mkdir()
    installed = subprocess.run(
        ["mariadb-install-db", "--no-defaults", *_directories(directory),
         "--auth-root-authentication-method=normal", "--user=root", "--skip-test-db"],
        capture_output=True, check=False,
    )  # fmt: skip
    if installed.returncode:
        raise RuntimeError(f"mariadb-install-db failed: {installed.stderr.decode()[-500:]}")
    running = Server(directory, free_port())
    try:
        running.start()
        yield running
    finally:
        running.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """The URL of an empty database on a server of its own."""
    with server() as running:
        yield running.url


def _directories(directory: Path) -> list[str]:
    """Temporary tables too have a place of their own: at its start a server deletes all it finds in theirs."""
    return [f"--datadir={directory}/data", f"--tmpdir={directory}/tmp"]


def _program() -> str:
    return shutil.which("mariadbd") or "/usr/sbin/mariadbd"


def _install() -> None:
    if shutil.which("mariadb-install-db") and Path(_program()).exists():
        return
    if os.geteuid() != 0:
        raise RuntimeError("MariaDB is missing: run `apt-get install mariadb-server`, then the tests again")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "install", "-y", "-qq", "mariadb-server"], check=True, env=environment)
