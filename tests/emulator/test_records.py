"""telephony.externalCall.attachRecord: content, address, upload."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

ATTACH = "telephony.externalCall.attachRecord"
Encode = Callable[[bytes], str]
MP3_FRAME = b"\xff\xfb\x90\x64" + b"\x00" * 413
NOT_FINISHED = "Call is not found in the statistic table. Looks like it is not finished yet."
WRONG_EXTENSION = "Wrong file extension. Only wav and mp3 are allowed"


def test_content_is_kept_byte_by_byte(api: Any, wav: bytes, encode: Encode) -> None:
    call_id = api.finished(CALL_START_DATE="2026-09-30T23:30:00+03:00")
    assert api.ok(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT=encode(wav)) == {"FILE_ID": 1}
    (file,) = api.state()["files"]
    assert (file["name"], file["month"], file["size"]) == ("a.wav", "2026-09", len(wav))
    assert file["sha256"] == hashlib.sha256(wav).hexdigest()
    assert api.ok("voximplant.statistic.get", FILTER={"CALL_ID": call_id})[0]["RECORD_FILE_ID"] == 1
    assert api.state()["activities"][0]["files"] == [1]
    assert api.session.get(api.emulator.url + "records/1").content == wav


def test_a_call_that_is_not_finished_takes_no_record(api: Any, wav: bytes, encode: Encode) -> None:
    call_id = api.register()
    assert api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT=encode(wav)) == (400, "", NOT_FINISHED)
    assert api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav")[2] == NOT_FINISHED


def test_neither_name_nor_address_is_refused(api: Any) -> None:
    text = "Required parameters are not set. Request should contain or URL or FILENAME parameter"
    assert api.refused(ATTACH, CALL_ID=api.finished()) == (400, "", text)


@pytest.mark.parametrize("name", ["a.WAV", "a.ogg", "a", "a.mp3.exe", "a.flac"])
def test_only_lower_case_wav_and_mp3_pass(api: Any, wav: bytes, encode: Encode, name: str) -> None:
    refused = api.refused(ATTACH, CALL_ID=api.finished(), FILENAME=name, FILE_CONTENT=encode(wav))
    assert refused == (400, "", WRONG_EXTENSION)


@pytest.mark.parametrize("content", [MP3_FRAME, b"ID3\x04" + b"\x00" * 60])
def test_real_mp3_passes(api: Any, encode: Encode, content: bytes) -> None:
    assert api.ok(ATTACH, CALL_ID=api.finished(), FILENAME="a.mp3", FILE_CONTENT=encode(content))


@pytest.mark.parametrize("content", [b"hello, world", b"RIFF\x00\x00\x00\x00AVI ", b"\xff\xff\xff\xff", b"<html>"])
def test_what_is_no_audio_is_refused_in_the_portals_language(api: Any, encode: Encode, content: bytes) -> None:
    call_id = api.finished()
    russian = api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT=encode(content))
    api.settings(language="en")
    english = api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT=encode(content))
    assert (russian[:2], english[:2]) == ((400, ""), (400, ""))
    assert russian[2] != english[2]
    assert api.state()["files"] == []


def test_empty_and_undecodable_content_have_their_own_errors(api: Any) -> None:
    call_id = api.finished()
    empty = api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT="")
    assert empty[2] == "File content is empty."
    garbled = api.refused(ATTACH, CALL_ID=call_id, FILENAME="a.wav", FILE_CONTENT="!!!")
    assert garbled[2] == "File content is not properly encoded. Base64 encoding is expected."


def test_the_decoder_is_lenient(api: Any, wav: bytes, encode: Encode) -> None:
    content = "\r\n".join(encode(wav)[start : start + 76] for start in range(0, len(encode(wav)), 76)).rstrip("=")
    api.ok(ATTACH, CALL_ID=api.finished(), FILENAME="a.wav", FILE_CONTENT=content)
    assert api.state()["files"][0]["sha256"] == hashlib.sha256(wav).hexdigest()


def test_a_name_is_unique_in_its_month_over_all_calls(api: Any, wav: bytes, encode: Encode) -> None:
    def attach(start: str, name: str) -> int:
        call_id = api.finished(CALL_START_DATE=start)
        status: int = api.post(ATTACH, {"CALL_ID": call_id, "FILENAME": name, "FILE_CONTENT": encode(wav)}).status_code
        return status

    assert attach("2026-09-01T12:00:00+03:00", "a.wav") == 200
    assert attach("2026-09-30T12:00:00+03:00", "a.wav") == 400
    assert attach("2026-09-30T12:00:00+03:00", "b.wav") == 200
    assert attach("2026-10-01T12:00:00+03:00", "a.wav") == 200


def test_a_repeated_attach_needs_a_new_name_and_replaces_the_record(api: Any, wav: bytes, encode: Encode) -> None:
    call_id = api.finished()
    record = {"CALL_ID": call_id, "FILENAME": "a.wav", "FILE_CONTENT": encode(wav)}
    assert api.ok(ATTACH, **record) == {"FILE_ID": 1}
    assert api.refused(ATTACH, **record)[:2] == (400, "")
    assert api.ok(ATTACH, **record | {"FILENAME": "b.wav"}) == {"FILE_ID": 2}
    assert [file["deleted"] for file in api.state()["files"]] == [True, False]


def upload(api: Any, call_id: str, name: str) -> str:
    answer = api.ok(ATTACH, CALL_ID=call_id, FILENAME=name)
    assert answer["fieldName"] == "file"
    return str(answer["uploadUrl"])


def test_a_large_file_goes_to_the_upload_address_and_its_type_is_not_looked_at(api: Any) -> None:
    call_id = api.finished()
    content = b"no audio at all" * 100_000
    answer = api.session.post(upload(api, call_id, "a.mp3"), files={"file": ("a.mp3", content)})
    assert answer.json() == {"result": {"FILE_ID": 1}}
    assert api.state()["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_upload_address_expires(api: Any, wav: bytes) -> None:
    url = upload(api, api.finished(), "a.wav")
    api.emulator.advance(3601)
    answer = api.session.post(url, files={"file": ("a.wav", wav)})
    assert (answer.status_code, answer.json()["error"]) == (401, "expired_token")
    assert api.state()["files"] == []


def test_the_upload_address_is_bound_to_its_webhook_and_signature(api: Any, wav: bytes) -> None:
    url = upload(api, api.finished(), "a.wav")
    for wrong in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.partition("?")[0]):
        answer = api.session.post(wrong, files={"file": ("a.wav", wav)})
        assert (answer.status_code, answer.json()["error_description"]) == (403, "Access denied! Link check failed")
    api.control("seed", {"webhook": {"secret": "another"}})
    moved = api.session.post(url.replace("emulator-secret", "another"), files={"file": ("a.wav", wav)})
    assert moved.status_code == 403


def test_an_upload_without_the_file_or_with_another_ending_is_refused(api: Any, wav: bytes) -> None:
    url = upload(api, api.finished(), "a.wav")
    missing = api.session.post(url, files={"other": ("a.wav", wav)})
    assert missing.json()["error_description"] == "Error: required parameter file is not found"
    assert api.session.post(url, files={"file": ("a.WAV", wav)}).json()["error_description"] == WRONG_EXTENSION
    assert api.session.post(url, files={"file": ("a.wav", wav)}).status_code == 200


class Recordings(BaseHTTPRequestHandler):
    """Serves `wav` at /a.wav; /hop/N redirects N times; the rest is 404 or 204."""

    wav = b""

    def do_GET(self) -> None:
        hops = int(self.path.rpartition("-")[2].partition(".")[0]) if "/hop-" in self.path else 0
        status = 302 if hops else {"/a.wav": 200, "/none.wav": 404, "/empty.wav": 204}.get(self.path, 200)
        self.send_response(status)
        if hops:
            self.send_header("Location", f"/hop-{hops - 1}.wav" if hops > 1 else "/a.wav")
        body = self.wav if status == 200 else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def recordings(wav: bytes) -> Iterator[str]:
    Recordings.wav = wav
    with ThreadingHTTPServer(("127.0.0.1", 0), Recordings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_portal_fetches_a_record_and_names_it_by_the_address(api: Any, recordings: str, wav: bytes) -> None:
    api.ok(ATTACH, CALL_ID=api.finished(), RECORD_URL=f"{recordings}/a.wav?key=1")
    (file,) = api.state()["files"]
    assert (file["name"], file["sha256"]) == ("a.wav", hashlib.sha256(wav).hexdigest())


def test_five_redirects_are_followed_and_six_are_not(api: Any, recordings: str) -> None:
    call_id = api.finished()
    assert api.ok(ATTACH, CALL_ID=call_id, RECORD_URL=f"{recordings}/hop-5.wav", FILENAME="a.wav")
    refused = api.refused(ATTACH, CALL_ID=call_id, RECORD_URL=f"{recordings}/hop-6.wav", FILENAME="b.wav")
    assert refused[2].startswith("NETWORK: ")


@pytest.mark.parametrize(("path", "code"), [("none.wav", 404), ("empty.wav", 204)])
def test_any_final_status_but_200_is_refused(api: Any, recordings: str, path: str, code: int) -> None:
    refused = api.refused(ATTACH, CALL_ID=api.finished(), RECORD_URL=f"{recordings}/{path}")
    assert refused == (400, "", f"Server returns HTTP error code {code}")


def test_an_address_wins_over_content_even_when_it_is_empty(api: Any, wav: bytes, encode: Encode) -> None:
    content = {"FILENAME": "a.wav", "FILE_CONTENT": encode(wav)}
    assert api.refused(ATTACH, CALL_ID=api.finished(), RECORD_URL="", **content)[2].startswith("NETWORK: ")
    assert api.state()["files"] == []


def test_an_address_without_an_ending_is_refused(api: Any, recordings: str) -> None:
    assert api.refused(ATTACH, CALL_ID=api.finished(), RECORD_URL=f"{recordings}/record")[:2] == (400, "")
