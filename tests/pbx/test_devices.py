"""What an extension is, from what a scripted manager tells of devices, hints and the AstDB."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from itgrix_bx.pbx import devices as module
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.devices import EVENTS, Devices, DeviceState
from itgrix_bx.pbx.link import Timings
from tests.pbx.peer import Action, Peer, error, message, success

HURRIED = Timings(again=0.05, slowest=0.2)


class Pbx:
    """The manager of a PBX with these devices, hints (by extension and context) and AstDB rows."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.devices: dict[str, str] = {}
        self.hints: dict[tuple[str, str], tuple[str, str]] = {}
        self.dnd: set[str] = set()
        peer.answers["DeviceStateList"] = lambda a: self._list(a, [self._device(*one) for one in self.devices.items()])
        peer.answers["ExtensionStateList"] = lambda a: self._list(a, [self._hint(*one) for one in self.hints.items()])
        peer.answers["DBGetTree"] = self._tree

    def _tree(self, action: Action) -> bytes:
        if not self.dnd:
            return error(action, "Database entry not found")
        rows = [("Event: DBGetTreeResponse", f"Key: /DND/{one}", "Val: YES") for one in sorted(self.dnd)]
        return self._list(action, rows)

    def _list(self, action: Action, items: list[tuple[str, ...]]) -> bytes:
        with_id = f"ActionID: {action.get('ActionID')}"
        events = [message(name, with_id, *rest) for name, *rest in items]
        end = message("Event: ListComplete", with_id, "EventList: Complete", f"ListItems: {len(items)}")
        return success(action, "EventList: start") + b"".join(events) + end

    def _device(self, name: str, state: str) -> tuple[str, ...]:
        return ("Event: DeviceStateChange", f"Device: {name}", f"State: {state}")

    def _hint(self, where: tuple[str, str], what: tuple[str, str]) -> tuple[str, ...]:
        (extension, context), (hint, status) = where, what
        return ("Event: ExtensionStatus", f"Exten: {extension}", f"Context: {context}", f"Hint: {hint}",
                f"Status: {status}")  # fmt: skip

    def change(self, name: str, state: str) -> None:
        self.devices[name] = state
        self.peer.send(message(*self._device(name, state)))


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as running:
        yield running


@pytest.fixture
def pbx(peer: Peer) -> Pbx:
    return Pbx(peer)


@pytest.fixture
def watch(peer: Peer) -> Iterator[Callable[[], Devices]]:
    """Connect to the PBX; the whole picture is there when it returns."""
    started: list[tuple[Ami, Devices]] = []

    def watch() -> Devices:
        ami = Ami(peer.manager(mask="call", events=EVENTS), HURRIED)
        devices = Devices(ami)
        started.append((ami, devices))
        ami.start()
        eventually(lambda: peer.asked("DeviceStateList") and heard(ami))
        return devices

    yield watch
    for ami, devices in started:
        devices.stop()
        ami.stop()


def heard(ami: Ami) -> bool:
    """Whether everything asked so far has been worked on."""
    done: list[object] = []
    if ami.connected:
        ami.ask_in_order("Ping", done.append)
        eventually(lambda: done)
    return bool(done)


def eventually(check: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_without_a_manager_nothing_is_known() -> None:
    assert Devices().state("101") is DeviceState.UNKNOWN


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("NOT_INUSE", DeviceState.FREE),
        ("INUSE", DeviceState.BUSY),
        ("BUSY", DeviceState.BUSY),
        ("ONHOLD", DeviceState.BUSY),
        ("RINGINUSE", DeviceState.BUSY),
        ("RINGING", DeviceState.RINGING),
        ("UNAVAILABLE", DeviceState.UNREACHABLE),
        ("INVALID", DeviceState.UNREACHABLE),
        ("UNKNOWN", DeviceState.UNKNOWN),
        ("NEVER HEARD OF", DeviceState.UNKNOWN),
        ("", DeviceState.UNKNOWN),
    ],
)
@pytest.mark.parametrize("hinted", [True, False])
def test_one_phone(pbx: Pbx, watch: Callable[[], Devices], said: str, state: DeviceState, hinted: bool) -> None:
    pbx.devices["PJSIP/101"] = said
    if hinted:
        pbx.hints["101", "ext-local"] = ("PJSIP/101&Custom:DND101,CustomPresence:101", "?")
    devices = watch()
    assert devices.state("101") is state
    assert devices.state("102") is DeviceState.UNKNOWN


