"""Rows as FreePBX and Issabel write them (facts of their dialplans), read without CEL unless a test says so."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.lines import Line, Lines
from itgrix_bx.calls.numbering import Numbering
from itgrix_bx.pbx.reconcile import House, Told, calls_of
from itgrix_bx.pbx.records import groups

START = 1_795_600_000
MOSCOW_S = 3 * 3600
TRUNK, PHONE = "PJSIP/mts-office-0000000a", "PJSIP/101-0000000b"
ANNA, BORIS = 11, 12
PEOPLE = Directory.of(
    [Employee(1, "Admin"), Employee(ANNA, "Анна", True, "101"), Employee(BORIS, "Борис", True, "102")],
    {"777001": BORIS},
    synced=True,
)
HOUSE = House(PEOPLE, lines=Lines.of([Line("74951234567", "office")]))
_sequence = itertools.count(1)


def row(
    at: int, channel: str, dstchannel: str, duration: int, billsec: int, *, zone_s: int = MOSCOW_S, **more: Any
) -> dict[str, Any]:
    """A row that begins `at` seconds after START; by default an answered Dial() of an inbound call."""
    usual = {
        "calldate": datetime.fromtimestamp(START + at + zone_s, UTC).replace(tzinfo=None),
        "clid": '"ООО Ромашка" <89161234567>', "src": "89161234567", "cnum": "89161234567", "cnam": "ООО Ромашка",
        "dst": "101", "dcontext": "from-did-direct", "channel": channel, "dstchannel": dstchannel, "lastapp": "Dial",
        "lastdata": "PJSIP/101/sip:101@10.0.0.5:5060,,HhTtrM(auto-blkvm)b(func-apply-sipheaders^s^1)",
        "duration": duration, "billsec": billsec, "disposition": "ANSWERED" if billsec else "NO ANSWER",
        "uniqueid": f"{START}.10", "linkedid": f"{START}.10", "sequence": next(_sequence), "did": "74951234567",
        "recordingfile": f"external-101-89161234567-20261125-121500-{START}.10.wav",
    }  # fmt: skip
    return usual | more


def outbound(at: int, dstchannel: str, duration: int, billsec: int, **more: Any) -> dict[str, Any]:
    usual = {
        "clid": '"Office" <74951234567>', "src": "74951234567", "cnum": "101", "cnam": "Анна", "dst": "89161234567",
        "dcontext": "from-internal", "did": "", "lastdata": "PJSIP/89161234567@mts-office,300,Tb(func-apply-sip^s^1)",
        "recordingfile": f"out-89161234567-101-20261125-121500-{START}.10.wav",
    }  # fmt: skip
    return row(at, more.pop("channel", PHONE), dstchannel, duration, billsec, **(usual | more))


def told(*rows: dict[str, Any], house: House = HOUSE) -> list[Told]:
    return [one for group in groups(rows, []) for one in calls_of(group, house, now=0.0)]


def call_of(*rows: dict[str, Any], house: House = HOUSE) -> Call:
    (one,) = told(*rows, house=house)
    return fold(one.events)


def result(call: Call) -> tuple[int, str, str]:
    found = outcome.of(call, PEOPLE, finisher="last", default_user=1)
    return found.user_id, found.status_code, found.failed_reason


def legs(call: Call) -> list[tuple[str, int]]:
    """Who, and how long they talked; half a second is added for what the table cuts off."""
    return [(leg.extension, int(leg.talk)) for leg in call.legs]


# --- inbound -------------------------------------------------------------------------------------


def test_an_answered_call_has_its_client_did_line_and_true_times() -> None:
    call = call_of(row(0, TRUNK, PHONE, 25, 20))
    assert (call.direction, call.client_number, call.client_name) == ("in", "+79161234567", "ООО Ромашка")
    assert (call.did, call.line, call.linkedid) == ("74951234567", "office", f"{START}.10")
    assert (call.started_at, call.answered_at, call.ended_at) == (START, START + 5, START + 25.5)
    assert result(call) == (ANNA, "200", "")
    assert call.talk_source == "cdr"


def test_of_a_ring_group_who_answered_is_the_one_with_an_answered_row() -> None:
    phones = ["PJSIP/101-0000000b", "PJSIP/102-0000000c", "PJSIP/103-0000000d"]
    rows = [row(0, TRUNK, phone, 5, 0) for phone in (phones[0], phones[2])] + [row(0, TRUNK, phones[1], 25, 20)]
    call = call_of(*rows)
    assert legs(call) == [("101", 0), ("103", 0), ("102", 20)]
    assert result(call) == (BORIS, "200", "")


def test_a_queues_talk_is_in_the_row_of_its_local_channel() -> None:
    half = "Local/102@from-queue-00000007;"
    own = {"uniqueid": f"{START}.12", "dst": "102", "dcontext": "from-internal", "did": "", "recordingfile": ""}
    call = call_of(
        row(0, TRUNK, f"{half}1", 60, 60, lastapp="Queue", lastdata="600,t,,,", dcontext="ext-queues", dst="600"),
        row(20, f"{half}2", "PJSIP/102-0000000c", 40, 35, **own),
    )
    assert legs(call) == [("102", 35)]
    assert result(call) == (BORIS, "200", "")


def test_a_queues_agents_who_did_not_answer_have_only_rung() -> None:
    rows = []
    for n, extension in enumerate(("101", "102")):
        half = f"Local/{extension}@from-queue-0000000{n};"
        rows.append(row(2, TRUNK, f"{half}1", 15, 15, lastapp="Queue", disposition="NO ANSWER"))
        rows.append(row(2, f"{half}2", f"PJSIP/{extension}-0000000c", 15, 0, uniqueid=f"{START}.{n}"))
    call = call_of(*rows)
    assert legs(call) == [("101", 0), ("102", 0)]
    assert result(call) == (BORIS, "304", "abandoned in queue")


def test_follow_me_leads_through_local_channels_to_the_phone() -> None:
    outer, inner = "Local/FMPR-101@from-internal-00000001;", "Local/102@from-internal-00000002;"
    call = call_of(
        row(0, TRUNK, f"{outer}1", 30, 20),
        row(0, f"{outer}2", f"{inner}1", 30, 20, uniqueid=f"{START}.11"),
        row(1, f"{inner}2", "PJSIP/102-0000000c", 29, 20, uniqueid=f"{START}.12"),
    )
    assert legs(call) == [("102", 20)]


def test_a_menu_is_no_talk() -> None:
    call = call_of(row(0, TRUNK, "", 12, 12, lastapp="BackGround", dst="s", dcontext="ivr-1"))
    assert result(call) == (1, "304", "abandoned in menu")


def test_a_voicemail_is_no_talk() -> None:
    call = call_of(
        row(0, TRUNK, PHONE, 20, 0),
        row(20, TRUNK, "", 15, 15, lastapp="VoiceMail", lastdata="101@default,u", dst="vmu101"),
    )
    assert result(call) == (ANNA, "304", "voicemail")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(15, "Dial", "NO ANSWER")], "abandoned"),
        ([(20, "Dial", "NO ANSWER"), (0, "Hangup", "FAILED")], "no answer"),
        ([(3, "Dial", "BUSY"), (0, "Busy", "BUSY")], "busy"),
        ([(0, "Dial", "FAILED"), (0, "Congestion", "FAILED")], "no route"),
    ],
)
def test_a_missed_call_says_why(rows: list[tuple[int, str, str]], reason: str) -> None:
    made = [
        row(n, TRUNK, PHONE if app == "Dial" and how != "FAILED" else "", seconds, 0, lastapp=app, disposition=how)
        for n, (seconds, app, how) in enumerate(rows)
    ]
    call = call_of(*made)
    assert result(call)[1:] == ("304", reason)


def test_a_queue_that_let_the_caller_go_was_not_abandoned() -> None:
    call = call_of(
        row(0, TRUNK, "PJSIP/101-0000000b", 30, 30, lastapp="Queue", disposition="NO ANSWER"),
        row(30, TRUNK, "", 5, 5, lastapp="Playback"),
    )
    assert result(call) == (ANNA, "304", "no answer")


def test_a_blind_transfer_adds_a_row_and_the_last_one_owns_the_call() -> None:
    call = call_of(
        row(0, TRUNK, PHONE, 15, 10),
        row(15, TRUNK, "PJSIP/102-0000000c", 20, 20, dcontext="from-internal-xfer", dst="102"),
    )
    assert legs(call) == [("101", 10), ("102", 20)]
    assert result(call) == (BORIS, "200", "")


def test_the_consultation_of_an_attended_transfer_is_no_call_of_its_own() -> None:
    consultation = {
        "uniqueid": f"{START + 9}.14",
        "linkedid": f"{START + 9}.14",
        "src": "101",
        "cnum": "101",
        "did": "",
    }
    call = call_of(
        row(0, TRUNK, PHONE, 15, 10),
        row(9, "PJSIP/101-0000000d", "PJSIP/102-0000000e", 6, 4, dst="102", dcontext="from-internal", **consultation),
        row(15, TRUNK, "PJSIP/102-0000000e", 20, 20),
    )
    assert (call.call_id, result(call)[0]) == (f"{START}.10", BORIS)


def test_a_call_forwarded_to_a_mobile_stays_inbound() -> None:
    call = call_of(row(0, TRUNK, "PJSIP/mts-office-0000000c", 30, 20, lastdata="PJSIP/89031112233@mts-office,300,T"))
    assert (call.direction, call.client_number) == ("in", "+79161234567")
    assert [(leg.extension, leg.dialled) for leg in call.legs] == [("+79031112233", "89031112233")]
    assert result(call)[1] == "200"


# --- outbound ------------------------------------------------------------------------------------


def test_an_outbound_call_belongs_to_who_dialled_whatever_number_the_trunk_showed() -> None:
    call = call_of(outbound(0, TRUNK, 30, 22))
    assert (call.direction, call.client_number, call.caller_extension) == ("out", "+79161234567", "101")
    assert (result(call), call.talk_seconds) == ((ANNA, "200", ""), 23)
    assert call.recording.path == f"2026/11/25/out-89161234567-101-20261125-121500-{START}.10.wav"


def test_several_trunks_are_one_call() -> None:
    call = call_of(
        outbound(0, TRUNK, 1, 0, disposition="CONGESTION"),
        outbound(1, "", 1, 0, disposition="FAILED", lastdata="PJSIP/89161234567@beeline,300,T"),
        outbound(2, "PJSIP/tele2-0000000c", 30, 20),
    )
    assert [leg.dialled for leg in call.legs] == ["89161234567"] * 3
    assert (result(call), call.talk_seconds) == ((ANNA, "200", ""), 21)


def test_a_trunk_that_had_no_channel_talked_to_nobody_though_the_caller_was_answered_by_an_announcement() -> None:
    call = call_of(outbound(0, "", 10, 8))
    assert (result(call)[:2], call.talk_seconds, call.answered) == ((ANNA, "OTHER"), 0, False)


@pytest.mark.parametrize(("how", "code"), [("BUSY", "486"), ("CONGESTION", "OTHER"), ("FAILED", "OTHER")])
def test_an_outbound_call_that_failed_has_its_code(how: str, code: str) -> None:
    call = call_of(outbound(0, TRUNK, 5, 0, disposition=how), outbound(5, "", 2, 0, disposition=how, lastapp="Busy"))
    assert result(call)[:2] == (ANNA, code)


def test_a_client_transferred_away_talks_on_in_a_row_of_the_trunks_channel() -> None:
    """The extension's own row ends at the transfer; FreePBX's hooks tell no more than that."""
    call = call_of(
        outbound(0, TRUNK, 20, 15),
        outbound(
            20, "PJSIP/102-0000000c", 30, 30, channel=TRUNK, uniqueid=f"{START}.11", src="89161234567", dst="",
            cnum="", lastapp="Return", lastdata="",
        ),
    )  # fmt: skip
    assert legs(call) == [("101", 15), ("102", 30)]
    assert (call.call_id, call.talk_seconds, result(call)[0]) == (f"{START}.10", 46, ANNA)


def test_a_call_the_pbx_was_asked_for_begins_on_a_local_channel() -> None:
    call = call_of(outbound(0, TRUNK, 30, 20, channel="Local/101@from-internal-00000003;2"))
    assert (call.direction, call.caller_extension, result(call)[0]) == ("out", "101", ANNA)


def test_a_phone_the_portal_does_not_know_calls_out_too() -> None:
    call = call_of(outbound(0, TRUNK, 30, 20, channel="PJSIP/reception-0000000b", cnum="150"))
    assert (call.direction, call.caller_extension, result(call)[0]) == ("out", "150", 1)


def test_what_a_phone_did_before_it_dialled_out_is_no_talk_with_the_client() -> None:
    call = call_of(
        outbound(0, "PJSIP/102-0000000c", 20, 15, dst="102", lastdata="PJSIP/102/sip:102@10.0.0.6,,Tt"),
        outbound(20, TRUNK, 30, 25),
    )
    assert legs(call) == [("101", 25)]


# --- whose channel it is -------------------------------------------------------------------------


@pytest.mark.parametrize("trunk", ["SIP/74951234567-0000001a", "DAHDI/i1/89161234567-3", "DAHDI/4-1", "PJSIP/mts-1-0a"])
def test_a_trunk_is_known_by_not_being_a_phone(trunk: str) -> None:
    assert call_of(row(0, trunk, PHONE, 25, 20)).direction == "in"


@pytest.mark.parametrize(("phone", "extension"), [("SIP/150-0000001a", "150"), ("PJSIP/777001-0000001a", "777001")])
def test_a_phone_is_known_by_the_directory_or_its_short_number(phone: str, extension: str) -> None:
    """150 is nobody's in the portal (a door, a fax), 777001 is mapped by hand."""
    assert legs(call_of(row(0, TRUNK, phone, 25, 20))) == [(extension, 20)]


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, PHONE, "PJSIP/102-0000000c", 20, 15, src="101", cnum="101", dst="102", did="")],
        [row(0, PHONE, "", 20, 20, src="101", cnum="101", dst="*97", did="", lastapp="VoiceMailMain")],
        # A branch's trunk, and a colleague who calls from outside with his extension's number.
        [row(0, TRUNK, PHONE, 20, 15, src="2301", cnum="2301", did="", dcontext="from-internal")],
        [row(0, TRUNK, PHONE, 20, 15, src="102", cnum="102")],
        [row(0, "Announcer/Playback-0000001a", PHONE, 20, 15)],
        [row(0, "", "", 0, 0)],
        # A phone that is neither in the portal nor named by its number.
        [row(0, "PJSIP/reception-0000000a", PHONE, 20, 15, src="150", cnum="150", did="", dcontext="phones")],
    ],
)  # fmt: skip
def test_a_call_among_ourselves_is_left_out(rows: list[dict[str, Any]]) -> None:
    assert told(*rows) == []


