"""What only the manager tells reaches the journal and the portal, and what the hooks tell too happens once."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from itgrix_bx.calls.directory import Directory
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.pbx import feed
from itgrix_bx.pbx.channels import Channels
from itgrix_bx.pbx.devices import DeviceState
from itgrix_bx.pbx.listener import Bridges, Listener
from itgrix_bx.pbx.scene import Live
from itgrix_bx.pbx.story import Story
from itgrix_bx.report import details
from itgrix_bx.service import ALL
from sql import Database, Staff
from sql.database import DatabaseAwayError
from sql.numbers import Numbers
from tests.pbx.peer import SECRET, Peer, message
from tests.service.conftest import CLIENT, DID, Office, eventually

ID = "1700000000.1"
TRUNK = "PJSIP/trunk-00000001"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HOOKS_FIRST_S", 0.3)


class Pbx:
    """Plays what Asterisk tells of channels; it can list them."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._count = itertools.count(2)
        self.ids: dict[str, str] = {}
        self.linked: dict[str, str] = {}

    def _of(self, name: str) -> list[str]:
        return [f"Channel: {name}", f"Uniqueid: {self.ids[name]}", f"Linkedid: {self.linked[name]}"]

    def begins(self, name: str, uniqueid: str = "", linkedid: str = "", **more: str) -> str:
        """A channel; its name."""
        self.ids[name] = uniqueid or f"1700000000.{next(self._count)}"
        self.linked[name] = linkedid or self.ids[name]
        self.peer.channels.append({"Channel": name, "Uniqueid": self.ids[name], "Linkedid": self.linked[name]})
        self.peer.event("Newchannel", *self._of(name), *(f"{key}: {value}" for key, value in more.items()))
        return name

    def rings(self, caller: str, name: str, number: str = "") -> str:
        """`caller` dials a channel; its name."""
        self.begins(name, linkedid=self.linked[caller])
        self.peer.channels[-1]["ApplicationData"] = "(Outgoing Line)"
        dest = [f"Dest{line}" for line in self._of(name)]
        self.peer.event("DialBegin", *self._of(caller), *dest, f"DialString: {number or name}")
        return name

    def meet(self, bridge: str, *names: str, technology: str = "simple_bridge") -> None:
        for name in names:
            self._channel(name)["BridgeId"] = bridge
            how = f"BridgeTechnology: {technology}"
            self.peer.event("BridgeEnter", f"BridgeUniqueid: {bridge}", how, *self._of(name))

    def parts(self, bridge: str, *names: str) -> None:
        for name in names:
            self._channel(name).pop("BridgeId", None)
            self.peer.event("BridgeLeave", f"BridgeUniqueid: {bridge}", *self._of(name))

    def hangs_up(self, *names: str) -> None:
        for name in names:
            self.peer.channels.remove(self._channel(name))
            self.peer.event("Hangup", *self._of(name), "Cause: 16")

    def _channel(self, name: str) -> dict[str, str]:
        return next(channel for channel in self.peer.channels if channel["Channel"] == name)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as running:
        yield running


@pytest.fixture
def pbx(peer: Peer) -> Pbx:
    return Pbx(peer)


def ami(peer: Peer) -> dict[str, Any]:
    return {"address": f"127.0.0.1:{peer.port}", "username": "admin", "secret": SECRET}


@pytest.fixture
def office(make_office: Callable[..., Office], peer: Peer) -> Office:
    made = make_office(ami=ami(peer))
    peer.wait_for("CoreShowChannels")
    return made


def enters(office: Office, pbx: Pbx) -> None:
    """A client's call, up to its first hook."""
    pbx.begins(TRUNK, ID, CallerIDNum=CLIENT, Exten=DID)
    assert office.hook("inbound", ID, DID)["B24_RC"] == "ok"


def facts(office: Office, *kinds: Kind, call_id: str = ID) -> list[Event]:
    return [event for event in office.service.journal.events(call_id) if event.kind in kinds]


