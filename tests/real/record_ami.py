"""`python -m tests.real.record_ami`: plays every call with the fewest hooks and writes tests/pbx/recorded_ami.py, what
Asterisk's manager told meanwhile beside the hooks' own events and what came of each call."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from itgrix_bx.pbx import scene
from itgrix_bx.pbx.ami import Ami
from itgrix_bx.pbx.ami_user import READ
from itgrix_bx.pbx.link import Manager
from itgrix_bx.pbx.messages import Message
from tests.real.asterisk import AMI_SECRET
from tests.real.more_scenarios import MORE
from tests.real.office import Office, office
from tests.real.scenarios import ALL, play
from tests.real.site import bare

TARGET = Path(__file__).parents[1] / "pbx" / "recorded_ami.py"
# Without a way to ask for the responsible: that is the hooks' business.
PLAYS = {name: how for name, how in (ALL | MORE).items() if not name.startswith("responsible")}
_HEADERS = (
    "Channel", "Uniqueid", "Linkedid", "ChannelState", "CallerIDNum", "CallerIDName", "Exten", "DestChannel",
    "DestUniqueid", "DestLinkedid", "DestCallerIDNum", "DialString", "DialStatus", "BridgeUniqueid",
    "BridgeTechnology", "Cause",
)  # fmt: skip
_HOOKS = ("inbound", "outbound", "hangup")
_HEAD = '''"""Real calls on a real Asterisk 22, recorded by `python -m tests.real.record_ami`; do not edit.

CALLS: name -> (id, the hooks' events: kind, time, data; what came of it: code, seconds, owner, legs as extension and
whether it answered). EVENTS: what the manager told of all of them, in its order: time, event, the headers that matter.
"""

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any

'''


def main() -> None:
    """Play, wait for the ends, write."""
    heard: list[Message] = []
    with tempfile.TemporaryDirectory() as directory, office(Path(directory), pbx=bare) as where:
        ami = Ami(Manager(where.asterisk.ami, "operator", AMI_SECRET, mask=READ))
        for event in scene.EVENTS:
            ami.on(event, heard.append)
        ami.start()
        time.sleep(1)
        asyncio.run(play(where, PLAYS))
        time.sleep(10)
        calls = {name: _of(where, number) for name, (number, _) in PLAYS.items() if name != "internal"}
        ami.stop()
    TARGET.write_text(_HEAD + _python(calls, heard), encoding="utf-8")
    print(f"{len(calls)} calls and {len(heard)} events in {TARGET}")


def _of(where: Office, number: int) -> tuple[str, list[Any], dict[str, Any]]:
    (found,) = [call for call in where.calls_of(number) if call["state"] != "skipped"]
    call = where.program.json("calls", "show", found["id"])
    hooks = [_event(step) for step in call["steps"] if step["step"] in _HOOKS and step.get("source") is None]
    legs = [(leg["extension"], leg["answered_at"] is not None) for leg in call["legs"]]
    came = {name: call[name] for name in ("status_code", "talk_seconds", "user_id")} | {"legs": legs}
    return call["id"], hooks, came


def _event(step: dict[str, Any]) -> tuple[str, float, dict[str, Any]]:
    data = {name: value for name, value in step.items() if name not in ("at", "step", "recording", "recordingfile")}
    return step["step"], datetime.fromisoformat(step["at"]).timestamp(), data


def _python(calls: dict[str, Any], heard: list[Message]) -> str:
    lines = ["CALLS: dict[str, tuple[str, list[tuple[str, float, dict[str, Any]]], dict[str, Any]]] = {"]
    lines += [f"    {name!r}: {call!r}," for name, call in calls.items()]
    lines += ["}", "", "EVENTS: list[tuple[float, str, dict[str, str]]] = ["]
    for message in heard:
        headers = {name: value for name, value in message.headers if name in _HEADERS and value}
        lines.append(f"    ({message.at:.3f}, {message.event!r}, {headers!r}),")
    return "\n".join([*lines, "]", ""])


if __name__ == "__main__":
    main()
