"""The page at `/`: what the portal knows, for people."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

if TYPE_CHECKING:
    from itgrix_bx.emulator.portal.double import PortalEmulator

_SHOWN = 100
_ENTITY_TABLES = {"CONTACT": "contacts", "LEAD": "leads", "COMPANY": "companies", "DEAL": "deals"}
_TYPES = {1: "исходящий", 2: "входящий", 3: "входящий с перенаправлением", 4: "обратный", 5: "информационный"}
# Everything on the page is escaped: names come from telephones.
_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_TEMPLATE = _ENVIRONMENT.from_string(Path(__file__).with_name("index.html").read_text("utf-8"))


def render(emulator: PortalEmulator) -> str:
    """The page as it stands now."""
    state = emulator.dump()
    names = {user["id"]: user["name"] for user in state["users"]}
    offset_min = int(state["settings"]["utc_offset_min"])
    return _TEMPLATE.render(
        state=state,
        statistics=[_finished(row, state, names) for row in _last(state["statistics"])],
        calls=[_live(call, names, offset_min) for call in _last(state["calls"])],
        cards=[
            card | {"who": names.get(card["user_id"], ""), "time": _clock(card["at"], offset_min)}
            for card in _last(state["cards"])
        ],
        requests=[request | {"time": _clock(request["at"], offset_min)} for request in _last(state["requests"])],
        clients=[client for table in _ENTITY_TABLES.values() for client in _last(state[table])],
        names=names,
        shown=_SHOWN,
    )


def _last(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[-_SHOWN:][::-1]


def _finished(row: dict[str, Any], state: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    minutes, seconds = divmod(int(row["CALL_DURATION"]), 60)
    file = next((file for file in state["files"] if file["id"] == row["RECORD_FILE_ID"]), None)
    return row | {
        "time": f"{datetime.fromisoformat(row['CALL_START_DATE']):%Y-%m-%d %H:%M:%S}",  # by the portal's clock
        "who": names.get(int(row["PORTAL_USER_ID"]), ""),
        "kind": _TYPES.get(int(row["CALL_TYPE"]), row["CALL_TYPE"]),
        "talk": f"{minutes}:{seconds:02d}",
        "client": _client(row["CRM_ENTITY_TYPE"], row["CRM_ENTITY_ID"], state),
        "file": file,
    }


def _live(call: dict[str, Any], names: dict[int, str], offset_min: int) -> dict[str, Any]:
    return call | {
        "who": names.get(call["user_id"], ""),
        "kind": _TYPES.get(call["type"], call["type"]),
        "time": _clock(call["started_at"], offset_min),
    }


def _client(kind: str | None, number: str | None, state: dict[str, Any]) -> str:
    rows = state.get(_ENTITY_TABLES.get(kind or "", ""), [])
    name = next((row["name"] for row in rows if str(row["id"]) == number), "")
    return f"{name} ({kind} {number})" if kind else ""


def _clock(moment: float, offset_min: int) -> str:
    found = datetime.fromtimestamp(moment, timezone(timedelta(minutes=offset_min)))
    return f"{found:%H:%M:%S}.{found.microsecond // 1000:03d}"
