"""The portal fetches recordings from our web part where it can, and gets them sent where it cannot."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import CliRunner

from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.cli import main
from itgrix_bx.delivery import attach, fetching, schedule
from itgrix_bx.delivery.recording.collect import Collector
from itgrix_bx.report import details
from itgrix_bx.setup import checks
from tests.service.conftest import DID, Office, eventually
from tests.service.test_recordings import HIDDEN
from tests.sounds import samples, wav
from tests.test_serve import free_port

ATTACH = "telephony.externalCall.attachRecord"
MakeOffice = Callable[..., Office]


def at(port: int) -> dict[str, dict[str, Any]]:
    return {
        "web": {"listen": f"127.0.0.1:{port}"},
        "recordings": {"public_url": f"http://127.0.0.1:{port}/recordings/"},
    }


@pytest.fixture
def office(make_office: MakeOffice) -> Office:
    """An office whose portal reaches our web part."""
    return make_office(**at(free_port()))


@pytest.fixture
def unreachable(make_office: MakeOffice) -> Office:
    """An office whose portal finds nobody at the public URL."""
    return make_office(recordings=at(free_port())["recordings"])


def talked(office: Office, call_id: str, recording: str = "in.wav", **variables: str) -> None:
    office.hook("inbound", call_id, DID)
    office.hook("answer", call_id, "101")
    office.hook(
        "hangup", call_id, "in", DIALSTATUS="ANSWER", CONNECTED="101", MIXMONITOR_FILENAME=recording, **variables
    )


def arrives(office: Office, call_id: str, content: bytes | None = None) -> dict[str, Any]:
    """The one file the portal ever had of the call."""
    eventually(lambda: office.call(call_id).state == "complete", 30)
    assert office.summary(call_id)["recording"]["state"] == "uploaded"
    (file,) = (f for f in office.known()["files"] if f["call_id"] == office.call(call_id).portal_call_id)
    if content is not None:
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["id"] == office.call(call_id).recording.file_id
    return dict(file)


def attaches(office: Office) -> list[dict[str, Any]]:
    return [entry for entry in office.known()["requests"] if entry["method"].lower() == ATTACH.lower()]


def by_link(office: Office) -> list[dict[str, Any]]:
    return [entry for entry in attaches(office) if "RECORD_URL" in entry["params"]]


def steps(office: Office, call_id: str) -> list[str]:
    return [event.kind.value for event in office.service.journal.events(call_id)]


# --- fetched ---------------------------------------------------------------------------------------


def test_the_portal_fetches_a_recording_and_no_content_is_sent(office: Office) -> None:
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    file = arrives(office, "17.1", content)
    (request,) = attaches(office)
    assert set(request["params"]) == {"CALL_ID", "RECORD_URL", "FILENAME"}
    assert file["name"] == request["params"]["FILENAME"] == request["params"]["FILENAME"].lower()
    assert request["params"]["RECORD_URL"].endswith(f"/{file['name']}")
    eventually(lambda: "fetched" in steps(office, "17.1"))
    assert steps(office, "17.1").count("attaching") == 1


def test_the_journal_and_calls_show_hold_no_link(office: Office) -> None:
    wav(office.monitor / "in.wav")
    talked(office, "17.1")
    arrives(office, "17.1")
    token = by_link(office)[0]["params"]["RECORD_URL"].split("/")[-2]
    events = office.service.journal.events("17.1")
    shown = details(office.call("17.1"), events, office.service.employees.directory, office.settings)
    assert token[:20] not in json.dumps(shown) + "".join(str(event.data) for event in events)
    assert [step.get("by_link") for step in shown["steps"] if step["step"] == "attaching"] == [True]


def test_joined_and_converted_files_are_fetched_the_same_way(make_office: MakeOffice) -> None:
    port = free_port()
    office = make_office(web=at(port)["web"], recordings=at(port)["recordings"] | {"mp3": True})
    wav(office.monitor / "first.wav", 5.0)
    wav(office.monitor / "second.wav", 5.0)
    talked(office, "17.1", "second.wav", **{"CDR(recordingfile)": "first.wav"})
    file = arrives(office, "17.1")
    assert (file["type"], file["name"][-4:], len(by_link(office))) == ("audio/mpeg", ".mp3", 1)
    assert 20_000 < file["size"] < 50_000


def test_what_delivery_has_ready_is_not_made_a_second_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    collect = Collector.collect
    monkeypatch.setattr(Collector, "collect", lambda *args, **how: made.append(args) or collect(*args, **how))
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    arrives(office, "17.1", content)
    assert (len(made), len(by_link(office))) == (1, 1)


def test_recordings_share_requests_when_places_are_scarce(make_office: MakeOffice) -> None:
    office = make_office(portal={"requests_per_second": 5, "burst": 50}, **at(free_port()))
    content = wav(office.monitor / "in.wav", 60.0)
    talked(office, "17.0")
    arrives(office, "17.0", content)
    (office.monitor / "in.wav").unlink()
    ids = [f"17.{number}" for number in range(1, 13)]
    for call_id in ids:
        talked(office, call_id)
    for call_id in ids:
        office.until(call_id, "finished")
    office.service.client.budget.refused()  # somebody else has filled the bucket
    wav(office.monitor / "in.wav", 60.0)
    for call_id in ids:
        arrives(office, call_id, content)
    assert len(by_link(office)) == 13
    assert len({entry["batch_id"] for entry in by_link(office)}) <= 5


def test_a_web_part_in_another_process_makes_the_same_file_from_the_journal(
    make_office: MakeOffice, tmp_path: Path
) -> None:
    port = free_port()
    parts = at(port)
    parts["recordings"] |= {"mp3": True}
    office = make_office(frozenset({"agi", "worker"}), **parts)
    config = configured(office, tmp_path, port)
    command = [sys.executable, "-m", "itgrix_bx", "--config", str(config), "serve", "--only", "web"]
    web = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: checks_of(office)["[recordings] public_url"].result == checks.OK, 30)
        wav(office.monitor / "first.wav", 5.0)
        wav(office.monitor / "second.wav", 5.0)
        talked(office, "17.1", "second.wav", **{"CDR(recordingfile)": "first.wav"})
        file = arrives(office, "17.1")
        assert (file["type"], len(attaches(office)), len(by_link(office))) == ("audio/mpeg", 1, 1)
        assert file["sha256"] == office.call("17.1").recording.sent
        eventually(lambda: "fetched" in steps(office, "17.1"))
    finally:
        web.terminate()
        _, log = web.communicate(timeout=30)
    token = by_link(office)[0]["params"]["RECORD_URL"].split("/")[-2]
    assert file["name"] in log
    assert token[:20] not in log


# --- sent instead ----------------------------------------------------------------------------------


class Elsewhere(BaseHTTPRequestHandler):
    """What may answer at a public URL that leads to the wrong place."""

    def do_GET(self) -> None:
        if self.server.kind == "silent":  # type: ignore[attr-defined]
            time.sleep(4.0)
            return
        page = b"<html>Welcome</html>"
        self.send_response(200 if self.server.kind == "page" else 502)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], str]]:
    servers = []

    def start(kind: str) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        server.kind = kind  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/recordings/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", ["page", "502"])
def test_what_the_portal_cannot_fetch_is_sent_in_the_same_step(
    make_office: MakeOffice, elsewhere: Callable[[str], str], kind: str
) -> None:
    office = make_office(recordings={"public_url": elsewhere(kind)})
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    arrives(office, "17.1", content)
    assert [("RECORD_URL" in entry["params"]) for entry in attaches(office)] == [True, False]
    assert steps(office, "17.1").count("recording") == 1
    assert office.service.fetching.shown().failures == 1


@pytest.mark.parametrize("large", [False, True])
def test_where_nobody_answers_it_is_sent_by_its_size(
    unreachable: Office, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(attach, "_UPLOAD_FROM", 1)
    content = wav(unreachable.monitor / "in.wav")
    talked(unreachable, "17.1")
    arrives(unreachable, "17.1", content)
    assert len(by_link(unreachable)) == 1
    uploads = [entry for entry in unreachable.known()["requests"] if entry["method"] == "upload"]
    assert len(uploads) == large


def test_after_three_in_a_row_it_rests_is_said_and_comes_back(
    make_office: MakeOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    office = make_office(frozenset({"agi", "worker"}), **at(port))
    content = wav(office.monitor / "in.wav")
    for number in range(5):
        talked(office, f"17.{number}")
        arrives(office, f"17.{number}", content)
    assert len(by_link(office)) == 3
    check = checks_of(office)["fetched by the portal"]
    assert (check.result, "the last 3 recordings (NETWORK: ConnectionError)" in check.found) == (checks.WARNING, True)
    assert office.settings.recordings.public_url in check.cure
    config = str(configured(office, tmp_path, port))
    assert "could not fetch" in CliRunner().invoke(main, ["--config", config, "status"]).output
    told = json.loads(CliRunner().invoke(main, ["--config", config, "status", "--json"]).output)
    assert "could not fetch" in told["fetching"]

    monkeypatch.setattr(fetching, "REST_S", -1.0)
    make_office(frozenset({"web"}), **at(port))
    eventually(lambda: checks_of(office)["[recordings] public_url"].result == checks.OK)
    talked(office, "18.1")
    arrives(office, "18.1", content)
    assert len(by_link(office)) == 4
    assert checks_of(office)["fetched by the portal"].found == "recordings"
    assert json.loads(CliRunner().invoke(main, ["--config", config, "status", "--json"]).output)["fetching"] is None


def test_a_file_the_portal_takes_in_no_way_is_not_blamed_on_the_address(unreachable: Office) -> None:
    refusal = {"method": ATTACH, "kind": "error", "description": "Превышена квота", "times": -1}
    unreachable.portal.faults([refusal])
    wav(unreachable.monitor / "in.wav")
    talked(unreachable, "17.1")
    assert unreachable.until("17.1", "complete")["recording"]["state"] == "refused"
    assert unreachable.service.fetching.shown().failures == 0


def test_a_portal_that_hangs_on_the_address_gets_the_file_sent_once(
    make_office: MakeOffice, elsewhere: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "_REQUEST_S", 0.7)
    monkeypatch.setattr(schedule, "IN_FLIGHT_S", 6.0)
    office = make_office(recordings={"public_url": elsewhere("silent")})
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    arrives(office, "17.1", content)
    assert [("RECORD_URL" in entry["params"]) for entry in attaches(office)] == [True, False]
    assert office.service.fetching.shown().failures == 1


# --- nothing twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("after_effect", [True, False])
def test_an_answer_lost_about_a_fetched_file_doubles_nothing(office: Office, hidden: bool, after_effect: bool) -> None:
    fault = {"method": ATTACH, "kind": "lost_answer", "times": 1, "after_effect": after_effect}
    office.portal.faults([fault, *([HIDDEN] if hidden else [])])
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    assert office.until("17.1", "complete")["recording"]["state"] == "uploaded"
    (file,) = office.known()["files"]
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(by_link(office)) == after_effect  # asked for by link once, and never again


@pytest.mark.parametrize("linked", [True, False])
def test_after_a_process_was_killed_with_a_recording_in_hand_it_is_sent(office: Office, linked: bool) -> None:
    content = wav(office.monitor / "in.wav")
    office.hook("inbound", "17.1", DID)
    office.hook("answer", "17.1", "101")
    office.hook("hangup", "17.1", "in", DIALSTATUS="ANSWER", CONNECTED="101")
    eventually(lambda: office.call("17.1").state == "complete")
    now = time.time()
    intent = {"name": "killed.wav", "paths": ["in.wav"], "left_out": [], "by_link": linked}
    named = Event("17.1", Kind.HANGUP, now, {"own_channel": False, "recording": "in.wav"})
    office.service.logbook.record([named, Event("17.1", Kind.ATTACHING, now, intent)])
    arrives(office, "17.1", content)
    assert not by_link(office)


def test_a_call_whose_file_could_not_be_fetched_is_not_fetched_later(unreachable: Office) -> None:
    refusal = {"method": ATTACH, "kind": "error", "code": "INTERNAL_SERVER_ERROR", "status": 500, "times": 1, "skip": 1}
    unreachable.portal.faults([refusal])
    content = wav(unreachable.monitor / "in.wav")
    talked(unreachable, "17.1")
    arrives(unreachable, "17.1", content)
    assert len(by_link(unreachable)) == 1
    assert len(attaches(unreachable)) == 3


def test_a_further_file_of_the_call_is_fetched_with_the_first(office: Office) -> None:
    wav(office.monitor / "first.wav", 1.0, sample=1)
    wav(office.monitor / "second.wav", 1.0, sample=2)
    talked(office, "17.1", "first.wav")
    arrives(office, "17.1")
    late = {"own_channel": False, "recording": "second.wav"}
    office.service.logbook.record([Event("17.1", Kind.HANGUP, time.time(), late)])
    eventually(lambda: len(office.known()["files"]) == 2)
    office.until("17.1", "complete")
    (file,) = (file for file in office.known()["files"] if not file["deleted"])
    assert samples(office.portal.state.contents[file["id"]]) == [1, 2]
    assert len(by_link(office)) == 2


def test_a_stopping_service_is_fetched_from_until_delivery_has_ended(make_office: MakeOffice) -> None:
    office = make_office(**at(free_port()))
    office.portal.faults([{"method": ATTACH, "kind": "slow", "times": 1, "delay_s": 1.0}])
    content = wav(office.monitor / "in.wav")
    talked(office, "17.1")
    eventually(lambda: "attaching" in steps(office, "17.1"))
    office.service.stop(1.0)
    (file,) = office.known()["files"]
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(attaches(office)) == 1


# --- what the administrator is told ------------------------------------------------------------------


def test_doctor_fetches_a_probe_through_the_address(office: Office, unreachable: Office) -> None:
    found = checks_of(office)
    assert [check.result for check in found.values()] == [checks.OK, checks.OK]
    assert "nothing yet" in found["fetched by the portal"].found
    check = checks_of(unreachable)["[recordings] public_url"]
    assert (check.result, "cannot be reached" in check.found) == (checks.WARNING, True)
    assert "[web]" not in check.found
    assert f"http://{unreachable.settings.web.listen}/recordings/" in check.cure


@pytest.mark.parametrize("kind", ["page", "502"])
def test_doctor_notices_that_somebody_else_answers(
    make_office: MakeOffice, elsewhere: Callable[[str], str], kind: str
) -> None:
    office = make_office(recordings={"public_url": elsewhere(kind)})
    check = checks_of(office)["[recordings] public_url"]
    assert (check.result, "does not lead to our recordings" in check.found) == (checks.WARNING, True)


def checks_of(office: Office) -> dict[str, checks.Check]:
    return {check.part: check for check in checks.fetching(office.settings)}


def configured(office: Office, directory: Path, port: int) -> Path:
    """The office's settings as a file."""
    settings = office.settings
    tables = {
        "portal": {"webhook": office.portal.webhook_url},
        "database": {"url": settings.database.url.get_secret_value()},
        "journal": {"directory": str(settings.journal.directory)},
        "recordings": settings.recordings.model_dump(mode="json"),
        **{"web": {"listen": f"127.0.0.1:{port}"}},
    }
    path = directory / "config.toml"
    path.write_text(tomli_w.dumps(tables))
    return path
