"""How things stand, for `status`: the running service, the journal, the spool. Nothing walks through all calls."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from typing import Any

from itgrix_bx.config import Settings, split_address
from itgrix_bx.delivery.fetching import Fetching
from itgrix_bx.delivery.schedule import LEASE_S
from itgrix_bx.spool import Spool
from itgrix_bx.times import iso
from sql.database import Database, DatabaseAwayError
from sql.notes import Notes
from sql.overview import Overview, Owed
from sql.schema import check
from sql.staff import Staff

_ASK_S = 3.0
_LAST_CALLS = 100
_DAY_S = 86400.0
_OUTCOME = ("register", "finish")  # what makes a call known; a recording may rightly be waited for


def standing(settings: Settings, database: Database) -> dict[str, Any]:
    """Everything `status --json` tells; what is not known is None. Never raises for a part that is away."""
    spool = Spool(settings.journal.directory).waiting()
    found: dict[str, Any] = {
        "service": service(settings),
        "spool": {"bytes": spool.bytes, "events": spool.events, "oldest": iso(spool.oldest)},
    }
    try:
        if problem := check(database):
            return found | {"database": {"ok": False, "error": str(problem)}}
        return found | {"database": {"ok": True, "error": None}} | journal(settings, database)
    except DatabaseAwayError as error:
        return found | {"database": {"ok": False, "error": str(error)}}


def service(settings: Settings) -> dict[str, Any]:
    """What the running service says of itself: {"runs": bool, "answers": bool, "address", "parts": ...}.

    One that runs and does not answer within _ASK_S is frozen, or has no processor time left.
    """
    host, port = split_address(settings.web.listen)
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    try:
        parts, frozen = _parts(f"http://{here}:{port}/healthz"), False
    except TimeoutError:
        parts, frozen = None, True
    answers = parts is not None
    return {"runs": answers or frozen, "answers": answers, "address": settings.web.listen, "parts": parts or {}}


def _parts(address: str) -> dict[str, dict[str, Any]] | None:
    """What the health page tells; None when nobody answers, or somebody else. Raises TimeoutError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _TakesAnyStatus())
    try:
        with opener.open(address, timeout=_ASK_S) as answer:
            said = json.load(answer)
    except TimeoutError:
        raise
    except (OSError, ValueError):
        return None
    parts = said.get("parts") if isinstance(said, dict) else None
    return {name: part for name, part in parts.items() if isinstance(part, dict)} if isinstance(parts, dict) else None


class _TakesAnyStatus(urllib.request.HTTPErrorProcessor):
    """503 is how a service says that it is not well."""

    def http_response(self, _request: urllib.request.Request, response: Any) -> Any:
        return response


def journal(settings: Settings, database: Database) -> dict[str, Any]:
    """What the journal tells. Raises DatabaseAwayError."""
    overview, now = Overview(database), time.time()
    owed = overview.backlog(now)
    trouble = overview.last_trouble()
    fetching = Fetching(settings.recordings.public_url, Notes(database))
    unfetched = fetching.trouble()
    return {
        "calls": overview.unfinished(),
        "last_day": overview.finished_since(now - _DAY_S),
        "backlog": {"total": sum(o.now + o.later for o in owed.values()), "steps": _steps(owed)},
        "lag": _lag(owed, overview.lags(_LAST_CALLS), now),
        "leases": [
            {"owner": lease.owner, "calls": lease.calls, "since": iso(lease.until - LEASE_S), "until": iso(lease.until)}
            for lease in overview.leases(now)
        ],
        "last_error": trouble and {"id": trouble.call_id, "error": trouble.error, "at": iso(trouble.at)},
        "fetching": f"{unfetched}: {fetching.cure}" if unfetched else None,
        "users_synced_at": iso(Staff(database).synced_at()),
        "oldest_call": iso(overview.oldest()),
        "keep_days": settings.journal.keep_days,
    }


def _steps(owed: dict[str, Owed]) -> dict[str, dict[str, Any]]:
    nothing = {"now": 0, "later": 0, "oldest": None, "next_try": None}
    told = {
        step: {"now": o.now, "later": o.later, "oldest": iso(o.oldest), "next_try": iso(o.next_at)}
        for step, o in owed.items()
    }
    return {step: told.get(step, nothing) for step in ("register", "finish", "lead", "attach")}


def _lag(owed: dict[str, Owed], seconds: list[float], now: float) -> dict[str, Any]:
    oldest = min((owed[step].oldest for step in _OUTCOME if step in owed), default=None)
    ordered = sorted(seconds)
    return {
        "oldest_s": None if oldest is None else round(max(0.0, now - oldest), 1),
        "median_s": round(statistics.median(ordered), 1) if ordered else None,
        "p95_s": round(ordered[int(len(ordered) * 0.95)], 1) if ordered else None,
        "calls": len(ordered),
    }
