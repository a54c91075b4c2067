"""Everything the portal double knows. Whoever changes it holds `lock`; nobody sleeps with it held."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from itgrix_bx.emulator.portal import phones
from itgrix_bx.emulator.portal.clock import Clock, iso
from itgrix_bx.emulator.portal.settings import Settings

EntityType = Literal["CONTACT", "LEAD", "COMPANY", "DEAL"]
ENTITY_TYPES: tuple[EntityType, ...] = ("CONTACT", "LEAD", "COMPANY", "DEAL")
# STATUS_IDs of the dictionary SOURCE as a new portal has them.
SOURCES = ("CALL", "EMAIL", "WEB", "ADVERTISING", "PARTNER", "RECOMMENDATION", "TRADE_SHOW", "WEBFORM", "OTHER")
# A long run of a load generator must not fill the memory; older requests are only counted.
KEPT_REQUESTS = 20_000
KEPT_CARDS = 50_000
KEPT_RECORD_BYTES = 64 << 20


@dataclass
class User:
    """An employee. `extension` is the inner number, `workday` a TIMEMAN_STATUS."""

    id: int
    name: str = ""
    active: bool = True
    extension: str = ""
    workday: str = "OPENED"
    email: str = ""
    work_phone: str = ""
    personal_phone: str = ""
    mobile: str = ""
    departments: list[int] = field(default_factory=lambda: [1])

    def is_at(self, phone: str) -> bool:
        """Whether the number is this employee's own."""
        own = (self.work_phone, self.personal_phone, self.mobile)
        return phone == self.extension or phones.normalise(phone) in {phones.normalise(item) for item in own if item}


@dataclass
class Client:
    """A contact, lead, company or deal. `responsible` is a user id; an inactive lead or deal is a closed one; `contact`
    and `company`: whose deal or repeat lead it is."""

    type: EntityType
    id: int
    name: str = ""
    phones: list[str] = field(default_factory=list)
    responsible: int = 1
    active: bool = True
    created_by_call: str | None = None
    source: str = ""
    contact: int | None = None
    company: int | None = None
    origin: tuple[str, str] = ("", "")  # ORIGINATOR_ID and ORIGIN_ID


@dataclass
class Department:
    """A node of the company's structure; 0: no parent, no head."""

    id: int
    name: str = ""
    parent: int = 0
    head: int = 0


@dataclass
class Absence:
    """An event of a user's calendar, unix seconds; `accessibility`: busy | absent | quest | free."""

    id: int
    user_id: int
    since: float
    until: float
    accessibility: str = "absent"
    name: str = ""


@dataclass
class Line:
    """An outside line."""

    number: str
    name: str = ""
    crm_auto_create: str = "Y"
    copies: int = 1


@dataclass
class Call:
    """A registered call that is not finished. `started_at` is CALL_START_DATE and opens the dedupe window."""

    call_id: str
    user_id: int
    phone_number: str
    type: int
    line: str
    external_call_id: str | None
    started_at: float
    registered_at: float
    entity_type: str = ""
    entity_id: int | None = None
    created: list[tuple[EntityType, int]] = field(default_factory=list)
    lead_error: str | None = None


