"""Rules and lists in the running service: what the journal and the portal get, and that a change needs no restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from itgrix_bx.calls.number_lists import Entry
from itgrix_bx.calls.number_rules import Rule
from itgrix_bx.report import details
from sql import Database
from sql.numbers import BLOCKED, EXTENSION, Numbers
from tests.service.conftest import CLIENT, DID, Office, eventually

ID = "1700000000.1"
MTS = {"agi_channel": "PJSIP/mts-0000001a"}


class Desk:
    """An administrator's own way into the database, beside the service."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._database = Database(office.settings.database.url.get_secret_value())
        self.store = Numbers(self._database)

    def heard(self) -> None:
        """The running service goes by what is stored."""
        version = self.store.version()
        eventually(lambda: self._office.service.numbers._version == version)

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def office(make_office: Callable[..., Office], database_url: str) -> Office:
    return make_office(database={"url": database_url})


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    opened = Desk(office)
    yield opened
    opened.close()


def reason(office: Office, call_id: str) -> Any:
    call = office.call(call_id)
    return details(call, office.service.journal.events(call_id), office.service.employees.directory, office.settings)[
        "skipped"
    ]


def test_a_rewritten_number_is_registered_in_e164_and_the_journal_keeps_it_as_it_came(
    office: Office, desk: Desk
) -> None:
    desk.store.add_rule(Rule("", "+7916", 7, 7, direction="in", trunk="mts"))
    desk.heard()
    reply = office.hook("inbound", ID, DID, caller="1234567", env=MTS)
    assert (reply["B24_STATE"], reply["B24_ROUTE"]) == ("registered", "101")
    call = office.call(ID)
    assert (call.client_number, call.trunk) == (CLIENT, "mts")
    assert call.register_params is not None
    assert call.register_params["PHONE_NUMBER"] == CLIENT
    assert office.service.journal.events(ID)[0].data["caller"] == "1234567"
    office.hook("hangup", ID, "in", caller="1234567", env=MTS, DIALSTATUS="NOANSWER")
    office.until(ID, "complete")
    assert office.statistics()[0]["PHONE_NUMBER"] == CLIENT


def test_who_is_black_listed_is_skipped_with_the_reason_and_the_portal_hears_nothing(
    office: Office, desk: Desk
) -> None:
    assert office.hook("inbound", "1700000000.9", DID)["B24_STATE"] == "registered"
    eventually(lambda: office.call("1700000000.9").portal_call_id)
    desk.store.add_entry(Entry("black", "number", "+7916*"))
    desk.heard()
    before = len(office.known()["calls"])
    reply = office.hook("inbound", ID, DID)
    assert (reply["B24_STATE"], reply["B24_ROUTE"], reply["B24_RC"]) == ("skipped", "", "ok")
    office.hook("ring", ID, "101")
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    assert office.summary(ID)["state"] == "skipped"
    assert reason(office, ID) == f"the number {CLIENT} is on the black list as +7916*"
    assert len(office.known()["calls"]) == before
    desk.store.remove_entry(Entry("black", "number", "+7916*"))
    desk.heard()
    assert office.hook("inbound", "1700000000.2", DID)["B24_STATE"] == "registered"


def test_a_listed_caller_known_only_by_the_hangup_is_skipped_too(office: Office, desk: Desk) -> None:
    desk.store.add_entry(Entry("white", "trunk", "beeline"))
    desk.heard()
    start = str(time.time() - 5)
    office.hook("hangup", ID, "in", env=MTS, DIALSTATUS="NOANSWER", START=start)
    office.until(ID, "skipped")
    assert reason(office, ID) == "the trunk mts is not on the white list"


def test_the_trunk_of_an_outbound_call_is_known_from_freepbxs_variables(office: Office, desk: Desk) -> None:
    desk.store.add_rule(Rule("9", "", 8, direction="out", trunk="mts"))
    desk.store.add_entry(Entry("black", "trunk", "internal-link"))
    desk.heard()
    mts = {"DIAL_TRUNK": "3", "OUT_3": "PJSIP", "OUT_3_SUFFIX": "@mts"}
    office.hook("outbound", ID, "989161234567", "102", caller="102", **mts)
    assert (office.call(ID).client_number, office.call(ID).trunk) == (CLIENT, "mts")
    link = {"DIAL_TRUNK": "4", "OUT_4": "SIP/internal-link"}
    reply = office.hook("outbound", "1700000000.2", "89161234567", "102", caller="102", **link)
    assert reply["B24_STATE"] == "skipped"
    told = office.hook("outbound", "1700000000.3", "89161234567", "102", caller="102", B24_TRUNK="internal-link")
    assert told["B24_STATE"] == "skipped"


def test_an_extension_only_the_pbx_knows_makes_an_internal_call(office: Office, desk: Desk) -> None:
    desk.store.replace_pbx(EXTENSION, ["20012"])
    desk.store.replace_pbx(BLOCKED, ["89161234567"])
    desk.heard()
    eventually(lambda: office.service.employees.directory.on_pbx)
    assert office.hook("inbound", ID, DID, caller="20012")["B24_STATE"] == "skipped"
    assert office.call(ID).direction == "internal"
    assert office.hook("outbound", "1700000000.2", "20012", "101", caller="101")["B24_STATE"] == "skipped"
    assert office.hook("inbound", "1700000000.3", DID)["B24_STATE"] == "skipped"
    assert reason(office, "1700000000.3") == f"the number {CLIENT} is on the black list of the PBX"


def test_an_internal_call_is_registered_where_that_is_wanted(office: Office, desk: Desk) -> None:
    desk.store.set_internal(True)
    desk.heard()
    assert office.hook("outbound", ID, "102", "101", caller="101")["B24_STATE"] == "deferred"
    office.hook("ring", ID, "102", caller="101")
    office.hook("answer", ID, "102", uniqueid="1700000000.2", caller="102")
    office.hook("hangup", ID, "out", caller="101", DIALSTATUS="ANSWER", DIALEDPEERNUMBER="102")
    summary = office.until(ID, "complete")
    assert (summary["direction"], summary["client_number"], summary["user_id"]) == ("internal", "102", 11)
    (row,) = office.statistics()
    assert (row["PHONE_NUMBER"], str(row["CALL_TYPE"]), row["CALL_FAILED_CODE"]) == ("102", "1", "200")
    assert [card for card in office.known()["cards"] if card["action"] == "show"] == []


def test_an_internal_call_whose_beginning_was_lost_is_registered_by_its_end(office: Office, desk: Desk) -> None:
    desk.store.set_internal(True)
    desk.heard()
    office.hook("hangup", ID, "out", caller="101", DIALSTATUS="BUSY", HANGUPCAUSE="17", DIALEDPEERNUMBER="102")
    summary = office.until(ID, "complete")
    assert (summary["direction"], summary["status_code"], summary["user_id"]) == ("internal", "486", 11)


def test_an_internal_call_stays_what_it_was_when_the_rule_is_changed_meanwhile(office: Office, desk: Desk) -> None:
    desk.store.set_internal(True)
    desk.heard()
    office.hook("outbound", ID, "102", "101", caller="101")
    desk.store.set_internal(False)
    desk.heard()
    office.hook("hangup", ID, "out", caller="101", DIALSTATUS="BUSY", HANGUPCAUSE="17", DIALEDPEERNUMBER="102")
    assert office.until(ID, "complete")["direction"] == "internal"