# --- what comes from outside is hostile ----------------------------------------------------------


def test_a_caller_without_a_number_is_kept_for_the_rule_that_skips_it() -> None:
    nobody = row(0, TRUNK, PHONE, 25, 20, src="anonymous", cnum="")
    assert call_of(nobody).client_number == ""
    assert call_of(nobody, house=House(PEOPLE, Numbering("RU", "+70000000000"))).client_number == "+70000000000"


def test_names_and_numbers_pass_the_filters_of_the_hooks() -> None:
    call = call_of(
        row(
            0,
            TRUNK,
            PHONE,
            25,
            20,
            cnam='"><b>\x1b[2J`x`\n' + "y" * 200,
            src="+7 (916) 123-45-67;drop",
            cnum="",
            did="1\x002" * 40,
        )
    )
    assert call.client_number == "+79161234567"
    assert call.client_name.isprintable()
    assert len(call.client_name) <= 80
    assert not {'"', "`", "'"} & set(call.client_name)
    assert len(call.did) <= 64


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("/var/spool/asterisk/monitor/2026/11/25/in-1.wav", "/var/spool/asterisk/monitor/2026/11/25/in-1.wav"),
        ("q-600-89161234567-20261125-121500-1.2.WAV", "2026/11/25/q-600-89161234567-20261125-121500-1.2.WAV"),
        ("own-name.wav", "own-name.wav"),
        ("../../etc/x-20261125-121500-1.wav", "../../etc/x-20261125-121500-1.wav"),  # refused when it is read
        ("", ""),
    ],
)
def test_a_recordings_place(said: str, path: str) -> None:
    assert call_of(row(0, TRUNK, PHONE, 25, 20, recordingfile=said)).recording.path == path


