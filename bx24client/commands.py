"""Commands: one definition of a method, to be sent alone or in a batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from bx24client import php
from bx24client.errors import AnswerLost, BitrixError, NotRun, UnreadableAnswer, plain, portal_error

T = TypeVar("T")

MAX_COMMANDS = 50
FORBIDDEN_IN_BATCH = frozenset({"batch", "upload", "download"})
# The server reads these itself; `token` alone turns a call into a check of a signed link.
RESERVED_NAMES = frozenset({"auth", "access_token", "auth_connector", "ap", "aplogin", "sessid", "state", "token"})
_METHOD = re.compile(r"[A-Za-z0-9_.]{1,100}")
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")


class Ref(php.Raw):
    """The result of an earlier command of the same batch: `Ref("reg", "CALL_ID")`, on the wire `$result[reg][CALL_ID]`.

    Allowed in a batch with `halt=True`, or in a command that is `harmless`: when the earlier command failed, the
    server would not put in nothing but the whole map of results.
    """

    key: str
    path: tuple[str, ...]

    def __new__(cls, key: str, *path: str) -> Ref:
        for part in (key, *path):
            if not _KEY.fullmatch(part):
                raise ValueError(f"a reference cannot hold {part!r}")
        ref = super().__new__(cls, f"$result[{key}]" + "".join(f"[{part}]" for part in path))
        ref.key, ref.path = key, path
        return ref


@dataclass(frozen=True, repr=False)
class Command(Generic[T]):
    """A method with its parameters, and how to read its result.

    `parse` gets the bare `result` of the answer and raises ValueError, TypeError or KeyError when it
    is not what the method promises. `idempotent`: sending it twice does no harm, so the client may
    repeat it when an answer was lost. `harmless`: so does any nonsense in its parameters.
    """

    method: str
    params: Mapping[str, Any]
    parse: Callable[[Any], T]
    idempotent: bool = False
    harmless: bool = False

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise ValueError(f"not the name of a method: {self.method!r}")
        for name in self.params:
            if name.casefold() in RESERVED_NAMES:
                raise ValueError(f"the portal keeps the parameter name {name!r} for itself")

    def __repr__(self) -> str:
        # Names only: the values are phone numbers, names and recordings.
        return f"Command({self.method!r}, params={sorted(self.params)})"

    def read(self, result: object) -> T:
        """Turn the result of an answer into the typed value. Raises UnreadableAnswer."""
        try:
            return self.parse(result)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as exc:
            reason = plain(exc)
        raise UnreadableAnswer(f"the portal's answer to {self.method} has an unknown shape: {reason}")

    @cached_property
    def references(self) -> tuple[Ref, ...]:
        """All references inside the parameters."""
        return tuple(_references(self.params))

    def renamed(self, names: Mapping[str, str]) -> Command[T]:
        """The same, for a batch in which the commands it refers to have these keys."""
        return replace(self, params=_renamed(self.params, names)) if self.references else self

    @cached_property
    def encoded(self) -> str:
        """The string the batch method takes: `method?query`. Raises ValueError for what has no form in a query."""
        query = php.build_query(self.params)
        return f"{self.method}?{query}" if query else self.method

    def body(self) -> dict[str, Any]:
        """The parameters as a JSON body. Raises ValueError for a reference outside a batch."""
        if self.references:
            raise ValueError("a reference needs a batch")
        cleaned: dict[str, Any] = php.clean(self.params)
        return cleaned


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A value with what list methods add: rows in all, and where the next page starts."""

    value: T
    total: int | None = None
    next: int | None = None


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Ref):
        return Ref(names.get(value.key, value.key), *value.path)
    if isinstance(value, Mapping):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_renamed(item, names) for item in value]
    return value


def _references(value: object) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (str, int)):
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)


def encode_batch(commands: Mapping[str, Command[Any]], *, halt: bool) -> dict[str, Any]:
    """The body of a batch. Raises ValueError for whatever the server would misunderstand."""
    if not 1 <= len(commands) <= MAX_COMMANDS:
        raise ValueError(f"a batch takes 1 to {MAX_COMMANDS} commands, not {len(commands)}")
    earlier: set[str] = set()
    for key, command in commands.items():
        _check_member(key, command, earlier, halt=halt)
        earlier.add(key)
    return {"halt": int(halt), "cmd": {key: command.encoded for key, command in commands.items()}}


def _check_member(key: str, command: Command[Any], earlier: set[str], *, halt: bool) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key for a batch: {key!r}")
    if command.method.casefold() in FORBIDDEN_IN_BATCH:
        raise ValueError(f"{command.method} is not allowed in a batch")
    for ref in command.references:
        if not (halt or command.harmless):
            raise ValueError("a reference needs halt=True: a failed command would be taken for its result")
        if ref.key not in earlier:
            raise ValueError(f"a reference to {ref.key!r}, which is not an earlier command")


@dataclass
class BatchResult(Mapping[str, Any]):
    """What became of each command. `result[key]` gives the value or raises that command's error."""

    answers: dict[str, Answer[Any]] = field(default_factory=dict)
    errors: dict[str, BitrixError] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.answer(key).value

    def answer(self, key: str) -> Answer[Any]:
        """The value with total and next page. Raises the command's error, KeyError if not asked."""
        if key in self.errors:
            raise self.errors[key]
        return self.answers[key]

    def error(self, key: str) -> BitrixError | None:
        """The error of one command, None if it has a value. KeyError if it was not asked."""
        if key not in self:
            raise KeyError(key)
        return self.errors.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self.answers or key in self.errors

    def __iter__(self) -> Iterator[str]:
        yield from self.answers
        yield from self.errors

    def __len__(self) -> int:
        return len(self.answers) + len(self.errors)


def read_batch(commands: Mapping[str, Command[Any]], result: object, *, halt: bool) -> BatchResult:
    """Sort the answer of a batch. Raises UnreadableAnswer when it is no batch answer at all."""
    try:
        parts = php.mapping(result)
        values, refused = php.mapping(parts.get("result")), php.mapping(parts.get("result_error"))
        totals, nexts = php.mapping(parts.get("result_total")), php.mapping(parts.get("result_next"))
    except php.ShapeError:
        raise UnreadableAnswer("the portal's answer to a batch has an unknown shape") from None
    outcome = BatchResult()
    failed_key: str | None = None
    for key, command in commands.items():
        try:
            value = _one(key, command, values, refused, failed_key if halt else None)
            outcome.answers[key] = Answer(value, php.integer(totals.get(key)), php.integer(nexts.get(key)))
        except BitrixError as error:
            outcome.errors[key] = error
            failed_key = failed_key or (key if key in refused else None)
    return outcome


def _one(
    key: str, command: Command[Any], values: dict[str, Any], refused: dict[str, Any], failed_key: str | None
) -> Any:
    if key in refused:
        raise _refusal(refused[key], command.method)
    if key in values:
        return command.read(values[key])
    if failed_key is not None:
        raise NotRun(failed_key)
    raise AnswerLost(f"the portal's batch answer says nothing about {command.method}")


def _refusal(error: object, method: str) -> BitrixError:
    if isinstance(error, dict):
        return portal_error(error.get("error"), error.get("error_description"), 200, method)
    return portal_error("", error, 200, method)
