"""When a call was last known to be alive."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from itgrix_bx.pbx.messages import Message
from itgrix_bx.pbx.signs import Signs


def channel(uniqueid: str, linkedid: str = "", at: float = 0.0, call_id: str = "") -> Message:
    variables = [("ChanVariable", f"B24_ID={call_id}")] if call_id else []
    return Message([("Uniqueid", uniqueid), ("Linkedid", linkedid or uniqueid), *variables], at)


@pytest.fixture
def signs(tmp_path: Path) -> Signs:
    return Signs(tmp_path / "alive.json")


def test_a_listed_channel_was_alive_then_under_all_its_ids(signs: Signs) -> None:
    signs.listed([channel("1.2", "1.1", call_id="1.0")], 100.0)
    assert [signs.last(one) for one in ("1.0", "1.1", "1.2", "1.3")] == [100.0, 100.0, 100.0, 0.0]
    assert signs.last("1.3", "1.1") == 100.0


def test_the_last_channel_of_a_call_counts_in_whatever_order_it_is_told(signs: Signs) -> None:
    signs.hung_up(channel("1.2", "1.1", at=120.0))
    signs.hung_up(channel("1.3", "1.1", at=110.0))
    assert signs.last("1.1") == 120.0


def test_what_had_not_hung_up_was_alive_until_the_link_was_lost(signs: Signs) -> None:
    signs.listed([channel("1.1"), channel("2.1")], 100.0)
    signs.hung_up(channel("1.1", at=110.0))
    signs.out_of_sight(150.0)
    assert (signs.last("1.1"), signs.last("2.1")) == (110.0, 150.0)
    signs.out_of_sight(190.0)
    assert signs.last("2.1") == 150.0


def test_old_signs_are_forgotten_but_those_that_are_needed(signs: Signs) -> None:
    signs.listed([channel("1.1"), channel("2.1")], 100.0)
    signs.hung_up(channel("3.1", at=200.0))
    signs.forget(since=150.0, but={"2.1"})
    assert [signs.last(one) for one in ("1.1", "2.1", "3.1")] == [0.0, 100.0, 200.0]


def test_the_next_process_knows_them(signs: Signs, tmp_path: Path) -> None:
    signs.listed([channel("1.1")], 100.0)
    signs.save()
    assert Signs(tmp_path / "alive.json").last("1.1") == 100.0
    assert [path.name for path in tmp_path.iterdir()] == ["alive.json"]


def test_a_clock_that_was_wrong_puts_no_sign_into_the_future(tmp_path: Path) -> None:
    (tmp_path / "alive.json").write_text('{"1.1": 9e12}')
    assert Signs(tmp_path / "alive.json").last("1.1") <= time.time()


@pytest.mark.parametrize("damage", [b"", b"[]", b"7", b"{\xff", b'{"1": "x"}', b'{"1": null}'])
def test_a_damaged_file_is_written_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "alive.json"
    path.write_bytes(damage)
    signs = Signs(path)
    signs.listed([channel("1.1")], 100.0)
    signs.save()
    assert json.loads(path.read_bytes()) == {"1.1": 100.0}


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    signs = Signs(tmp_path / "missing" / "alive.json")
    signs.listed([channel("1.1")], 100.0)
    signs.save()
    assert signs.last("1.1") == 100.0
