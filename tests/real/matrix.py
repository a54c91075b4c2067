"""The matrix of docs/matrix.md: every way a call can go, played on every shape of telephone system.

`python -m tests.real.matrix` plays all of them on all shapes and writes the document's first table, `--stopped` the
second: the same calls while our server stops. With the name of a shape, and of scenarios, it plays those and prints
what came out.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.mariadb_server import server
from tests.real.asterisk import create_records
from tests.real.more_scenarios import SCENARIOS
from tests.real.office import Office, office
from tests.real.scenarios import Measured, attempt
from tests.real.shapes import SHAPES, Shape
from tests.real.site import client, extension, phones, user
from tests.real.stopped import STOPS, differences, without_us

DOCUMENT = Path(__file__).parents[2] / "docs/matrix.md"
# What the phones measured is the client's whole time: the ringing of a colleague is talk by the hooks, not by AMI.
_NOT_TALK = {"consultation_refused": 1.0}
OUTBOUND = {name for name in SCENARIOS if name.startswith("outbound")}
_SECOND_SEEN_BY_AMI = {
    "attended_transfer", "attended_to_an_older_call", "outbound_attended_transfer",
    "outbound_attended_transfer_on_a_route_with_mail",
}  # fmt: skip
_DELIVERY_S = 60
_SETTLED_S = 4  # by then the portal has what the hooks told the end of


@dataclass
class Cell:
    """What came out of one scenario on one shape: `problems` in words, none if all is as it should be."""

    expected: str
    problems: list[str] = field(default_factory=list)
    from_records: bool = False  # the hooks left the call open, the PBX's own records ended it


def plays(where: Office, shape: Shape, names: Iterable[str], *, with_records: bool = False) -> dict[str, Cell]:
    """The scenarios of `names`, ten at once; `with_records`: CDR and CEL finish what the hooks cannot."""
    measured = asyncio.run(attempt(where, {name: SCENARIOS[name] for name in names}))
    calls = _delivered(where, _SETTLED_S if with_records else _DELIVERY_S)
    unended = {call["client_number"] for call in calls if call["state"] in ("open", "registered")}
    if with_records and unended:
        an_hour_ago = datetime.fromtimestamp(time.time() - 3600).isoformat()
        where.program.json("catch-up", "--from", an_hour_ago, "--yes")
        calls = _delivered(where, _DELIVERY_S)
    portal = where.portal.dump()
    return {name: _cell(shape, name, what, calls, portal, unended) for name, what in measured.items()}


def _delivered(where: Office, seconds: float) -> list[dict[str, Any]]:
    """All calls of the journal, as soon as the portal has all of them, or when the time is over."""
    end = time.monotonic() + seconds
    while True:
        calls = where.program.json("calls", "list", "--limit", "0")
        assert isinstance(calls, list)
        if time.monotonic() > end or {call["state"] for call in calls} <= {"complete", "skipped"}:
            return calls
        time.sleep(0.5)


def _cell(
    shape: Shape,
    name: str,
    measured: Measured | BaseException,
    calls: list[dict[str, Any]],
    portal: Mapping[str, list[dict[str, Any]]],
    unended: set[str],
) -> Cell:
    if isinstance(measured, BaseException):
        return Cell("", [f"not played: {measured!r}"])
    whose = client(SCENARIOS[name][0])
    calls = [call for call in calls if call["client_number"] == whose and call["state"] != "skipped"]
    measured = shape.expects(name, measured)
    problems = _problems(name, measured, calls, portal)
    if not problems and calls:
        problems = _beside(SCENARIOS[name][0], measured, calls[0], portal)
    return Cell(_in_words(measured), problems, whose in unended)


def _problems(
    name: str, measured: Measured, calls: list[dict[str, Any]], portal: Mapping[str, list[dict[str, Any]]]
) -> list[str]:
    number = SCENARIOS[name][0]
    rows = [row for row in portal["statistics"] if row["PHONE_NUMBER"] == client(number)]
    if not measured.code:
        return [] if not rows and not calls else [f"{len(rows)} calls in the CRM instead of none"]
    if len(rows) != 1 or len(calls) != 1:
        states = ", ".join(call["state"] for call in calls)
        return [f"{len(rows)} calls in the portal, {len(calls)} in the journal ({states})"]
    (row,), (call,) = rows, calls
    compared = [
        ("code", measured.code, row["CALL_FAILED_CODE"]),
        ("reason", measured.reason, row["CALL_FAILED_REASON"]),
        ("type", "1" if name in OUTBOUND else "2", str(row["CALL_TYPE"])),
        ("number", client(number), row["PHONE_NUMBER"]),
        ("state", "complete", call["state"]),
        ("seconds in the journal", int(row["CALL_DURATION"]), call["talk_seconds"]),
    ]
    found = [f"{what} {actual!r} instead of {wanted!r}" for what, wanted, actual in compared if wanted != actual]
    talkers = [[extension(number, which) for which in _one_after_the_other(legs)] for legs in _legs(name, measured)]
    if (talked := _talked(call)) not in talkers:
        found.append(f"talked {talked} instead of {talkers[0]}")
    owners = {user(number, 1), user(number, 2)} if measured.owner is None else {_owner(number, measured.owner)}
    if int(row["PORTAL_USER_ID"]) not in owners:
        found.append(f"owner {row['PORTAL_USER_ID']} instead of {owners}")
    talk = measured.talk - _NOT_TALK.get(name, 0.0)
    if abs(int(row["CALL_DURATION"]) - talk) > 1.0:
        found.append(f"{row['CALL_DURATION']} s instead of {talk:.1f} s")
    return found


def _beside(
    number: int, measured: Measured, call: dict[str, Any], portal: Mapping[str, list[dict[str, Any]]]
) -> list[str]:
    """The recording, and whose screens the client's card came up on and left."""
    files = [file for file in portal["files"] if file["call_id"] == call["portal_call_id"]]
    found = [] if len(files) == int(measured.recorded) else [f"{len(files)} recordings"]
    cards = [card for card in portal["cards"] if card["call_id"] == call["portal_call_id"]]
    for action, wanted in (("show", measured.shown), ("hide", measured.hidden)):
        users = {card["user_id"] for card in cards if card["action"] == action}
        if missing := {user(number, which) for which in wanted} - users:
            found.append(f"{action} card: not to {sorted(missing)}")
    return found