def test_a_transfer_may_begin_a_second_recording() -> None:
    names = [f"external-{n}-89161234567-20261125-1{n}-{START}.10.wav" for n in ("01500", "02500")]
    second = "PJSIP/102-0000000c"
    call = call_of(
        row(0, TRUNK, PHONE, 15, 10, recordingfile=names[0]), row(15, TRUNK, second, 20, 20, recordingfile=names[1])
    )
    assert call.recording.paths == [f"2026/11/25/{name}" for name in names]


def test_the_recording_of_the_older_call_it_was_transferred_into_is_not_the_clients() -> None:
    older = {"uniqueid": f"{START - 60}.9", "linkedid": f"{START - 60}.9", "src": "101", "cnum": "101", "did": ""}
    call = call_of(
        row(-60, "PJSIP/101-00000009", "PJSIP/102-0000000c", 75, 70, recordingfile="exten-102-101.wav", **older),
        row(0, TRUNK, PHONE, 15, 10),
        row(15, TRUNK, "PJSIP/102-0000000c", 20, 20, linkedid=f"{START - 60}.9", recordingfile=""),
    )
    assert len(call.recording.paths) == 1
    assert f"{START}.10" in call.recording.paths[0]


def test_local_channels_that_lead_in_a_circle_end_somewhere() -> None:
    half = "Local/102@x-00000007;"
    rows = [row(0, TRUNK, f"{half}1", 5, 5), row(0, f"{half}2", f"{half}1", 5, 5, uniqueid=f"{START}.11")]
    assert call_of(*rows).over


