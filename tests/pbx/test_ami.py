"""The lasting link: it comes back, keeps order, and what it could not keep it says."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from itgrix_bx.config import from_tables
from itgrix_bx.pbx.ami import Ami, manager_of
from itgrix_bx.pbx.link import Timings
from itgrix_bx.pbx.messages import AmiLinkLostError, AmiUnreachableError, Message
from tests.pbx.conftest import HURRIED
from tests.pbx.peer import SECRET, Action, Peer, error, message, success


class Diary:
    """What the callbacks heard, in order: an event's N, `up`, `down`, or how many were lost."""

    def __init__(self, ami: Ami) -> None:
        self.lines: list[str] = []
        ami.on("Newstate", lambda event: self.lines.append(event.get("N")))
        ami.on_link(lambda up: self.lines.append("up" if up else "down"))
        ami.on_gap(lambda count: self.lines.append(f"lost {count}"))

    def until(self, check: Callable[[list[str]], bool]) -> list[str]:
        end = time.monotonic() + 15
        while not check(self.lines):
            assert time.monotonic() < end, self.lines[-20:]
            time.sleep(0.005)
        return self.lines


@pytest.fixture
def ami(peer: Peer) -> Iterator[Ami]:
    made = Ami(peer.manager(mask="call"), HURRIED, room=1000)
    yield made
    made.stop()


def numbered(count: int, begin: int = 0) -> bytes:
    return b"".join(message("Event: Newstate", f"N: {n}") for n in range(begin, begin + count))


def test_events_come_in_order_and_only_to_who_wants_them(ami: Ami, peer: Peer) -> None:
    others: list[str] = []
    every: list[str] = []
    diary = Diary(ami)
    ami.on("Hangup", lambda event: others.append(event.event))
    ami.on("*", lambda event: every.append(event.event))
    ami.start()
    peer.wait_for("Events")
    peer.send(numbered(3) + message("Event: Hangup") + message("Event: Other") + numbered(1, 3))
    diary.until(lambda lines: "3" in lines)
    assert [line for line in diary.lines if line != "up"] == ["0", "1", "2", "3"]
    assert (others, len(every)) == (["Hangup"], 6)


