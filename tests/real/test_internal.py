"""Calls between two extensions on a real Asterisk: for the CRM where the administrator has said so, and only there.

On plain Asterisk 22; on FreePBX's and Issabel's shapes too by `make test-all`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from itgrix_bx.config import load
from itgrix_bx.pbx.ami import manager_of
from itgrix_bx.pbx.link import Link
from tests.real.asterisk import EXAMPLES, Site
from tests.real.matrix import plays
from tests.real.office import Office, office
from tests.real.scenarios import first_of
from tests.real.shapes import SHAPES
from tests.real.sip import answers
from tests.real.site import ONE, extension, internal, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


def freepbx(shape: str) -> Callable[[int, int], Site]:
    """As the administrator switches it on there; FreePBX records no internal calls unless told to."""

    def make(agi_port: int, records_port: int) -> Site:
        full = SHAPES[shape].pbx(agi_port, records_port)
        settings = full.files["globals_custom.conf"] + "B24_INTERNAL = 1\n"
        return replace(full, files=full.files | {"globals_custom.conf": settings})

    return make


def issabel(agi_port: int, records_port: int) -> Site:
    """As `dialplan install --internal` leaves it: two files, one behind the other."""
    full = SHAPES["issabel"].pbx(agi_port, records_port)
    more = (EXAMPLES / "freepbx-issabel/extensions_internal.conf").read_text(encoding="utf-8")
    hooks = full.files["extensions_custom.conf"] + more
    return replace(full, files=full.files | {"extensions_custom.conf": hooks})


SYSTEMS: dict[str, Callable[[int, int], Site]] = {"plain22": internal}
if os.environ.get("ITGRIX_BX_TEST_ALL"):
    SYSTEMS |= {"fp17": freepbx("fp17"), "fp16": freepbx("fp16"), "issabel": issabel}


DIALLED = [
    "internal", "outbound_answered", "outbound_by_the_second_trunk", "outbound_attended_by_feature_code",
    "parked_and_retrieved", "picked_up_by_a_colleague", "conference", "blind_transfer", "attended_transfer",
    "forwarded_to_a_mobile",
]  # fmt: skip


@pytest.fixture(params=list(SYSTEMS))
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp(request.param), pbx=SYSTEMS[request.param]) as running:
        yield running


async def _call(where: Office, n: int) -> float:
    """The first extension talks with the second; seconds by its phone."""
    async with where.people():
        phone = await where.phone(extension(n, 1))
        await where.phone(extension(n, 2), answers(1.0))
        call = await phone.call(extension(n, 2))
        await asyncio.wait_for(call.answered.wait(), 20)
        await asyncio.sleep(3)
        await call.hang_up()
        await asyncio.sleep(0.5)
        return call.talk


async def _transferred(where: Office, n: int) -> None:
    """A client talks with the first extension and is sent to the second, where internal calls are reported."""
    async with where.people():
        await where.phone(extension(n, 1), answers(0.5))
        await where.phone(extension(n, 2), answers(0.5))
        call = await where.call_in(n, ONE)
        first = await first_of(where, n, 1)
        await asyncio.wait_for(first.answered.wait(), 20)
        await asyncio.sleep(1.5)
        first.transfer(extension(n, 2))
        second = await first_of(where, n, 2)
        await asyncio.wait_for(second.answered.wait(), 20)
        await asyncio.sleep(1.5)
        await call.hang_up()
        await asyncio.sleep(0.5)


def of(where: Office, n: int) -> dict[str, Any]:
    """The call, as soon as nothing more becomes of it."""
    end = time.monotonic() + 60
    while True:
        found = where.program.json("calls", "list", "--number", extension(n, 2))
        if (found and found[0]["state"] in ("complete", "skipped")) or time.monotonic() > end:
            (call,) = found
            assert isinstance(call, dict)
            return call
        time.sleep(0.5)


def test_a_call_between_extensions_is_registered_where_that_is_switched_on_and_only_then(where: Office) -> None:
    asyncio.run(_call(where, 41))
    assert (of(where, 41)["state"], where.portal.dump()["statistics"]) == ("skipped", [])
    where.program.run("numbers", "internal", "on")
    time.sleep(3)  # it is heard of within two seconds
    talk = asyncio.run(_call(where, 42))
    call = of(where, 42)
    assert (call["direction"], call["state"], call["user_id"]) == ("internal", "complete", user(42, 1))
    assert [leg["extension"] for leg in call["legs"] if leg["answered_at"]] == [extension(42, 2)]
    (row,) = where.portal.dump()["statistics"]
    told = (row["PHONE_NUMBER"], str(row["CALL_TYPE"]), row["CALL_FAILED_CODE"], int(row["PORTAL_USER_ID"]))
    assert told == (extension(42, 2), "1", "200", user(42, 1))
    assert abs(int(row["CALL_DURATION"]) - talk) <= 1.0
    recorded = [file["call_id"] for file in where.portal.dump()["files"]]
    assert recorded == ([call["portal_call_id"]] if call["recording"]["path"] else [])
    assert [card for card in where.portal.dump()["cards"] if card["action"] == "show"] == []


if "issabel" in SYSTEMS:

    @pytest.mark.parametrize("where", ["issabel"], indirect=True)
    def test_lamps_watch_extensions_behind_our_pattern(where: Office) -> None:
        with Link(manager_of(load(where.program.config).ami)) as link:
            link.login()
            told = {"Exten": extension(44, 1), "Context": "from-internal"}
            assert link.ask("ExtensionState", told).answer.get("Hint").startswith(f"PJSIP/{extension(44, 1)}")

    @pytest.mark.parametrize("where", ["issabel"], indirect=True)
    def test_what_the_pbx_itself_dials_is_nobodys_call(where: Office) -> None:
        """A queue's member, a follow-me: a Local channel, whose end no handler would tell."""
        where.program.run("numbers", "internal", "on")
        time.sleep(3)

        async def rung() -> None:
            async with where.people():
                phone = await where.phone(extension(45, 1), answers(0.5))
                where.asterisk.cli(f"channel originate Local/{extension(45, 1)}@from-internal application Wait 2")
                await asyncio.wait_for((await phone.incoming.get()).ended.wait(), 20)

        asyncio.run(rung())
        assert where.program.json("calls", "list") == []

    @pytest.mark.parametrize("where", ["issabel"], indirect=True)
    def test_what_phones_dial_goes_where_it_went(where: Office) -> None:
        cells = plays(where, SHAPES["issabel"], DIALLED)
        assert {name: cell.problems for name, cell in cells.items() if cell.problems} == {}


def test_a_client_who_is_sent_to_another_extension_stays_one_call_of_the_clients(where: Office) -> None:
    where.program.run("numbers", "internal", "on")
    time.sleep(3)
    asyncio.run(_transferred(where, 43))
    (call,) = where.program.json("calls", "list")
    assert (call["direction"], call["user_id"]) == ("in", user(43, 2))
    assert [leg["extension"] for leg in call["legs"]] == [extension(43, 1), extension(43, 2)]
