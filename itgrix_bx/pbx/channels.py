"""Whose channel it is, by its name: a phone of ours, the telephone network, or Asterisk's own plumbing."""

from __future__ import annotations

import re
from collections.abc import Callable

from itgrix_bx.calls.directory import Directory

_NAME = re.compile(r"(?P<tech>[A-Za-z0-9]+)/(?P<name>.+)-[0-9a-f]+(?P<half>;[12])?")
_PLUMBING = frozenset({
    "Announcer", "AsyncGoto", "Bridge", "CBAnn", "CBRec", "Console", "Local", "Message", "MulticastRTP", "Recorder",
    "Snoop", "Surrogate", "UnicastRTP",
})  # fmt: skip
BY_NAME = frozenset({"PJSIP", "SIP", "IAX2", "SCCP", "Skinny"})  # DAHDI/4-1 is the fourth line, not extension 4
_LONGEST_EXTENSION = 5  # of those the portal does not know; trunks are often named by their telephone number


class Channels:
    """Tells phones from trunks: a phone's channel is named after its extension, or its device is in a hint of one
    (`hinted` says of which, "" for none)."""

    def __init__(self, directory: Directory, hinted: Callable[[str], str] = lambda _: "") -> None:
        self._directory = directory
        self._hinted = hinted

    def extension(self, channel: str) -> str:
        """The extension of a phone's channel, "" for any other."""
        found = _NAME.fullmatch(channel)
        if found is None or found["tech"] in _PLUMBING:
            return ""
        name = found["name"]
        if self._directory.is_extension(name):
            return name
        if hinted := self._hinted(f"{found['tech']}/{name}"):
            return hinted
        return name if found["tech"] in BY_NAME and is_short(name) else ""

    def is_outside(self, channel: str) -> bool:
        """Whether the channel leads to the telephone network."""
        found = _NAME.fullmatch(channel)
        return found is not None and found["tech"] not in _PLUMBING and not self.extension(channel)

    def is_real(self, channel: str) -> bool:
        """Whether somebody can call with it: a phone, the network, or the PBX on somebody's behalf."""
        return channel.startswith("Local/") or bool(self.extension(channel)) or self.is_outside(channel)

    def is_ours(self, number: str) -> bool:
        """Whether a number is an extension rather than a client's."""
        return self._directory.is_extension(number.lstrip("+"))


def is_plumbing(device: str) -> bool:
    """Whether the device (or channel) is Asterisk's own rather than a phone or a line."""
    return device.partition("/")[0] in _PLUMBING


def is_phone(device: str) -> bool:
    """Whether what a hint is made of is a phone or a line: `Custom:DND101` is none."""
    return "/" in device and not device.startswith("Custom:") and not is_plumbing(device)


def is_short(number: str) -> bool:
    """Whether it looks like an extension rather than a telephone number."""
    return number.isdecimal() and len(number) <= _LONGEST_EXTENSION


def other_half(channel: str) -> str:
    """The other end of a Local channel, "" for any other channel."""
    if not channel.startswith("Local/") or channel[-2:] not in (";1", ";2"):
        return ""
    return channel[:-1] + ("2" if channel.endswith("1") else "1")


def local_number(channel: str) -> str:
    """101 of Local/101@from-queue-00000012;1, "" for any other channel."""
    return channel.removeprefix("Local/").split("@")[0] if channel.startswith("Local/") else ""
