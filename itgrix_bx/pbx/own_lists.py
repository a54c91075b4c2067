"""What the PBX itself knows of numbers, read in the background: which are its extensions, which callers it turns away.

Extensions are what hints watch (FreePBX makes one for each) and, where the manager's user may see them, the endpoints
of phones. The black list is FreePBX's: the family `blacklist` of Asterisk's database, a key a number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from itgrix_bx.numbers import ANONYMOUS_BLOCKED
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.link import Reply
from itgrix_bx.pbx.looking import Looking
from itgrix_bx.pbx.messages import AmiError, AmiRefusedError, Message
from sql.database import DatabaseAwayError
from sql.numbers import BLOCKED, EXTENSION, LONGEST, Numbers

log = logging.getLogger("itgrix_bx.pbx")

EVERY_S = 60.0
_MOST = 50_000  # entries of one list
_NUMBER = re.compile(r"[0-9]{1,20}")
# Parking places, conferences and feature codes have hints too; extensions are what a phone answers.
_PHONE = re.compile(r"(?:PJSIP|SIP|IAX2|SCCP|DAHDI|Skinny|MGCP|Motif)/", re.IGNORECASE)
_NOT_CALLERS = frozenset({"dest"})  # keys of the family that are settings
_ANONYMOUS = "blocked"

Ask = Callable[..., Reply]  # Ami.ask or Link.ask


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the family `blacklist`, and its value."""

    key: str
    value: str


class OwnLists:
    """Reads both lists when the link comes up and every minute, from `start` to `stop`; `ami` is not ours to start."""

    def __init__(self, ami: Ami, store: Numbers, *, every_s: float = EVERY_S) -> None:
        self._ami = ami
        self._store = store
        self._every_s = every_s
        self._told: set[str] = set()
        looking = Looking("pbx-lists", self._read, ami)
        self.start, self.stop = looking.start, looking.stop

    def _read(self) -> float:
        if self._ami.connected:
            # None at all is an Asterisk that is still starting: its phones must not become clients meanwhile.
            self._try_to_read(EXTENSION, lambda: extensions(self._ami.ask) or self._store.pbx(EXTENSION))
            self._try_to_read(BLOCKED, lambda: blocked(blacklist(self._ami.ask)))
        return self._every_s

    def _try_to_read(self, kind: str, read: Callable[[], frozenset[str]]) -> None:
        """What was read last stays where it cannot be read now."""
        try:
            if self._store.replace_pbx(kind, read()):
                log.info("the PBX's list of %s numbers has changed", kind)
        except AmiRefusedError as error:
            if kind not in self._told:  # it will be so until an administrator changes it
                self._told.add(kind)
                log.warning("the PBX's list of %s numbers is not read: %s", kind, error)
        except (AmiError, DatabaseAwayError) as error:
            log.debug("the PBX's list of %s numbers is read later: %s", kind, error)
        except Exception:
            log.exception("reading the PBX's list of %s numbers failed; it is tried again", kind)


def extensions(ask: Ask) -> frozenset[str]:
    """The extensions the PBX has. Raises AmiError; AmiRefusedError when it may tell of none."""
    found = set(_hinted(ask("ExtensionStateList").items))
    for action, is_phone in (("PJSIPShowEndpoints", _is_phone), ("SIPpeers", _registers)):
        try:
            items = ask(action).items
        except AmiRefusedError:  # no right to it, or no such channel driver: the hints must do
            continue
        found.update(item.get("ObjectName") for item in items if is_phone(item))
    return frozenset(sorted(number for number in found if _NUMBER.fullmatch(number))[:_MOST])


def _hinted(items: list[Message]) -> Iterator[str]:
    for item in items:
        if _PHONE.search(item.get("Hint")):
            yield item.get("Exten")


def _is_phone(endpoint: Message) -> bool:
    """A trunk logs in elsewhere, or is let in without a password; a phone logs in here."""
    return bool(endpoint.get("Auths")) and not endpoint.get("OutboundAuths")


def _registers(peer: Message) -> bool:
    return peer.get("Dynamic").lower() == "yes"


def blacklist(ask: Ask) -> list[Entry]:
    """The family as it is. Raises AmiError; AmiRefusedError when this user may not read it."""
    try:
        items = ask("DBGetTree", {"Family": "blacklist"}).items
    except AmiRefusedError as error:
        if "not found" in error.reason.lower():
            return []
        if "permission" in error.reason.lower():
            raise
        return _by_command(ask)  # Asterisk before 16.28, 18.14 and 19.6 has no such action
    return [Entry(_key(item.get("Key")), item.get("Val")) for item in items]


def _by_command(ask: Ask) -> list[Entry]:
    lines = ask("Command", {"Command": "database show blacklist"}).answer.output
    pairs = (line.partition(":") for line in lines if line.startswith("/"))
    return [Entry(_key(key), value.strip()) for key, _, value in pairs]


def _key(path: str) -> str:
    return path.strip().rpartition("/")[2]


def blocked(entries: list[Entry]) -> frozenset[str]:
    """Whom the PBX turns away: numbers as they were typed, and ANONYMOUS_BLOCKED."""
    found = set()
    for entry in entries[:_MOST]:
        if entry.key == _ANONYMOUS:
            found.update([ANONYMOUS_BLOCKED] if entry.value == "1" else [])
        elif entry.key not in _NOT_CALLERS and any(c.isdigit() for c in entry.key):
            found.add(entry.key[:LONGEST])
    return frozenset(found)