class Store:
    """The portal's tables, with the indexes that keep a load test from measuring our own scans."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.lock = threading.RLock()
        self.secret = "emulator-secret"
        self.webhook_user_id = 1
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.users: dict[int, User] = {}
        self.clients: dict[EntityType, dict[int, Client]] = {kind: {} for kind in ENTITY_TYPES}
        self.departments: dict[int, Department] = {}
        self.absences: list[Absence] = []
        self.lines: dict[str, Line] = {}
        self.line_ids: dict[str, int] = {}
        self.calls: dict[str, Call] = {}
        self.statistics: list[dict[str, Any]] = []
        self.activities: list[dict[str, Any]] = []
        self.files: list[dict[str, Any]] = []
        self.file_names: set[tuple[str, str]] = set()
        self.contents: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.cards: deque[dict[str, Any]] = deque(maxlen=KEPT_CARDS)
        self.open_cards: dict[tuple[str, int], float] = {}
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        # (method, inside a batch, what came of it) and the lengths of batches: for ever, unlike `requests`.
        self.tally: Counter[tuple[str, bool, str]] = Counter()
        self.batches: Counter[int] = Counter()
        self.http_requests = 0
        self.refused_requests = 0
        self._by_phone: dict[str, list[Client]] = {}
        self._calls_of_external: dict[str, dict[str, Call]] = {}
        self._rows_of_call: dict[str, list[dict[str, Any]]] = {}
        self._rows_of_external: dict[str, list[dict[str, Any]]] = {}
        self._last_ids: dict[str, int] = {}

    def add_call(self, call: Call) -> None:
        """A call that was registered."""
        self.calls[call.call_id] = call
        if call.external_call_id:
            self._calls_of_external.setdefault(call.external_call_id, {})[call.call_id] = call

    def drop_call(self, call: Call) -> None:
        """A call that was finished, if it is still there."""
        self.calls.pop(call.call_id, None)
        same = self._calls_of_external.get(call.external_call_id or "", {})
        same.pop(call.call_id, None)
        if not same:
            self._calls_of_external.pop(call.external_call_id or "", None)

    def calls_of_external(self, external_call_id: str) -> list[Call]:
        """The open calls with this EXTERNAL_CALL_ID, oldest first."""
        return list(self._calls_of_external.get(external_call_id, {}).values())

    def next_id(self, table: str) -> int:
        """The next id of a table."""
        self._last_ids[table] = self._last_ids.get(table, 0) + 1
        return self._last_ids[table]

    def iso(self, moment: float) -> str:
        """A moment as the portal writes it."""
        return iso(moment, self.settings.utc_offset_min)

    def active_user(self, user_id: int) -> User | None:
        """The employee, unless dismissed or unknown."""
        user = self.users.get(user_id)
        return user if user and user.active else None

    def user_at_extension(self, extension: str) -> User | None:
        """The first active employee with exactly this inner number."""
        matches = (user for user in self.users.values() if user.active and user.extension == extension)
        return next(matches, None) if extension else None

    def put_client(self, client: Client) -> None:
        """Add or replace a CRM object."""
        if client.id in self.clients[client.type]:
            self._by_phone = {key: _without(found, client) for key, found in self._by_phone.items()}
        self.clients[client.type][client.id] = client
        self._last_ids[client.type] = max(client.id, self._last_ids.get(client.type, 0))
        for phone in client.phones:
            self._by_phone.setdefault(phones.normalise(phone), []).append(client)

    def clients_at(self, phone: str) -> list[Client]:
        """CRM objects with this number, lowest ids first. Closed leads are no longer found."""
        found = self._by_phone.get(phones.normalise(phone), [])
        return sorted((client for client in found if client.active), key=lambda client: client.id)

    def add_statistics(self, row: dict[str, Any]) -> None:
        """Add a row; nothing keeps two rows of one call apart, as in the real table."""
        self.statistics.append(row)
        self._rows_of_call.setdefault(row["CALL_ID"], []).append(row)
        self._rows_of_external.setdefault(row["EXTERNAL_CALL_ID"] or "", []).append(row)

    def statistics_of(self, call_id: object) -> list[dict[str, Any]]:
        """Statistics rows of a call."""
        return self._rows_of_call.get(call_id, []) if isinstance(call_id, str) else []

    def statistics_of_external(self, external_id: str) -> list[dict[str, Any]]:
        """Statistics rows by EXTERNAL_CALL_ID."""
        return self._rows_of_external.get(external_id, [])

    def keep_content(self, file_id: int, content: bytes) -> None:
        """Keep a recording to be listened to; the oldest go when they become too many."""
        self.contents[file_id] = content
        self._kept_bytes += len(content)
        while len(self.contents) > 1 and self._kept_bytes > KEPT_RECORD_BYTES:
            self._kept_bytes -= len(self.contents.pop(next(iter(self.contents))))

    def record_card(self, call_id: str, user_id: int, action: str) -> None:
        """Open or close a call's card on an employee's screen."""
        now = self.clock.now()
        self.cards.append({"at": now, "call_id": call_id, "user_id": user_id, "action": action})
        if action == "show":
            self.open_cards[call_id, user_id] = now
        else:
            self.open_cards.pop((call_id, user_id), None)

    def counts(self) -> dict[str, Any]:
        """How much there is of everything, as JSON values: little enough to be asked for every second."""
        with self.lock:
            return {
                "http_requests": self.http_requests,
                "refused_requests": self.refused_requests,
                "requests": [
                    {"method": method, "in_batch": in_batch, "outcome": outcome, "count": count}
                    for (method, in_batch, outcome), count in self.tally.items()
                    if count
                ],
                "batches": {str(length): count for length, count in self.batches.items()},
                "calls": len(self.calls),
                "statistics": len(self.statistics),
                "files": len(self.files),
                "now": self.clock.now(),
            }

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON values, taken at one moment."""
        with self.lock:
            return {
                "users": [asdict(user) for user in self.users.values()],
                "contacts": self._clients("CONTACT"),
                "leads": self._clients("LEAD"),
                "companies": self._clients("COMPANY"),
                "deals": self._clients("DEAL"),
                "departments": [asdict(node) for node in self.departments.values()],
                "absences": [asdict(event) for event in self.absences],
                "lines": [asdict(line) for line in self.lines.values()],
                "calls": [asdict(call) for call in self.calls.values()],
                "statistics": [dict(row) for row in self.statistics],
                "activities": [dict(row) for row in self.activities],
                "files": [dict(row) for row in self.files],
                "cards": [dict(card) for card in self.cards],
                "open_cards": list(self._open_cards()),
                "requests": [dict(request) for request in self.requests],
                "http_requests": self.http_requests,
                "refused_requests": self.refused_requests,
                "settings": asdict(self.settings),
                "now": self.clock.now(),
            }

    def _clients(self, kind: EntityType) -> list[dict[str, Any]]:
        return [asdict(client) for client in self.clients[kind].values()]

    def _open_cards(self) -> Iterator[dict[str, Any]]:
        for (call_id, user_id), since in self.open_cards.items():
            yield {"call_id": call_id, "user_id": user_id, "since": since}


def _without(clients: list[Client], replaced: Client) -> list[Client]:
    return [client for client in clients if (client.type, client.id) != (replaced.type, replaced.id)]
