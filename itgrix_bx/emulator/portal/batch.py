"""`batch`: up to 50 commands one after another, each of which may refer to the results before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from itgrix_bx.emulator.portal import php
from itgrix_bx.emulator.portal.answers import Page, RestError
from itgrix_bx.emulator.portal.php import Params

MAX_COMMANDS = 50
_FORBIDDEN = ("batch", "upload", "download")
_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\[\]]*\])*)")
_STEP = re.compile(r"\[([^\[\]]*)\]")
_TOO_LONG = RestError("Max batch length exceeded", "ERROR_BATCH_LENGTH_EXCEEDED")
_NOT_ALLOWED = RestError("Method is not allowed for batch usage", "ERROR_BATCH_METHOD_NOT_ALLOWED")

RunCommand = Callable[[str, Params], tuple[Any, dict[str, Any]]]


@dataclass
class _Results:
    result: dict[str | int, Any] = field(default_factory=dict)
    error: dict[str | int, Any] = field(default_factory=dict)
    total: dict[str | int, Any] = field(default_factory=dict)
    next: dict[str | int, Any] = field(default_factory=dict)
    time: dict[str | int, Any] = field(default_factory=dict)

    def of(self, name: str) -> Any:
        return getattr(self, name)

    def body(self) -> dict[str, Any]:
        names = {"": "result", "_error": "error", "_total": "total", "_next": "next", "_time": "time"}
        return {f"result{suffix}": self.of(name) for suffix, name in names.items()}


def commands(params: Params) -> list[tuple[str | int, str]]:
    """The commands by their keys; what is no string is left out silently."""
    cmd = php.folded(params).get("CMD")
    keyed: list[tuple[str | int, Any]] = list(enumerate(cmd)) if isinstance(cmd, list) else list(php.pairs(cmd))
    return [(key, command) for key, command in keyed if isinstance(command, str)]


def methods(params: Params) -> list[str]:
    """Which methods a batch is going to call."""
    return [php.split_command(command)[0] for _, command in commands(params)]


def run(params: Params, run_command: RunCommand, *, doc_codes: bool) -> dict[str, Any]:
    """Run a batch. `run_command` returns a method's value and its `time`, or raises RestError."""
    results = _Results()
    halt = php.truthy(php.folded(params).get("HALT"))
    for position, (key, command) in enumerate(commands(params)):
        try:
            if position >= MAX_COMMANDS:
                raise _TOO_LONG
            _run_one(key, command, results, run_command)
        except RestError as error:
            results.error[key] = error.body(doc_codes=doc_codes)
            if halt:
                break
    return results.body()


def _run_one(key: str | int, command: str, results: _Results, run_command: RunCommand) -> None:
    method, query = php.split_command(command)
    if method.lower().partition(".json")[0] in _FORBIDDEN:
        raise _NOT_ALLOWED
    value, took = run_command(method, {str(name): item for name, item in _map(php.parse_query(query), results)})
    results.time[key] = took
    if isinstance(value, Page):
        if value.total is not None:
            results.total[key] = value.total
        if value.next is not None:
            results.next[key] = value.next
        value = value.rows
    results.result[key] = value


def _map(params: Params, results: _Results) -> list[tuple[Any, Any]]:
    return [(_replaced(key, results), _replaced(value, results)) for key, value in params.items()]


def _replaced(value: Any, results: _Results) -> Any:
    if isinstance(value, dict):
        return {php.text(key): item for key, item in _map(value, results)}
    if isinstance(value, list):
        return [_replaced(item, results) for item in value]
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _resolve(whole, results)
    return _REFERENCE.sub(lambda match: _embedded(match, results), value) if "$" in value else value


def _embedded(match: re.Match[str], results: _Results) -> str:
    found = _resolve(match, results)
    is_scalar = isinstance(found, (str, int, float)) and not isinstance(found, bool)
    return php.text(found) if is_scalar else match[0]


def _resolve(match: re.Match[str], results: _Results) -> Any:
    """Walk the path. A step that is not there ends the walk: the caller then gets all there was up to it."""
    place = results.of(match[1])
    for step in _STEP.findall(match[2]):
        below = _below(place, step)
        if below is _MISSING:
            break
        place = below
    return place


_MISSING: Any = object()


def _below(place: Any, step: str) -> Any:
    if isinstance(place, dict):
        return next((item for key, item in place.items() if str(key) == step), _MISSING)
    if isinstance(place, list) and step.isdecimal() and int(step) < len(place):
        return place[int(step)]
    return _MISSING
