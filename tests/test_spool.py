"""The spool on the disk: what it says it has is there after a power cut, and a full disk leaves no half line."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from itgrix_bx import spool as module
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.spool import Spool, SpoolError


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def event(call_id: str) -> Event:
    return Event(call_id, Kind.INBOUND, 1_700_000_000.0, {"client_number": "+79161234567"})


def replayed(spool: Spool) -> list[str]:
    found: list[Event] = []
    assert spool.replay(found.extend) is not None
    return [one.call_id for one in found]


@contextmanager
def room_for(bytes_in_a_file: int) -> Iterator[None]:
    """The kernel writes what still fits and refuses the rest, as on a full disk."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_in_a_file, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_a_line_is_on_the_disk_before_its_hook_is_answered_and_a_new_files_name_too(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []

    def fsync(handle: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), spool.size()))

    monkeypatch.setattr(os, "fsync", fsync)
    spool.append([event("1")])
    line = spool.size()
    assert synced == [(str(spool.path), line), (str(spool.path.parent), line)]
    spool.append([event("2")])
    assert synced[2:] == [(str(spool.path), 2 * line)]


@pytest.mark.parametrize("room", [0.0, 0.5], ids=["nothing fits", "half a line fits"])
def test_a_full_disk_refuses_the_line_whole_and_the_next_one_is_not_glued_to_it(spool: Spool, room: float) -> None:
    spool.append([event("1")])
    line = spool.size()
    with room_for(int(line * (1 + room))), pytest.raises(SpoolError, match=r"cannot be written"):
        spool.append([event("2")])
    assert spool.size() == line
    assert "free space" in str(spool.trouble())
    spool.append([event("3")])
    assert spool.trouble() is None
    assert replayed(spool) == ["1", "3"]


def test_it_takes_no_more_than_its_share_of_the_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 10)
    spool.append([event("1")])
    with pytest.raises(SpoolError, match="is full"):
        spool.append([event("2")])
    assert replayed(spool) == ["1"]
    spool.append([event("3")])


def test_a_directory_that_cannot_be_written_is_trouble_before_anything_is_lost(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: path != spool.path.parent)
    assert "give it to the service's user" in str(spool.trouble())
