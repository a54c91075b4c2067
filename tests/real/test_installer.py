"""The installer on a real plain Asterisk that knows nothing of us: calls are reported, and go as they went before."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from itgrix_bx.config import load
from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.pbx.ami import manager_of
from itgrix_bx.pbx.link import Link
from tests.pbx.trees import SHAPES
from tests.ports import free_port
from tests.real.asterisk import AMI_SECRET, Asterisk, Site, running
from tests.real.office import Office, Program, ended
from tests.real.sip import answers

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ANNA, BORIS = "10101", "10102"  # five digits: only the PBX can tell them from a number outside
CLIENT, DID, MOBILE = "+79161112233", "74950000001", "89165556677"
SEED = {
    "users": [
        {"id": 1, "name": "Admin", "active": True, "extension": ""},
        {"id": 11, "name": "Anna", "active": True, "extension": ANNA},
        {"id": 12, "name": "Boris", "active": True, "extension": BORIS},
    ],
    "contacts": [{"id": 7, "name": "Client", "phones": [CLIENT], "responsible": 11}],
}
# Written by somebody who never heard of us.
DIALPLAN = f"""
[general]
static=yes
[globals]
RING=15
[from-trunk]
exten => {DID},1,Dial(PJSIP/{ANNA},${{RING}},tT)
 same => n,Hangup(${{HANGUPCAUSE}})
exten => _7495111.,1,Set(WHERE=${{CONTEXT}}:${{EXTEN}}:${{PRIORITY}})
 same => n,GotoIf($["${{WHERE}}"="from-trunk:${{EXTEN}}:1"]?busy)
 same => n,Hangup(34)
 same => n(busy),Hangup(17)
[from-internal]
exten => _101XX,hint,PJSIP/${{EXTEN}}
exten => _101XX,1,Dial(PJSIP/${{EXTEN}},${{RING}},tT)
exten => _8XXXXXXXXXX,1,Dial(PJSIP/${{EXTEN}}@trunk,20,T)
exten => *97,1,Hangup(${{IF($["${{CONTEXT}}"="from-internal"]?17:34)}})
exten => 7010,hint,Custom:PARK7010
exten => 7010,1,Answer()
 same => n,Wait(5)
"""


# How each call is answered, whatever of us is there.
BEFORE = {
    "to a DID": 200,
    "to a pattern": 486,
    "to a pattern, with a priority smuggled in": 486,
    "to no DID": 404,
    "to a mobile": 200,
    "to a colleague": 200,
    "to a service": 486,
    "to a number too short": 484,
    "to nobody": 404,
}


@dataclass
class Bureau:
    """An office whose Asterisk is as its administrator made it."""

    office: Office
    environment: dict[str, str]

    def dialplan(self, *args: str, **overrides: str) -> str:
        """`itgrix-bx dialplan …` on the PBX's own machine."""
        asterisk, program = self.office.asterisk, self.office.program
        command = [sys.executable, "-m", "itgrix_bx", "--config", str(program.config), "dialplan", *args]
        copies = [] if args[0] == "check" else ["--copies", str(program.config.with_name("copies"))]
        done = subprocess.run(
            [*command, *copies, "--etc", str(asterisk.etc)],
            capture_output=True,
            text=True,
            env=self.environment | overrides,
            check=False,
        )
        return f"{done.returncode}\n{done.stdout}{done.stderr}"

    def files(self) -> dict[str, tuple[bytes, int]]:
        config = self.office.program.config
        paths = [path for path in (*self.office.asterisk.etc.rglob("*"), config) if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mode) for path in paths}

    def calls(self) -> list[dict[str, Any]]:
        found = self.office.program.json("calls", "list", "--limit", "0")
        assert isinstance(found, list)
        return found


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bureau]:
    """On Asterisk 22, where no test asks for another."""
    agi_port = free_port()
    plain = Site([ANNA, BORIS], {}, DIALPLAN, agi_port, version=getattr(request, "param", "22"))
    with running(plain) as asterisk, PortalEmulator(seed=SEED, rate=0) as portal:
        (asterisk.etc / "itgrix-bx.conf").unlink()  # nobody asked for it here
        manager = asterisk.etc / "manager.conf"
        manager.write_text(re.sub(r"(?ms)^\[itgrix-bx\]\n.*?(?=^\[)", "", manager.read_text()))
        program = Program(tmp_path, portal.webhook_url, agi_port, asterisk, "")
        program.config.write_text(re.sub(r"(?m)^(username|secret) = .*\n", "", program.config.read_text()))
        program.start()
        try:
            yield Bureau(Office(asterisk, portal, program), _with_asterisk(tmp_path, asterisk))
        finally:
            program.stop()


