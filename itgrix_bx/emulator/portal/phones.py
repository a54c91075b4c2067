"""Telephone numbers as the portal stores and compares them."""

from __future__ import annotations

import re

_NOT_STORED = re.compile(r"[^0-9#*+,;]")
_NOT_COMPARED = re.compile(r"[^0-9#*,;]")
_EXTENSION = re.compile(r"[;#]")
# Shorter numbers are inner numbers and services: their first digits mean something else.
_SHORTEST_WITH_PREFIX = 10


def strip_letters(number: str) -> str:
    """The number as a call keeps it. Nothing else is made equal: +7…, 7… and 8… stay three numbers."""
    return _NOT_STORED.sub("", number)


def normalise(number: str) -> str:
    """The form in which two numbers are compared for the search in the CRM."""
    found = _NOT_COMPARED.sub("", number)
    if len(found) >= _SHORTEST_WITH_PREFIX and not number.strip().startswith("+8"):
        found = _without_prefix(found)
    return _EXTENSION.split(found, maxsplit=1)[0] or found


def _without_prefix(digits: str) -> str:
    if digits.startswith(("80", "81", "82")):
        return digits
    for prefix, replacement in (("00", ""), ("011", ""), ("8", "7"), ("0", "")):
        if digits.startswith(prefix):
            return replacement + digits[len(prefix) :]
    return digits
