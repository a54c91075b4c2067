"""The PBX's database is read as it is, on MariaDB and SQLite, and never written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.pbx.cdr import Records, RecordsAwayError
from itgrix_bx.pbx.records import Group
from tests.mariadb_server import Server, server
from tests.pbx import recorded
from tests.pbx.database import create, fill, rows_of
from tests.real.asterisk import create_records

EVERYTHING = (0.0, 4_000_000_000.0)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of calls."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/asteriskcdrdb"
        create(made)
        return made
    running: Server = request.getfixturevalue("mariadb")
    create_records(running.port)
    return f"mysql+pymysql://root@127.0.0.1:{running.port}/asteriskcdrdb"


def read(url: str, since: float = EVERYTHING[0], until: float = EVERYTHING[1]) -> list[Group]:
    records = Records(url)
    found = [group for _, groups in records.groups(records.linkedids(since, until)) for group in groups]
    records.close()
    return found


def test_all_that_belongs_to_a_call_comes_together(url: str) -> None:
    cdr, cel = rows_of(["freepbx_queue_answered", "attended_transfer", "busy"])
    fill(url, cdr, cel)
    found = read(url)
    # The consultation of the transfer is a group of its own.
    assert sorted(len(group.rows) for group in found) == [1, 2, 2, 4]
    assert sum(len(group.happenings) for group in found) == len(cel)
    assert [group.rows[0].start for group in found] == sorted(group.rows[0].start for group in found)


def test_a_call_that_went_on_under_an_older_linkedid_is_found_by_either(url: str) -> None:
    cdr, cel = rows_of(["attended_to_an_older_call"])
    fill(url, cdr, cel)
    records = Records(url)
    for linkedid in {row["linkedid"] for row in cdr}:
        ((done, (group,)),) = records.groups([linkedid])
        assert (done, len(group.rows), len(group.happenings)) == (1, len(cdr), len(cel))
    records.close()


def test_times_are_asked_for_in_the_zone_of_the_table(url: str) -> None:
    cdr, cel = rows_of(["answered_caller_ends"])
    shifted = [row | {"calldate": row["calldate"].replace(" 23:", " 03:")} for row in cdr]  # 20 hours behind
    fill(url, shifted, cel)
    began = float(cdr[0]["uniqueid"].split(".")[0])
    assert len(read(url, began - 60, began + 60)) == 1
    assert read(url, began - 40_000, began - 20_000) == []
    assert read(url, began + 20_000, began + 40_000) == []


def test_hundreds_of_calls_come_some_at_a_time(url: str) -> None:
    (cdr,), _ = rows_of(["answered_caller_ends"])
    many = [cdr | {"uniqueid": f"1795648518.{n}", "linkedid": f"1795648518.{n}"} for n in range(250)]
    fill(url, many)
    records = Records(url)
    told = [(done, len(groups)) for done, groups in records.groups(records.linkedids(*EVERYTHING))]
    assert told == [(100, 100), (200, 100), (250, 50)]
    records.close()


def test_the_newest_call_and_cel_are_seen(url: str) -> None:
    records = Records(url)
    assert (records.look().newest, records.look().cel) == (None, True)
    assert records.linkedids(*EVERYTHING) == []
    cdr, _ = rows_of(recorded.CALLS)
    fill(url, cdr)
    newest = records.look().newest
    records.close()
    assert newest is not None
    assert 0 <= newest - max(float(row["uniqueid"].split(".")[0]) for row in cdr) < 30


def test_a_table_without_the_columns_of_freepbx_is_read_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plain"
    create(url, without=("did", "recordingfile", "sequence", "clid", "id"))
    fill(url, *rows_of(["answered_caller_ends"]))
    (group,) = read(url)
    assert (group.rows[0].did, group.rows[0].recording) == ("", "")
    assert len(group.happenings) > 5


@pytest.mark.parametrize("without", [("peer",), recorded.CEL])
def test_a_cel_table_that_lacks_something_is_no_cel(tmp_path: Path, without: tuple[str, ...]) -> None:
    url = f"sqlite:///{tmp_path}/plain"
    create(url, without=[c for c in without if c not in recorded.CDR], cel=without != recorded.CEL)
    fill(url, rows_of(["answered_caller_ends"])[0])
    records = Records(url)
    assert records.look().cel is False
    records.close()
    assert read(url)[0].happenings == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///{tmp}/nothing-there", "check [cdr] url"),
        ("sqlite:///{tmp}/empty", "no column cdr.calldate"),
        ("mysql+pymysql://root:hunter2pw@127.0.0.1:1/asteriskcdrdb", "check [cdr] url"),
        ("mysql+pymysql://root:hunter2pw@127.0.0.1:port/asteriskcdrdb", "no valid address"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence_without_the_password(tmp_path: Path, url: str, says: str) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(RecordsAwayError, match=says.replace("[", r"\[").replace("]", r"\]")) as error:
        read(url.format(tmp=tmp_path))
    assert "hunter2pw" not in str(error.value)
    assert not (tmp_path / "nothing-there").exists()
    assert (tmp_path / "empty").stat().st_size == 0


@pytest.mark.mariadb
def test_a_server_that_comes_back_is_read_again(mariadb: Server) -> None:
    create_records(mariadb.port)
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/asteriskcdrdb"
    fill(url, *rows_of(["answered_caller_ends"]))
    records = Records(url)
    assert len(records.linkedids(*EVERYTHING)) == 1
    mariadb.kill()
    with pytest.raises(RecordsAwayError):
        records.linkedids(*EVERYTHING)
    mariadb.start()
    assert len(records.linkedids(*EVERYTHING)) == 1
    records.close()
