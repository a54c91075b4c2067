"""The administrator's rules for a line: which external line of the portal it is, what becomes of an unknown client,
what the phone shows. A call keeps the rules it came in under, so that what is told later is what was decided then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from itgrix_bx.calls.caller_name import USUAL_LENGTH

TRUNK = "trunk/"  # in front of a trunk's name: a DID has no slash
EVERY_OTHER = "*"
# A DID or a trunk.
NAMED = re.compile(r"\+?[0-9A-Za-z ()_.@:*#-][0-9A-Za-z+ ()_.@:*#-]{0,62}|trunk/[0-9A-Za-z_.:@+-]{1,58}")


class Leads(StrEnum):
    """Whose call makes a lead."""

    NONE = "none"
    LEAD = "lead"  # of a client the CRM does not know, as register itself makes it
    NOTHING_OPEN = "nothing-open"  # and, by us after the call, of a known client of whom no lead and no deal is open


@dataclass(frozen=True, slots=True)
class Line:
    """The rules for calls to `did`: a dialled number, `trunk/NAME`, or `*` for all that have none of their own.

    `number`: the portal's external line, "" for none; `source`: a STATUS_ID of CRM sources; `default_user`: who gets
    what nobody took; `caller_name`: a template, "" leaves the name as the network sent it; `latin`: transliterated.
    """

    did: str
    number: str = ""
    name: str = ""
    source: str = ""
    default_user: int | None = None
    leads: Leads = Leads.LEAD
    caller_name: str = ""
    latin: bool = False
    longest: int = USUAL_LENGTH

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.number

    @property
    def wants_deals(self) -> bool:
        """Whether the open deals must be known while the caller waits."""
        return "{deal}" in self.caller_name


NO_LINE = Line("")


@dataclass(frozen=True)
class Lines:
    """All rules, by what a call came in on; not `known` until they have been read."""

    by_did: Mapping[str, Line] = field(default_factory=dict)
    known: bool = False

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Lines:
        return cls({line.did: line for line in lines}, known=True)

    def of_call(self, did: str, trunk: str = "") -> Line:
        """The rules of the DID, else of the trunk, else of every other call; a DID may be written with or without +."""
        for key in (did, did.lstrip("+"), "+" + did.lstrip("+"), TRUNK + trunk, EVERY_OTHER):
            if found := self.by_did.get(key):
                return found
        return NO_LINE

    def facts(self, did: str, trunk: str = "") -> dict[str, Any]:
        """What a call's event says of the line it came in on; nothing while that cannot be said."""
        if not self.known:
            return {}
        line = self.of_call(did, trunk)
        rules = {"source": line.source, "user": line.default_user, "leads": line.leads.value}
        usual = {"source": "", "user": None, "leads": Leads.LEAD.value}
        return {"line": line.number, "line_rules": {key: rules[key] for key in rules if rules[key] != usual[key]}}
