"""The manager of a real Asterisk 22: what it tells of real calls, what it refuses, and that it is found again."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from itgrix_bx.numbers import ANONYMOUS_BLOCKED
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.closing import YOUNG_S
from itgrix_bx.pbx.link import Link, Manager, Timings
from itgrix_bx.pbx.messages import AmiLoginError, AmiRefusedError, AmiUnreachableError, Message
from itgrix_bx.pbx.own_lists import blacklist, blocked, extensions
from itgrix_bx.pbx.signs import ids_of
from tests.real.asterisk import AMI_SECRET
from tests.real.office import Office, office
from tests.real.sip import answers
from tests.real.site import ONE, client, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

TALK_S = 1.5


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("ami")) as running:
        yield running


def manager(where: Office, username: str, **more: object) -> Manager:
    return Manager(where.asterisk.ami, username, AMI_SECRET, **more)  # type: ignore[arg-type]


def eventually(check: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.1)


async def call(where: Office, n: int, meanwhile: Callable[[], None] = lambda: None) -> str:
    """One answered inbound call; its id."""
    async with where.people():
        await where.phone(extension(n, 1), answers(0.3))
        made = await where.call_in(n, ONE)
        await asyncio.wait_for(made.answered.wait(), 30)
        await asyncio.sleep(TALK_S)
        await asyncio.to_thread(meanwhile)
        await made.hang_up()
        await asyncio.sleep(0.5)
    return str(where.calls_of(n)[0]["id"])


@pytest.mark.parametrize("username", ["itgrix-bx", "filters", "operator"])
def test_a_user_with_few_rights_sees_a_real_calls_channels(where: Office, username: str) -> None:
    seen: list[Message] = []

    def look() -> None:
        with Link(manager(where, username)) as link:
            link.login()
            reply = link.ask("CoreShowChannels")
            assert reply.end is not None
            assert reply.end.get("ListItems") == str(len(reply.items))
            seen.extend(reply.items)

    call_id = asyncio.run(call(where, 10, look))
    assert len(seen) == 2
    assert all(call_id in ids_of(channel) for channel in seen)
    assert {channel.variables["B24_ID"] for channel in seen} == {call_id}
    assert {channel.get("Linkedid") for channel in seen} == {call_id}


def test_the_events_of_a_real_call_come_whole_and_in_order(where: Office) -> None:
    heard: list[Message] = []
    with Link(manager(where, "operator", mask="call"), heard.append) as link:
        link.login()
        call_id = asyncio.run(call(where, 11))
        link.ask("Ping")
    mine = [event for event in heard if call_id in ids_of(event)]
    of_client = [event.event for event in mine if event.get("Uniqueid") == call_id]
    assert (of_client[0], of_client[-1]) == ("Newchannel", "Hangup")
    begun = [event.get("Uniqueid") for event in mine if event.event == "Newchannel"]
    assert sorted(begun) == sorted(event.get("Uniqueid") for event in mine if event.event == "Hangup")
    assert len(begun) == 2
    dialled = next(event for event in heard if event.event == "DialBegin" and event.get("Linkedid") == call_id)
    assert dialled.get("DestExten") or dialled.get("DialString") == extension(11, 1)


def test_asterisk_itself_filters_for_who_may_and_lists_are_whole_all_the_same(where: Office) -> None:
    heard: dict[str, list[Message]] = {"filters": [], "itgrix-bx": []}
    counts: list[int] = []
    links = {
        name: Link(manager(where, name, mask="call", events=("Hangup",)), events.append)
        for name, events in heard.items()
    }
    for link in links.values():
        link.login()

    def look() -> None:
        counts.extend(len(link.ask("CoreShowChannels").items) for link in links.values())

    asyncio.run(call(where, 12, look))
    for link in links.values():
        link.ask("Ping")
        link.close()
    assert {event.event for event in heard["filters"]} == {"Hangup"}
    assert len(heard["filters"]) == 2
    assert {event.event for event in heard["itgrix-bx"]} > {"Hangup", "Newstate"}
    assert counts == [2, 2]


def test_what_a_user_may_not_do_is_refused_in_words(where: Office) -> None:
    with Link(manager(where, "nobody")) as link:
        link.login()
        with pytest.raises(AmiRefusedError, match="Permission denied"):
            link.ask("CoreShowChannels")
        link.ask("Ping")


def test_who_is_on_the_pbxs_black_list_is_no_call_of_the_crms(where: Office) -> None:
    """FreePBX's, read by the service with the rights `dialplan install` gives."""
    turned_away, number = client(17), f"8{client(17)[2:]}"
    where.asterisk.cli(f"database put blacklist {number} spam")
    where.program.stop()
    where.program.start()
    eventually(lambda: "black list of the PBX" in where.program.run("numbers", "test", turned_away), 20)
    for n in (17, 18):
        asyncio.run(call(where, n))
    where.asterisk.cli(f"database del blacklist {number}")
    (found,) = where.calls_of(17)
    assert (found["state"], where.statistics_of(17)) == ("skipped", [])
    shown = where.program.json("calls", "show", found["id"])
    assert f"the number {turned_away} is on the black list of the PBX" in str(shown)
    eventually(lambda: len(where.statistics_of(18)) == 1, 30)


