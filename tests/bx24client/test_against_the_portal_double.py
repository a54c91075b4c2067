"""The client and the strict portal double, whole stories."""

from __future__ import annotations

import io
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bx24client import (
    Bitrix24,
    Budget,
    CallNotFound,
    CallNotInStatistics,
    FileRefused,
    LineProblem,
    NotRun,
    Ref,
    UserNotActive,
    lines,
    telephony,
)
from itgrix_bx.emulator.portal import PortalEmulator

CLIENT = "+79161234567"


@pytest.fixture
def double() -> Iterator[PortalEmulator]:
    emulator = PortalEmulator(listen=("127.0.0.1", 0))
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def crm(double: PortalEmulator) -> Iterator[Bitrix24]:
    with Bitrix24(double.webhook_url, budget=Budget(1000, 1000)) as client:
        yield client


def _call(external_id: str = "170.1", **more: Any) -> dict[str, Any]:
    return {
        "USER_ID": 11,
        "PHONE_NUMBER": CLIENT,
        "TYPE": 2,
        "SHOW": 0,
        "CRM_CREATE": 1,
        "EXTERNAL_CALL_ID": external_id,
        **more,
    }


@contextmanager
def _serving(files: dict[str, bytes]) -> Iterator[str]:
    """A web server with these files."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _finished(crm: Bitrix24, external_id: str = "170.1") -> str:
    call_id = crm.execute(telephony.register(_call(external_id))).call_id
    crm.execute(telephony.finish({"CALL_ID": call_id, "USER_ID": 11, "DURATION": 95, "STATUS_CODE": "200"}))
    return call_id


def _wav(seconds: float = 0.2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x01\x00" * int(8000 * seconds))
    return out.getvalue()


def test_a_known_client_is_found_with_the_responsible(crm: Bitrix24) -> None:
    found = crm.execute(telephony.search_crm_entities(CLIENT), timeout_s=2, lane="caller")
    contact = next(entity for entity in found if entity.type == "CONTACT")
    assert (contact.id, contact.name) == (7, "Иван Клиентов")
    assert contact.responsible is not None
    assert (contact.responsible.user_id, contact.responsible.extension) == (11, "101")


def test_an_unknown_client_becomes_a_lead(crm: Bitrix24) -> None:
    assert crm.execute(telephony.search_crm_entities("+79990001122")) == []
    registered = crm.execute(telephony.register(_call(PHONE_NUMBER="+79990001122")))
    assert [kind for kind, _ in registered.created] == ["LEAD"]


def test_search_and_register_are_one_request(crm: Bitrix24) -> None:
    result = crm.batch(
        {"search": telephony.search_crm_entities(CLIENT), "register": telephony.register(_call())},
        halt=False,
        timeout_s=2,
        lane="caller",
    )
    assert result["search"][0].responsible.extension == "101"
    assert result["register"].call_id.startswith("externalCall.")
    assert (result["register"].entity_type, result["register"].entity_id) == ("CONTACT", 7)


def test_a_chain_of_one_call_carries_its_id(crm: Bitrix24) -> None:
    result = crm.batch(
        {
            "register": telephony.register(_call()),
            "show": telephony.show(Ref("register", "CALL_ID"), [11, 12]),
            "finish": telephony.finish({"CALL_ID": Ref("register", "CALL_ID"), "USER_ID": 11, "DURATION": 5}),
        },
        halt=True,
    )
    assert result["show"] is True
    assert result["finish"].call_id == result["register"].call_id


def test_a_chain_stops_where_it_breaks(crm: Bitrix24) -> None:
    result = crm.batch(
        {
            "register": telephony.register(_call(USER_ID=14)),
            "finish": telephony.finish({"CALL_ID": Ref("register", "CALL_ID"), "USER_ID": 11}),
        },
        halt=True,
    )
    assert isinstance(result.error("register"), UserNotActive)
    assert isinstance(result.error("finish"), NotRun)


def test_cards_are_shown_and_hidden_while_the_call_lives(crm: Bitrix24) -> None:
    call_id = crm.execute(telephony.register(_call())).call_id
    assert crm.execute(telephony.show(call_id, [11, 12])) is True
    assert crm.execute(telephony.hide(call_id, [12])) is True
    crm.execute(telephony.finish({"CALL_ID": call_id, "USER_ID": 11}))
    assert crm.execute(telephony.show(call_id, [11])) is False


def test_a_call_is_finished_once_and_stands_in_the_statistics(crm: Bitrix24) -> None:
    call_id = _finished(crm)
    with pytest.raises(CallNotFound):
        crm.execute(telephony.finish({"CALL_ID": call_id, "USER_ID": 11}))
    for filter_ in ({"CALL_ID": call_id}, {"EXTERNAL_CALL_ID": "170.1"}):
        [row] = crm.execute(telephony.statistics(filter_))
        assert (row.call_id, row.user_id, row.duration_s, row.status) == (call_id, 11, 95, "200")
        assert (row.phone_number, row.record_file_id) == (CLIENT, None)
    assert crm.execute(telephony.statistics({"CALL_ID": "externalCall.unknown"})) == []


def test_a_number_with_plus_and_hash_survives_the_batch(crm: Bitrix24) -> None:
    result = crm.batch({"r": telephony.register(_call(PHONE_NUMBER="+7999#12"))}, halt=False)
    crm.execute(telephony.finish({"CALL_ID": result["r"].call_id, "USER_ID": 11}))
    [row] = crm.execute(telephony.statistics({"CALL_ID": result["r"].call_id}))
    assert row.phone_number == "+7999#12"


def test_a_recording_is_attached_inside_the_request(crm: Bitrix24) -> None:
    call_id = _finished(crm)
    file_id = crm.execute(telephony.attach_record(call_id, "170.1-1.wav", _wav()))
    assert crm.execute(telephony.statistics({"CALL_ID": call_id}))[0].record_file_id == file_id


def test_a_recording_is_uploaded_beside_the_request(crm: Bitrix24, tmp_path: Path) -> None:
    call_id = _finished(crm)
    recording = tmp_path / "170.1.wav"
    recording.write_bytes(_wav(20))
    target = crm.execute(telephony.upload_url(call_id, "170.1-2.wav"))
    file_id = crm.upload(target, recording, "170.1-2.wav")
    assert crm.execute(telephony.statistics({"CALL_ID": call_id}))[0].record_file_id == file_id


def test_recordings_are_fetched_in_one_request_and_one_that_is_not_there_harms_no_other(crm: Bitrix24) -> None:
    with _serving({"/a.wav": _wav(), "/b.wav": _wav()}) as base:
        names = ("a.wav", "missing.wav", "b.wav")
        calls = {name.partition(".")[0]: _finished(crm, f"170.{name}") for name in names}
        commands = {
            key: telephony.attach_record_url(call, f"{key}.wav", f"{base}/{key}.wav") for key, call in calls.items()
        }
        done = crm.batch(commands, halt=False)
    with pytest.raises(FileRefused, match="HTTP error code 404"):
        done["missing"]
    for key in ("a", "b"):
        assert crm.execute(telephony.statistics({"CALL_ID": calls[key]}))[0].record_file_id == done[key]


def test_an_address_nobody_answers_at_is_a_refused_file(crm: Bitrix24) -> None:
    with _serving({}) as base:
        pass
    with pytest.raises(FileRefused, match="NETWORK"):
        crm.execute(telephony.attach_record_url(_finished(crm), "a.wav", f"{base}/a.wav"))


def test_a_recording_needs_a_finished_call_a_new_name_and_real_audio(crm: Bitrix24) -> None:
    call_id = crm.execute(telephony.register(_call("170.2"))).call_id
    with pytest.raises(CallNotInStatistics):
        crm.execute(telephony.attach_record(call_id, "170.2.wav", _wav()))
    finished = _finished(crm)
    with pytest.raises(FileRefused):
        crm.execute(telephony.attach_record(finished, "170.1.wav", b"This is text, not sound."))
    crm.execute(telephony.attach_record(finished, "170.1-3.wav", _wav()))
    with pytest.raises(FileRefused):
        crm.execute(telephony.attach_record(finished, "170.1-3.wav", _wav()))


def test_employees_are_read_with_their_extensions(crm: Bitrix24) -> None:
    people = {person.id: person for person in crm.users()}
    assert (people[11].name, people[11].extension, people[11].active) == ("Анна Иванова", "101", True)
    assert not people[14].active


def test_lines_come_and_go(crm: Bitrix24) -> None:
    assert crm.execute(lines.add("+74950000001", "Main", crm_auto_create=False)) > 0
    assert lines.Line("+74950000001", "Main", False) in crm.execute(lines.get())
    crm.execute(lines.update("+74950000001", name="Sales"))
    assert [line.name for line in crm.execute(lines.get()) if line.number == "+74950000001"] == ["Sales"]
    assert crm.execute(lines.delete("+74950000001"))
    with pytest.raises(LineProblem):
        crm.execute(lines.delete("+74950000001"))
