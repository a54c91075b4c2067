"""The typed methods: what they send, and how they read what portals answer."""

from __future__ import annotations

import base64
import contextlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24client import (
    BadPhoneNumber,
    Bitrix24,
    BitrixError,
    Command,
    CrmEntity,
    FileRefused,
    PortalUser,
    Ref,
    Responsible,
    UnreadableAnswer,
    Webhook,
    crm,
    deals,
    lines,
    structure,
    telephony,
    users,
)

from .scripted import ScriptedPortal, answers, batch

FOUND = {
    "CRM_ENTITY_TYPE": "CONTACT",
    "CRM_ENTITY_ID": 651,
    "ASSIGNED_BY_ID": 99,
    "NAME": "Ann Lee",
    "ASSIGNED_BY": {"ID": "99", "TIMEMAN_STATUS": "OPENED", "USER_PHONE_INNER": "101", "WORK_PHONE": None},
}


def test_a_client_is_read_with_the_responsible() -> None:
    command = telephony.search_crm_entities("8 (916) 123-45-67")
    assert command.params == {"PHONE_NUMBER": "89161234567"}
    assert command.read([FOUND]) == [CrmEntity("CONTACT", 651, "Ann Lee", Responsible(99, "101", "OPENED"))]


def test_nobody_found_is_an_empty_list() -> None:
    assert telephony.search_crm_entities("+7916").read([]) == []


@pytest.mark.parametrize(
    ("change", "responsible"),
    [
        ({"ASSIGNED_BY": []}, Responsible(99, "", "")),
        ({"ASSIGNED_BY": None, "ASSIGNED_BY_ID": "0"}, None),
        ({"ASSIGNED_BY": {"ID": 99, "USER_PHONE_INNER": None}}, Responsible(99, "", "")),
        ({"ASSIGNED_BY": {"ID": 99, "USER_PHONE_INNER": 101}}, Responsible(99, "101", "")),
    ],
)
def test_a_missing_responsible_does_no_harm(change: dict[str, Any], responsible: Responsible | None) -> None:
    [entity] = telephony.search_crm_entities("+7916").read([{**FOUND, **change}])
    assert entity.responsible == responsible


def test_entities_of_unknown_kind_are_left_out_and_lists_with_gaps_read() -> None:
    answer = {"0": {**FOUND, "CRM_ENTITY_TYPE": "DEAL"}, "2": {**FOUND, "CRM_ENTITY_ID": "5"}}
    assert [entity.id for entity in telephony.search_crm_entities("+7").read(answer)] == [5]


@pytest.mark.parametrize("number", ["", "anonymous", "+", None, "***"])
def test_a_number_without_digits_is_refused_before_it_is_sent(number: Any) -> None:
    with pytest.raises(BadPhoneNumber):
        telephony.search_crm_entities(number)


