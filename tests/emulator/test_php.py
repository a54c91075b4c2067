"""PHP's reading of queries and numbers."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.emulator.portal import phones, php
from itgrix_bx.emulator.portal.clock import parse_date


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        ("a=1&a=2", {"a": "2"}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[x][y]=1&a[x][z]=2", {"a": {"x": {"y": "1", "z": "2"}}}),
        ("a[1]=x&a[0]=y", {"a": {"1": "x", "0": "y"}}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a.b=1&c%20d=2&e[f.g]=3", {"a_b": "1", "c_d": "2", "e": {"f.g": "3"}}),
        ("a[b=1", {"a_b": "1"}),
        ("a[b]c[d]=1", {"a": {"b": "1"}}),
        ("[a]=1&=2&&", {}),
        ("a=%D0%96+%2B&b", {"a": "Ж +", "b": ""}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
        ("a=%FF", {"a": "\ufffd"}),
    ],
)
def test_a_query_becomes_arrays(query: str, parsed: dict[str, Any]) -> None:
    assert php.parse_query(query) == parsed


def test_a_key_of_a_thousand_brackets_builds_no_tower() -> None:
    found: Any = php.parse_query("a" + "[b]" * 1000 + "=1")
    depth = 0
    while isinstance(found, dict):
        found, depth = next(iter(found.values())), depth + 1
    assert depth < 100


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b'{"a":NaN}', b'{"a":"\\ud800"}', b"\xff", b"5", b"[" * 100_000])
def test_a_json_body_that_php_cannot_read_is_empty(body: bytes) -> None:
    assert php.parse_json(body) == {}


@pytest.mark.parametrize(
    ("value", "number"), [("12abc", 12), ("abc", 0), (True, 1), (None, 0), ("", 0), (" 7", 7), (3.9, 3), ([1], 1)]
)
def test_integers(value: object, number: int) -> None:
    assert php.integer(value) == number


@pytest.mark.parametrize(
    ("number", "compared"),
    [
        ("+7 (916) 123-45-67", "79161234567"),
        ("89161234567", "79161234567"),
        ("0079161234567", "79161234567"),
        ("01179161234567", "79161234567"),
        ("+81312345678", "81312345678"),
        ("81312345678", "81312345678"),
        ("0441234567890", "441234567890"),
        ("9161234567", "9161234567"),
        ("79161234567#12", "79161234567"),
        ("101", "101"),
    ],
)
def test_numbers_are_compared_in_one_form(number: str, compared: str) -> None:
    assert phones.normalise(number) == compared


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T03:00:10+03:00", 10.0),
        ("1970-01-01T00:00:10.9Z", 10.0),
        ("1970-01-01 03:00:10", 10.0),
        ("@10", 10.0),
        ("1700000000", None),
        ("soon", None),
        ("9999-99-99", None),
    ],
)
def test_dates(text: str, moment: float | None) -> None:
    assert parse_date(text, 180) == moment