def test_a_callback_that_fails_takes_nobody_elses_event(
    ami: Ami, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:  # M9
    def fail(event: Message) -> None:
        raise ValueError(event.get("N"))

    ami.on("Newstate", fail)
    diary = Diary(ami)
    ami.start()
    peer.wait_for("Events")
    peer.send(numbered(5))
    diary.until(lambda lines: "4" in lines)
    assert caplog.text.count("a callback failed") == 5


def test_a_callback_may_ask(ami: Ami, peer: Peer) -> None:
    peer.channels = [{"Uniqueid": "1.1"}]
    found: list[int] = []
    ami.on_link(lambda up: found.append(len(ami.ask("CoreShowChannels").items)) if up else None)
    ami.start()
    peer.wait_for("CoreShowChannels")
    Diary(ami).until(lambda _: found == [1])


def test_it_comes_back_and_both_are_told(ami: Ami, peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:  # M6, M16
    diary = Diary(ami)
    ami.start()
    for n in range(4):
        peer.wait_for("Events", n + 1)
        peer.send(numbered(1, n))
        diary.until(lambda lines, n=n: str(n) in lines and lines.count("up") == n + 1)  # type: ignore[misc]
        ami.ask("Ping")
        peer.drop()
        diary.until(lambda lines, n=n: lines.count("down") == n + 1)  # type: ignore[misc]
    assert [line for line in diary.lines if line.isdigit()] == ["0", "1", "2", "3"]
    assert capsys.readouterr() == ("", "")


def test_while_asterisk_is_away_asking_fails_at_once_and_it_is_found_again(ami: Ami, peer: Peer) -> None:
    diary = Diary(ami)
    ami.start()
    diary.until(lambda lines: "up" in lines)
    peer.stop()
    diary.until(lambda lines: "down" in lines)
    with pytest.raises(AmiUnreachableError, match="no link"):
        ami.ask("Ping")
    health = ami.health()
    assert (health["ok"], health["vital"]) == (False, False)
    assert str(peer.port) in health["error"] or "closed" in health["error"]
    peer.start()
    diary.until(lambda lines: lines.count("up") == 2)
    assert ami.ask("Ping").answer.get("Ping") == "Pong"
    assert ami.health()["ok"]


def test_an_action_in_hand_when_the_link_is_lost_fails_and_the_next_one_works(ami: Ami, peer: Peer) -> None:
    diary = Diary(ami)
    ami.start()
    diary.until(lambda lines: "up" in lines)
    peer.answers["Half"] = lambda _: peer.drop() or None
    with pytest.raises(AmiLinkLostError):
        ami.ask("Half")
    diary.until(lambda lines: lines.count("up") == 2)
    ami.ask("Ping")


def test_more_events_than_fit_are_counted_and_told(ami: Ami, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    goes_on = threading.Event()
    ami.on("Newstate", lambda _: goes_on.wait(20) and None)
    diary = Diary(ami)
    ami.start()
    peer.wait_for("Events")
    peer.send(numbered(5000))
    peer.answers["Mark"] = peer.answers["Ping"]
    ami.ask("Mark")  # all 5000 are read
    assert ami.health()["events_lost"] > 0
    goes_on.set()
    lines = diary.until(lambda lines: any(line.startswith("lost") for line in lines))
    lost = int(next(line for line in lines if line.startswith("lost")).split()[1])
    peer.send(numbered(1, 5000))
    diary.until(lambda lines: "5000" in lines)
    heard = [line for line in diary.lines if line.isdigit()]
    assert len(heard) + lost == 5001
    assert heard == sorted(heard, key=int)
    assert ami.health()["events_lost"] == lost
    assert f"{lost} events of Asterisk were lost" in caplog.text


def test_each_gap_is_told_not_the_first_alone(ami: Ami, peer: Peer) -> None:
    goes_on = threading.Event()
    ami.on("Newstate", lambda _: goes_on.wait(20) and None)
    diary = Diary(ami)
    ami.start()
    peer.wait_for("Events")
    peer.answers["Mark"] = peer.answers["Ping"]
    for gaps in (1, 2):
        goes_on.clear()
        peer.send(numbered(5000))
        ami.ask("Mark")  # all 5000 are read
        goes_on.set()
        diary.until(lambda lines, gaps=gaps: sum(line.startswith("lost") for line in lines) == gaps)
    told = sum(int(line.split()[1]) for line in diary.lines if line.startswith("lost"))
    assert told == ami.health()["events_lost"]


def test_ten_thousand_events_in_a_burst_lose_none(peer: Peer) -> None:
    ami = Ami(peer.manager(mask="call"), HURRIED)
    diary = Diary(ami)
    ami.start()
    peer.wait_for("Events")
    peer.send(numbered(10_000))
    diary.until(lambda lines: "9999" in lines)
    ami.stop()
    assert [line for line in diary.lines if line.isdigit()] == [str(n) for n in range(10_000)]


def test_it_comes_back_under_load_in_order_and_without_halves(peer: Peer) -> None:
    ami = Ami(peer.manager(mask="call"), HURRIED)
    diary = Diary(ami)
    ami.start()
    storm = numbered(20_000)
    for n in range(5):
        peer.wait_for("Events", n + 1)
        threading.Timer(0.05 + n / 100, peer.drop).start()
        with contextlib.suppress(OSError):
            peer.send(storm)
        diary.until(lambda lines, n=n: lines.count("down") > n)  # type: ignore[misc]
    ami.stop()
    links = " ".join(line for line in diary.lines if line != "up").split("down")
    heard = [[int(number) for number in link.split()] for link in links]
    assert all(numbers == list(range(len(numbers))) for numbers in heard)
    assert sum(map(len, heard)) > 0
    assert ami.health()["events_lost"] == 0


def test_a_refused_login_is_not_hammered_and_names_no_secret(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer.answers["Login"] = lambda a: error(a, "Authentication failed")
    ami = Ami(peer.manager(), Timings(again=0.01, slowest=0.02, refused=30.0))
    ami.start()
    peer.wait_for("Login")
    end = time.monotonic() + 10
    while "does not let admin in" not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(peer.asked("Login")) == 1
    assert "does not let admin in" in ami.health()["error"]
    ami.stop()
    assert SECRET not in caplog.text


@pytest.mark.parametrize(("steady_s", "tries"), [(10.0, [1, 2, 3, 4]), (0.0, [0, 0, 0, 0])])
def test_a_link_that_is_lost_again_and_again_is_retried_ever_more_slowly(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, steady_s: float, tries: list[int]
) -> None:
    """But for one that held: it was a good one."""
    counted: list[int] = []
    enough = threading.Event()

    def pause(_: Ami, tries: int) -> float:
        counted.append(tries)
        if len(counted) == 4:
            enough.set()
        return 0.01

    peer.answers["Events"] = lambda _: peer.drop() or None
    ami = Ami(peer.manager(mask="call"), Timings(again=0.05, slowest=10.0, refused=0.1, steady=steady_s))
    waits = [ami._pause(tries) for tries in range(1, 6)]
    assert all(0.05 * 2**n / 2 <= wait <= 0.05 * 2**n for n, wait in enumerate(waits, 1))
    assert ami._pause(500) <= 10.0
    monkeypatch.setattr(Ami, "_pause", pause)
    ami.start()
    assert enough.wait(10)
    ami.stop()
    assert counted[:4] == tries


def test_stopping_while_nobody_answers_is_quick() -> None:
    with Peer(greeting=b"") as peer:
        ami = Ami(peer.manager(), Timings(answer=0.5))
        ami.start()
        time.sleep(0.05)
        ami.stop()
        assert not ami.connected


def test_stopping_in_the_middle_of_a_login_leaves_no_link(peer: Peer) -> None:
    """Who stops then finds no link to close yet."""
    asked, goes_on = threading.Event(), threading.Event()

    def slowly(action: Action) -> bytes:
        asked.set()
        goes_on.wait(10)
        return success(action, "Events: On")

    peer.answers["Events"] = slowly
    ami = Ami(peer.manager(mask="call"), HURRIED)
    ami.start()
    assert asked.wait(10)
    stopping = threading.Thread(target=ami.stop)
    stopping.start()
    assert ami._stopping.wait(10)
    goes_on.set()
    stopping.join(10)
    assert not any(thread.is_alive() for thread in (ami._keeper, ami._teller))


def test_the_manager_of_the_configuration() -> None:
    settings = from_tables({"ami": {"address": "[::1]:5039", "username": "u", "secret": "s", "tls": True}})
    found = manager_of(settings.ami, mask="call", events=("Hangup",))
    assert (found.address, found.username, found.secret, found.mask) == (("::1", 5039), "u", "s", "call")
    assert found.tls is not None
    assert found.tls.check_hostname