def test_register_clamps_what_would_poison_the_finish() -> None:
    command = telephony.register(
        {
            "USER_ID": 1,
            "PHONE_NUMBER": "+7 916 " + "1" * 40,
            "TYPE": 2,
            "LINE_NUMBER": " " + "9" * 60,
            "EXTERNAL_CALL_ID": "x" * 70,
            "CRM_ENTITY_TYPE": "",
            "CRM_ENTITY_ID": "",
            "CRM_SOURCE": None,
        }
    )
    assert command.params["PHONE_NUMBER"] == "+7916" + "1" * 15
    assert command.params["LINE_NUMBER"] == "9" * 50
    assert len(command.params["EXTERNAL_CALL_ID"]) == 64
    assert not {"CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "CRM_SOURCE"} & set(command.params)
    assert not command.idempotent


def test_long_external_ids_stay_different() -> None:
    assert telephony.external_id("p" * 70 + "1") != telephony.external_id("p" * 70 + "2")
    assert telephony.external_id("170.1") == "170.1"


@pytest.mark.parametrize("build", [telephony.register, telephony.finish])
def test_lower_case_parameters_are_a_mistake(build: Any) -> None:
    with pytest.raises(ValueError, match="upper case"):
        build({"call_id": "x", "PHONE_NUMBER": "+7"})


def test_a_fresh_registration_is_read() -> None:
    answer = {
        "CALL_ID": "externalCall.a.1",
        "CRM_CREATED_LEAD": 91,
        "CRM_ENTITY_TYPE": "LEAD",
        "CRM_ENTITY_ID": "91",
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": 91}],
        "LEAD_CREATION_ERROR": "no",
    }
    read = telephony.register({"PHONE_NUMBER": "+7"}).read(answer)
    assert (read.call_id, read.entity_type, read.entity_id, read.created, read.lead_error) == (
        "externalCall.a.1",
        "LEAD",
        91,
        [("LEAD", 91)],
        "no",
    )


@pytest.mark.parametrize("nothing", ["", False, None])
def test_a_registration_without_client_is_read(nothing: object) -> None:
    answer = {"CALL_ID": "c", "CRM_CREATED_ENTITIES": [], "CRM_ENTITY_TYPE": nothing, "CRM_ENTITY_ID": nothing}
    read = telephony.register({"PHONE_NUMBER": "+7"}).read(answer)
    assert (read.entity_type, read.entity_id, read.created) == (None, None, [])


def test_finish_clamps_and_says_always_whether_it_tells_the_chat() -> None:
    params = telephony.finish({"CALL_ID": Ref("r", "CALL_ID"), "FAILED_REASON": "я" * 300, "STATUS_CODE": 304}).params
    assert len(params["FAILED_REASON"]) == 255
    assert (params["STATUS_CODE"], params["ADD_TO_CHAT"]) == ("304", 0)


def test_who_wants_it_in_the_chat_is_heard() -> None:
    assert telephony.finish({"CALL_ID": "c", "ADD_TO_CHAT": 1}).params["ADD_TO_CHAT"] == 1


def test_finish_never_takes_a_record_url() -> None:
    with pytest.raises(ValueError, match="RECORD_URL"):
        telephony.finish({"CALL_ID": "c", "RECORD_URL": "https://x/y.mp3"})


def test_a_finished_call_without_activity_is_finished() -> None:
    read = telephony.finish({"CALL_ID": "c"}).read(
        {
            "CALL_ID": "c",
            "CALL_START_DATE": {},
            "CRM_ACTIVITY_ID": False,
            "ID": "7",
            "REST_APP_NAME": False,
            "ERRORS": {"ACTIVITY_CREATION": "Could not find associated crm entity"},
        }
    )
    assert (read.activity_id, read.entity_type, read.statistic_id) == (None, None, 7)
    assert "ACTIVITY_CREATION" in read.errors


def test_cards_go_to_several_employees_in_one_command() -> None:
    assert telephony.show("c", [11, 12]).params == {"CALL_ID": "c", "USER_ID": [11, 12]}
    assert telephony.hide("c", []).params == {"CALL_ID": "c"}
    assert telephony.show("c", [1]).read(True) is True
    assert telephony.hide("c", [1]).read(False) is False


def test_a_small_recording_travels_inside_the_command() -> None:
    command = telephony.attach_record("c", "170.1-1.mp3", b"\xff\xfb")
    assert base64.b64decode(command.params["FILE_CONTENT"]) == b"\xff\xfb"
    assert command.read({"FILE_ID": "5"}) == 5
    assert not command.idempotent
    with pytest.raises(FileRefused):
        telephony.attach_record("c", "a.mp3", b"")


def test_a_recording_the_portal_fetches_travels_as_an_address() -> None:
    url = "https://pbx.example.com/recordings/token/170.1-1.mp3"
    command = telephony.attach_record_url("c", "170.1-2.mp3", url)
    assert command.params == {"CALL_ID": "c", "RECORD_URL": url, "FILENAME": "170.1-2.mp3"}
    assert not command.idempotent
    assert url not in repr(command)
    assert command.read({"FILE_ID": "5"}) == 5


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://h/a.mp3", "file:///etc/a.mp3", "//h/a.mp3", "https:///a.mp3", "https://h/a b.mp3", "https://h/\n.mp3",
        "https://[h/a.mp3", "https://h/" + "x" * 2000 + ".mp3", "https://ж/a.mp3", "javascript:a.mp3",
    ],
)  # fmt: skip
def test_the_portal_is_sent_to_web_addresses_only(url: str) -> None:
    with pytest.raises(ValueError):
        telephony.attach_record_url("c", "a.mp3", url)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("a.MP3", "https://h/a.mp3"),
        ("a.mp3", "https://h/a"),
        ("a.mp3", "https://h/a.MP3"),
        ("a.mp3", "https://h?a.mp3"),
    ],
)
def test_a_fetched_recording_needs_a_lower_case_ending_twice(name: str, url: str) -> None:
    with pytest.raises(FileRefused):
        telephony.attach_record_url("c", name, url)


