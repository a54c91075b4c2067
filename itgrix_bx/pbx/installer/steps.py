"""What was looked at, and how to cure it when it is not right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from itgrix_bx.words import Phrase


@dataclass(frozen=True, slots=True)
class Step:
    """`ok` None: it was not looked at, and the cure says how to."""

    what: Phrase
    ok: bool | None
    cure: Phrase | None = None

    def as_json(self, lang: str) -> dict[str, Any]:
        """For programs, the words in the language `lang`."""
        return {"what": self.what.said(lang), "ok": self.ok, "cure": self.cure.said(lang) if self.cure else ""}


def wrong(what: Phrase, cure: Phrase) -> Step:
    """Something that keeps it from working."""
    return Step(what, False, cure)
