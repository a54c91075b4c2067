"""Every way a call can go, on every shape of telephone system; and that the phone works without us.

A part of the scenarios each time; all of them, with CDR and CEL, and all of them again while our server stops, by
`make test-all`. `python -m tests.real.matrix` writes docs/matrix.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.mariadb_server import server
from tests.real.asterisk import create_records
from tests.real.matrix import SCENARIOS, Cell, document, document_of_stops, noticed, parts, plays
from tests.real.more_scenarios import freepbx_queue_answered
from tests.real.office import Office, office
from tests.real.scenarios import answered_callee_ends, group_won_by_one, outbound_answered, play
from tests.real.shapes import SHAPES, Shape
from tests.real.sip import answers
from tests.real.site import ONE, extension

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

EVERYTHING = bool(os.environ.get("ITGRIX_BX_TEST_ALL"))
# One batch of ten, of every kind; plain Asterisk 22 has tests of its own.
A_PART = [
    "answered_callee_ends", "declined", "group_won_by_one", "hunt_answered_by_the_second", "freepbx_queue_answered",
    "blind_transfer", "attended_transfer", "outbound_by_the_second_trunk", "outbound_blind_transfer",
    "forwarded_to_a_mobile",
]  # fmt: skip
NAMES = list(SCENARIOS) if EVERYTHING else A_PART
SYSTEMS = list(SHAPES) if EVERYTHING else [name for name in SHAPES if name != "plain22"]
WITHOUT_US = {
    "extension": (51, answered_callee_ends), "group": (52, group_won_by_one), "queue": (53, freepbx_queue_answered),
    "outbound": (54, outbound_answered),
}  # fmt: skip


@dataclass
class Day:
    """A telephone system on which the scenarios were played."""

    where: Office
    shape: Shape
    cells: dict[str, Cell]


@pytest.fixture(scope="module", params=SYSTEMS)
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    shape = SHAPES[request.param]
    with contextlib.ExitStack() as stack:
        records_port = 0
        if EVERYTHING:
            records_port = stack.enter_context(server()).port
            create_records(records_port)
        directory = tmp_path_factory.mktemp(shape.name)
        where = stack.enter_context(office(directory, records_port=records_port, pbx=shape.pbx))
        yield Day(where, shape, plays(where, shape, NAMES, with_records=EVERYTHING))


@pytest.mark.parametrize("name", NAMES)
def test_a_call_ends_right_in_the_portal(day: Day, name: str) -> None:
    assert day.cells[name].problems == [], day.cells[name].expected


def test_our_dialplan_loads_without_a_complaint(day: Day) -> None:
    log = day.where.asterisk.log.read_text(errors="replace").splitlines()
    complaints = [line for line in log if "WARNING" in line or "ERROR" in line]
    ours = [line for line in complaints if "extensions_custom.conf" in line or "b24-" in line]
    # Normal: FreePBX's shipped hooks are read after ours, which win; a context that nobody filled does not exist.
    assert [line for line in ours if "already in use" not in line and "nonexistent context" not in line] == []


if EVERYTHING:

    @pytest.fixture(scope="module")
    def stops(day: Day) -> dict[str, list[str]]:
        return noticed(day.where, SCENARIOS)

    @pytest.mark.parametrize("name", list(SCENARIOS))
    @pytest.mark.timeout(900)
    def test_the_phones_do_not_notice_that_our_server_stops(stops: dict[str, list[str]], name: str) -> None:
        assert stops[name] == []


def test_a_stopped_server_costs_no_call(day: Day) -> None:
    day.where.program.stop()
    asyncio.run(play(day.where, WITHOUT_US))
    assert day.where.asterisk.channels() == 0


def test_a_server_that_accepts_and_says_nothing_frees_who_leaves_and_when_it_ends_who_stays(day: Day) -> None:
    """What ends it is the service's watchdog; here it is the socket that is closed."""
    day.where.program.stop()

    async def calls(silent: socket.socket) -> None:
        async with day.where.people():
            await day.where.phone(extension(50, 1), answers(0.3))
            leaves = await day.where.call_in(50, ONE)
            await asyncio.sleep(1.0)
            assert not leaves.answered.is_set()
            await leaves.hang_up()
            stays = await day.where.call_in(50, ONE)
            await asyncio.sleep(1.0)
            silent.close()
            await asyncio.wait_for(stays.answered.wait(), 10)
            await asyncio.sleep(0.5)
            await stays.hang_up()
            await asyncio.sleep(0.5)

    with socket.create_server(("127.0.0.1", day.where.program.agi_port), backlog=50) as silent:
        asyncio.run(calls(silent))
    assert day.where.asterisk.channels() == 0


def test_the_docs_are_what_a_run_without_a_fault_prints() -> None:
    """Word for word, but for the expectations' seconds, which the phones measure."""
    first, second = parts()
    cells = dict(row.removeprefix("| ").split(" | ")[:2] for row in first.splitlines() if row.startswith("| "))
    right = {name: Cell(cells[name.replace("_", " ")]) for name in SCENARIOS}
    assert document(dict.fromkeys(SHAPES, right)) + "\n" == first
    assert document_of_stops({shape: {name: [] for name in SCENARIOS} for shape in SHAPES}) == second


def test_both_tables_in_the_docs_name_every_scenario_and_system() -> None:
    for part in parts():
        rows = [line for line in part.splitlines() if line.startswith("| ")]
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]] == [n.replace("_", " ") for n in SCENARIOS]
        assert all(shape.title in rows[0] for shape in SHAPES.values())
