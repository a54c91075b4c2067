"""When each call was last known to be alive, by what Asterisk's manager said of its channels.

A call is known by any of its channels' ids: the channel's own, that of the first channel of the call (linkedid), and
our call id where manager.conf has `channelvars=B24_ID`. A small file keeps it over a restart of ours.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from itgrix_bx.pbx.messages import Message

log = logging.getLogger("itgrix_bx.pbx")

_CALL_ID = "B24_ID"  # the inherited variable the dialplan keeps our call id in


def ids_of(channel: Message) -> frozenset[str]:
    """Every id under which a call with this channel may be known."""
    found = (channel.get("Uniqueid"), channel.get("Linkedid"), channel.variables.get(_CALL_ID, ""))
    return frozenset(one for one in found if one)


class Signs:
    """Signs of life; told by the threads of the link, asked by the one that closes calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = _read(path)
        self._alive: dict[str, frozenset[str]] = {}  # channels that were listed and have not hung up since
        self._lock = threading.Lock()

    def listed(self, channels: Iterable[Message], at: float) -> None:
        """These channels, and no others, exist at `at` (unix seconds)."""
        with self._lock:
            self._alive = {channel.get("Uniqueid"): ids_of(channel) for channel in channels}
            self._saw(self._alive.values(), at)

    def hung_up(self, channel: Message) -> None:
        """A channel has come to its end."""
        with self._lock:
            self._alive.pop(channel.get("Uniqueid"), None)
            self._saw([ids_of(channel)], channel.at)

    def out_of_sight(self, at: float) -> None:
        """The link was lost; what had not hung up was alive until `at`."""
        with self._lock:
            self._saw(self._alive.values(), at)
            self._alive = {}
        self.save()

    def _saw(self, channels: Iterable[Collection[str]], at: float) -> None:
        for one in {one for ids in channels for one in ids}:
            self._last[one] = max(at, self._last.get(one, 0.0))

    def last(self, *ids: str) -> float:
        """The latest sign of life under any of `ids`, unix seconds; 0 when there was none."""
        with self._lock:
            return max((self._last.get(one, 0.0) for one in ids), default=0.0)

    def forget(self, *, since: float, but: Collection[str]) -> None:
        """Keep what is newer than `since`, and the ids in `but`."""
        with self._lock:
            self._last = {one: at for one, at in self._last.items() if at >= since or one in but}

    def save(self) -> None:
        """For the next process of ours. A disk that does not take it costs accuracy only."""
        with self._lock:
            text = json.dumps(self._last)
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fresh.write_text(text, encoding="ascii")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("%s was not written: %s", self._path, error.strerror)


def _read(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        return {str(one): min(float(at), time.time()) for one, at in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        log.warning("%s cannot be read; it is written anew", path)
        return {}