@pytest.mark.parametrize(
    ("desk", "mobile", "state"),
    [
        ("NOT_INUSE", "UNAVAILABLE", DeviceState.FREE),
        ("NOT_INUSE", "INUSE", DeviceState.BUSY),
        ("RINGING", "NOT_INUSE", DeviceState.RINGING),
        ("RINGING", "INUSE", DeviceState.BUSY),
        ("UNAVAILABLE", "UNAVAILABLE", DeviceState.UNREACHABLE),
        ("UNKNOWN", "NOT_INUSE", DeviceState.FREE),
    ],
)
def test_several_phones_are_one_extension(
    pbx: Pbx, watch: Callable[[], Devices], desk: str, mobile: str, state: DeviceState
) -> None:
    pbx.devices |= {"PJSIP/101": desk, "PJSIP/901": mobile, "Custom:DND101": "NOT_INUSE"}
    pbx.hints["101", "ext-local"] = ("PJSIP/101&PJSIP/901&Custom:DND101", "0")
    assert watch().state("101") is state


def test_a_phone_by_another_name_is_found_by_the_hint(pbx: Pbx, watch: Callable[[], Devices]) -> None:
    pbx.devices |= {"SIP/reception": "INUSE", "SIP/101": "NOT_INUSE"}
    pbx.hints["101", "ext-local"] = ("SIP/reception", "1")
    assert watch().state("101") is DeviceState.BUSY


def test_hints_of_several_contexts_are_taken_together(pbx: Pbx, watch: Callable[[], Devices]) -> None:
    pbx.devices |= {"SIP/101": "UNAVAILABLE", "SIP/201": "RINGING"}
    pbx.hints |= {("101", "one"): ("SIP/101", "4"), ("101", "two"): ("SIP/201", "8"), ("_1XX", "all"): ("SIP/x", "0")}
    assert watch().state("101") is DeviceState.RINGING


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("0", DeviceState.FREE),
        ("1", DeviceState.BUSY),
        ("2", DeviceState.BUSY),
        ("8", DeviceState.RINGING),
        ("9", DeviceState.BUSY),
        ("16", DeviceState.BUSY),  # on hold
        ("17", DeviceState.BUSY),
        ("4", DeviceState.UNREACHABLE),
        ("-1", DeviceState.UNKNOWN),
    ],
)
def test_where_no_device_is_told_the_hint_itself_counts(
    pbx: Pbx, watch: Callable[[], Devices], status: str, state: DeviceState
) -> None:
    pbx.hints["101", "ext-local"] = ("DAHDI/3", status)
    assert watch().state("101") is state


def test_do_not_disturb_by_its_device(pbx: Pbx, watch: Callable[[], Devices]) -> None:
    pbx.devices |= {"PJSIP/101": "INUSE", "Custom:DND101": "BUSY", "PJSIP/102": "NOT_INUSE"}
    pbx.hints["101", "ext-local"] = ("PJSIP/101&Custom:DND101", "1")
    devices = watch()
    assert (devices.state("101"), devices.state("102")) == (DeviceState.DND, DeviceState.FREE)
    pbx.change("Custom:DND101", "NOT_INUSE")
    eventually(lambda: devices.state("101") is DeviceState.BUSY)


