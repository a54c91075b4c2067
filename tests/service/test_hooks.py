"""The six hooks as the dialplan sees them, and what comes out in the portal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from itgrix_bx.spool import SpoolError
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

ID = "1700000000.1"


def test_a_known_client_is_registered_and_led_to_the_responsible(office: Office) -> None:
    reply = office.hook("inbound", ID, DID)
    assert reply["B24_RC"] == "ok"
    assert reply["B24_STATE"] == "registered"
    assert reply["B24_CALL_ID"].startswith("externalCall.")
    assert (reply["B24_ROUTE"], reply["B24_ROUTE_SECONDS"]) == ("101", "15")
    assert reply["B24_CLIENT"]
    assert list(reply)[-1] == "B24_RC"
    call = eventually(lambda: office.call(ID).portal_call_id and office.summary(ID))
    assert call["state"] == "registered"
    assert call["entity"] == {"type": "CONTACT", "id": 7}


def test_an_unknown_client_becomes_a_lead_and_takes_the_normal_route(office: Office) -> None:
    reply = office.hook("inbound", ID, DID, caller=STRANGER)
    assert (reply["B24_STATE"], reply["B24_ROUTE"], reply["B24_ROUTE_SECONDS"]) == ("registered", "", "")
    eventually(lambda: office.call(ID).entity_type)
    assert office.summary(ID)["entity"]["type"] == "LEAD"
    assert len(office.known()["leads"]) >= 1


def test_one_round_trip_is_all_a_caller_waits_for(office: Office) -> None:
    before = office.known()["http_requests"]
    office.hook("inbound", ID, DID)
    assert office.known()["http_requests"] == before + 1


def test_an_answered_call_ends_with_its_owner_talk_code_and_recording(office: Office) -> None:
    path = office.record("2026/11/in-1.wav")
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101")
    eventually(lambda: office.known()["open_cards"])
    office.hook("answer", ID, "101", uniqueid="1700000000.2")
    office.hook(
        "hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="101", HANGUPCAUSE="16",
        MIXMONITOR_FILENAME="/var/spool/asterisk/monitor/2026/11/in-1.wav",
    )  # fmt: skip
    call = office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["PORTAL_USER_ID"], row["CALL_FAILED_CODE"], row["CALL_DURATION"]) == ("11", "200", "1")
    assert row["PHONE_NUMBER"] == CLIENT
    assert (call["user_id"], call["extension"], call["status_code"], call["talk_seconds"]) == (11, "101", "200", 1)
    assert call["recording"]["state"] == "uploaded"
    (file,) = office.known()["files"]
    import hashlib

    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["name"] == file["name"].lower()


def test_a_missed_call_is_304_for_the_responsible(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "102")
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER")
    office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], row["PORTAL_USER_ID"], row["CALL_DURATION"]) == ("304", "11", "0")
    assert row["CALL_FAILED_REASON"] == "no answer"
    assert str(row["CALL_TYPE"]) == "2"


def test_cards_go_to_who_rings_and_leave_who_lost(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101-102-103")
    eventually(lambda: {c["user_id"] for c in office.known()["cards"] if c["action"] == "show"} == {11, 12, 13})
    office.hook("answer", ID, "102")
    eventually(lambda: {c["user_id"] for c in office.known()["cards"] if c["action"] == "hide"} == {11, 13})
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", CONNECTED="102")
    office.until(ID, "complete")
    assert office.known()["open_cards"] == []


def test_the_cards_of_a_missed_call_are_all_taken_away(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("ring", ID, "101-102")
    eventually(lambda: len(office.known()["open_cards"]) == 2)
    office.hook("hangup", ID, "in", DIALSTATUS="CANCEL")
    office.until(ID, "complete")
    assert office.known()["open_cards"] == []


def test_an_outbound_call_belongs_to_who_dialled(office: Office) -> None:
    reply = office.hook("outbound", ID, "89161234567", "102", caller="102")
    assert (reply["B24_STATE"], reply["B24_RC"]) == ("registered", "ok")
    assert set(reply) == {"B24_STATE", "B24_CALL_ID", "B24_RC"}
    office.hook("answer", ID, "", uniqueid="1700000000.2")
    office.hook("hangup", ID, "out", uniqueid="1700000000.2", caller="102")
    office.hook("hangup", ID, "out", caller="102", DIALSTATUS="ANSWER", ANSWEREDTIME="1")
    call = office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["PORTAL_USER_ID"], row["PHONE_NUMBER"], str(row["CALL_TYPE"])) == ("12", CLIENT, "1")
    assert (call["direction"], call["extension"], call["client_number"]) == ("out", "102", CLIENT)


@pytest.mark.parametrize(("status", "cause", "code"), [("BUSY", "17", "486"), ("CANCEL", "127", "603-S")])
def test_an_outbound_call_that_failed_says_how(office: Office, status: str, cause: str, code: str) -> None:
    office.hook("outbound", ID, "89161234567", "102", caller="102")
    office.hook("hangup", ID, "out", caller="102", DIALSTATUS=status, HANGUPCAUSE=cause)
    office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], row["CALL_DURATION"]) == (code, "0")


def test_a_second_trunk_adds_a_leg_never_a_call(office: Office) -> None:
    first = office.hook("outbound", ID, "89161234567", "102", caller="102")
    second = office.hook("outbound", ID, "89161234567", "102", caller="102")
    assert first["B24_CALL_ID"] == second["B24_CALL_ID"] != ""
    assert len(office.known()["calls"]) == 1


def test_route_reuses_what_inbound_learnt(office: Office) -> None:
    office.hook("inbound", ID, DID)
    before = office.known()["http_requests"]
    reply = office.hook("route", ID, DID)
    assert (reply["B24_ROUTE"], reply["B24_RC"]) == ("101", "ok")
    assert office.known()["http_requests"] == before


def test_route_alone_registers_and_routes(office: Office) -> None:
    reply = office.hook("route", ID, DID)
    assert (reply["B24_ROUTE"], reply["B24_RC"]) == ("101", "ok")
    eventually(lambda: office.call(ID).portal_call_id)


def test_a_hangup_alone_makes_a_correct_missed_call(office: Office) -> None:
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", START="1700000000.5", FROM_DID=DID)
    call = office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], row["PORTAL_USER_ID"]) == ("304", "11")
    assert (call["did"], call["client_number"]) == (DID, CLIENT)


def test_a_hangup_alone_makes_a_correct_answered_call(office: Office) -> None:
    office.hook("hangup", ID, "in", DIALSTATUS="ANSWER", ANSWEREDTIME="42", CONNECTED="103")
    office.until(ID, "complete")
    (row,) = office.statistics()
    assert (row["CALL_FAILED_CODE"], row["PORTAL_USER_ID"], row["CALL_DURATION"]) == ("200", "13", "42")


def test_hooks_that_come_twice_make_one_call(office: Office) -> None:
    replies = [office.hook("inbound", ID, DID) for _ in range(2)]
    assert replies[0]["B24_ROUTE"] == replies[1]["B24_ROUTE"] == "101"
    for _ in range(2):
        office.hook("hangup", ID, "in", DIALSTATUS="CANCEL")
    office.until(ID, "complete")
    assert len(office.statistics()) == 1


def test_a_caller_without_a_number_is_skipped(office: Office) -> None:
    reply = office.hook("inbound", ID, DID, caller="anonymous")
    assert (reply["B24_STATE"], reply["B24_RC"], reply["B24_CALL_ID"]) == ("skipped", "ok", "")
    office.hook("hangup", ID, "in", caller="anonymous", DIALSTATUS="ANSWER")
    assert office.summary(ID)["state"] == "skipped"


def test_anonymous_callers_can_be_registered_under_a_number(make_office: Callable[..., Office]) -> None:
    office = make_office(numbers={"anonymous": "+70000000000"})
    assert office.hook("inbound", ID, DID, caller="anonymous")["B24_STATE"] == "registered"
    assert office.call(ID).client_number == "+70000000000"


def test_an_internal_call_is_skipped(office: Office) -> None:
    assert office.hook("inbound", ID, DID, caller="102")["B24_STATE"] == "skipped"
    assert office.summary(ID)["direction"] == "internal"
    assert office.hook("outbound", "1700000000.9", "103", "102")["B24_STATE"] == "skipped"


@pytest.mark.parametrize("args", [(), ("",), ("id with spaces",), ("x" * 200,), ("${SYSTEM(x)}",)])
def test_a_hook_called_wrongly_says_error_and_lets_the_call_go_on(office: Office, args: tuple[str, ...]) -> None:
    reply = office.hook("inbound", *args)
    assert (reply.pop("B24_RC"), set(reply.values()), len(reply)) == ("error", {""}, 5)


def test_an_unknown_hook_says_error(office: Office) -> None:
    assert office.hook("inbond", ID, DID).get("B24_RC") == "error"


HOSTILE = [
    'OOO "Romashka" & Co',
    "${SYSTEM(touch /tmp/x)}",
    "a\\",
    "Ромашка 😀",
    "x" * 10_240,
    "\x01\x02\x7f",
    "'; DROP TABLE calls; --",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_caller_name_harms_nothing(office: Office, name: str) -> None:
    reply = office.hook("inbound", ID, DID, env={"agi_calleridname": name})
    assert (reply["B24_RC"], reply["B24_STATE"]) == ("ok", "registered")
    office.hook("hangup", ID, "in", DIALSTATUS="NOANSWER", env={"agi_calleridname": name})
    office.until(ID, "complete")
    assert len(office.statistics()) == 1


@pytest.mark.parametrize("number", ["+7916'1234567", '7916"1234567', "${EXTEN}79161234567", "7" * 300, "+" * 50])
def test_a_hostile_number_never_breaks_the_hook_or_the_finish(office: Office, number: str) -> None:
    assert office.hook("inbound", ID, DID, caller=number)["B24_RC"] == "ok"
    office.hook("hangup", ID, "in", caller=number, DIALSTATUS="NOANSWER")
    eventually(lambda: office.call(ID).state in ("complete", "skipped"))


def test_the_clients_name_reaches_the_phone_without_quotes_or_controls(office: Office) -> None:
    office.portal.seed({"contacts": [{"id": 90, "name": 'ООО "Рога\n& копыта" ' + "х" * 200, "phones": [STRANGER],
                                      "responsible": 12}]})  # fmt: skip
    reply = office.hook("inbound", ID, DID, caller=STRANGER)
    assert reply["B24_ROUTE"] == "102"
    assert len(reply["B24_CLIENT"]) <= 80
    assert not set(reply["B24_CLIENT"]) & set("\"'\n")


def test_the_end_of_another_channel_is_not_the_clients(office: Office) -> None:
    office.hook("inbound", ID, DID)
    office.hook("outbound", ID, "89031112233", "101")
    office.hook("hangup", ID, "out", uniqueid="1700000000.2", DIALSTATUS="BUSY", HANGUPCAUSE="17")
    assert not office.call(ID).over
    office.hook("hangup", ID, "in", DIALSTATUS="BUSY")
    assert office.call(ID).over


def test_a_hook_that_is_told_no_did_reads_it_from_the_channel(office: Office) -> None:
    office.hook("inbound", ID, FROM_DID=DID)
    office.hook("route", "1700000000.7", FROM_DID=DID)
    assert (office.call(ID).did, office.call("1700000000.7").did) == (DID, DID)


def test_an_outbound_hook_that_is_told_no_extension_takes_the_channels_own(office: Office) -> None:
    office.hook("outbound", ID, "89161234567", caller="102")
    office.hook("outbound", "1700000000.8", "89161234568", uniqueid="1700000000.9", caller="102")
    assert [office.call(call_id).caller_extension for call_id in (ID, "1700000000.8")] == ["102", ""]


def test_what_an_outbound_channel_calls_itself_is_an_extension_or_nothing(office: Office) -> None:
    office.hook("hangup", ID, "out", caller="SIP/10'2;x@host", OUTNUM="89161234567", DIALSTATUS="BUSY")
    assert office.call(ID).caller_extension == "102x"


def test_what_neither_database_nor_spool_took_is_an_error_for_the_dialplan(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise SpoolError("/var/lib/itgrix-bx/spool cannot be written: No space left on device")

    monkeypatch.setattr(office.service.logbook, "record", away)
    said = dict.fromkeys(("B24_STATE", "B24_CALL_ID"), "")
    routing = dict.fromkeys(("B24_ROUTE", "B24_ROUTE_SECONDS", "B24_CLIENT"), "")
    assert office.hook("inbound", ID, DID) == said | routing | {"B24_RC": "error"}
    assert office.hook("outbound", ID, "89161234567", "102") == said | {"B24_RC": "error"}
    for hook in (("ring", ID, "101"), ("answer", ID, "101"), ("hangup", ID, "in")):
        assert office.hook(*hook) == {"B24_RC": "error"}
    assert "could not be journalled: /var/lib/itgrix-bx/spool cannot be written" in caplog.text


def test_of_a_variable_of_any_length_a_line_is_kept(office: Office) -> None:
    office.hook("hangup", ID, "in", DIALSTATUS="BUSY", BLINDTRANSFER="x" * 900)
    assert office.call(ID).hangup["BLINDTRANSFER"] == "x" * 200
