"""Links to recordings, and whether the portal may be asked to follow them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bx24client import AnswerLost, FileRefused, UnreadableAnswer
from itgrix_bx.delivery import fetching as module
from itgrix_bx.delivery.fetching import LARGEST, MOST_FAILURES, Fetching
from itgrix_bx.delivery.recording import links as links_module
from itgrix_bx.delivery.recording.links import LinkOverError, Links, UnknownLinkError, hidden
from sql import Database, DatabaseAwayError, Notes, upgrade

URL = "https://pbx.example.com/recordings/"


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    upgrade(database)
    yield Notes(database)
    database.close()


@pytest.fixture
def links(notes: Notes) -> Links:
    made = Links(URL)
    made.prepare(notes)
    return made


@pytest.fixture
def fetching(notes: Notes) -> Fetching:
    return Fetching(URL, notes)


def token_of(link: str) -> str:
    return link.removeprefix(URL).partition("/")[0]


# --- links ---------------------------------------------------------------------------------------


def test_a_link_says_which_call_it_is_for_to_every_machine(links: Links, notes: Notes) -> None:
    link = links.make("1700000000.1", "a-1.mp3")
    assert link.startswith(URL)
    assert link.endswith("/a-1.mp3")
    other = Links(URL)
    other.prepare(notes)
    assert other.call_of(token_of(link), "a-1.mp3") == "1700000000.1"


def test_a_link_is_for_one_name(links: Links) -> None:
    with pytest.raises(UnknownLinkError):
        links.call_of(token_of(links.make("17.1", "a.mp3")), "b.mp3")


def test_a_link_ends_after_an_hour(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    token = token_of(links.make("17.1", "a.mp3"))
    now = links_module.time.time()
    monkeypatch.setattr(links_module.time, "time", lambda: now + 3595)
    assert links.call_of(token, "a.mp3") == "17.1"
    monkeypatch.setattr(links_module.time, "time", lambda: now + 3605)
    with pytest.raises(LinkOverError):
        links.call_of(token, "a.mp3")


def test_no_part_of_a_link_can_be_changed(links: Links) -> None:
    token = token_of(links.make("17.1", "a.mp3"))
    for at in range(len(token) - 1):  # the last letter holds two bits that say nothing
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(UnknownLinkError):
            links.call_of(changed, "a.mp3")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "=.=", "é.é", "\0", "x" * 100_000, "." * 1000, "W10.AA"])
def test_what_is_no_link_is_unknown(links: Links, token: str) -> None:
    with pytest.raises(UnknownLinkError):
        links.call_of(token, "a.mp3")


def test_a_link_signed_with_another_key_is_unknown(links: Links, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/other.db")
    upgrade(database)
    stranger = Links(URL)
    stranger.prepare(Notes(database))
    with pytest.raises(UnknownLinkError):
        links.call_of(token_of(stranger.make("17.1", "a.mp3")), "a.mp3")
    database.close()


def test_before_the_key_was_read_nobody_is_told_anything() -> None:
    with pytest.raises(DatabaseAwayError):
        Links(URL).call_of("a.b", "a.mp3")


def test_a_text_that_quotes_a_link_loses_it_even_when_it_was_cut(links: Links) -> None:
    link = links.make("1700000000.1", "1700000000.1-abcd.mp3")
    for cut in (len(link), 120, 90):
        quoted = hidden(f"NETWORK: {link[:cut].replace('/', chr(92) + '/')} does not answer")
        assert token_of(link)[:45] not in quoted
        assert quoted.startswith("NETWORK: ")


# --- whether -------------------------------------------------------------------------------------


def fail(fetching: Fetching, times: int = 1) -> None:
    for _ in range(times):
        fetching.failed("Server returns HTTP error code 502")


def work(fetching: Fetching) -> str:
    with fetching.turn(1) as how:
        return how


def test_until_it_has_worked_one_at_a_time_tries_it_alone(fetching: Fetching) -> None:
    with fetching.turn(1) as first, fetching.turn(1) as second:
        assert (first, second) == ("alone", "")
    assert work(fetching) == "together"
    with fetching.turn(1) as first, fetching.turn(1) as second:
        assert (first, second) == ("together", "together")


def test_after_a_failure_it_is_tried_alone_again(fetching: Fetching) -> None:
    work(fetching)
    fail(fetching)
    assert (work(fetching), work(fetching)) == ("alone", "together")


def test_a_turn_that_came_to_nothing_is_given_back(fetching: Fetching) -> None:
    with pytest.raises(FileRefused), fetching.turn(1):
        raise FileRefused
    assert not fetching.shown().worked_at
    assert work(fetching) == "alone"


def test_after_three_failures_in_a_row_it_rests_and_says_so(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work(fetching)
    fail(fetching, MOST_FAILURES - 1)
    assert not fetching.trouble()
    fail(fetching, 2)
    assert work(fetching) == ""
    assert "the last 4 recordings (Server returns HTTP error code 502)" in fetching.trouble()
    assert URL in fetching.cure
    assert [record.levelname for record in caplog.records if "could not fetch" in record.getMessage()] == ["WARNING"]
    monkeypatch.setattr(module, "REST_S", -1.0)
    assert work(fetching) == "alone"
    assert not fetching.trouble()


def test_one_failure_after_the_rest_is_enough_to_rest_again(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(fetching, MOST_FAILURES)
    past = module.time.time() - module.REST_S - 1.0
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: past)
        fail(fetching)
    assert not fetching.shown().rests
    fail(fetching)
    assert work(fetching) == ""


def test_a_restart_forgets_nothing_and_another_address_has_all_its_chances(fetching: Fetching, notes: Notes) -> None:
    fail(fetching, MOST_FAILURES)
    assert work(Fetching(URL, notes)) == ""
    assert work(Fetching("https://other.example.com/", notes)) == "alone"


def test_an_answer_that_never_came_counts_and_rubbish_at_once_does_not(fetching: Fetching) -> None:
    for error in (UnreadableAnswer("a page", 502), AnswerLost("no answer in time"), UnreadableAnswer("a page", 504)):
        with pytest.raises(AnswerLost), fetching.turn(1):
            raise error
    assert fetching.shown().failures == 2


def test_what_the_portal_could_not_fetch_within_its_minute_is_sent(fetching: Fetching) -> None:
    with fetching.turn(LARGEST + 1) as how:
        assert how == ""


def test_without_an_address_nothing_is_fetched(notes: Notes) -> None:
    assert work(Fetching("", notes)) == ""
