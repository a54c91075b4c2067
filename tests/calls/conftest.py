"""A call told step by step, as the hooks would."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.events import Event, Kind

ANNA, BORIS, VERA, GONE, ADMIN = 11, 12, 13, 14, 1
ID = "1700000000.1"


class Story:
    """Events of one call; `at` is seconds after its start."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, at: float, kind: Kind, **data: Any) -> Story:
        self.events.append(Event(ID, kind, 1_700_000_000 + at, data))
        return self

    def inbound(self, at: float = 0.0, number: str = "+79161234567", did: str = "74950000001") -> Story:
        return self.tell(at, Kind.INBOUND, own_channel=True, client_number=number, did=did, linkedid=ID)

    def outbound(
        self, at: float = 0.0, extension: str = "101", number: str = "+79161234567", own: bool = True, **more: Any
    ) -> Story:
        said = {"number": number, "client_number": number, "extension": extension, "linkedid": ID}
        return self.tell(at, Kind.OUTBOUND, own_channel=own, **said, **more)

    def ring(self, at: float, *extensions: str) -> Story:
        return self.tell(at, Kind.RING, extensions=list(extensions), own_channel=True)

    def answer(self, at: float, extension: str = "") -> Story:
        return self.tell(at, Kind.ANSWER, extension=extension)

    def hangup(
        self, at: float, *, own: bool = True, direction: str = "in", recording: str = "", **variables: str
    ) -> Story:
        named = {_NAMES.get(key, key): value for key, value in variables.items()}
        data = {"own_channel": own, "direction": direction, "recording": recording, "variables": named}
        return self.tell(at, Kind.HANGUP, **data)

    def found(self, *entities: dict[str, Any]) -> Story:
        return self.tell(0.2, Kind.CLIENT, entities=list(entities))

    def call(self) -> Call:
        return fold(self.events)

    def outcome(self, finisher: str = "last") -> outcome.Outcome:
        return outcome.of(self.call(), people(), finisher=finisher, default_user=ADMIN)


_NAMES = {
    "CONNECTED": "CONNECTEDLINE(num)",
    "LASTAPP": "CDR(lastapp)",
    "ANSWERED": "CDR(answer,u)",
    "BILLSEC": "CDR(billsec)",
    "SOURCE": "CHANNEL(hangupsource)",
}


def people() -> Directory:
    employees = [
        Employee(ADMIN, "Admin"),
        Employee(ANNA, "Анна", True, "101"),
        Employee(BORIS, "Борис", True, "102"),
        Employee(VERA, "Вера", True, "103"),
        Employee(GONE, "Gone", False, "104"),
    ]
    return Directory.of(employees, {}, synced=True)


def contact(user_id: int | None = ANNA, extension: str = "101", workday: str = "OPENED", **more: Any) -> dict[str, Any]:
    responsible = None if user_id is None else {"user_id": user_id, "extension": extension, "workday": workday}
    return {"type": "CONTACT", "id": 7, "name": "Иван Клиентов", "responsible": responsible} | more


@pytest.fixture
def story() -> Story:
    return Story()
