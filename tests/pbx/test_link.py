"""One connection to the manager against a scripted peer, byte by byte where it matters."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from itgrix_bx.pbx.link import Link, Timings
from itgrix_bx.pbx.messages import (
    AmiLinkLostError,
    AmiLoginError,
    AmiProtocolError,
    AmiRefusedError,
    AmiTimeoutError,
    AmiUnreachableError,
    AmiValueError,
    Message,
)
from tests.pbx.conftest import HURRIED
from tests.pbx.peer import SECRET, Action, Peer, error, message, success


@pytest.fixture
def events() -> list[Message]:
    return []


@pytest.fixture
def link(peer: Peer, events: list[Message]) -> Iterator[Link]:
    with Link(peer.manager(), events.append, HURRIED) as opened:
        opened.login()
        yield opened


def until(events: list[Message], count: int) -> list[Message]:
    end = time.monotonic() + 10
    while len(events) < count:
        assert time.monotonic() < end, f"{len(events)} of {count} events came"
        time.sleep(0.002)
    return events


# --- coming in -----------------------------------------------------------------------------------


def test_the_secret_does_not_travel_and_is_not_told(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:  # M17
    caplog.set_level(logging.DEBUG)
    with Link(peer.manager(), timings=HURRIED) as link:
        link.login()
    assert not any(SECRET.encode() in action.raw for action in peer.heard)
    assert SECRET not in caplog.text + repr(peer.manager())


def test_without_a_challenge_the_secret_is_sent_and_that_is_said(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    peer.answers["Challenge"] = lambda a: error(a, "Invalid/unknown command")
    with Link(peer.manager(), timings=HURRIED) as link:
        link.login()
    (login,) = peer.asked("Login")
    assert login.get("Secret") == SECRET
    assert "travels as it is" in caplog.text
    assert SECRET not in caplog.text


def test_a_refused_login_is_not_tried_again_in_clear_and_names_no_secret(peer: Peer) -> None:
    peer.answers["Login"] = lambda a: error(a, "Authentication failed")
    with Link(peer.manager(), timings=HURRIED) as link, pytest.raises(AmiLoginError, match="admin") as caught:
        link.login()
    assert len(peer.asked("Login")) == 1
    assert SECRET not in str(caught.value)


def test_only_the_wanted_events_are_asked_for(peer: Peer) -> None:
    with Link(peer.manager(mask="call,agent", events=("Hangup", "Newstate")), timings=HURRIED) as link:
        link.login()
    assert peer.asked("Login")[0].get("Events") == "off"
    assert peer.asked("Filter")[0].get("Filter") == "^Event: (Hangup|Newstate)[[:space:]]"
    assert peer.asked("Events")[0].get("EventMask") == "call,agent"


def test_who_may_not_filter_gets_the_events_all_the_same(peer: Peer) -> None:
    peer.answers["Filter"] = lambda a: error(a, "Permission denied")
    with Link(peer.manager(mask="call", events=("Hangup",)), timings=HURRIED) as link:
        link.login()
    assert peer.asked("Events")[0].get("EventMask") == "call"


def test_the_manager_may_be_on_ipv6() -> None:  # M17
    with Peer("::1") as peer, Link(peer.manager(), timings=HURRIED) as link:
        link.login()


# --- a peer that does not behave -----------------------------------------------------------------


def test_nobody_listening_is_said_at_once() -> None:
    peer = Peer()
    peer.stop()
    with pytest.raises(AmiUnreachableError, match=f"127.0.0.1:{peer.port}"):
        Link(peer.manager(), timings=HURRIED)


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (b"", AmiUnreachableError),  # never says anything
        (b"Asterisk Call Man", AmiUnreachableError),  # stops in the middle of it
        (b"SSH-2.0-OpenSSH_9.2\r\n", AmiProtocolError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", AmiProtocolError),
        (b"Asterisk Call Manager" + b"x" * 5000, AmiProtocolError),
    ],
)
def test_a_peer_that_is_no_manager_holds_nobody(greeting: bytes, kind: type[Exception]) -> None:  # M4
    with Peer(greeting=greeting) as peer, pytest.raises(kind):
        Link(peer.manager(), timings=Timings(connect=1.0, answer=0.2))


def test_a_peer_that_closes_before_it_greets_holds_nobody(peer: Peer) -> None:  # M4
    peer.greeting = None
    closer = threading.Thread(target=_close_soon, args=(peer,))
    closer.start()
    with pytest.raises(AmiUnreachableError, match="closed without a greeting"):
        Link(peer.manager(), timings=HURRIED)
    closer.join()


def _close_soon(peer: Peer) -> None:
    while not peer.connections:
        time.sleep(0.002)
    peer.drop()


def test_a_greeting_in_pieces_with_the_first_event_behind_it_is_read(events: list[Message]) -> None:
    greeting = b"Asterisk Call Manager/2.10.6\r\nEvent: Early\r\nX: y\r\n"
    with Peer(greeting=greeting) as peer, Link(peer.manager(), events.append, HURRIED) as link:
        peer.send(b"\r\n")
        assert until(events, 1)[0].get("X") == "y"
        assert link.version == "2.10.6"


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\xff" * 40_000, b"Event: X\r\nA: " + b"y" * 200_000])
def test_a_peer_that_goes_mad_is_left(link: Link, peer: Peer, garbage: bytes) -> None:
    peer.answers["Never"] = lambda _: None
    future = link.submit("Never")
    with contextlib.suppress(ConnectionError):  # it may be left before it has said it all
        peer.send(garbage)
    with pytest.raises(AmiLinkLostError, match="more than"):
        future.result(10)
    assert link.lost.wait(10)


def test_a_silent_peer_is_pinged_and_kept(peer: Peer) -> None:
    with Link(peer.manager(), timings=Timings(silence=0.05, answer=5.0)) as link:
        link.login()
        peer.wait_for("Ping", 3)
        assert not link.lost.is_set()


def test_a_peer_that_answers_no_ping_is_lost(peer: Peer) -> None:
    peer.answers["Ping"] = lambda _: None
    with Link(peer.manager(), timings=Timings(silence=0.05, answer=0.3)) as link:
        link.login()
        assert link.lost.wait(10)
        assert "silent" in str(link.reason)
        assert link.heard_at < time.time() - 0.25


def test_a_peer_that_reads_nothing_holds_nobody(peer: Peer) -> None:
    taken = threading.Event()
    peer.answers["Stuck"] = lambda _: str(taken.wait(20) or "")
    with Link(peer.manager(), timings=Timings(silence=30, answer=0.3)) as link:
        link.login()
        with pytest.raises(AmiLinkLostError, match="takes nothing"):
            _submit_for_ever(link)
        taken.set()


def _submit_for_ever(link: Link) -> None:
    while True:
        link.submit("Stuck", [("Variable", "x" * 1000)] * 100)


# --- answers find their question -----------------------------------------------------------------


def test_answers_out_of_order_reach_who_asked(link: Link, peer: Peer) -> None:  # M3
    waiting: list[Action] = []

    def answer_in_reverse(action: Action) -> bytes:
        waiting.append(action)
        if len(waiting) < 20:
            return b""
        return b"".join(success(a, f"Value: {a.get('Variable')}") for a in reversed(waiting))

    peer.answers["Getvar"] = answer_in_reverse
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(link.ask, "Getvar", {"Variable": str(n)}) for n in range(20)]
        assert [future.result().answer.get("Value") for future in asked] == [str(n) for n in range(20)]


def test_a_late_answer_is_nobodys(link: Link, peer: Peer) -> None:  # M5
    peer.answers["Slow"] = lambda _: None
    with pytest.raises(AmiTimeoutError, match="Slow"):
        link.ask("Slow", timeout_s=0.05)
    late = success(peer.asked("Slow")[0], "Value: late")
    peer.answers["Getvar"] = lambda a: late + success(a, "Value: true")
    assert link.ask("Getvar").answer.get("Value") == "true"


def test_the_next_action_carries_nothing_of_the_one_before(link: Link, peer: Peer) -> None:  # M2
    peer.answers["Originate"] = success
    link.ask("Originate", {"Channel": "Local/1@x", "Exten": "2"})
    link.ask("Ping")
    first, second = peer.asked("Originate")[0], peer.asked("Ping")[-1]
    assert [name for name, _ in second.headers] == ["Action", "ActionID"]
    assert first.get("ActionID") != second.get("ActionID")


def test_a_hostile_value_sends_nothing_and_harms_nothing(link: Link, peer: Peer) -> None:  # M10
    before = len(peer.heard)
    with pytest.raises(AmiValueError):
        link.ask("Setvar", {"Value": "x\r\n\r\nAction: Command\r\nCommand: core stop now"})
    link.ask("Ping")
    assert {action.name for action in peer.heard[before:]} == {"Ping"}  # a silent link pings by itself, too


def test_a_refusal_is_asterisks_own_words(link: Link, peer: Peer) -> None:
    peer.answers["Command"] = lambda a: error(a, "Permission denied")
    with pytest.raises(AmiRefusedError) as caught:
        link.ask("Command", {"Command": "core show uptime"})
    assert caught.value.reason == "Permission denied"


@pytest.mark.parametrize("end", ["EventList: Complete", "Was: Asterisk 11"])
def test_a_list_is_whole_and_events_between_its_items_are_events(
    link: Link, peer: Peer, events: list[Message], end: str
) -> None:
    def answer(action: Action) -> bytes:
        mine = f"ActionID: {action.get('ActionID')}"
        return (
            success(action, "Message: Channel status will follow")
            + message("Event: Status", mine, "Uniqueid: 1.1")
            + message("Event: Hangup", "Uniqueid: 5.5")
            + message("Event: Status", mine, "Uniqueid: 1.2")
            + message("Event: Status", "ActionID: another's", "Uniqueid: 1.3")
            + message("Event: StatusComplete", mine, end, "Items: 2")
        )

    peer.answers["Status"] = answer
    reply = link.ask("Status")
    assert [item.get("Uniqueid") for item in reply.items] == ["1.1", "1.2"]
    assert reply.end is not None
    assert reply.end.get("Items") == "2"
    assert [event.get("Uniqueid") for event in events] == ["5.5", "1.3"]


def test_an_event_that_comes_after_its_answer_is_an_event(link: Link, peer: Peer, events: list[Message]) -> None:
    peer.answers["Originate"] = lambda a: (
        success(a, "Message: Originate successfully queued")
        + message("Event: OriginateResponse", f"ActionID: {a.get('ActionID')}", "Reason: 4")
    )
    link.ask("Originate")
    assert until(events, 1)[0].get("Reason") == "4"


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_a_list_torn_anywhere_is_whole(link: Link, peer: Peer, piece: int) -> None:
    peer.channels = [{"Uniqueid": f"1.{n}", "CallerIDName": "Ромашка"} for n in range(5)]
    whole = peer.answers["CoreShowChannels"]

    def torn(action: Action) -> None:
        data = whole(action)
        assert isinstance(data, bytes)
        for start in range(0, len(data), piece):
            peer.send(data[start : start + piece])

    peer.answers["CoreShowChannels"] = torn
    assert len(link.ask("CoreShowChannels").items) == 5


def test_events_while_an_action_waits_are_all_heard(link: Link, peer: Peer, events: list[Message]) -> None:
    def storm(action: Action) -> bytes:
        return b"".join(message("Event: Newstate", f"N: {n}") for n in range(2000)) + success(action)

    peer.answers["Slow"] = storm
    link.ask("Slow")
    assert [event.get("N") for event in events] == [str(n) for n in range(2000)]


def test_an_event_with_channel_variables_stops_nothing(link: Link, peer: Peer, events: list[Message]) -> None:  # M1
    peer.event("Newchannel", "ChanVariable: A=1", "ChanVariable: B=2")
    assert until(events, 1)[0].variables == {"A": "1", "B": "2"}
    link.ask("Ping")


def test_words_of_a_protocol_in_a_value_are_only_words(link: Link, peer: Peer, events: list[Message]) -> None:  # M8
    peer.event("UserEvent", "Body: status will follow", "Message: Channels will follow", "X: --END COMMAND--")
    for n in range(20):
        peer.event("Newstate", f"N: {n}")
    assert len(until(events, 21)) == 21
    link.ask("Ping")


# --- the end -------------------------------------------------------------------------------------


def test_the_link_lost_in_the_middle_of_an_action_is_said_at_once(link: Link, peer: Peer) -> None:  # M15
    peer.answers["Half"] = lambda _: peer.drop() or None
    with pytest.raises(AmiLinkLostError, match="Half"):
        link.ask("Half", timeout_s=10)
    with pytest.raises(AmiLinkLostError, match="not sent"):
        link.ask("Ping")


def test_the_link_lost_in_the_middle_of_a_list_gives_no_half_list(link: Link, peer: Peer) -> None:
    peer.channels = [{"Uniqueid": "1.1"}, {"Uniqueid": "1.2"}]
    whole = peer.answers["CoreShowChannels"]

    def half(action: Action) -> None:
        data = whole(action)
        assert isinstance(data, bytes)
        peer.send(data[: len(data) // 2])
        peer.drop()

    peer.answers["CoreShowChannels"] = half
    with pytest.raises(AmiLinkLostError):
        link.ask("CoreShowChannels", timeout_s=10)


def test_no_loss_at_any_instant_leaves_somebody_waiting(peer: Peer) -> None:  # M15
    peer.answers["Ping"] = lambda _: None
    for n in range(30):
        with Link(peer.manager(), timings=HURRIED) as link, ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(_ask_until_lost, link) for _ in range(4)]
            time.sleep(n / 10_000)
            peer.drop()
            assert [future.result(10) for future in asked] == ["lost"] * 4


def _ask_until_lost(link: Link) -> str:
    try:
        while True:
            link.submit("Ping").result(10)
    except AmiLinkLostError:
        return "lost"


def test_closing_says_goodbye_once_and_answers_who_waits(peer: Peer) -> None:  # M14
    peer.answers["Never"] = lambda _: None
    link = Link(peer.manager(), timings=HURRIED)
    link.login()
    waits = link.submit("Never")
    link.close()
    link.close()
    with pytest.raises(AmiLinkLostError, match="closed"):
        waits.result(0)
    peer.wait_for("Logoff")
    del link
    assert len(peer.asked("Logoff")) == 1


# --- TLS -----------------------------------------------------------------------------------------


def test_over_tls_the_peer_is_known_by_its_certificate() -> None:  # M17
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    ours, others = (ssl.create_default_context(cadata=ca.cert_pem.bytes().decode()) for ca in (authority, stranger))
    with Peer(tls=server) as peer:
        with Link(peer.manager(tls=ours), timings=HURRIED) as link:
            link.login()
            peer.answers["Big"] = lambda a: success(a, *["Output: " + "x" * 1000] * 500)
            with ThreadPoolExecutor(8) as pool:
                sizes = pool.map(lambda _: len(link.ask("Big").answer.output), range(40))
                assert list(sizes) == [500] * 40
        with pytest.raises(AmiUnreachableError, match="certificate"):
            Link(peer.manager(tls=others), timings=HURRIED)
