"""One new client at a time, also among programs that cannot see each other in the journal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from itgrix_bx.calls.call import Call
from itgrix_bx.delivery.turns import Turns
from tests.service.conftest import CLIENT, DID, STRANGER, Office, eventually

_HOLDS = """
import sys
from pathlib import Path
from itgrix_bx.calls.call import Call
from itgrix_bx.delivery.turns import Turns
call = Call("9.9", client_number=sys.argv[2])
print(Turns(Path(sys.argv[1])).take(call), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program of this machine, which is registering a call of the stranger and never said so in the journal."""
    command = [sys.executable, "-c", _HOLDS, str(tmp_path), STRANGER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_stranger_whom_another_program_registers_follows_it(office: Office, other: subprocess.Popen[str]) -> None:
    assert office.hook("inbound", "17.1", DID, caller=STRANGER)["B24_STATE"] == "deferred"
    assert office.hook("inbound", "17.2", DID, caller=CLIENT)["B24_STATE"] == "registered"
    stood_back = eventually(lambda: [e for e in office.service.journal.events("17.1") if e.kind == "register_failed"])
    eventually(lambda: len([e for e in office.service.journal.events("17.1") if e.kind == "register_failed"]) >= 2)
    assert "another call of this number" in stood_back[0].data["error"]
    assert not office.known()["leads"]
    other.kill()  # its locks end with it
    other.wait()
    eventually(lambda: office.call("17.1").portal_call_id)
    assert len(office.known()["leads"]) == 1


def test_a_directory_that_takes_no_file_costs_no_turn(tmp_path: Path) -> None:
    (tmp_path / "turns.lock").mkdir()
    own, first, second = Turns(tmp_path), Call("17.1", client_number=STRANGER), Call("17.2", client_number=STRANGER)
    assert own.take(first)
    assert not own.take(second)
    own.give_back(first)  # after a registration: whatever it raised would be taken for the portal's answer
    assert own.take(second)
