"""What the network can do to a request, on a real socket."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bx24client import (
    AnswerLost,
    Bitrix24,
    BitrixError,
    Budget,
    Command,
    FileRefused,
    MovedTooFar,
    NotSent,
    Timeouts,
    UnreadableAnswer,
    UploadUrl,
    WebServerRefused,
)
from bx24client.transport import JsonBody, Transport, _moved_to

from .scripted import (
    SECRET,
    ScriptedPortal,
    Step,
    answers,
    batch,
    drips,
    hangs_up,
    http,
    is_silent,
    page,
    redirects,
    says,
)

# Self-signed for 127.0.0.1, made for these tests only and valid for a hundred years.
CERTIFICATE = Path(__file__).with_name("loopback.pem")
WRITE: Command[object] = Command("telephony.externalCall.finish", {"CALL_ID": "c"}, lambda result: result)
READ: Command[object] = Command("user.current", {"A": 1}, lambda result: result, idempotent=True)


def test_requests_share_one_kept_connection(portal: ScriptedPortal, client: Bitrix24) -> None:
    for _ in range(5):
        client.execute(WRITE)
    assert [request.connection for request in portal.requests] == [1] * 5


def test_an_empty_body_keeps_the_connection_in_step(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [says(http(b""))]
    with pytest.raises(UnreadableAnswer):
        client.execute(WRITE)
    assert client.execute(WRITE) is True


def test_a_kept_connection_that_was_closed_is_replaced(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"result": 1}, stay=False)]
    client.execute(WRITE)
    assert portal.closed.acquire(timeout=10)
    assert client.execute(WRITE) is True
    assert len(portal.requests) == 2


def test_a_connection_that_rested_too_long_is_not_used_again(portal: ScriptedPortal) -> None:
    transport = Transport(portal.address, max_idle_s=0.0)
    for _ in range(2):
        transport.post("/rest/1/x/m", JsonBody(b"{}"), Timeouts())
    assert portal.connections == 2
    transport.close()


def test_a_side_effect_is_not_doubled_when_the_answer_is_lost(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [answers({"result": 1}), hangs_up]
    client.execute(WRITE)
    with pytest.raises(AnswerLost) as caught:
        client.execute(WRITE)
    assert caught.value.maybe_done
    assert len(portal.requests) == 2


@pytest.mark.parametrize(
    "step", [hangs_up, is_silent(5), says(http(b"<html>", "504 Gateway Time-out", content_type="text/html"))]
)
def test_of_a_request_that_may_still_run_it_is_known_when_it_left(
    portal: ScriptedPortal, client: Bitrix24, step: Step
) -> None:
    portal.steps = [step]
    before = time.time()
    with pytest.raises(AnswerLost) as caught:
        client.execute(WRITE, timeout_s=0.3, on_leaving=lambda: time.sleep(0.1))
    assert caught.value.maybe_running
    assert before + 0.1 <= caught.value.left_at <= time.time()


def test_a_question_is_asked_again_when_the_answer_is_lost(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [hangs_up]
    assert client.execute(READ) is True
    assert len(portal.requests) == 2


def test_a_question_is_not_asked_for_ever(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = hangs_up
    with pytest.raises(AnswerLost):
        client.execute(READ)
    assert len(portal.requests) == 3


def test_a_refused_connection_is_surely_not_sent() -> None:
    with ScriptedPortal() as gone:
        webhook = gone.webhook
    with Bitrix24(webhook) as client, pytest.raises(NotSent, match="connection was refused") as caught:
        client.execute(WRITE, timeout_s=2)
    assert not caught.value.maybe_done
    assert caught.value.retryable
    assert client.budget.level() == 0.0


def test_an_unknown_name_says_so() -> None:
    with Bitrix24(f"https://no-such-portal.invalid/rest/1/{SECRET}/") as client, pytest.raises(NotSent) as caught:
        client.execute(WRITE, timeout_s=3)
    assert "name is not known" in str(caught.value)


def test_the_connect_timeout_is_kept() -> None:
    # A full backlog: the kernel drops further connection attempts without a word.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        transport = Transport(f"http://127.0.0.1:{port}")
        with pytest.raises(NotSent, match=r"connect timeout of 0\.2 s"):
            transport.post("/m", JsonBody(b"{}"), Timeouts(connect=0.2))
        for filler in fillers:
            filler.close()


def test_the_connect_timeout_holds_for_tls_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts by its backlog, greets nobody
        transport = Transport(f"https://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(NotSent, match=r"connect timeout of 0\.2 s"):
            transport.post("/m", JsonBody(b"{}"), Timeouts(connect=0.2, total=5))
        transport.close()


def test_the_write_timeout_is_kept_and_half_a_request_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts by its backlog, reads nothing
        transport = Transport(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(NotSent, match=r"write timeout of 0\.2 s"):
            transport.post("/m", JsonBody(b"x" * 50_000_000), Timeouts(write=0.2))
        transport.close()


def test_the_read_timeout_is_kept_and_the_answer_is_lost(portal: ScriptedPortal) -> None:
    portal.otherwise = is_silent(5)
    transport = Transport(portal.address)
    with pytest.raises(AnswerLost, match=r"read timeout of 0\.2 s"):
        transport.post("/m", JsonBody(b"{}"), Timeouts(read=0.2))


def test_the_read_timeout_of_a_client_is_the_silence_it_allows(portal: ScriptedPortal) -> None:
    portal.otherwise = is_silent(5)
    with (
        Bitrix24(portal.webhook, timeouts=Timeouts(read=0.2)) as client,
        pytest.raises(AnswerLost, match=r"read timeout of 0\.2 s"),
    ):
        client.execute(WRITE)


def test_a_batch_may_be_silent_as_long_as_the_portal_works_on_it(portal: ScriptedPortal) -> None:
    replies = batch({"a": 1, "b": 2})

    def works(sock: socket.socket) -> bool:
        time.sleep(0.5)
        return replies(sock)

    portal.otherwise = works
    with Bitrix24(portal.webhook, timeouts=Timeouts(read=0.2)) as client:
        assert dict(client.batch({"a": WRITE, "b": WRITE}, halt=False)) == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["connect", "write", "read", "total"])
def test_a_time_of_nothing_is_no_timeout(name: str) -> None:
    with pytest.raises(ValueError, match="above 0 seconds"):
        Timeouts(**{name: 0.0})


@pytest.mark.parametrize("raw", [http(b"x" * 1000), b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500])
def test_the_total_timeout_holds_against_a_dripping_portal(portal: ScriptedPortal, raw: bytes) -> None:
    portal.otherwise = drips(raw, 0.02)
    transport = Transport(portal.address)
    with pytest.raises(AnswerLost, match=r"total timeout of 0\.4 s"):
        transport.post("/m", JsonBody(b"{}"), Timeouts(read=3, total=0.4))


def test_timeout_s_of_the_caller_bounds_all_attempts_together(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = is_silent(5)
    with pytest.raises(AnswerLost):
        client.execute(READ, timeout_s=0.3)
    assert len(portal.requests) == 1


def test_a_slow_portal_is_noticed_by_the_measured_times(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = is_silent(5)
    with pytest.raises(AnswerLost):
        client.execute(READ, timeout_s=0.2)
    assert (client.durations.typical("user.current") or 0) > 0.1  # what connecting took of the 0.2 s does not count


def test_a_broken_connection_does_not_make_the_portal_look_fast(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.otherwise = hangs_up
    with pytest.raises(AnswerLost):
        client.execute(WRITE)
    assert client.durations.typical("telephony.externalCall.finish") is None


def test_an_endless_answer_is_cut(portal: ScriptedPortal) -> None:
    portal.otherwise = says(http(b"x" * 100_000))
    transport = Transport(portal.address, max_answer_bytes=1000)
    with pytest.raises(UnreadableAnswer, match="too large"):
        transport.post("/m", JsonBody(b"{}"), Timeouts())


def test_an_answer_that_breaks_off_is_lost(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [says(http(b'{"result": true}')[:-4], stay=False)]
    with pytest.raises(AnswerLost):
        client.execute(WRITE)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\x00\xff\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        http(b""),
        http(b"   "),
        http(b"[]"),
        http(b"null"),
        http(b'"text"'),
        http(b'{"neither": 1}'),
        http(b'{"result": '),
        http(b"\xff\xfe{}"),
        http(b"[" * 100_000),
        http(b'{"result": ' + b"9" * 10_000 + b"}"),
        http(b"<html>bad gateway</html>", "502 Bad Gateway", content_type="text/html"),
        http(b"<html>time out</html>", "504 Gateway Timeout", content_type="text/html"),
    ],
)
def test_rubbish_is_an_answer_lost(portal: ScriptedPortal, client: Bitrix24, raw: bytes) -> None:
    portal.steps = [says(raw, stay=False)]
    with pytest.raises(AnswerLost) as caught:
        client.execute(WRITE)
    assert caught.value.maybe_done
    assert len(portal.requests) == 1


@pytest.mark.parametrize(
    ("status", "retry_after_s"),
    [("403 Forbidden", 300.0), ("404 Not Found", 300.0), ("408 Slow", 5.0), ("425 Early", 5.0), ("429 Too Many", 5.0)],
)
def test_a_page_of_the_web_server_is_no_lost_answer_and_loses_no_call(
    portal: ScriptedPortal, client: Bitrix24, status: str, retry_after_s: float
) -> None:
    portal.steps = [page(status)]
    with pytest.raises(WebServerRefused) as caught:
        client.execute(WRITE)
    assert not caught.value.maybe_done
    assert (caught.value.retryable, caught.value.retry_after_s) == (True, retry_after_s)
    assert status[:3] in str(caught.value)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_renamed_portal_gets_the_whole_body_and_is_remembered(status: str) -> None:
    moved: list[str] = []
    with ScriptedPortal() as old, ScriptedPortal() as new:
        old.otherwise = redirects(f"{new.address}/rest/1/{SECRET}/telephony.externalCall.finish", status)
        with Bitrix24(old.webhook, on_moved=moved.append) as client:
            client.execute(WRITE)
            client.execute(WRITE)
        assert [request.params for request in new.requests] == [{"CALL_ID": "c"}] * 2
        assert len(old.requests) == 1
        assert moved == [new.address] == [client.portal]


def test_two_requests_that_learn_of_the_renaming_at_once_tell_it_once() -> None:
    moved: list[str] = []
    both = threading.Barrier(2)
    with ScriptedPortal() as old, ScriptedPortal() as new:
        leads_on = redirects(f"{new.address}/rest/1/{SECRET}/telephony.externalCall.finish")

        def together(sock: socket.socket) -> bool:
            both.wait(10)
            return leads_on(sock)

        old.otherwise = together
        with Bitrix24(old.webhook, on_moved=moved.append) as client, ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: client.execute(WRITE), range(2)))
        assert (len(old.requests), len(new.requests)) == (2, 2)
    assert moved == [new.address]


def test_a_renamed_portal_that_is_not_reached_was_surely_not_sent_to(portal: ScriptedPortal, client: Bitrix24) -> None:
    with ScriptedPortal() as gone:
        portal.otherwise = redirects(f"{gone.address}/rest/1/{SECRET}/telephony.externalCall.finish")
    with pytest.raises(NotSent, match="connection was refused"):
        client.execute(WRITE)


def test_what_is_moved_with_another_status_may_have_been_executed(portal: ScriptedPortal, client: Bitrix24) -> None:
    # 303 is the answer to a POST that is done: its address is a page to look at.
    portal.otherwise = redirects(f"{portal.address}/rest/1/{SECRET}/telephony.externalCall.finish", "303 See Other")
    with pytest.raises(AnswerLost):
        client.execute(WRITE)
    assert len(portal.requests) == 1


def test_redirects_in_a_circle_end_and_count_in_the_budget(portal: ScriptedPortal) -> None:
    portal.otherwise = redirects(f"{portal.address}/rest/1/{SECRET}/telephony.externalCall.finish")
    with Bitrix24(portal.webhook, budget=Budget(rate=0.001)) as client:
        with pytest.raises(MovedTooFar, match="more than 3") as caught:
            client.execute(WRITE)
        assert not caught.value.retryable
        assert client.budget.level() == pytest.approx(1.0, abs=0.5)
    assert len(portal.requests) == 4


def test_the_total_timeout_holds_for_all_redirects_together(portal: ScriptedPortal) -> None:
    leads_on = redirects(f"{portal.address}/m")

    def slowly(sock: socket.socket) -> bool:
        time.sleep(0.3)
        return leads_on(sock)

    portal.otherwise = slowly
    transport = Transport(portal.address)
    with pytest.raises(AnswerLost, match=r"total timeout of 0\.7 s"):
        transport.post("/m", JsonBody(b"{}"), Timeouts(total=0.7))
    transport.close()


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/rest/1/SECRET/telephony.externalCall.finish",
        "ftp://127.0.0.1/rest/1/SECRET/telephony.externalCall.finish",
        "https://example.com/login/?backurl=/rest/",
        "/auth/",
        "//",
        "http://[::1/rest",
        "http://127.0.0.1:99999/rest/1/SECRET/telephony.externalCall.finish",
        "\x7f",
    ],
)
def test_the_secret_does_not_follow_a_redirect_elsewhere(
    portal: ScriptedPortal, client: Bitrix24, location: str
) -> None:
    portal.otherwise = redirects(location.replace("SECRET", SECRET))
    with pytest.raises(MovedTooFar) as caught:
        client.execute(WRITE)
    assert SECRET not in str(caught.value)
    assert client.portal == portal.address


def test_a_secure_portal_never_leads_to_an_insecure_one_or_to_this_machine() -> None:
    for location in ("http://new.example/rest/m", "http://127.0.0.1/rest/m", "https://127.0.0.1/rest/m"):
        with pytest.raises(MovedTooFar):
            _moved_to("https://old.example", "/rest/m", location)
    assert _moved_to("https://old.example", "/rest/m", "https://new.example:8443/rest/m/") == (
        "https://new.example:8443"
    )


def test_on_this_machine_too_a_redirect_gives_no_tls_up() -> None:
    with pytest.raises(MovedTooFar):
        _moved_to("https://127.0.0.1", "/rest/m", "http://127.0.0.1:8/rest/m")
    assert _moved_to("http://127.0.0.1", "/rest/m", "http://[::1]:8/rest/m") == "http://[::1]:8"


def test_cookies_are_not_kept(portal: ScriptedPortal, client: Bitrix24) -> None:
    portal.steps = [says(http(b'{"result":1}', "200 OK", "Set-Cookie: PHPSESSID=1; path=/"))]
    client.execute(WRITE)
    client.execute(WRITE)
    assert "cookie" not in portal.requests[1].headers


def _complaint(client: Bitrix24, command: Command[object]) -> str:
    """All that an error tells, down to its hidden causes."""
    try:
        return repr(client.execute(command))
    except BitrixError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)


def test_the_secret_is_in_no_error_and_no_log(
    portal: ScriptedPortal, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    portal.steps = [
        hangs_up,
        page("502 Bad Gateway"),
        answers({"error": "X", "error_description": f"no {portal.webhook}"}),
        answers({"result": 1}),
        says(b"HTTP/1.1 200 OK\r\nbroken header line\r\nContent-Length: 2\r\n\r\n{}"),
    ]
    command: Command[object] = Command("user.get", {"NAME": "Private Person"}, lambda result: result)
    with Bitrix24(portal.webhook, timeouts=Timeouts(read=1)) as client:
        for _ in range(5):
            told.append(_complaint(client, command))
        told += [repr(command), repr(client), repr(client.auth), str(vars(client.auth).keys())]
    with ScriptedPortal() as gone:
        webhook = gone.webhook
    with Bitrix24(webhook) as client, pytest.raises(NotSent) as caught:
        client.execute(WRITE, timeout_s=1)
    told.append("".join(traceback.format_exception(caught.value)))
    out = capsys.readouterr()
    everything = "\n".join([*told, caplog.text, out.out, out.err])
    assert "user.get" in caplog.text
    assert SECRET not in everything
    assert "Private Person" not in everything


def test_the_address_of_an_upload_is_not_shown() -> None:
    target = UploadUrl(f"https://p.example/rest/1/{SECRET}/upload/?token=t0ken", "file")
    assert SECRET not in repr(target) + str(target) + f"{target}"


def test_a_file_is_streamed_to_the_portal_itself(portal: ScriptedPortal, client: Bitrix24, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    recording = tmp_path / "a.wav"
    recording.write_bytes(content)
    portal.steps = [answers({"result": {"FILE_ID": "12"}})]
    target = UploadUrl(f"https://elsewhere.example/rest/1/{SECRET}/upload/?token=t", "file")
    assert client.upload(target, recording, "a-1.wav") == 12
    request = portal.requests[0]
    assert request.path == f"/rest/1/{SECRET}/upload/?token=t"
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    head, _, rest = request.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="a-1.wav"' in head
    assert rest == content + b"\r\n--" + boundary + b"--\r\n"


def test_an_upload_follows_a_renamed_portal_with_the_whole_file() -> None:
    with ScriptedPortal() as old, ScriptedPortal() as new:
        new.otherwise = answers({"result": {"FILE_ID": 1}})
        old.otherwise = redirects(f"{new.address}/rest/1/{SECRET}/upload/?token=t")
        with Bitrix24(old.webhook) as client:
            client.upload(UploadUrl(f"{old.address}/rest/1/{SECRET}/upload/?token=t", "file"), b"RIFF", "a.wav")
        assert b"RIFF" in new.requests[0].body


@pytest.mark.parametrize("filename", ["a.WAV", "a.ogg", "a", "../a.wav", 'a".wav', "a\r\n.wav", ".wav", "é.mp3"])
def test_a_file_name_the_portal_would_refuse_is_refused_here(client: Bitrix24, filename: str) -> None:
    with pytest.raises(FileRefused):
        client.upload(UploadUrl("https://p.example/rest/upload", "file"), b"x", filename)


@pytest.fixture
def tls_portal() -> Iterator[ScriptedPortal]:
    with ScriptedPortal(certificate=CERTIFICATE) as server:
        server.webhook = server.webhook.replace("http:", "https:")
        yield server


def test_tls_connections_are_kept_and_their_times_too(tls_portal: ScriptedPortal) -> None:
    tls_portal.steps = [answers({"result": 1}), answers({"result": "x" * 200_000})]
    with Bitrix24(tls_portal.webhook, ca_file=str(CERTIFICATE)) as client:
        assert client.execute(WRITE) == 1
        assert client.execute(WRITE) == "x" * 200_000
        assert tls_portal.connections == 1
        tls_portal.otherwise = drips(http(b"x" * 1000), 0.02)
        with pytest.raises(AnswerLost, match="in time"):
            client.execute(WRITE, timeout_s=0.5)


def test_an_untrusted_certificate_is_named_in_plain_words(tls_portal: ScriptedPortal) -> None:
    with Bitrix24(tls_portal.webhook) as client, pytest.raises(NotSent, match="certificate is not valid"):
        client.execute(WRITE, timeout_s=3)
    assert tls_portal.requests == []


def test_a_portal_without_tls_is_surely_not_sent_to(portal: ScriptedPortal) -> None:
    with (
        Bitrix24(portal.webhook.replace("http:", "https:"), timeouts=Timeouts(connect=1)) as client,
        pytest.raises(NotSent) as caught,
    ):
        client.execute(WRITE, timeout_s=3)
    assert not caught.value.maybe_done
    assert portal.requests == []


def test_half_a_surrogate_does_not_empty_the_parameters(portal: ScriptedPortal, client: Bitrix24) -> None:
    client.execute(Command("m", {"NAME": "a\udcff", "NONE": None, "YES": True, "LIST": [1, "б"]}, lambda r: r))
    assert json.loads(portal.requests[0].body) == {"NAME": "a?", "YES": 1, "LIST": [1, "б"]}
    assert portal.requests[0].headers["content-type"] == "application/json"


def test_a_thread_without_a_place_in_the_budget_gives_up_without_asking(portal: ScriptedPortal) -> None:
    budget = Budget(rate=0.01, burst=2)
    with Bitrix24(portal.webhook, budget=budget) as client:
        client.execute(WRITE)
        with pytest.raises(NotSent, match="request limit"):
            client.execute(WRITE, timeout_s=1)
    assert len(portal.requests) == 1