def test_the_upload_address_must_be_the_rest_of_a_portal() -> None:
    command = telephony.upload_url("c", "a.wav")
    target = command.read({"uploadUrl": "https://p.example/rest/1/x/upload/?token=t", "fieldName": "file"})
    assert target.field == "file"
    assert command.read({"uploadUrl": "https://p.example/rest/1/x/upload/"}).field == "file"
    for url in ("", "file:///etc/passwd", "https://p.example/other", "https://p.example/rest/ x"):
        with pytest.raises(UnreadableAnswer):
            command.read({"uploadUrl": url})


def test_statistics_know_their_fields_and_keep_strangers_rows_out() -> None:
    rows = [{"ID": "1", "CALL_ID": "c", "CALL_DURATION": "95", "RECORD_FILE_ID": None}, {"ID": "2", "CALL_ID": "d"}]
    [row] = telephony.statistics({"CALL_ID": "c"}).read(rows)
    assert (row.id, row.duration_s, row.record_file_id) == (1, 95, None)
    assert len(telephony.statistics({">=CALL_START_DATE": "2026-01-01T00:00:00+03:00"}).read(rows)) == 2
    for key in ("CALLID", "~CALL_ID", "call_id", "@CALL_ID"):
        with pytest.raises(ValueError, match="no field"):
            telephony.statistics({key: "c"})


def _row(number: int) -> dict[str, Any]:
    return {"ID": str(number), "ACTIVE": number % 2 == 0, "NAME": f"N{number}", "UF_PHONE_INNER": f"{100 + number}"}


def test_all_employees_come_in_two_requests(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [
        answers({"result": [_row(i) for i in range(50)], "total": 120, "next": 50}),
        batch({"from_50": [_row(i) for i in range(50, 100)], "from_100": [_row(i) for i in range(100, 120)]}),
    ]
    people = client.users()
    assert [person.id for person in people] == list(range(120))
    assert people[2] == PortalUser(2, True, "N2", "102", ())
    assert not people[3].active
    assert portal.methods == ["user.get", "batch"]


def test_a_missing_page_of_employees_is_an_error(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = answers({"result": [_row(i) for i in range(50)], "total": 120, "next": 50})
    with pytest.raises(BitrixError):
        client.users()
    portal.steps = [
        answers({"result": [_row(i) for i in range(50)], "total": 90, "next": 50}),
        answers({"result": [_row(60)]}),
    ]
    with pytest.raises(UnreadableAnswer, match="only 51"):
        client.users()


def test_a_portal_without_employees_gives_none(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"result": []})]
    assert client.users() == []


@pytest.mark.parametrize("total", [None, 10**9])
def test_an_absurd_number_of_employees_is_refused(portal: ScriptedPortal, client: Bitrix24, total: int | None) -> None:
    portal.steps = [answers({"result": [_row(1)], "total": total, "next": 50})]
    with pytest.raises(UnreadableAnswer):
        client.users()


def test_a_nameless_employee_still_has_a_name() -> None:
    [user] = users.page(0).read([{"ID": 5, "ACTIVE": "Y", "PERSONAL_MOBILE": "+7", "WORK_PHONE": "+7"}])
    assert user == PortalUser(5, True, "user 5", "", ("+7",))


def test_lines_are_read_and_written() -> None:
    assert lines.get().read([{"NUMBER": 495, "NAME": None, "CRM_AUTO_CREATE": "N"}]) == [lines.Line("495", "", False)]
    assert lines.get().read([]) == []
    assert lines.add(" 495 ", "Main").params == {"NUMBER": "495", "NAME": "Main", "CRM_AUTO_CREATE": "Y"}
    assert lines.add("495").read({"ID": 7}) == 7
    assert lines.update("495", name="x").read({"ID": "7"}) == 7
    assert lines.delete("495").read([]) is True
    with pytest.raises(ValueError, match="nothing to change"):
        lines.update("495")
    with pytest.raises(ValueError, match="1 to 50"):
        lines.add(" ")


