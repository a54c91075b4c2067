"""The address of a REST call: /rest/<user>/<secret>/<method>[.json][/]."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from itgrix_bx.emulator.portal import php


@dataclass(frozen=True)
class Target:
    """Who calls which method. `method` in lower case; an empty `secret`: no webhook in the address."""

    method: str
    user_id: int
    secret: str = field(repr=False)
    query: str = ""

    @classmethod
    def of(cls, target: str) -> Target:
        """Take an address apart."""
        path, _, query = target.partition("?")
        words = [unquote(word) for word in path.strip("/").split("/")][1:]
        if len(words) == 3:
            return cls(cls.bare(words[2]), php.integer(words[0]), words[1], query)
        return cls(cls.bare(words[-1]) if words else "", 0, "", query)

    @staticmethod
    def bare(method: str) -> str:
        """A method's name without its suffix, in lower case."""
        return method.rstrip("/").lower().removesuffix(".json")
