"""`python -m tests.real.record`: plays every call with the hooks at work and writes tests/pbx/recorded.py, what the
PBX recorded of each beside what the hooks made of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import pymysql

from tests.mariadb_server import server
from tests.real.asterisk import create_records
from tests.real.more_scenarios import MORE, RARER
from tests.real.office import Office, office
from tests.real.scenarios import ALL, play
from tests.real.site import client

TARGET = Path(__file__).parents[1] / "pbx" / "recorded.py"
PARKED = {name: how for name, how in RARER.items() if name.startswith("parked")}
CDR = (
    "calldate", "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration", "billsec",
    "disposition", "uniqueid", "did", "recordingfile", "linkedid", "sequence",
)  # fmt: skip
CEL = (
    "id", "eventtype", "eventtime", "cid_num", "exten", "context", "channame", "appname", "appdata", "uniqueid",
    "linkedid", "peer", "extra",
)  # fmt: skip
_TOLD = ("direction", "client_number", "did", "user_id", "talk_seconds", "status_code", "failed_reason", "id")
_HEAD = '''"""Real calls on a real Asterisk 22, recorded by `python -m tests.real.record`; do not edit.

name -> (CDR rows, CEL events without APP_START and APP_END, what the hooks made of the call or None). The columns are
CDR and CEL of that program; of what the hooks made TOLD, and who talked in which order.
"""

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any

'''


def main() -> None:
    """Play, wait for what is written late, write."""
    plays = ALL | MORE | PARKED
    with tempfile.TemporaryDirectory() as directory, server() as database:
        create_records(database.port)
        with office(Path(directory), records_port=database.port) as where:
            asyncio.run(play(where, plays))
            time.sleep(5)
            cdr, cel = _rows(database.port, "cdr", CDR), _rows(database.port, "cel", CEL)
            calls = {name: _of(where, number, cdr, cel) for name, (number, _) in plays.items()}
    TARGET.write_text(_HEAD + _python(calls), encoding="utf-8")
    print(f"{len(calls)} calls in {TARGET}")


def _rows(port: int, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    with pymysql.connect(host="127.0.0.1", port=port, user="root", database="asteriskcdrdb") as connection:
        cursor = connection.cursor(pymysql.cursors.DictCursor)
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {'id' if 'id' in columns else 'sequence'}")
        return [{name: str(v) if name.endswith(("date", "time")) else v for name, v in r.items()} for r in cursor]


def _of(where: Office, number: int, cdr: list[dict[str, Any]], cel: list[dict[str, Any]]) -> tuple[Any, ...]:
    """All rows that name the scenario's client, did or extensions, and the rest of their linkedids."""
    names = (client(number)[2:], f"/1{number:02}1-", f"/1{number:02}2-", f"/1{number:02}3-")
    mine = {r["linkedid"] for r in cdr if any(name in f"{r['src']} {r['channel']} {r['dstchannel']}" for name in names)}
    events = [e for e in cel if e["linkedid"] in mine and not e["eventtype"].startswith("APP_")]
    found = [call for call in where.calls_of(number) if call["state"] != "skipped"]
    told = None
    if found:
        (call,) = found
        shown = where.program.json("calls", "show", call["id"])
        told = tuple(shown[name] for name in _TOLD), [leg["extension"] for leg in shown["legs"] if leg["answered_at"]]
    rows = [tuple(r.values()) for r in cdr if r["linkedid"] in mine]
    return rows, [tuple(e.values()) for e in events], told


def _python(calls: dict[str, tuple[Any, ...]]) -> str:
    text = f"CDR = {CDR!r}\nCEL = {CEL!r}\nTOLD = {_TOLD!r}\nCALLS: dict[str, tuple[list[Any], list[Any], Any]] = {{\n"
    for name, (cdr, cel, told) in calls.items():
        lists = ["[\n" + "".join(f"            {row!r},\n" for row in rows) + "        ]" for rows in (cdr, cel)]
        text += f'    "{name}": (\n        {lists[0]},\n        {lists[1]},\n        {told!r},\n    ),\n'
    return text + "}\n"


if __name__ == "__main__":
    main()
