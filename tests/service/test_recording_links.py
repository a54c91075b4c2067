"""The web part alone, a recording announced in the journal: what somebody gets for a link, and what nobody gets."""

from __future__ import annotations

import hashlib
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.recording import links
from itgrix_bx.delivery.recording.collect import Collector
from itgrix_bx.web.recordings import probe
from sql.database import DatabaseAwayError
from sql.journal import Journal
from tests.service.conftest import Office, eventually
from tests.sounds import mp3, samples, wav
from tests.test_serve import free_port

ID = "1700000000.1"
NAME = "1700000000.1-a1b2c3d4.wav"
MakeOffice = Callable[..., Office]


class Web:
    """The program's web part, and a call whose recording the portal is just told to fetch."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.base = office.settings.recordings.public_url

    def announce(
        self, content: bytes, *paths: str, name: str = NAME, call_id: str = ID, voicemail: bool = False
    ) -> str:
        """The link, as delivery makes it."""
        now = time.time()
        told: dict[str, Any] = {"name": name, "paths": list(paths), "bytes": len(content), "by_link": True}
        told["sha256"] = hashlib.sha256(content).hexdigest()
        for kind, data in (
            (Kind.INBOUND, {}),
            (Kind.RING, {"extensions": ["101"]}) if voicemail else (Kind.ANSWER, {"extension": "101"}),
            (Kind.HANGUP, {"own_channel": True, "message" if voicemail else "recording": paths[-1]}),
            (Kind.REGISTERED, {"portal_call_id": f"externalCall.{call_id}"}),
            (Kind.FINISHED, {}),
            (Kind.ATTACHING, told),
        ):
            self.office.service.journal.append([Event(call_id, kind, now, data)])
            now += 0.001
        return self.link(call_id, name)

    def link(self, call_id: str = ID, name: str = NAME) -> str:
        return self.office.service.fetching.links.make(call_id, name)

    def get(self, link: str, **headers: str) -> requests.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.get(link, headers=named, timeout=10)

    def is_over(self, link: str) -> bool:
        return self.get(link, Range="bytes=0-0").status_code == 410


@pytest.fixture
def web(make_office: MakeOffice, tmp_path: Path) -> Web:
    port = free_port()
    here = f"127.0.0.1:{port}"
    office = make_office(
        frozenset({"web"}),
        web={"listen": here},
        recordings={"public_url": f"http://{here}/recordings", "voicemail_directory": str(tmp_path / "voicemail")},
    )
    return Web(office)


@pytest.fixture
def recorded(web: Web) -> bytes:
    return wav(web.office.monitor / "in.wav", 3.0)


# --- what the portal gets --------------------------------------------------------------------------


def test_a_link_gives_the_whole_file_once(web: Web, recorded: bytes) -> None:
    link = web.announce(recorded, "in.wav")
    answer = web.get(link)
    assert (answer.status_code, answer.content) == (200, recorded)
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Content-Length"] == str(len(recorded))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-store"
    eventually(lambda: web.is_over(link))
    assert web.get(link).status_code == 410
    (fetched,) = (e for e in web.office.service.journal.events(ID) if e.kind is Kind.FETCHED)
    assert fetched.data == {"name": NAME}


def test_an_mp3_says_that_it_is_one(web: Web) -> None:
    content = mp3(web.office.monitor / "in.mp3", 100)
    answer = web.get(web.announce(content, "in.mp3", name="17.1-a.mp3"))
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "audio/mpeg", content)


def test_a_head_tells_the_same_and_uses_nothing_up(web: Web, recorded: bytes) -> None:
    link = web.announce(recorded, "in.wav")
    for _ in range(3):
        answer = requests.head(link, timeout=10)
        told = (answer.status_code, answer.headers["Content-Length"], answer.headers["Content-Type"], answer.content)
        assert told == (200, str(len(recorded)), "audio/wav", b"")
    assert web.get(link).content == recorded


@pytest.mark.parametrize(
    ("asked", "begin", "end"), [("0-9", 0, 10), ("10-", 10, None), ("-7", -7, None), ("5-999999999", 5, None)]
)
def test_a_part_is_given_and_uses_nothing_up(web: Web, recorded: bytes, asked: str, begin: int, end: int) -> None:
    link = web.announce(recorded, "in.wav")
    part = recorded[begin:end]
    answer = web.get(link, Range=f"bytes={asked}")
    assert (answer.status_code, answer.content) == (206, part)
    first = begin % len(recorded)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(recorded)}"
    assert answer.headers["Content-Length"] == str(len(part))
    assert web.get(link).content == recorded


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=9-5", "bytes=", "bytes=a-b", "bytes=0-1,5-6", "x=0-1"])
def test_a_part_that_is_not_there_is_416(web: Web, recorded: bytes, asked: str) -> None:
    link = web.announce(recorded, "in.wav")
    answer = web.get(link, Range=asked)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(recorded)}")
    assert web.get(link).content == recorded


def test_a_transfer_that_breaks_uses_nothing_up(web: Web) -> None:
    content = wav(web.office.monitor / "in.wav", 160.0, rate=48_000, channels=2)
    assert len(content) > 30_000_000  # more than the system takes from us before anybody reads it
    link = web.announce(content, "in.wav")
    with requests.get(link, stream=True, timeout=10) as answer:
        assert answer.status_code == 200
        assert len(answer.raw.read(100_000)) == 100_000
    time.sleep(0.3)
    assert web.get(link).content == content
    eventually(lambda: web.is_over(link))


def test_files_are_joined_for_the_portal_as_they_were_announced(web: Web) -> None:
    wav(web.office.monitor / "first.wav", 1.0, sample=1)
    wav(web.office.monitor / "second.wav", 1.0, sample=2)
    both = {"began_at": time.time(), "ended_at": 0.0, "patient": False}
    with Collector(web.office.settings.recordings).collect(["first.wav", "second.wav"], **both) as ready:
        content = ready.content()
    answer = web.get(web.announce(content, "first.wav", "second.wav"))
    assert (answer.content, samples(answer.content)) == (content, [1, 2])


def test_a_voice_message_is_fetched_from_its_box(web: Web, tmp_path: Path) -> None:
    content = wav(tmp_path / "voicemail" / "default" / "101" / "INBOX" / "msg0000.wav")
    link = web.announce(content, str(tmp_path / "voicemail/default/101/INBOX/msg0000"), voicemail=True)
    assert web.get(link).content == content


def test_many_at_once_get_the_same(web: Web, recorded: bytes) -> None:
    names = [f"{number}-a.wav" for number in range(20)]
    made = [web.announce(recorded, "in.wav", name=name, call_id=f"17.{n}") for n, name in enumerate(names)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(web.get, made))
    assert {answer.content for answer in answers} == {recorded}


# --- what nobody gets ------------------------------------------------------------------------------


def test_a_link_ends_with_its_hour(web: Web, recorded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    web.announce(recorded, "in.wav")
    monkeypatch.setattr(links, "LASTS_S", -1.0)
    assert web.get(web.link()).status_code == 410


def test_a_link_ends_with_the_portals_answer(web: Web, recorded: bytes) -> None:
    link = web.announce(recorded, "in.wav")
    answered = Event(ID, Kind.RECORDING, time.time(), {"state": "uploaded", "file_id": 1})
    web.office.service.journal.append([answered])
    assert web.get(link).status_code == 410


def test_a_link_ends_when_the_file_is_sent_instead(web: Web, recorded: bytes) -> None:
    link = web.announce(recorded, "in.wav")
    sent = Event(ID, Kind.ATTACHING, time.time(), {"name": "other.wav", "paths": ["in.wav"], "sha256": "x"})
    web.office.service.journal.append([sent])
    assert web.get(link).status_code == 410


def test_a_signed_link_to_a_call_or_file_that_is_not_announced_gives_nothing(web: Web, recorded: bytes) -> None:
    web.announce(recorded, "in.wav")
    assert web.get(web.link("1800000000.1")).status_code == 410
    assert web.get(web.link(ID, "other.wav")).status_code == 410


def test_a_guess_costs_no_look_into_the_database(web: Web, recorded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    link = web.announce(recorded, "in.wav")
    token, name = link.removeprefix(web.base).split("/")
    looked: list[str] = []
    look = Journal.call
    monkeypatch.setattr(Journal, "call", lambda journal, call_id: looked.append(call_id) or look(journal, call_id))
    payload, _, signature = token.rpartition(".")
    other = web.link("18.1", name).removeprefix(web.base).partition("/")[0]
    guesses = [
        f"{'A' if token[0] != 'A' else 'B'}{token[1:]}", f"{payload}.", f".{signature}", payload, "..", "%00",
        f"{payload}.{signature[:-2]}AA", f"{other.rpartition('.')[0]}.{signature}", "%C3%A9.%FF", "A" * 50_000,
    ]  # fmt: skip
    for guess in guesses:
        assert raw(web, f"/recordings/{guess}/{name}") == 404, guess
    assert raw(web, f"/recordings/{token}/{name[:-5]}.wav") == 404
    assert not looked
    assert web.get(link).content == recorded


@pytest.mark.parametrize(
    "path",
    [
        "/recordings", "/recordings/", "/recordings/{token}", "/recordings/{token}/", "/recordings/in.wav",
        "/recordings/../in.wav", "/recordings/{token}/../../in.wav", "/recordings/{token}/%2e%2e%2fin.wav",
        "/recordings/{token}/..%2f{name}", "/recordings/{token}/{name}/", "/recordings/{token}/{name}%00",
        "//recordings/{token}/x", "/recordings//{name}", "/recordings/{token}/{upper}",
    ],
)  # fmt: skip
def test_nothing_but_the_link_itself_leads_to_a_file_or_a_list(web: Web, recorded: bytes, path: str) -> None:
    token, name = web.announce(recorded, "in.wav").removeprefix(web.base).split("/")
    assert raw(web, path.format(token=token, name=name, upper=name.upper())) in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_link_can_only_be_read(web: Web, recorded: bytes, method: str) -> None:
    link = web.announce(recorded, "in.wav")
    assert requests.request(method, link, data=b"x", timeout=10).status_code == 405
    assert web.get(link).content == recorded


def test_a_path_out_of_the_directory_is_not_followed_even_if_the_journal_names_it(web: Web, tmp_path: Path) -> None:
    outside = wav(tmp_path / "outside.wav")
    (web.office.monitor / "link.wav").symlink_to(tmp_path / "outside.wav")
    for number, path in enumerate([str(tmp_path / "outside.wav"), "../outside.wav", "link.wav"]):
        link = web.announce(outside, path, name=f"{number}-a.wav", call_id=f"17.{number}")
        assert web.get(link).status_code == 404


def test_a_file_that_is_not_what_was_announced_is_not_given(
    web: Web, recorded: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    link = web.announce(recorded, "in.wav")
    wav(web.office.monitor / "in.wav", 3.0, sample=7)
    assert web.get(link).status_code == 404
    (web.office.monitor / "in.wav").unlink()
    assert web.get(link).status_code == 404
    told = [record.getMessage() for record in caplog.records if record.name == "itgrix_bx.web"]
    assert ["announced" in text for text in told] == [True, False]
    assert all(ID in text for text in told)


def test_while_the_database_is_away_the_portal_is_told_to_come_back(
    web: Web, recorded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = web.announce(recorded, "in.wav")

    def away(*_: object) -> None:
        raise DatabaseAwayError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "call", away)
        assert web.get(link).status_code == 503
    assert web.get(link).content == recorded


def test_the_log_holds_no_link(web: Web, recorded: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = web.announce(recorded, "in.wav")
    web.get(link)
    eventually(lambda: web.is_over(link))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert any(NAME in text and str(len(recorded)) in text for text in ours)
    token = link.removeprefix(web.base).partition("/")[0]
    assert not [text for text in ours if token[:20] in text]


def test_without_a_public_url_there_is_no_such_page(make_office: MakeOffice) -> None:
    port = free_port()
    office = make_office(frozenset({"web"}), web={"listen": f"127.0.0.1:{port}"})
    office.service.fetching.links.prepare(office.service.fetching._notes)
    link = office.service.fetching.links.make("", links.PROBE)
    assert requests.get(f"http://127.0.0.1:{port}/recordings/{link}", timeout=10).status_code == 404


def test_the_probe_is_a_sound_and_can_be_fetched_again(web: Web) -> None:
    link = web.link("", links.PROBE)
    for _ in range(2):
        assert web.get(link).content == probe()


def raw(web: Web, path: str) -> int:
    """The status of a GET whose path nobody tidied up on the way."""
    url = urlsplit(web.base)
    with socket.create_connection((url.hostname, url.port), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])
