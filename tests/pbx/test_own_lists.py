"""Extensions and the black list as the PBX tells them, whatever its version and the rights it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from itgrix_bx.config import from_tables
from itgrix_bx.numbers import numbering
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.own_lists import Entry, OwnLists, blocked
from itgrix_bx.setup.checks import own_numbers
from sql import Database, upgrade
from sql.numbers import BLOCKED, EXTENSION, Numbers
from tests.pbx.conftest import HURRIED
from tests.pbx.peer import SECRET, Action, Answer, Peer, error, message, success


def items(name: str, *each: tuple[str, ...]) -> Answer:
    """A list as Asterisk sends one."""

    def answer(action: Action) -> bytes:
        action_id = f"ActionID: {action.get('ActionID')}"
        begin = success(action, "EventList: start", "Message: A listing will follow")
        events = [message(f"Event: {name}", action_id, *lines) for lines in each]
        end = message(f"Event: {name}Complete", action_id, "EventList: Complete", f"ListItems: {len(each)}")
        return b"".join([begin, *events, end])

    return answer


def refuses(text: str) -> Answer:
    return lambda action: error(action, text)


HINTS = items(
    "ExtensionStatus",
    ("Exten: 101", "Context: ext-local", "Hint: PJSIP/101&Custom:DND101,CustomPresence:101", "Status: 0"),
    ("Exten: 20012", "Context: ext-local", "Hint: SIP/20012", "Status: 4"),
    ("Exten: 71", "Context: parkedcalls", "Hint: park:71@parkedcalls", "Status: 0"),
    ("Exten: *76101", "Context: ext-dnd-hints", "Hint: Custom:DND101", "Status: 0"),
    ("Exten: _*43X.", "Context: features", "Hint: SIP/x", "Status: 0"),
)
ENDPOINTS = items(
    "EndpointList",
    ("ObjectName: 102", "Auths: auth102", "OutboundAuths: "),
    ("ObjectName: 74951234567", "Auths: ", "OutboundAuths: mts"),
    ("ObjectName: 79990001122", "Auths: ", "OutboundAuths: "),
    ("ObjectName: reception", "Auths: r", "OutboundAuths: "),
    ("ObjectName: 74951112233", "Auths: mts", "OutboundAuths: mts"),
)
BLACKLIST = items(
    "DBGetTreeResponse",
    ("Key: /blacklist/89161234567", "Val: spam"),
    ("Key: /blacklist/+74950000001", "Val: 1"),
    ("Key: /blacklist/dest", "Val: app-blackhole,zapateller,1"),
    ("Key: /blacklist/blocked", "Val: 1"),
    ("Key: /blacklist/note", "Val: spam"),
)
NOBODY = refuses("Permission denied")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Numbers]:
    database = Database(f"sqlite:///{tmp_path}/journal.db")
    upgrade(database)
    yield Numbers(database)
    database.close()


@pytest.fixture
def reading(peer: Peer, store: Numbers) -> Iterator[Callable[[], None]]:
    """Starts it; `peer` has been told what to answer."""
    ami = Ami(peer.manager(mask="call", events=("Hangup",)), HURRIED)
    lists = OwnLists(ami, store, every_s=0.1)

    def start() -> None:
        ami.start()
        lists.start()

    yield start
    lists.stop()
    ami.stop()


def until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


def knows(peer: Peer, **answers: Answer) -> None:
    """Of the lists, these and no others."""
    for action in ("ExtensionStateList", "PJSIPShowEndpoints", "SIPpeers", "DBGetTree"):
        peer.answers.pop(action, None)
    peer.answers |= answers


def test_hints_and_phones_are_extensions_and_trunks_are_not(
    peer: Peer, store: Numbers, reading: Callable[[], None]
) -> None:
    knows(peer, ExtensionStateList=HINTS, PJSIPShowEndpoints=ENDPOINTS, DBGetTree=BLACKLIST)
    peer.answers["SIPpeers"] = items(
        "PeerEntry", ("ObjectName: 103", "Dynamic: Yes"), ("ObjectName: 74957654321", "Dynamic: no")
    )
    reading()
    until(lambda: store.pbx(EXTENSION) == {"101", "20012", "102", "103"})
    until(lambda: store.pbx(BLOCKED) == {"89161234567", "+74950000001", ""})


def test_with_the_least_rights_hints_are_enough(peer: Peer, store: Numbers, reading: Callable[[], None]) -> None:
    knows(peer, ExtensionStateList=HINTS, PJSIPShowEndpoints=NOBODY, SIPpeers=NOBODY, DBGetTree=BLACKLIST)
    reading()
    until(lambda: store.pbx(EXTENSION) == {"101", "20012"})


def test_changes_are_noticed_and_an_emptied_black_list_is_empty(
    peer: Peer, store: Numbers, reading: Callable[[], None]
) -> None:
    knows(peer, ExtensionStateList=HINTS, DBGetTree=BLACKLIST)
    reading()
    until(lambda: bool(store.pbx(BLOCKED)))
    peer.answers["DBGetTree"] = refuses("Database entry not found")
    until(lambda: store.pbx(BLOCKED) == frozenset())
    assert store.pbx(EXTENSION) == {"101", "20012"}


def test_an_asterisk_that_is_still_starting_takes_no_extension_away(
    peer: Peer, store: Numbers, reading: Callable[[], None]
) -> None:
    store.replace_pbx(EXTENSION, ["101"])
    knows(peer, ExtensionStateList=items("ExtensionStatus"), DBGetTree=BLACKLIST)
    reading()
    peer.wait_for("ExtensionStateList", 3)
    assert store.pbx(EXTENSION) == {"101"}


def test_an_old_asterisk_is_asked_by_its_command(peer: Peer, store: Numbers, reading: Callable[[], None]) -> None:
    def show(action: Action) -> bytes:
        assert action.get("Command") == "database show blacklist"
        lines = [
            "/blacklist/89161234567                            : spam: calls daily",
            "/blacklist/blocked                                : 1 ",
            "2 results found.",
        ]
        head = f"Response: Follows\r\nPrivilege: Command\r\nActionID: {action.get('ActionID')}\r\n"
        return (head + "\n".join(lines) + "\n--END COMMAND--\r\n\r\n").encode()

    knows(peer, ExtensionStateList=HINTS, Command=show)
    reading()
    until(lambda: store.pbx(BLOCKED) == {"89161234567", ""})


def test_callers_without_a_number_are_let_in_where_the_pbx_says_so() -> None:
    assert blocked([Entry("blocked", "0"), Entry("blocked", ""), Entry("112", "1")]) == {"112"}


def test_a_black_list_of_numbers_alone_turns_no_caller_without_one_away(store: Numbers) -> None:
    for listed, turned_away in ((["112"], False), (["112", ""], True)):
        store.replace_pbx(BLOCKED, listed)
        assert numbering(store, from_tables({}).numbers).lists.no_anonymous is turned_away


def test_an_endless_black_list_is_cut() -> None:
    assert len(blocked([Entry(str(number), "1") for number in range(50_001)])) == 50_000


def test_what_may_not_be_read_is_said_once_and_what_was_read_before_stays(
    peer: Peer, store: Numbers, reading: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    store.replace_pbx(BLOCKED, ["89161234567"])
    knows(peer, ExtensionStateList=NOBODY, DBGetTree=NOBODY)
    reading()
    peer.wait_for("DBGetTree", 4)
    assert store.pbx(BLOCKED) == {"89161234567"}
    said = [record.message for record in caplog.records if "is not read" in record.message]
    assert len(said) == 2
    assert not peer.asked("Command")


@pytest.mark.parametrize(
    ("answers", "result", "says"),
    [
        ({"ExtensionStateList": HINTS, "DBGetTree": BLACKLIST}, "ok", "2 extensions, 3 numbers on the PBX's"),
        ({"ExtensionStateList": HINTS, "Command": NOBODY}, "warning", "`write = reporting,command`"),
        ({"ExtensionStateList": NOBODY, "DBGetTree": NOBODY}, "warning", "`write = reporting`"),
    ],
)
def test_doctor_says_what_is_read_and_which_right_is_missing(
    peer: Peer, answers: dict[str, Answer], result: str, says: str
) -> None:
    knows(peer, **answers)
    ami = {"address": f"127.0.0.1:{peer.port}", "username": "admin", "secret": SECRET}
    found = own_numbers(from_tables({"ami": ami}))
    assert found.result == result
    assert says in found.found + found.cure


def test_hostile_values_and_a_link_that_breaks_in_the_middle_end_nothing(
    peer: Peer, store: Numbers, reading: Callable[[], None]
) -> None:
    breaks = iter([True])

    def tree(action: Action) -> bytes:
        if next(breaks, False):
            peer.drop()
        strange = ("Key: /blacklist/" + "9" * 4000, "Val: \x00\x1b[31m"), ("Key: ", "Val:"), ("Key: /blacklist/112", "")
        return items("DBGetTreeResponse", *strange)(action)  # type: ignore[return-value]

    knows(peer, ExtensionStateList=HINTS, DBGetTree=tree)
    reading()
    until(lambda: "112" in store.pbx(BLOCKED))
    assert all(len(number) <= 40 for number in store.pbx(BLOCKED))
