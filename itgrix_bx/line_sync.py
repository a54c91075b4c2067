"""The portal's external lines beside ours: what differs, and how it is put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bx24client import Bitrix24, BitrixError, Command, LineProblem, lines
from itgrix_bx.calls.lines import Leads, Line, Lines

T = TypeVar("T")

ADD, RENAME, SAME, FOREIGN = "add", "rename", "same", "only in the portal"
_REQUEST_S = 30.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the portal: `change` is what makes it ours; `dids` are mapped to it."""

    number: str
    change: str
    name: str  # ours
    portal_name: str | None  # None: the portal has no such line
    dids: tuple[str, ...] = ()
    creates_clients: bool = True  # when somebody calls out from the portal; set once, when the line is added


def compare(ours: Lines, theirs: Sequence[lines.Line]) -> list[Difference]:
    """Every line there is on either side, ours first."""
    names = {line.number: line.name for line in theirs}
    rules: dict[str, list[Line]] = {}
    for line in ours.by_did.values():
        if line.number:
            rules.setdefault(line.number, []).append(line)
    mapped = [_difference(number, rules[number], names.get(number)) for number in sorted(rules)]
    foreign = [Difference(number, FOREIGN, "", names[number]) for number in sorted(names.keys() - rules.keys())]
    return mapped + foreign


def apply(portal: Bitrix24, difference: Difference) -> None:
    """Make the portal's line as ours. Raises BitrixError."""
    if difference.change == ADD:
        _add(portal, difference)
    elif difference.change == RENAME:
        _run(portal, lines.update(difference.number, name=difference.name))


def _difference(number: str, rules: list[Line], portal_name: str | None) -> Difference:
    name = next((line.name for line in rules if line.name), "")
    dids = tuple(line.did for line in rules)
    creates = any(line.leads is not Leads.NONE for line in rules)
    if portal_name is None:
        return Difference(number, ADD, name or number, None, dids, creates)
    # A line that register made has no name; one that we have no name for keeps its own.
    return Difference(number, RENAME if name and name != portal_name else SAME, name, portal_name, dids)


def _add(portal: Bitrix24, difference: Difference) -> None:
    """Add a line, once: with a webhook the portal takes the same number twice."""
    try:
        _run(portal, lines.add(difference.number, difference.name, crm_auto_create=difference.creates_clients))
    except LineProblem:
        return  # somebody was quicker
    except BitrixError as error:
        if not error.maybe_done or difference.number not in {line.number for line in _run(portal, lines.get())}:
            raise


def _run(portal: Bitrix24, command: Command[T]) -> T:
    return portal.execute(command, timeout_s=_REQUEST_S, lane="background")