def test_do_not_disturb_by_the_database_is_seen_within_the_minute(
    pbx: Pbx, watch: Callable[[], Devices], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    pbx.devices |= {"SIP/101": "NOT_INUSE"}
    pbx.dnd.add("101")
    devices = watch()
    eventually(lambda: devices.state("101") is DeviceState.DND)
    pbx.dnd.clear()
    eventually(lambda: devices.state("101") is DeviceState.FREE)


def test_an_old_asterisk_is_asked_for_each_extensions_entry(pbx: Pbx, watch: Callable[[], Devices]) -> None:
    pbx.peer.answers["DBGetTree"] = lambda a: error(a, "Invalid/unknown command: DBGetTree.")

    def get(action: Action) -> bytes:
        if action.get("Key") != "101":
            return error(action, "Database entry not found")
        return pbx._list(action, [("Event: DBGetResponse", "Family: DND", "Key: 101", "Val: YES")])

    pbx.peer.answers["DBGet"] = get
    pbx.devices |= {"SIP/101": "NOT_INUSE", "SIP/102": "NOT_INUSE"}
    pbx.hints |= {(one, "ext-local"): (f"SIP/{one}", "0") for one in ("101", "102")}
    devices = watch()
    eventually(lambda: devices.state("101") is DeviceState.DND)
    assert devices.state("102") is DeviceState.FREE


def test_events_change_the_picture_and_a_new_link_asks_for_all_of_it(pbx: Pbx, watch: Callable[[], Devices]) -> None:
    pbx.devices |= {"PJSIP/101": "NOT_INUSE", "PJSIP/102": "NOT_INUSE"}
    devices = watch()
    pbx.change("PJSIP/101", "RINGING")
    eventually(lambda: devices.state("101") is DeviceState.RINGING)
    pbx.devices |= {"PJSIP/101": "INUSE"}
    del pbx.devices["PJSIP/102"]
    pbx.peer.drop()
    eventually(lambda: devices.state("101") is DeviceState.BUSY)
    assert devices.state("102") is DeviceState.UNKNOWN


def test_what_was_known_counts_for_a_minute_without_a_link_and_not_longer(
    pbx: Pbx, watch: Callable[[], Devices], monkeypatch: pytest.MonkeyPatch
) -> None:
    pbx.devices["PJSIP/101"] = "INUSE"
    devices = watch()
    pbx.peer.stop()
    eventually(lambda: devices._lost_at is not None)
    assert devices.state("101") is DeviceState.BUSY
    monkeypatch.setattr(module, "LOST_S", 0.0)
    assert devices.state("101") is DeviceState.UNKNOWN
    pbx.peer.start()
    eventually(lambda: devices.state("101") is DeviceState.BUSY)


def test_a_user_who_may_not_ask_still_hears(
    pbx: Pbx, watch: Callable[[], Devices], caplog: pytest.LogCaptureFixture
) -> None:
    for action in ("ExtensionStateList", "DBGetTree", "DBGet", "DeviceStateList"):
        pbx.peer.answers[action] = lambda a: error(a, "Permission denied")
    devices = watch()
    pbx.change("PJSIP/101", "INUSE")
    eventually(lambda: devices.state("101") is DeviceState.BUSY)
    assert caplog.text.count("Asterisk refused DeviceStateList: Permission denied") == 1


def test_hostile_and_endless_names_cost_no_memory(
    pbx: Pbx, watch: Callable[[], Devices], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROOM", 300)
    pbx.devices["PJSIP/101"] = "NOT_INUSE"
    devices = watch()
    for n in range(1000):
        pbx.peer.send(message("Event: DeviceStateChange", f"Device: Local/{n}@from-internal", "State: INUSE"))
        pbx.peer.send(message("Event: DeviceStateChange", f"Device: SIP/'; DROP {n}\ud83d", "State: INUSE"))
        pbx.peer.send(message("Event: ExtensionStatus", f"Exten: {n}", "Context: x", "Hint: &&,,&", "Status: 1"))
        pbx.peer.send(message("Event: ExtensionStatus", "Exten: 5", f"Context: {n}", "Hint: ", "Status: x"))
    pbx.change("PJSIP/101", "INUSE")
    eventually(lambda: devices.state("101") is DeviceState.BUSY)
    assert devices.known() <= 600
    assert devices.state("5") is DeviceState.BUSY


def test_a_device_for_dnd_counts_without_a_hint_and_in_a_hint_whatever_its_number(
    pbx: Pbx, watch: Callable[[], Devices]
) -> None:
    pbx.devices |= {"PJSIP/101": "NOT_INUSE", "PJSIP/102": "NOT_INUSE", "Custom:DND102": "BUSY", "Custom:DND7": "BUSY"}
    pbx.hints["101", "ext-local"] = ("PJSIP/101&Custom:DND7", "0")  # a user who logs in on other people's phones
    devices = watch()
    assert (devices.state("101"), devices.state("102")) == (DeviceState.DND, DeviceState.DND)
    pbx.change("Custom:DND7", "NOT_INUSE")
    pbx.change("Custom:DND102", "NOT_INUSE")
    eventually(lambda: (devices.state("101"), devices.state("102")) == (DeviceState.FREE, DeviceState.FREE))
