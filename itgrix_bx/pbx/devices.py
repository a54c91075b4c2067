"""Whether an extension can be reached: a table in memory that Asterisk's manager keeps true.

On each connection (and after a gap) the whole picture is asked for; it has its place among the events, so it never
overwrites what came after it. Hints and FreePBX's DND are read again every minute too: a reload changes hints, and a
feature code the AstDB, without any event.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.channels import BY_NAME, is_phone, is_plumbing
from itgrix_bx.pbx.link import Reply
from itgrix_bx.pbx.messages import AmiError, AmiRefusedError, Message

log = logging.getLogger("itgrix_bx.ami")

EVENTS = ("DeviceStateChange", "ExtensionStatus")
LOST_S = 60.0  # without a link for so long the table is worth nothing
_AGAIN_S = 60.0
_ROOM = 20_000  # entries a table takes: who invents devices or hints does not fill our memory
_CONTEXTS = 50  # with a hint for one extension
_DND = "Custom:DND"  # FreePBX's and Issabel's device for "do not disturb"


class DeviceState(StrEnum):
    """What an extension is, all its phones taken together."""

    FREE = "free"
    RINGING = "ringing"
    BUSY = "busy"  # somebody talks on one of its phones
    DND = "dnd"
    UNREACHABLE = "unreachable"  # no phone of it is there
    UNKNOWN = "unknown"  # to be treated as free


_OF_DEVICE = {
    "NOT_INUSE": DeviceState.FREE,
    "INUSE": DeviceState.BUSY,
    "BUSY": DeviceState.BUSY,
    "ONHOLD": DeviceState.BUSY,
    "RINGINUSE": DeviceState.BUSY,
    "RINGING": DeviceState.RINGING,
    "UNAVAILABLE": DeviceState.UNREACHABLE,
    "INVALID": DeviceState.UNREACHABLE,
}
_OF_HINT = {
    "0": DeviceState.FREE,
    "1": DeviceState.BUSY,
    "2": DeviceState.BUSY,
    "4": DeviceState.UNREACHABLE,
    "8": DeviceState.RINGING,
    "9": DeviceState.BUSY,
    "16": DeviceState.BUSY,
    "17": DeviceState.BUSY,
}
# Of several phones the first of these counts: who talks on one cannot take a call on another.
_OF_SEVERAL = (
    DeviceState.BUSY,
    DeviceState.RINGING,
    DeviceState.FREE,
    DeviceState.UNREACHABLE,
    DeviceState.UNKNOWN,
)
_ON = ("BUSY", "INUSE", "ONHOLD", "RINGING", "RINGINUSE")  # a custom device that is "on"


@dataclass(slots=True)
class _Hint:
    """What the dialplan says an extension is made of, by context: it may have a hint in several."""

    devices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)


class Devices:
    """`state` may be asked by any thread at any time and never waits. Without `ami` everything is UNKNOWN.

    To be made before `ami` is started, which starts it too; `stop` ends the minute's look.
    """

    def __init__(self, ami: Ami | None = None) -> None:
        self._ami = ami
        self._devices: dict[str, str] = {}
        self._hints: dict[str, _Hint] = {}
        self._extensions: dict[str, str] = {}  # device -> whose it is, by the hints
        self._dnd: frozenset[str] = frozenset()
        self._lost_at: float | None = -LOST_S
        self._wake = threading.Event()
        self._stopping = False
        if ami is not None:
            ami.on("DeviceStateChange", self._device)
            ami.on("ExtensionStatus", self._hint)
            ami.on_link(self._on_link)
            ami.on_gap(lambda _: self._look())
            threading.Thread(target=self._look_again, name="devices", daemon=True).start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def state(self, extension: str) -> DeviceState:
        """What is known of the extension now; UNKNOWN when that is nothing, or the link has been lost for long."""
        if self._is_lost():
            return DeviceState.UNKNOWN
        hint = self._hints.get(extension) or _Hint()
        named = {device for devices in list(hint.devices.values()) for device in devices}
        if extension in self._dnd or self._is_on(f"{_DND}{extension}") or any(map(self._is_on, _dnds(named))):
            return DeviceState.DND
        phones = [one for one in named if is_phone(one)] or [f"{tech}/{extension}" for tech in BY_NAME]
        of_phones = _strongest(_OF_DEVICE.get(self._devices.get(one, ""), DeviceState.UNKNOWN) for one in phones)
        if of_phones is not DeviceState.UNKNOWN:
            return of_phones
        told = (_OF_HINT.get(status, DeviceState.UNKNOWN) for status in list(hint.status.values()))
        return _strongest(told)

    def extension_of(self, device: str) -> str:
        """Whose device (PJSIP/anna) it is by the hints, "" when they do not say, or name several."""
        return self._extensions.get(device, "")

    def _is_on(self, device: str) -> bool:
        return self._devices.get(device) in _ON

    def known(self) -> int:
        """How many extensions and devices the table holds."""
        return len(self._hints) + len(self._devices)

    # --- what Asterisk tells, in the thread of the events ----------------------------------------

    def _device(self, message: Message) -> None:
        _put_device(self._devices, message)

    def _hint(self, message: Message) -> None:
        _put_hint(self._hints, message)

    def _on_link(self, there: bool) -> None:
        if not there:
            self._lost_at = time.monotonic()
            return
        if self._is_lost():
            self._devices, self._hints, self._extensions = {}, {}, {}
        self._lost_at = None
        self._look()

    def _is_lost(self) -> bool:
        lost_at = self._lost_at
        return lost_at is not None and time.monotonic() - lost_at >= LOST_S

    def _look(self) -> None:
        """Ask for the whole picture."""
        assert self._ami is not None
        self._ami.ask_in_order("DeviceStateList", self._take_devices)
        self._ami.ask_in_order("ExtensionStateList", self._take_hints)

    def _take_devices(self, reply: Reply) -> None:
        devices: dict[str, str] = {}
        for item in reply.items:
            _put_device(devices, item)
        self._devices = devices

    def _take_hints(self, reply: Reply) -> None:
        hints: dict[str, _Hint] = {}
        for item in reply.items:
            _put_hint(hints, item)
        self._hints, self._extensions = hints, _owners(hints)
        self._wake.set()

    # --- what no event tells, in a thread of its own ---------------------------------------------

    def _look_again(self) -> None:
        assert self._ami is not None
        while not self._stopping:
            try:
                if self._lost_at is None:
                    self._dnd = self._stored_dnd(list(self._hints))
            except AmiError as error:
                log.debug("who has set DND is asked later: %s", error)
            except Exception:
                log.exception("asking who has set DND failed; it is tried again")
            if not self._wake.wait(_AGAIN_S) and self._lost_at is None:
                self._ami.ask_in_order("ExtensionStateList", self._take_hints)
            self._wake.clear()

    def _stored_dnd(self, hints: Iterable[str]) -> frozenset[str]:
        """Whose DND is set in the AstDB, where a PBX keeps it without a device for it."""
        try:
            items = self._ask("DBGetTree", {"Family": "DND"})
        except AmiRefusedError as error:
            if "not found" in error.reason.lower():
                return frozenset()
            return frozenset(extension for extension in hints if self._has_dnd(extension))  # Asterisk before 18.14
        keys = (item.get("Key") for item in items if item.get("Val"))
        return frozenset(key.rpartition("/")[2] for key in keys)

    def _has_dnd(self, extension: str) -> bool:
        try:
            return any(item.get("Val") for item in self._ask("DBGet", {"Family": "DND", "Key": extension}))
        except AmiRefusedError:
            return False

    def _ask(self, action: str, fields: dict[str, object]) -> list[Message]:
        assert self._ami is not None
        return self._ami.ask(action, fields).items


def _put_device(devices: dict[str, str], message: Message) -> None:
    name = message.get("Device")
    # Plumbing is named after whatever number was dialled through it.
    if (name in devices or len(devices) < _ROOM) and not is_plumbing(name):
        devices[name] = message.get("State")


def _put_hint(hints: dict[str, _Hint], message: Message) -> None:
    extension, context = message.get("Exten"), message.get("Context")
    if extension.startswith("_") or (extension not in hints and len(hints) >= _ROOM):
        return
    hint = hints.setdefault(extension, _Hint())
    if len(hint.status) >= _CONTEXTS and context not in hint.status:
        return
    if made_of := message.get("Hint"):
        hint.devices[context] = tuple(made_of.split(",")[0].split("&"))  # what follows is presence
    hint.status[context] = message.get("Status")


def _owners(hints: dict[str, _Hint]) -> dict[str, str]:
    """A hint of one phone says whose it is; one that watches the phones of several says it of none."""
    owners: dict[str, str] = {}
    for extension, hint in hints.items():
        for device in {one for devices in hint.devices.values() for one in devices if is_phone(one)}:
            owners[device] = "" if device in owners else extension
    return owners


def _dnds(devices: Iterable[str]) -> list[str]:
    return [device for device in devices if device.startswith(_DND)]


def _strongest(states: Iterable[DeviceState]) -> DeviceState:
    return min(states, key=_OF_SEVERAL.index, default=DeviceState.UNKNOWN)