@pytest.mark.parametrize(
    ("command", "row"),
    [
        (telephony.search_crm_entities("+7"), FOUND),
        (telephony.statistics({"CALL_ID": "c"}), {"ID": "1", "CALL_ID": "c"}),
        (users.page(0), {"ID": "5", "ACTIVE": True}),
        (lines.get(), {"NUMBER": "495"}),
        (structure.page(0), {"ID": "1", "NAME": "Sales"}),
        (crm.page(0), {"ENTITY_ID": "SOURCE", "STATUS_ID": "CALL"}),
        (crm.leads_of("me", "17.1"), {"ID": "5", "ORIGINATOR_ID": "me", "ORIGIN_ID": "17.1"}),
    ],
)
def test_every_list_is_read_with_gaps_and_when_it_is_empty(command: Command[Any], row: dict[str, Any]) -> None:
    whole = command.read([row, row])
    assert len(whole) == 2
    assert command.read({"0": row, "2": row}) == whole
    assert [command.read(nothing) for nothing in ([], {}, None)] == [[], [], []]


def test_lists_inside_an_answer_may_have_gaps_and_be_nothing_too() -> None:
    assert [deal.id for deal in deals.open_deals(7).read({"items": {"0": {"id": 5}, "2": {"id": 6}}})] == [5, 6]
    event = {"ACCESSIBILITY": "absent", "DATE_FROM_TS_UTC": 100, "DATE_TO_TS_UTC": 200}
    away = structure.away([7], date(2026, 9, 21), date(2026, 9, 22))
    assert away.read({"7": {"0": event, "2": event}}) == [structure.Away(7, 100.0, 200.0)] * 2
    assert [away.read(nothing) for nothing in ([], {}, None, {"7": []}, {"7": None})] == [[]] * 5
    [user] = users.page(0).read([{"ID": 5, "UF_DEPARTMENT": {"0": 3, "2": "4"}}])
    assert user.departments == (3, 4)
    for nothing in (False, None, [], ""):
        [user] = users.page(0).read([{"ID": 5, "UF_DEPARTMENT": nothing}])
        assert user.departments == ()


@pytest.mark.parametrize("nothing", [[], {}, None, False, ""])
def test_a_part_of_an_answer_that_is_nothing_loses_none_of_the_rest(nothing: object) -> None:
    [client] = telephony.search_crm_entities("+7").read([{**FOUND, "ASSIGNED_BY": nothing}])
    assert client.responsible == Responsible(99, "", "")
    registered = telephony.register({"PHONE_NUMBER": "+7"}).read({"CALL_ID": "c", "CRM_CREATED_ENTITIES": nothing})
    assert (registered.call_id, registered.created) == ("c", [])
    finished = telephony.finish({"CALL_ID": "c"}).read({"CALL_ID": "c", "ERRORS": nothing})
    assert (finished.call_id, finished.errors) == ("c", {})


def test_whole_numbers_may_come_with_a_point() -> None:
    assert telephony.attach_record("c", "a.wav", b"x").read({"FILE_ID": 5.0}) == 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ID", "CALL_ID", "NAME", "NUMBER", "CRM_ENTITY_TYPE", "ASSIGNED_BY", "FILE_ID", "0"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(json_values)
def test_no_answer_breaks_the_readers(result: Any) -> None:
    commands: list[Command[Any]] = [
        telephony.search_crm_entities("+7"),
        telephony.register({"PHONE_NUMBER": "+7"}),
        telephony.finish({"CALL_ID": "c"}),
        telephony.show("c", [1]),
        telephony.attach_record("c", "a.wav", b"x"),
        telephony.attach_record_url("c", "a.wav", "https://h/a.wav"),
        telephony.upload_url("c", "a.wav"),
        telephony.statistics({"CALL_ID": "c"}),
        users.page(0),
        lines.get(),
    ]
    for command in commands:
        with contextlib.suppress(UnreadableAnswer):
            command.read(result)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/rest/1/secretword/",
        "https://example.com/rest/secretword/",
        "secretword",
        "",
        "https://user:secretword@example.com/rest/1/secretword/",
        "https://example.com/rest/1/secretword/?a=b",
        "https:///rest/1/secretword/",
        "https://example.com:port/rest/1/secretword/",
        "ftp://localhost/rest/1/secretword",
    ],
)
def test_a_wrong_webhook_is_refused_without_repeating_the_secret(url: str) -> None:
    with pytest.raises(ValueError, match="webhook address") as caught:
        Webhook(url)
    assert "secretword" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/rest/1/s/",
        " https://example.com:8443/rest/12/s ",
        "http://127.0.0.1:8/rest/1/s/",
        "http://localhost/rest/1/s/",
        "http://[::1]:8/rest/1/s/",
    ],
)
def test_a_right_webhook_is_taken(url: str) -> None:
    assert url.strip().startswith(Webhook(url).portal)