def test_a_user_with_few_rights_reads_the_extensions_and_the_black_list(where: Office) -> None:
    for line in (
        "dialplan add extension 1101,hint,PJSIP/1101&Custom:DND1101 into ext-local",
        "dialplan add extension 71,hint,park:71@parkedcalls into ext-local",
        "database put blacklist 89160000099 spam",
        "database put blacklist blocked 1",
        "database put blacklist dest app-blackhole,hangup,1",
    ):
        where.asterisk.cli(line)
    for username in ("itgrix-bx", "operator"):
        with Link(manager(where, username)) as link:
            link.login()
            found = extensions(link.ask)
            assert "1101" in found  # beside those the site itself has hints for
            assert "71" not in found
            assert blocked(blacklist(link.ask)) == {"89160000099", ANONYMOUS_BLOCKED}
    for key in ("89160000099", "blocked", "dest"):
        where.asterisk.cli(f"database del blacklist {key}")
    with Link(manager(where, "itgrix-bx")) as link:
        link.login()
        assert blacklist(link.ask) == []
    with Link(manager(where, "nobody")) as link:
        link.login()
        for read in (extensions, blacklist):
            with pytest.raises(AmiRefusedError, match="Permission denied"):
                read(link.ask)


def test_a_wrong_secret_is_refused(where: Office) -> None:
    with (
        Link(Manager(where.asterisk.ami, "itgrix-bx", "wrong")) as link,
        pytest.raises(AmiLoginError, match="Authentication failed"),
    ):
        link.login()


def test_what_fits_by_our_limit_fits_in_asterisk(where: Office) -> None:
    with Link(manager(where, "operator")) as link:
        link.login()
        value = "x" * (1024 - len("Value: \r\n"))
        link.ask("Setvar", {"Variable": "LONG", "Value": value})
        link.ask("Ping", [("Variable", "x")] * 125)
        assert link.ask("Getvar", {"Variable": "LONG"}).answer.get("Value") == value


@pytest.mark.parametrize("value", ['OOO "Romashka" & Co', "a: b", "Ромашка 😀", "  led by blanks", "x;y,z\\", "\udcff"])
def test_a_hostile_value_arrives_as_it_is(where: Office, value: str) -> None:
    with Link(manager(where, "operator")) as link:
        link.login()
        link.ask("Setvar", {"Variable": "HOSTILE", "Value": value})
        got = link.ask("Getvar", {"Variable": "HOSTILE"}).answer.get("Value")
    assert got == ("я" if value == "\udcff" else value.lstrip())


def test_a_commands_output_is_whole(where: Office) -> None:
    with Link(manager(where, "operator")) as link:
        link.login()
        output = link.ask("Command", {"Command": "manager show commands"}).answer.output
    assert len(output) > 100
    assert any(line.strip().startswith("CoreShowChannels") for line in output)


def test_tls_is_spoken_and_a_stranger_is_not_trusted(where: Office) -> None:
    trusting = ssl.create_default_context(cadata=where.asterisk.authority.cert_pem.bytes().decode())
    with Link(Manager(where.asterisk.ami_tls, "itgrix-bx", AMI_SECRET, trusting)) as link:
        link.login()
        assert link.ask("CoreSettings").answer.get("AsteriskVersion").startswith("22.")
    with pytest.raises(AmiUnreachableError, match="certificate"):
        Link(Manager(where.asterisk.ami_tls, "itgrix-bx", AMI_SECRET, ssl.create_default_context()))


def test_a_call_that_ends_while_we_are_dead_is_closed_and_told_once(where: Office) -> None:
    async def play() -> None:
        async with where.people():
            await where.phone(extension(13, 1), answers(0.3))
            made = await where.call_in(13, ONE)
            await asyncio.wait_for(made.answered.wait(), 30)
            await asyncio.sleep(TALK_S)
            where.program.stop(signal.SIGKILL)
            await made.hang_up()
            await asyncio.sleep(0.5)

    began = time.monotonic()
    asyncio.run(play())
    assert where.asterisk.channels() == 0
    where.program.start()
    eventually(lambda: where.calls_of(13)[0]["state"] == "complete", YOUNG_S + 160)
    assert time.monotonic() - began > YOUNG_S
    shown = where.program.json("calls", "show", where.calls_of(13)[0]["id"])
    assert shown["note"] == "the end was not seen; closed when its channel was gone"
    (row,) = where.statistics_of(13)
    assert (row["CALL_FAILED_CODE"], int(row["PORTAL_USER_ID"])) == ("200", user(13, 1))
    assert int(row["CALL_DURATION"]) == shown["talk_seconds"] >= 1
    assert len([step for step in shown["steps"] if step["step"] == "gone"]) == 1


def test_after_a_restart_of_asterisk_the_link_is_back(where: Office) -> None:
    told: list[object] = []
    ami = Ami(manager(where, "operator", mask="call"), Timings(again=0.2))
    ami.on("Newchannel", lambda event: told.append(event.get("Exten")))
    ami.on_link(told.append)
    ami.start()
    eventually(lambda: True in told, 20)
    where.asterisk.cli("core restart now")
    eventually(lambda: False in told, 20)
    eventually(lambda: told.count(True) == 2, 60)
    eventually(lambda: "fully booted" in where.asterisk.cli("core waitfullybooted"), 60)
    asyncio.run(call(where, 14))
    assert told[:3] == [True, False, True]
    assert len(told) == 5
    assert ami.ask("Ping").answer.get("Ping") == "Pong"
    ami.stop()


def test_the_programs_own_link_is_well(where: Office) -> None:
    eventually(lambda: where.program.health()["parts"]["ami"]["ok"], 90)
    found = {check["part"]: check for check in where.program.json("doctor")}
    assert (found["AMI"]["result"], "Asterisk 22." in found["AMI"]["found"]) == ("ok", True)