def _legs(name: str, measured: Measured) -> list[list[int]]:
    """No dialplan runs when the phone itself transfers, or in a conference: AMI and the records know the second."""
    with_the_second = [[1, 2]] if name in _SECOND_SEEN_BY_AMI else []
    return [measured.legs, *with_the_second]


def _owner(number: int, which: int) -> int:
    return user(number, which) if which else 1


def _talked(call: Mapping[str, Any]) -> list[str]:
    """The employees who talked; somebody outside is no extension of ours."""
    known = phones()
    return _one_after_the_other(
        [leg["extension"] for leg in call["legs"] if leg["answered_at"] and leg["extension"] in known]
    )


def _one_after_the_other(talkers: list[Any]) -> list[Any]:
    """Who goes on after a vain consultation is one talker, in one leg or two."""
    return [who for n, who in enumerate(talkers) if n == 0 or who != talkers[n - 1]]


# --- the document --------------------------------------------------------------------------------


def _in_words(measured: Measured) -> str:
    if not measured.code:
        return "not in the CRM"
    if measured.code != "200":
        return f"{measured.code}, {measured.reason}"
    return f"200, {measured.talk:.0f} s, " + (
        "talker " + " → ".join(str(which) for which in _one_after_the_other(measured.legs))
        if measured.legs else "nobody of ours talks"
    )  # fmt: skip


def document(results: Mapping[str, Mapping[str, Cell]]) -> str:
    """The markdown of `results`: shape → scenario → cell."""
    head = "| scenario | expected | " + " | ".join(SHAPES[name].title for name in results) + " |"
    lines = [_INTRODUCTION, head, "| --- " * (len(results) + 2) + "|"]
    for name in SCENARIOS:
        cells = [cells[name] for cells in results.values()]
        expected = next((cell.expected for cell in cells if cell.expected), "")
        lines.append(f"| {name.replace('_', ' ')} | {expected} | {' | '.join(map(_mark, cells))} |")
    wrong = [
        f"- {SHAPES[shape].title}, {name.replace('_', ' ')} (expected {cell.expected}): {'; '.join(cell.problems)}"
        for shape, cells in results.items() for name, cell in cells.items() if cell.problems
    ]  # fmt: skip
    return "\n".join([*lines, "", "## What came out otherwise", "", *(wrong or ["Nothing."]), ""])