def legs(office: Office, call_id: str = ID) -> list[tuple[str, bool]]:
    return [(leg.extension, leg.answered_at is not None) for leg in office.call(call_id).legs]


def test_a_call_without_ring_and_answer_hooks_is_told_by_the_manager(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.rings(TRUNK, "PJSIP/102-1")
    eventually(lambda: legs(office) == [("101", False), ("102", False)])
    shown = eventually(lambda: {c["user_id"] for c in office.known()["cards"] if c["action"] == "show"} >= {11, 12})
    assert shown
    answered = time.time()
    pbx.meet("b1", "PJSIP/102-1", TRUNK)
    eventually(lambda: legs(office) == [("101", False), ("102", True)])
    time.sleep(1.2)
    office.hook("hangup", ID, "in")
    talked = time.time() - answered
    found = office.until(ID, "complete")
    assert (found["status_code"], found["extension"]) == ("200", "102")
    assert abs(found["talk_seconds"] - talked) <= 1
    assert office.call(ID).talk_source == "ami"
    shown = details(office.call(ID), facts(office, *Kind), office.service.employees.directory, office.settings)
    assert shown["source"] == "hooks, completed from AMI"


@pytest.mark.parametrize("first", ["hooks", "manager"])
def test_a_fact_told_twice_is_one(office: Office, pbx: Pbx, first: str) -> None:
    def hooks(name: str) -> None:
        office.hook(name, ID, "101", uniqueid="1700000000.2")

    enters(office, pbx)
    for name, told in (
        ("ring", lambda: pbx.rings(TRUNK, "PJSIP/101-1")),
        ("answer", lambda: pbx.meet("b1", "PJSIP/101-1", TRUNK)),
    ):
        kind = Kind(name)
        if first == "hooks":
            hooks(name)
            told()
        else:
            told()
            eventually(lambda kind=kind: facts(office, kind))
            hooks(name)
        assert len(facts(office, kind)) == (1 if first == "hooks" else 2)
    office.hook("hangup", ID, "in")
    office.until(ID, "complete")
    assert legs(office) == [("101", True)]
    assert len(facts(office, Kind.RING, Kind.ANSWER)) == (2 if first == "hooks" else 4)
    assert len(office.statistics()) == 1


def test_what_the_hooks_told_is_not_stored_again(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    office.hook("ring", ID, "101-102")
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.rings(TRUNK, "PJSIP/102-1")
    office.hook("answer", ID, "101", uniqueid="1700000000.2")
    pbx.meet("b1", "PJSIP/101-1", TRUNK)
    office.hook("hangup", ID, "in")
    pbx.hangs_up("PJSIP/101-1", "PJSIP/102-1", TRUNK)
    office.until(ID, "complete")
    eventually(lambda: office.service.health()["ami"]["waiting"] == 0)
    assert office.service.health()["ami"]["told_the_journal"] == 0
    assert len(facts(office, Kind.INBOUND, Kind.RING, Kind.ANSWER, Kind.HANGUP)) == 4


def test_the_clients_pick_up_and_an_attended_transfer_outbound(office: Office, pbx: Pbx) -> None:
    """As on FreePBX: no hook on the trunk's channel, and the extension's hangup is not the end."""
    phone, trunk = pbx.begins("PJSIP/101-1", ID), "PJSIP/trunk-2"
    office.hook("outbound", ID, "89161234567", "101", caller="101")
    pbx.rings(phone, trunk, "89161234567@trunk")
    pbx.meet("b1", trunk, phone)
    eventually(lambda: legs(office) == [("101", True)])
    consult = pbx.begins("PJSIP/101-2")
    pbx.rings(consult, "PJSIP/102-1")
    pbx.meet("b2", "PJSIP/102-1", consult)
    office.hook("hangup", ID, "out", caller="101", DIALSTATUS="ANSWER", ATTENDEDTRANSFER=trunk)
    pbx.parts("b2", "PJSIP/102-1")
    pbx.parts("b1", phone)
    pbx.meet("b1", "PJSIP/102-1")
    pbx.hangs_up(phone, consult)
    eventually(lambda: legs(office) == [("101", True), ("102", True)])
    assert office.call(ID).state == "registered"
    time.sleep(0.3)
    pbx.parts("b1", trunk, "PJSIP/102-1")
    pbx.hangs_up("PJSIP/102-1", trunk)
    found = office.until(ID, "complete")
    assert (found["status_code"], found["extension"]) == ("200", "101")
    assert len(facts(office, Kind.HANGUP)) == 2


def test_who_picks_a_ringing_call_up_talks(office: Office, pbx: Pbx) -> None:
    """The picking phone's channel takes the place of the one that rang: its name, under the other's uniqueid."""
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.peer.event("Pickup", "Channel: PJSIP/102-9", "TargetChannel: PJSIP/101-1")
    pbx.peer.event("BridgeEnter", "BridgeUniqueid: b1", "Channel: PJSIP/102-9", f"Uniqueid: {pbx.ids['PJSIP/101-1']}",
                   f"Linkedid: {ID}")  # fmt: skip
    pbx.meet("b1", TRUNK)
    eventually(lambda: legs(office) == [("101", False), ("102", True)])


def test_the_mobile_of_an_employee_is_known_where_no_hook_names_whose_it_is(office: Office, pbx: Pbx) -> None:
    """A trunk chosen as a destination: the number it is asked for is the employee's."""
    Staff(office.service.database).map_mobile("+79161112233", 13)
    eventually(lambda: office.service.employees.directory.user_of("+79161112233") == 13)
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/trunk-2", "89161112233@trunk")
    pbx.meet("b1", TRUNK, "PJSIP/trunk-2")
    eventually(lambda: legs(office) == [("+79161112233", True)])
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER")
    office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["PORTAL_USER_ID"], row["CALL_FAILED_CODE"], row["PHONE_NUMBER"]) == ("13", "200", CLIENT)


def test_who_fetches_a_parked_call_talks_and_parked_calls_do_not_hear_each_other(office: Office, pbx: Pbx) -> None:
    other = pbx.begins("PJSIP/103-7")
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    pbx.parts("b1", TRUNK, "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1")
    pbx.meet("lot", other, TRUNK, technology="holding_bridge")
    eventually(lambda: [leg.ended_at is not None for leg in office.call(ID).legs] == [True])
    assert legs(office) == [("101", True)]
    pbx.parts("lot", TRUNK)
    pbx.meet("b2", pbx.begins("PJSIP/102-3"), TRUNK)
    eventually(lambda: legs(office) == [("101", True), ("102", True)])
    assert [leg.ended_at is None for leg in office.call(ID).legs] == [False, True]


def test_who_fetches_the_call_they_parked_begins_another_leg(
    office: Office, pbx: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itgrix_bx.calls.facts._SAME_S", 0.2)  # else two answers of one moment are one
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    eventually(lambda: legs(office) == [("101", True)])
    pbx.parts("b1", TRUNK, "PJSIP/101-1")
    pbx.meet("lot", TRUNK, technology="holding_bridge")
    pbx.hangs_up("PJSIP/101-1")
    time.sleep(0.3)
    pbx.parts("lot", TRUNK)
    pbx.meet("b2", pbx.begins("PJSIP/101-3"), TRUNK)
    eventually(lambda: legs(office) == [("101", True), ("101", True)])


def test_an_outbound_call_that_is_parked_waits_too(office: Office, pbx: Pbx) -> None:
    phone = pbx.begins("PJSIP/101-1", ID, CallerIDNum="101", Exten=CLIENT)
    assert office.hook("outbound", ID, CLIENT, "101")["B24_RC"] == "ok"
    pbx.rings(phone, TRUNK, f"{CLIENT}@trunk")
    pbx.meet("b1", phone, TRUNK)
    eventually(lambda: legs(office) == [("101", True)])
    pbx.parts("b1", TRUNK, phone)
    pbx.meet("lot", TRUNK, technology="holding_bridge")
    eventually(lambda: office.call(ID).talking is None)
    pbx.parts("lot", TRUNK)
    pbx.meet("b2", pbx.begins("PJSIP/102-3"), TRUNK)
    eventually(lambda: legs(office) == [("101", True), ("102", True)])


def test_a_call_among_colleagues_that_only_outbound_told_of_is_followed(office: Office, pbx: Pbx) -> None:
    with contextlib.closing(Database(office.settings.database.url.get_secret_value())) as database:
        Numbers(database).set_internal(True)
    eventually(lambda: office.service.numbers.current.internal)
    phone = pbx.begins("PJSIP/101-1", ID, CallerIDNum="101", Exten="102")
    assert office.hook("outbound", ID, "102", "101", caller="101")["B24_RC"] == "ok"
    pbx.rings(phone, "PJSIP/102-2")
    pbx.meet("b1", "PJSIP/102-2", phone)
    eventually(lambda: [leg.answered_at is not None for leg in office.call(ID).legs] == [False, True])
    pbx.parts("b1", phone, "PJSIP/102-2")
    pbx.hangs_up("PJSIP/102-2", phone)
    assert office.until(ID, "complete")["direction"] == "internal"


def test_who_was_parked_while_the_link_was_lost_is_known_to_wait(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    eventually(lambda: legs(office) == [("101", True)])
    parked = next(channel for channel in pbx.peer.channels if channel["Channel"] == TRUNK)
    pbx.peer.channels[:] = [parked | {"BridgeId": "lot", "Application": "Park"}]
    pbx.peer.drop()
    eventually(lambda: office.call(ID).talking is None)
    assert legs(office) == [("101", True)]


def test_where_no_hangup_hook_comes_the_manager_tells_the_end(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.peer.event("DialEnd", f"Channel: {TRUNK}", "DestChannel: PJSIP/101-1", "DialStatus: CANCEL")
    ended = time.time()
    pbx.hangs_up("PJSIP/101-1", TRUNK)
    office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], row["CALL_FAILED_REASON"]) == ("304", "abandoned")
    assert abs((office.call(ID).ended_at or 0) - ended) < 0.3


def test_where_records_are_read_they_tell_the_end_that_no_hook_told(
    make_office: Callable[..., Office], pbx: Pbx
) -> None:
    """They know the recording too; the transfer's end they need not tell."""
    office = make_office(ami=ami(pbx.peer), cdr={"url": "mysql+pymysql://root@127.0.0.1:9/asteriskcdrdb"})
    pbx.peer.wait_for("CoreShowChannels")
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1", TRUNK)
    eventually(lambda: legs(office) == [("101", False)])
    time.sleep(0.8)
    assert facts(office, Kind.HANGUP) == []


def test_a_link_that_breaks_in_a_storm_leaves_the_call_whole(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    for n in range(3):
        eventually(lambda: office.service.health()["ami"]["ok"])
        noise = (f"Channel: PJSIP/x-{n}{k}\r\nUniqueid: 17{n}{k}.1\r\nLinkedid: 17{n}{k}.1" for k in range(2000))
        pbx.peer.send(b"".join(message("Event: Newchannel", told) for told in noise))
        asked = len(pbx.peer.asked("CoreShowChannels"))
        pbx.peer.drop()
        eventually(lambda n=n: office.service.health()["ami"]["links_lost"] == n + 1)
        pbx.peer.wait_for("CoreShowChannels", asked + 1)
    eventually(lambda: office.service.health()["ami"]["ok"])
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    eventually(lambda: legs(office) == [("101", True)])
    pbx.parts("b1", TRUNK, "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1", TRUNK)
    office.until(ID, "complete")
    assert len(facts(office, Kind.RING, Kind.ANSWER, Kind.HANGUP)) == 3
    assert office.service.feed is not None
    assert len(office.service.feed._scene) == 0  # the list said that none of the others is there


def test_a_hangup_hook_that_comes_within_its_time_is_the_only_end(
    office: Office, pbx: Pbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "HOOKS_FIRST_S", 1.0)
    enters(office, pbx)
    pbx.hangs_up(TRUNK)
    time.sleep(0.3)
    office.hook("hangup", ID, "in", DIALSTATUS="BUSY")
    office.until(ID, "complete")
    time.sleep(1.0)
    assert len(facts(office, Kind.HANGUP)) == 1
    assert [row["CALL_FAILED_REASON"] for row in office.statistics()] == ["busy"]


def test_calls_that_no_hook_opened_are_none_of_our_business(office: Office, pbx: Pbx) -> None:
    phone = pbx.begins("PJSIP/101-1", ID, CallerIDNum="101")
    pbx.rings(phone, "PJSIP/102-1")
    pbx.meet("b1", phone, "PJSIP/102-1")
    pbx.hangs_up("PJSIP/102-1", phone)
    time.sleep(0.8)
    assert office.service.journal.find(limit=0) == []
    assert office.service.health()["ami"]["waiting"] == 0


def test_a_call_that_a_rule_skips_gets_nothing(office: Office, pbx: Pbx) -> None:
    pbx.begins(TRUNK, ID, CallerIDNum="102")
    assert office.hook("inbound", ID, DID, caller="102")["B24_STATE"] == "skipped"
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1", TRUNK)
    time.sleep(0.6)
    assert len(facts(office, *Kind)) == 2


def test_what_happened_while_the_link_was_lost_is_seen_when_it_is_back(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    pbx.rings(TRUNK, "PJSIP/101-1")
    eventually(lambda: legs(office) == [("101", False)])
    for name in (TRUNK, "PJSIP/101-1"):
        pbx._channel(name)["BridgeId"] = "b1"
    pbx.peer.drop()
    eventually(lambda: legs(office) == [("101", True)])
    pbx.parts("b1", "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1")
    pbx.rings(TRUNK, "PJSIP/102-1")
    pbx.meet("b2", TRUNK, "PJSIP/102-1")
    eventually(lambda: legs(office) == [("101", True), ("102", True)])
    health = office.service.health()["ami"]
    assert (health["ok"], health["links_lost"]) == (True, 1)


def test_the_database_away_for_a_while_costs_nothing(office: Office, pbx: Pbx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_AGAIN_S", 0.1)
    enters(office, pbx)
    real, away = office.service.journal.events, True

    def events(call_id: str) -> list[Event]:
        if away:
            raise DatabaseAwayError("gone")
        return real(call_id)

    monkeypatch.setattr(office.service.journal, "events", events)
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    time.sleep(0.4)
    away = False
    eventually(lambda: legs(office) == [("101", True)])


def test_while_the_database_is_away_calls_wait_without_work_and_in_bounded_room(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = office.service.feed
    assert heard is not None
    tried: list[Live] = []

    def away(live: Live) -> None:
        tried.append(live)
        raise DatabaseAwayError("away")

    monkeypatch.setattr(heard, "_write", away)
    monkeypatch.setattr(feed, "_MOST", 500)
    channels = Channels(Directory())
    lives = [Live(Listener(Story("ami", "in", "", f"{n}", "", 0.0, ""), channels, Bridges())) for n in range(600)]
    for live in lives:
        heard._note(live)
    eventually(lambda: len(tried) > 1)
    assert len(tried) < 10
    assert heard.waiting() <= 500
    stored: list[Live] = []
    monkeypatch.setattr(heard, "_write", stored.append)
    eventually(lambda: heard.waiting() == 0)
    heard._note(lives[-1])
    eventually(lambda: lives[-1] in stored)
    assert len(stored) == len(set(stored)) == 501


def test_hooks_and_manager_in_two_processes_make_one_call(make_office: Callable[..., Office], pbx: Pbx) -> None:
    agi = make_office(ALL - {"worker"})
    worker = make_office(frozenset({"worker"}), ami=ami(pbx.peer))
    pbx.peer.wait_for("CoreShowChannels")
    assert agi.service.ami is None
    enters(agi, pbx)
    agi.hook("ring", ID, "101")
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    eventually(lambda: legs(worker) == [("101", True)])
    agi.hook("hangup", ID, "in")
    assert worker.until(ID, "complete")["extension"] == "101"
    assert not worker.call(ID).told_in_part


def test_a_call_comes_out_right_in_the_middle_of_a_storm(office: Office, pbx: Pbx) -> None:
    def storm(n: int) -> bytes:
        return b"".join(
            message("Event: Newchannel", f"Channel: PJSIP/x-{n}{k}", f"Uniqueid: 17{n}{k}.1", f"Linkedid: 17{n}{k}.1")
            + message("Event: Newstate", f"Channel: PJSIP/x-{n}{k}", f"Uniqueid: 17{n}{k}.1", "ChannelState: 6")
            + message("Event: Hangup", f"Channel: PJSIP/x-{n}{k}", f"Uniqueid: 17{n}{k}.1", "Cause: 16")
            for k in range(500)
        )

    pbx.peer.send(storm(1))
    enters(office, pbx)
    pbx.peer.send(storm(2))
    pbx.rings(TRUNK, "PJSIP/101-1")
    pbx.peer.send(storm(3))
    pbx.meet("b1", TRUNK, "PJSIP/101-1")
    pbx.peer.send(storm(4))
    pbx.parts("b1", TRUNK, "PJSIP/101-1")
    pbx.hangs_up("PJSIP/101-1", TRUNK)
    found = office.until(ID, "complete")
    assert (found["status_code"], found["extension"]) == ("200", "101")
    health = office.service.health()["ami"]
    assert (health["events"] > 6_000, health["events_lost"]) == (True, 0)
    assert office.service.feed is not None
    assert len(office.service.feed._scene) == 0


def test_hostile_names_and_numbers_do_no_harm(office: Office, pbx: Pbx) -> None:
    enters(office, pbx)
    for n, name in enumerate(
        ["PJSIP/'; DROP TABLE calls;--1", "Local/\udcff\x00@x-1;1", "/", "", "PJSIP/101\\-2", "💥" * 90]
    ):
        pbx.peer.event("DialBegin", f"Channel: {TRUNK}", f"Linkedid: {ID}", f"DestChannel: {name}",
                       f"DestUniqueid: 9.{n}", f"DestLinkedid: {ID}", "DialString: 89\";DROP@x")  # fmt: skip
        pbx.peer.event("BridgeEnter", "BridgeUniqueid: b", f"Channel: {name}", f"Uniqueid: 9.{n}")
    pbx.rings(TRUNK, "PJSIP/101-1")
    eventually(lambda: ("101", False) in legs(office))
    office.hook("hangup", ID, "in")
    office.until(ID, "complete")


def test_without_a_manager_there_is_none_of_it(make_office: Callable[..., Office]) -> None:
    service = make_office().service
    assert (service.ami, service.feed) == (None, None)
    assert service.devices.state("101") is DeviceState.UNKNOWN
    assert "ami" not in service.health()


def test_health_tells_what_is_heard(office: Office, pbx: Pbx) -> None:
    for n in range(120):
        pbx.begins(f"PJSIP/x-{n}")
    health = eventually(lambda: (h := office.service.health()["ami"])["events"] >= 120 and h)
    assert health["events_per_s"] == 2.0
    assert (health["events_lost"], health["links_lost"], health["connected_s"] >= 0) == (0, 0, True)
