"""The employees as the portal and the administrator's map know them: who has which extension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Employee:
    user_id: int
    name: str = ""
    active: bool = True
    extension: str = ""
    phones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Directory:
    """A snapshot. `synced` is False until the portal's list has been read once: then nothing is known of
    who is active, and the portal's own word about a responsible is taken."""

    employees: Mapping[int, Employee] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)  # extension -> user id, set by hand
    synced: bool = False
    on_pbx: frozenset[str] = frozenset()  # the extensions the PBX itself names, whoever's they are
    _by_extension: dict[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        employees: Iterable[Employee],
        mapped: Mapping[str, int],
        *,
        synced: bool,
        on_pbx: frozenset[str] = frozenset(),
    ) -> Directory:
        known = {e.user_id: e for e in employees}
        by_extension: dict[str, int] = {}
        for employee in sorted(known.values(), key=lambda e: e.user_id):
            if employee.active and employee.extension:
                by_extension.setdefault(employee.extension, employee.user_id)
        by_extension.update(mapped)
        return cls(known, dict(mapped), synced, on_pbx, by_extension)

    def user_of(self, extension: str) -> int | None:
        """The active user who has this extension; the administrator's map beats the portal."""
        user_id = self._by_extension.get(extension)
        return user_id if user_id is not None and self.is_active(user_id) else None

    def knows(self, extension: str) -> bool:
        return extension in self._by_extension

    def is_extension(self, number: str) -> bool:
        """Whether a number is one of ours, somebody's or only the PBX's."""
        return number in self._by_extension or number in self.on_pbx

    def is_active(self, user_id: int) -> bool:
        employee = self.employees.get(user_id)
        return employee.active if employee is not None else not self.synced

    def extension_of(self, user_id: int, said_by_portal: str = "") -> str:
        """The extension to ring for a user: the map's, else the portal's."""
        own = next((ext for ext, user in self.mapped.items() if user == user_id), "")
        employee = self.employees.get(user_id)
        return own or said_by_portal or (employee.extension if employee else "")