def document_of_stops(results: Mapping[str, Mapping[str, list[str]]]) -> str:
    """The markdown of `results`: shape → scenario → what the phones noticed."""
    lines = [_STOPPED, "| scenario | " + " | ".join(SHAPES[name].title for name in results) + " |"]
    lines.append("| --- " * (len(results) + 1) + "|")
    for name in SCENARIOS:
        marks = ("**differs**" if noticed[name] else "✓" for noticed in results.values())
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(marks)} |")
    wrong = [
        f"- {SHAPES[shape].title}, {name.replace('_', ' ')}: {'; '.join(found)}"
        for shape, noticed in results.items() for name, found in noticed.items() if found
    ]  # fmt: skip
    return "\n".join([*lines, "", *(wrong or ["No phone noticed anything."]), ""])


def parts() -> tuple[str, str]:
    """The document's two tables, with what is said about each."""
    first, _, second = DOCUMENT.read_text(encoding="utf-8").partition(_STOPPED.splitlines()[0])
    return first, _STOPPED.splitlines()[0] + second


def _mark(cell: Cell) -> str:
    if cell.problems:
        return "**differs**"
    return "✓ by CDR" if cell.from_records else "✓"


_INTRODUCTION = """# Every way a call can go, on every telephone system

What a run of `python -m tests.real.matrix` gave: each scenario played with real SIP phones on a real Asterisk, ten at
once, and compared with what the portal's double ended with: code, reason, duration (by the phones' clocks, within one
second), owner, who talked in which order, and that it is one call only. FreePBX and Issabel are dialplans of their
shape, written for these tests (`tests/real/shapes/`): the same contexts, hooks, option strings and order; under test is
the shipped `extensions_custom.conf` itself. Extension 1 to 3 are the scenario's employees.

✓ right by the hooks and `[ami]`; ✓ by CDR: neither told the end, `[cdr]` completed the call from CDR and CEL;
**differs**: see below the table. "On a route with mail" is FreePBX's e-mail about a route's calls: its own U() takes
the place of ours on the trunk's leg (FreePBX 16 has M() beside it, Issabel no such mail; the plain dialplan leaves that
leg alone to show the same).
"""


_STOPPED = """## The same calls while our server stops

What a run of `python -m tests.real.matrix --stopped` gave. Each scenario was played three times: without any server of
ours; with it killed (SIGKILL) while the portal is slow and the first hook keeps the caller waiting, and gone for the
rest of the call; and with it frozen (SIGSTOP) in the middle, when some ring, some talk, some are being transferred and
some end, and ended two seconds later, as the service's watchdog does after ten. ✓ is for both: the client's calls end
as they do without us, the same people talk, as long as without us by the phones' clocks (within one second; frozen: and
the two the server was held), and no channel is left.
"""


def main() -> None:
    """Play what the command line names, or everything into the document."""
    arguments = [word for word in sys.argv[1:] if word != "--stopped"]
    shapes, names = arguments[:1] or list(SHAPES), arguments[1:] or list(SCENARIOS)
    if "--stopped" in sys.argv:
        stops = {shape: _play_stopped(shape, names) for shape in shapes}
        if not arguments:
            DOCUMENT.write_text(parts()[0] + document_of_stops(stops), encoding="utf-8")
    else:
        results = _play_all(shapes, names)
        if not arguments:
            DOCUMENT.write_text(document(results) + "\n" + parts()[1], encoding="utf-8")


def noticed(where: Office, names: Iterable[str]) -> dict[str, list[str]]:
    """What the phones noticed of each way our server can stop, by scenario."""
    normal = without_us(where, names)
    found: dict[str, list[str]] = {name: [] for name in names}
    for how, stop in STOPS.items():
        for name, differs in differences(where, stop, names, normal).items():
            found[name] += [f"{how}: {difference}" for difference in differs]
    return found


def _play_stopped(shape: str, names: list[str]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as directory, office(Path(directory), pbx=SHAPES[shape].pbx) as where:
        found = noticed(where, names)
    for name, differs in found.items():
        print(f"{shape:10} {name:48} {'; '.join(differs) or 'not noticed'}", flush=True)
    return found


def _play_all(shapes: list[str], names: list[str]) -> dict[str, dict[str, Cell]]:
    results: dict[str, dict[str, Cell]] = {}
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(server())
        for shape in shapes:
            create_records(database.port)
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with office(directory, records_port=database.port, pbx=SHAPES[shape].pbx) as where:
                results[shape] = plays(where, SHAPES[shape], names, with_records=True)
            for name, cell in results[shape].items():
                print(f"{shape:10} {name:48} {_mark(cell)} {'; '.join(cell.problems)}", flush=True)
    return results


if __name__ == "__main__":
    main()