def test_rows_without_times_or_numbers_are_survived() -> None:
    broken = row(0, TRUNK, PHONE, 25, 20) | {"calldate": "0000-00-00 00:00:00"}
    assert told(broken) == []
    empty = dict.fromkeys(row(0, TRUNK, PHONE, 25, 20), None) | {"calldate": "2026-11-25 12:15:00"}
    assert told(empty) == []
    bare = {name: value for name, value in row(0, TRUNK, PHONE, 25, 20).items() if name not in ("did", "cnum", "cnam")}
    assert call_of(bare | {"dst": "74951234567", "sequence": None}).did == "74951234567"


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone_s", [0, MOSCOW_S, -5 * 3600, 19_800, 12 * 3600])
def test_a_call_tells_the_zone_of_its_times_itself(zone_s: int) -> None:
    call = call_of(
        row(0, TRUNK, PHONE, 15, 10, zone_s=zone_s), row(15, TRUNK, "PJSIP/102-0000000c", 700, 20, zone_s=zone_s)
    )
    assert call.started_at == START


@pytest.mark.parametrize("uniqueid", [f"pbx1-{START}.10", f"office-2-{START}.10"])
def test_a_system_name_before_the_uniqueid_is_no_hindrance(uniqueid: str) -> None:
    call = call_of(row(0, TRUNK, PHONE, 15, 10, uniqueid=uniqueid, linkedid=uniqueid))
    assert (call.call_id, call.started_at) == (uniqueid, START)
