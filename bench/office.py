"""The office that is called: employees at their extensions, clients with the employee responsible for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DID = "74950000001"
DEFAULT_USER = 1
_FIRST_USER, _FIRST_EXTENSION, _FIRST_CONTACT = 11, 101, 1000


@dataclass(frozen=True)
class Client:
    """A contact of the CRM. `extension` is where the responsible sits."""

    number: str
    extension: str


@dataclass(frozen=True)
class Office:
    """`employees` at 101, 102, …; client n is the responsibility of employee n modulo their number."""

    employees: int
    clients: int

    def client(self, n: int) -> Client:
        """Client n, from 0."""
        return Client(f"+7916{n:07d}", self.extension(n))

    def extension(self, n: int) -> str:
        """The extension of employee n, counted round."""
        return str(_FIRST_EXTENSION + n % self.employees)

    def group(self, n: int, size: int) -> list[str]:
        """The phones of the n-th ring group of `size`."""
        return list(dict.fromkeys(self.extension(n * size + member) for member in range(size)))

    def user_of(self, extension: str) -> int:
        """The portal's user at an extension of this office."""
        return _FIRST_USER + int(extension) - _FIRST_EXTENSION

    def seed(self) -> dict[str, Any]:
        """The portal's tables."""
        staff = [
            {"id": _FIRST_USER + n, "name": f"Сотрудник {n + 1}", "extension": self.extension(n)}
            for n in range(self.employees)
        ]
        contacts = [
            {"id": _FIRST_CONTACT + n, "name": f"Клиент {n}", "phones": [self.client(n).number],
             "responsible": self.user_of(self.client(n).extension)}
            for n in range(self.clients)
        ]  # fmt: skip
        return {"users": [{"id": DEFAULT_USER, "name": "Admin"}, *staff], "contacts": contacts, "companies": []}
