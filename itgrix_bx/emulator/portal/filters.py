"""Filters of list methods: an operator in front of a field. What is not known is dropped without a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from itgrix_bx.emulator.portal import php

Row = dict[str, Any]
Test = Callable[[Row], bool]
Key = Callable[[object], Any]

_OPERATOR = re.compile(r"(!><|><|>=|<=|!=|!%|[!<>?=%])?([A-Z0-9_]+)")


def build(conditions: object, key_of: dict[str, Key]) -> list[Test]:
    """Tests a row must pass. `key_of`: the fields that can be asked for, and how their values compare."""
    tests: list[Test] = []
    for name, value in php.pairs(conditions):
        match = _OPERATOR.fullmatch(name.upper())
        if match and match[2] in key_of:
            tests.append(_test(match[1] or "=", match[2], value, key_of[match[2]]))
    return tests


def select(rows: Iterable[Row], tests: list[Test]) -> list[Row]:
    """Rows that pass every test."""
    return [row for row in rows if all(test(row) for test in tests)]


def by_number(value: object) -> float:
    """Compare as numbers."""
    try:
        return float(php.text(value) or 0)
    except ValueError:
        return float(php.integer(value))


def by_text(value: object) -> str:
    """Compare as the database does: without case."""
    return php.text(value).casefold()


def _test(operator: str, field: str, value: object, key: Key) -> Test:
    if operator.endswith("><"):
        return _negated(operator, _between(field, value, key))
    if operator.endswith("%") or operator == "?":
        return _negated(operator, _contains(field, value))
    if operator in (">", "<", ">=", "<="):
        return _ordered(operator, field, key(value), key)
    return _negated(operator, _equals(field, value, key))


def _negated(operator: str, test: Test) -> Test:
    return (lambda row: not test(row)) if operator.startswith("!") else test


def _equals(field: str, value: object, key: Key) -> Test:
    wanted = [key(item) for _, item in php.pairs(value)] if isinstance(value, (list, dict)) else [key(value)]
    return lambda row: row[field] is not None and key(row[field]) in wanted


def _contains(field: str, value: object) -> Test:
    part = by_text(value)
    return lambda row: part in by_text(row[field])


def _between(field: str, value: object, key: Key) -> Test:
    ends = [key(item) for _, item in php.pairs(value)]
    return lambda row: len(ends) == 2 and bool(ends[0] <= key(row[field]) <= ends[1])


def _ordered(operator: str, field: str, wanted: Any, key: Key) -> Test:
    def test(row: Row) -> bool:
        found = key(row[field])
        above, equal = found > wanted, found == wanted
        return bool((above if ">" in operator else not above and not equal) or (equal and "=" in operator))

    return test
