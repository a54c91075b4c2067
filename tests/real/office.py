"""A whole office on real parts: Asterisk, phones, a trunk, the program as a process; the portal's double behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from itgrix_bx.emulator.portal import PortalEmulator
from tests.ports import free_port
from tests.real import site
from tests.real.asterisk import AMI_SECRET, Asterisk, Site, running
from tests.real.sip import Agent, Call, Policy, only_rings


class Program:
    """`itgrix-bx serve` and its other commands, on one configuration."""

    def __init__(
        self, directory: Path, webhook: str, agi_port: int, asterisk: Asterisk, database: str, records: str = ""
    ) -> None:
        self.agi_port = agi_port
        self.config = directory / "config.toml"
        self.config.touch(0o600)
        self.log = directory / "serve.log"
        self._web = free_port()
        self.config.write_text(
            f'[portal]\nwebhook = "{webhook}"\n[database]\nurl = "{database or f"sqlite:///{directory}/journal.db"}"\n'
            f'[journal]\ndirectory = "{directory}"\n[fastagi]\nlisten = "127.0.0.1:{agi_port}"\n'
            f'[recordings]\ndirectory = "{asterisk.monitor}"\nasterisk_directory = "{asterisk.asterisk_monitor}"\n'
            f'[web]\nlisten = "127.0.0.1:{self._web}"\n[cdr]\nurl = "{records}"\n'
            f'[ami]\naddress = "{asterisk.ami[0]}:{asterisk.ami[1]}"\nusername = "itgrix-bx"\nsecret = "{AMI_SECRET}"\n'
        )
        # The double of an office where ten calls run at once stands for a portal with room for them.
        self.environment = os.environ | {
            "ITGRIX_BX__PORTAL__REQUESTS_PER_SECOND": "50",
            "ITGRIX_BX__PORTAL__BURST": "500",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "itgrix_bx", "--config", str(self.config), "serve"]
            self._process = subprocess.Popen(command, stderr=log, env=self.environment)
        end = time.monotonic() + 30
        while not self._healthy():
            if time.monotonic() > end:
                raise RuntimeError(f"the program did not come up: {self.log.read_text()[-800:]}")
            time.sleep(0.1)

    def _healthy(self) -> bool:
        try:
            return bool(self.health()["parts"]["employees"]["ok"])
        except OSError:
            return False

    def health(self) -> dict[str, Any]:
        """What /healthz says. Raises OSError while the program is not well."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._web}/healthz", timeout=2) as answer:
            found = json.load(answer)
        assert isinstance(found, dict)
        return found

    def send(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(40)
            self._process = None

    def run(self, *args: str) -> str:
        """What a command prints. Raises RuntimeError with its complaint."""
        command = [sys.executable, "-m", "itgrix_bx", "--config", str(self.config), *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json"))


class Office:
    """Phones are opened when a scenario needs them; `policies` says what an extension or a number does when called."""

    def __init__(self, asterisk: Asterisk, portal: PortalEmulator, program: Program) -> None:
        self.asterisk, self.portal, self.program = asterisk, portal, program
        self.policies: dict[str, Policy] = {}
        self.trunk: Agent

    @contextlib.asynccontextmanager
    async def people(self) -> AsyncIterator[Office]:
        """The trunk is up and phones may be opened inside."""
        self._agents: list[Agent] = []
        host, port = self.asterisk.trunk
        self.trunk = await Agent("trunk", host, port, self.asterisk.sip, self._policy).open()
        try:
            yield self
        finally:
            for agent in (self.trunk, *self._agents):
                agent.close()

    def _policy(self, number: str) -> Policy:
        return self.policies.get(number, only_rings())

    async def phone(self, extension: str, policy: Policy | None = None) -> Agent:
        agent = await Agent(extension, "127.0.0.1", 0, self.asterisk.sip, self._policy).open()
        self._agents.append(agent)
        if policy is not None:
            self.policies[extension] = policy
        await agent.register()
        return agent

    async def call_in(self, scenario: int, kind: str, **how: str) -> Call:
        number = how.pop("number", site.did(kind, scenario))
        return await self.trunk.call(number, user=how.pop("user", f"8{site.client(scenario)[2:]}"), **how)

    def calls_of(self, scenario: int) -> list[dict[str, Any]]:
        """What the program says of the scenario's client."""
        found = self.program.json("calls", "list", "--limit", "0", "--number", site.client(scenario))
        assert isinstance(found, list)
        return found

    def statistics_of(self, scenario: int) -> list[dict[str, Any]]:
        return [row for row in self.portal.dump()["statistics"] if row["PHONE_NUMBER"] == site.client(scenario)]


@contextlib.contextmanager
def office(
    directory: Path, database: str = "", records_port: int = 0, pbx: Callable[[int, int], Site] = site.site
) -> Iterator[Office]:
    """Everything up, users synced; with `records_port` that MariaDB's asteriskcdrdb gets CDR and CEL.

    `pbx` makes the telephone system from the ports of our server and of the MariaDB.
    """
    agi_port = free_port()
    with running(pbx(agi_port, records_port)) as asterisk, PortalEmulator(seed=site.seed(), rate=0) as portal:
        records = f"mysql+pymysql://root@127.0.0.1:{records_port}/asteriskcdrdb" if records_port else ""
        program = Program(directory, portal.webhook_url, agi_port, asterisk, database, records)
        program.start()
        try:
            yield Office(asterisk, portal, program)
        finally:
            program.stop()


async def ended(*calls: Call, within: float = 60) -> None:
    for call in calls:
        await asyncio.wait_for(call.ended.wait(), within)
