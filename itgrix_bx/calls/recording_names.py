"""Which recordings a call has, by the names its events give them: pure, nothing is looked for on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from itgrix_bx.calls.events import Event

_ENDING = re.compile(r"\.(?:wav|mp3|gsm|ogg|flac|[au]law|sln\d*|g72\d)$", re.IGNORECASE)
_STAMP = re.compile(r"-(\d{8}-\d{6})-")  # FreePBX: <kind>-<to>-<from>-YYYYMMDD-HHMMSS-<uniqueid>


def named(events: Iterable[Event]) -> list[str]:
    """The call's recordings in the order of the talk, each once; `events` oldest first.

    Any event may name one in `recording`, and in `recordingfile` the one before it.
    """
    names: list[str] = []
    for name in (event.data.get(key) for event in events for key in ("recordingfile", "recording")):
        if isinstance(name, str) and name:
            _add(names, name)
    if not names:
        return names
    stamps = {name: stamp[1] for name in names if (stamp := _STAMP.search(name))}
    return sorted(names, key=stamps.__getitem__) if len(stamps) == len(names) else names


def message(events: Iterable[Event]) -> str:
    """The voice message the caller left last, without an ending; "" when there is none or none is wanted."""
    said = [event.data["message"] for event in events if event.data.get("message")]
    return str(said[-1]) if said else ""


def stem(name: str) -> str:
    """The name of a file without directory and audio ending; a UNIQUEID at its end is no ending."""
    return _ENDING.sub("", PurePosixPath(name).name)


def same_file(one: str, other: str) -> bool:
    """FreePBX names a file with all, a part or none of its directories, and a conversion changes the ending."""
    shorter, longer = sorted((PurePosixPath(one).parent, PurePosixPath(other).parent), key=lambda path: len(path.parts))
    within = not shorter.is_absolute() and longer.parts[len(longer.parts) - len(shorter.parts) :] == shorter.parts
    return stem(one) == stem(other) and (within or shorter == longer)


def without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Those of `names` that are none of `others`."""
    return [name for name in names if not any(same_file(name, other) for other in others)]


def _add(names: list[str], name: str) -> None:
    known = next((i for i, other in enumerate(names) if same_file(name, other)), None)
    if known is None:
        names.append(name)
    elif name.count("/") > names[known].count("/"):
        names[known] = name