def _with_asterisk(tmp_path: Path, asterisk: Asterisk) -> dict[str, str]:
    """An `asterisk` on the PATH, as an administrator has it."""
    tool = tmp_path / "bin/asterisk"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\nexec chroot {asterisk.root} /usr/sbin/asterisk -C /etc/{asterisk.name}/asterisk.conf "$@"\n'
    )
    tool.chmod(0o755)
    return os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"}


async def a_day(office: Office) -> dict[str, int]:
    """Every kind of call there is here; how each was answered, 200 where people talked."""
    async with office.people():
        anna = await office.phone(ANNA, answers(0.2))
        await office.phone(BORIS, answers(0.2))
        office.policies[MOBILE] = answers(0.2)
        dial = {
            "to a DID": lambda: office.trunk.call(DID, user=CLIENT.lstrip("+")),
            "to a pattern": lambda: office.trunk.call("74951112222", user=CLIENT.lstrip("+")),
            "to a pattern, with a priority smuggled in": lambda: office.trunk.call(
                "74951112222%2C3", user="74951234567"
            ),
            "to no DID": lambda: office.trunk.call("74959999999", user=CLIENT.lstrip("+")),
            "to a mobile": lambda: anna.call(MOBILE),
            "to a colleague": lambda: anna.call(BORIS),
            "to a service": lambda: anna.call("*97"),
            "to a number too short": lambda: anna.call("8916555"),
            "to nobody": lambda: anna.call("5551234567"),
        }
        how = {}
        for name, begin in dial.items():
            call = await begin()
            heard = [asyncio.ensure_future(event.wait()) for event in (call.answered, call.ended)]
            await asyncio.wait(heard, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            if call.answered.is_set():
                await asyncio.sleep(1.2)
                await call.hang_up()
            await ended(call)
            how[name] = 200 if call.answered.is_set() else call.status
            for event in heard:
                event.cancel()
    return how


def test_calls_are_reported_and_go_as_before_and_nothing_remains_of_us(site: Bureau) -> None:
    office = site.office
    as_it_was = site.files()
    before = asyncio.run(a_day(office))
    assert before == BEFORE
    assert site.calls() == []

    installed = site.dialplan("install", "--yes")
    assert installed.startswith("0\n"), installed
    assert re.search(r"^plain Asterisk; Asterisk 22\.\d+", installed, re.M)
    assert "contexts: from-trunk inbound, from-internal outbound" in installed
    assert "✔ a test call reached the service and came back" in installed
    assert "✔ endpoint trunk comes to [b24-in-from-trunk]" in installed
    assert "✘" not in installed
    reached = load(office.program.config)
    with Link(manager_of(reached.ami)) as link:  # the user that was made, with the rights it needs
        link.login()
        assert link.ask("CoreShowChannels").answer.response == "Success"
        # Lamps are asked for in the context of the phone that asks.
        lamp = link.ask("ExtensionState", {"Exten": BORIS, "Context": "b24-out-from-internal"}).answer
        assert lamp.get("Hint") == f"PJSIP/{BORIS}"
    with_us = site.files()
    assert site.dialplan("install", "--yes").startswith("0\n")
    assert site.files() == with_us

    assert asyncio.run(a_day(office)) == before
    found = [call for call in site.calls() if call["state"] != "skipped"]
    reported = {(call["direction"], call["client_number"], call["did"], call["status_code"]) for call in found}
    assert reported == {
        ("in", CLIENT, DID, "200"),
        ("in", CLIENT, "74951112222", "304"),
        ("in", "+74951234567", "749511122223", "304"),
        ("out", "+7" + MOBILE[1:], None, "200"),
    }
    (outbound,) = [call for call in found if call["direction"] == "out"]
    assert (outbound["extension"], outbound["user_id"]) == (ANNA, 11)

    portal = office.portal.dump()
    checked = site.dialplan("check")
    assert checked.startswith("0\n"), checked
    assert "✘" not in checked
    assert office.portal.dump()["statistics"] == portal["statistics"]
    assert office.portal.dump().get("leads") == portal.get("leads")
    assert [call["state"] for call in site.calls() if call["id"].startswith("b24-check-")] == ["skipped"] * 3

    path = {"PATH": "/usr/bin:/bin"}  # no `asterisk` on this machine: by the manager, if its user may
    assert "– what Asterisk has loaded, and a test call → the manager's user itgrix-bx may not use Command" in (
        site.dialplan("check", **path)
    )
    operator = {"ITGRIX_BX__AMI__USERNAME": "operator", "ITGRIX_BX__AMI__SECRET": AMI_SECRET}
    by_manager = site.dialplan("check", **path, **operator)
    assert by_manager.startswith("0\n"), by_manager
    assert "✔ a test call reached the service and came back" in by_manager

    office.program.stop()
    down = site.dialplan("check")
    assert down.startswith("1\n")
    assert "✘ a test call reached the service and came back → nothing answered on 127.0.0.1:" in down
    assert asyncio.run(a_day(office)) == before  # nobody waits for a service that is away
    office.program.start()

    removed = site.dialplan("remove", "--yes")
    assert removed.startswith("0\n"), removed
    assert site.files() == as_it_was
    assert not office.program.config.with_name("copies").exists()
    count = len(site.calls())
    assert asyncio.run(a_day(office)) == before
    assert len(site.calls()) == count


async def to_a_colleague(office: Office) -> None:
    """And to a parking place, whose lamp makes it no colleague."""
    async with office.people():
        anna = await office.phone(ANNA, answers(0.2))
        await office.phone(BORIS, answers(0.5))
        for number in (BORIS, "7010"):
            call = await anna.call(number)
            await asyncio.wait_for(call.answered.wait(), 10)
            await asyncio.sleep(2.0)
            await call.hang_up()
            await ended(call)


async def a_client_is_sent_on(office: Office) -> None:
    """To a colleague, by the phone."""
    async with office.people():
        anna = await office.phone(ANNA, answers(0.2))
        boris = await office.phone(BORIS, answers(0.2))
        call = await office.trunk.call(DID, user=CLIENT.lstrip("+"))
        await asyncio.wait_for(call.answered.wait(), 10)
        await asyncio.sleep(1.2)
        (await anna.incoming.get()).transfer(BORIS)
        await asyncio.wait_for((await boris.incoming.get()).answered.wait(), 10)
        await asyncio.sleep(1.5)
        await call.hang_up()
        await ended(call)


def test_calls_among_colleagues_are_reported_where_that_is_told_and_switched_on(site: Bureau) -> None:
    office = site.office
    as_it_was = site.files()
    installed = site.dialplan("install", "--yes", "--internal")
    assert installed.startswith("0\n"), installed
    before = asyncio.run(a_day(office))
    assert before == BEFORE
    assert {call["state"] for call in site.calls() if call["client_number"] == BORIS} == {"skipped"}

    office.program.stop()  # with the manager's user that was made
    office.program.run("numbers", "internal", "on")
    office.program.start()
    asyncio.run(to_a_colleague(office))
    asyncio.run(a_client_is_sent_on(office))
    found = [call for call in settled(site) if call["direction"] == "internal" and call["state"] != "skipped"]
    assert [(call["client_number"], call["extension"], call["user_id"]) for call in found] == [(BORIS, ANNA, 11)]
    (call,) = found
    assert (call["status_code"], call["talk_seconds"]) == ("200", 2)
    assert [leg["extension"] for leg in call["legs"] if leg["answered_at"]] == [BORIS]
    assert [call["client_number"] for call in site.calls() if call["client_number"] == "7010"] == []
    (sent_on,) = [call for call in site.calls() if call["direction"] == "in" and call["user_id"] == 12]
    assert [leg["extension"] for leg in sent_on["legs"]] == [ANNA, BORIS]

    office.program.stop()
    assert asyncio.run(a_day(office)) == before  # colleagues wait for no service that is away, either
    assert site.dialplan("remove", "--yes").startswith("0\n")
    assert site.files() == as_it_was


def settled(site: Bureau) -> list[dict[str, Any]]:
    """All calls, as soon as nothing more becomes of them."""
    end = time.monotonic() + 60
    while True:
        calls = site.calls()
        if {call["state"] for call in calls} <= {"complete", "skipped"} or time.monotonic() > end:
            return calls
        time.sleep(0.5)


OWN_HOOKS = """\
[from-pstn-custom]
exten => _7.,1,Set(GLOBAL(MY_INBOUND)=${EXTEN}:${B24_ID}:${B24_STATE})
exten => _7.,n,Hangup()
[macro-dialout-trunk-predial-hook]
exten => s,1,Set(GLOBAL(MY_OUTBOUND)=${OUTNUM}:${B24_ID})
exten => s,n,GotoIf($["${DIAL_TRUNK}"!="3"]?end)
exten => s,n,Set(PREDIAL_HOOK_RET=BYPASS)
exten => s,n(end),Return()
[trunk]                             ; as FreePBX 17 calls it
exten => _X.,1,Set(OUTNUM=891655566${EXTEN})
exten => _X.,n,Set(DIAL_TRUNK=${EXTEN:0:1})
exten => _X.,n,Set(AMPUSER=10101)
exten => _X.,n,Gosub(macro-dialout-trunk-predial-hook,s,1())
exten => _X.,n,Set(GLOBAL(DONE${EXTEN})=${PREDIAL_HOOK_RET}:${B24_RC}:${B24_STATE})
exten => _X.,n,Hangup()
"""


# FreePBX 13-16 call by Macro(), which only an Asterisk before 21 has; there a user's body ends by MacroExit().
BY_MACRO = OWN_HOOKS.replace("Return()", "MacroExit()").replace(
    "Gosub(macro-dialout-trunk-predial-hook,s,1())", "Macro(dialout-trunk-predial-hook,)"
)


@pytest.mark.parametrize(
    ("site", "shape", "says", "own"),
    [("22", "freepbx17", "FreePBX 17", OWN_HOOKS), ("16", "freepbx16", "FreePBX 13-16", BY_MACRO)],
    indirect=["site"],
)
def test_a_users_own_hooks_run_beside_ours(site: Bureau, shape: str, says: str, own: str) -> None:
    asterisk = site.office.asterisk
    (files,) = (known.files for known in SHAPES if known.name == shape)
    for name, text in files.items():
        if "manager" not in name:
            (asterisk.etc / name).write_text(text)
    (asterisk.etc / "extensions_custom.conf").write_text(own)
    as_it_was = site.files()
    installed = site.dialplan("install", "--yes", "--no-ami")
    assert installed.startswith("0\n"), installed
    assert says in installed
    assert "✔ [macro-dialout-trunk-predial-hook] leads to the hooks" in installed

    found = globals_after(asterisk, "Local/74950000001@from-trunk", "MY_INBOUND")
    dialled, call_id, _ = found.split(":")
    assert (dialled, bool(call_id)) == ("74950000001", True)
    assert call_id in {call["id"] for call in site.calls()}

    assert globals_after(asterisk, "Local/31@trunk", "DONE31") == "BYPASS::"
    assert globals_after(asterisk, "Local/12@trunk", "DONE12") == ":ok:registered"
    assert "MY_OUTBOUND=89165556612:" in asterisk.cli("dialplan show globals")
    outbound = [call["client_number"] for call in site.calls() if call["direction"] == "out"]
    assert outbound == ["+79165556612"]

    assert site.dialplan("remove", "--yes").startswith("0\n")
    assert site.files() == as_it_was
    globals_after(asterisk, "Local/15@trunk", "DONE15")
    assert "MY_OUTBOUND=89165556615:" in asterisk.cli("dialplan show globals")
    assert len([call for call in site.calls() if call["direction"] == "out"]) == 1


def globals_after(asterisk: Asterisk, call: str, name: str) -> str:
    """The global variable `name` that a call to `call` sets."""
    asterisk.cli(f"channel originate {call} application Wait 1")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if found := re.search(rf"^\s*{name}=(.*)$", asterisk.cli("dialplan show globals"), re.M):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"{call} set no {name}; {asterisk.log} tells why")
