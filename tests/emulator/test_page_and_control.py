"""The page people look at, and the addresses that control the double."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from itgrix_bx.emulator.portal import PortalEmulator

HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}${SYSTEM(x)}\u202e"


def page(api: Any) -> str:
    answer = api.session.get(api.emulator.url, timeout=20)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return str(answer.content.decode())


def test_the_page_shows_calls_statistics_cards_records_and_requests(api: Any, wav: bytes, encode: Any) -> None:
    call_id = api.finished(SHOW=1)
    record = {"CALL_ID": call_id, "FILENAME": "talk-1.wav", "FILE_CONTENT": encode(wav)}
    api.ok("telephony.externalCall.attachRecord", **record)
    live = api.register(USER_ID=12)
    shown = page(api)
    for text in (live, "Анна Иванова", "Борис Петров", "1:35", "Иван Клиентов", "talk-1.wav", "показана", "скрыта"):
        assert text in shown
    assert 'href="/records/1"' in shown


def test_hostile_names_are_harmless_on_the_page(api: Any) -> None:
    people = {
        "users": [{"id": 12, "name": HOSTILE, "extension": "102"}],
        "contacts": [{"id": 8, "name": HOSTILE, "phones": ["+79160000001"], "responsible": 12}],
    }
    assert api.control("seed", people).status_code == 200
    api.register(PHONE_NUMBER="+79160000001", LINE_NUMBER=HOSTILE, USER_ID=12, SHOW=1)
    call_id = api.register(PHONE_NUMBER="+79160000001")
    finish = {"CALL_ID": call_id, "USER_ID": 12, "STATUS_CODE": HOSTILE, "FAILED_REASON": HOSTILE}
    api.ok("telephony.externalCall.finish", **finish)
    api.post(f"{HOSTILE.replace('/', '')}", {"x": HOSTILE})
    shown = page(api)
    assert "<script" not in shown
    assert "{{ 7*7 }}" in shown
    assert "&lt;script&gt;" in shown


def test_the_page_does_not_show_the_secret(api: Any) -> None:
    api.register()
    assert "emulator-secret" not in page(api)


def test_a_recording_that_is_a_page_is_not_served_as_one(api: Any) -> None:
    answer = api.ok("telephony.externalCall.attachRecord", CALL_ID=api.finished(), FILENAME="a.wav")
    api.session.post(answer["uploadUrl"], files={"file": ("a.wav", b"<html><script>alert(1)</script>")})
    served = api.session.get(api.emulator.url + "records/1")
    assert served.headers["Content-Type"] == "application/octet-stream"
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert api.session.get(api.emulator.url + "records/99").status_code == 404


def test_the_state_has_what_the_portal_knows(api: Any) -> None:
    api.finished()
    state = api.state()
    for name in ("users", "contacts", "leads", "companies", "calls", "activities", "files", "cards", "open_cards"):
        assert isinstance(state[name], list)
    assert state["http_requests"] == 2
    assert [row["http_status"] for row in state["requests"]] == [200, 200]
    assert state == json.loads(json.dumps(api.emulator.dump())) | {"now": state["now"]}


def test_requests_are_counted_by_method_and_what_came_of_them(api: Any) -> None:
    api.finished()
    api.batch(["profile", "telephony.externalCall.finish?CALL_ID=x&USER_ID=11", "no.such.method"])
    api.faults({"method": "profile", "kind": "html502", "after_effect": True})
    api.post("profile")
    counts = api.session.get(api.emulator.url + "_emulator/counts", timeout=20).json()
    kinds = {(kind["method"], kind["in_batch"], kind["outcome"]): kind["count"] for kind in counts["requests"]}
    call = "telephony.externalcall."
    assert kinds == {
        (f"{call}register", False, "ok"): 1, (f"{call}finish", False, "ok"): 1, ("batch", False, "ok"): 1,
        ("profile", True, "ok"): 1, (f"{call}finish", True, "refused"): 1,
        ("no.such.method", True, "ERROR_METHOD_NOT_FOUND"): 1, ("profile", False, "html502"): 1,
    }  # fmt: skip
    assert (counts["http_requests"], counts["batches"], counts["statistics"]) == (4, {"3": 1}, 1)


def test_long_parameters_are_shortened_in_the_log(api: Any) -> None:
    api.post("profile", {"FILE_CONTENT": "QUJD" * 100_000})
    assert len(api.state()["requests"][0]["params"]["FILE_CONTENT"]) < 100


def test_a_reset_forgets_everything_and_may_bring_its_own_tables(api: Any) -> None:
    api.finished()
    api.settings(webhook_refused=True)
    api.faults({"method": "*", "kind": "limit", "times": -1})
    assert api.control("reset", {"users": [{"id": 1, "name": "Один"}]}).status_code == 200
    state = api.state()
    assert [user["name"] for user in state["users"]] == ["Один"]
    assert (state["statistics"], state["http_requests"], state["settings"]["webhook_refused"]) == ([], 0, False)
    assert [contact["id"] for contact in state["contacts"]] == [7]
    assert api.ok("profile")["NAME"] == "Один"


def test_a_seed_is_merged_by_id(api: Any) -> None:
    api.control("seed", {"users": [{"id": 12, "name": "Борис", "active": False, "extension": "102"}]})
    api.control("seed", {"contacts": [{"id": 7, "name": "Иван", "phones": ["+79160000007"]}]})
    state = api.state()
    assert [user["active"] for user in state["users"]] == [True, True, False, True, False]
    search = "telephony.externalCall.searchCrmEntities"
    assert api.ok(search, PHONE_NUMBER="+79161234567") == []
    assert api.ok(search, PHONE_NUMBER="+79160000007")[0]["CRM_ENTITY_ID"] == 7


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [
        ({"people": []}, "a seed has no people"),
        ({"users": {}}, "users must be a list"),
        ({"users": [5]}, "users[0] must be an object"),
        ({"users": [{"id": "a"}]}, "users[0]: id must be a whole number above 0"),
        ({"users": [{"id": 1, "workday": "LUNCH"}]}, "users[0]: workday must be one of"),
        ({"contacts": [{"id": 1, "phones": [5]}]}, "contacts[0]: phones must be a list of texts"),
        ({"settings": {"speed": 1}}, "there is no setting 'speed'"),
        ({"settings": {"language": "fr"}}, "language must be one of ru, en"),
        ({"settings": {"rate_per_s": "2"}}, "rate_per_s must be float"),
        ({"webhook": {"secret": "a/b"}}, "webhook.secret must be letters and digits"),
        ([], "send a JSON object"),
    ],
)
def test_a_wrong_seed_is_refused_with_a_sentence_and_changes_nothing(api: Any, seed: object, sentence: str) -> None:
    before = api.state()
    for action in ("seed", "reset"):
        answer = api.control(action, seed)
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]
    assert api.state() | {"now": 0} == before | {"now": 0}


def test_a_form_of_another_site_cannot_control_the_double(api: Any) -> None:
    answer = api.session.post(api.emulator.url + "_emulator/reset", data={"a": "b"})
    assert answer.status_code == 415
    assert api.session.get(api.emulator.url + "_emulator/reset").status_code == 404
    assert api.session.post(api.emulator.url + "_emulator/nothing", json={}).status_code == 404


@pytest.mark.parametrize(
    "rubbish",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"A" * 100_000],
)  # fmt: skip
def test_rubbish_on_the_port_harms_nobody(api: Any, rubbish: bytes) -> None:
    host, port = api.emulator.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(rubbish)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert api.ok("profile")


def test_two_doubles_live_side_by_side() -> None:
    with PortalEmulator() as one, PortalEmulator() as two:
        requests.post(one.webhook_url + "profile", timeout=5)
        assert (one.dump()["http_requests"], two.dump()["http_requests"]) == (1, 0)


def test_the_program_says_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    seed = tmp_path / "seed.json"
    seed.write_text('{"users": [{"id": 1, "name": "Сидор"}]}', "utf-8")
    code = "import sys; from itgrix_bx.emulator.portal import run; run('127.0.0.1:0', 'quick', sys.argv[1])"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", code, str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdout
        webhook, address = (program.stdout.readline().split()[-1] for _ in range(2))
        assert requests.get(webhook + "profile", timeout=10).json()["result"]["NAME"] == "Сидор"
        assert "Сидор" in requests.get(address, timeout=10).content.decode()
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0


@pytest.mark.parametrize(
    ("listen", "seed", "sentence"),
    [("nowhere", None, "listen must be host:port"), ("127.0.0.1:0", "missing.json", "cannot be read"),
     ("127.0.0.1:0", "wrong.json", "is no JSON"), ("127.0.0.1:0", "list.json", "must hold a JSON object")],
)  # fmt: skip
def test_the_program_refuses_what_it_cannot_serve(tmp_path: Path, listen: str, seed: str | None, sentence: str) -> None:
    from itgrix_bx.emulator.portal import run

    (tmp_path / "wrong.json").write_text("{", "utf-8")
    (tmp_path / "list.json").write_text("[]", "utf-8")
    with pytest.raises(ValueError, match=sentence):
        run(listen, "none", str(tmp_path / seed) if seed else None)
