"""PHP at both ends of the wire: how its arrays look in JSON, and how its query strings are built."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

# The server replaces these words in the text of a batch command, wherever they stand. A name or a
# reason typed by a stranger must not become a reference to another command's result.
_REFERENCE_WORD = re.compile(r"\$(?=result|error|total|next|time)", re.IGNORECASE)
# PHP turns '.' and ' ' of a top-level name into '_' and stops at NUL; brackets would nest.
_BAD_NAME = re.compile(r"[\[\].\s\x00]")
# PHP keeps such array keys as integers; nothing we send needs more.
_BAD_INNER_NAME = re.compile(r"[\[\]\x00]")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
_SHORT = 200

# No id and no count has more digits, and no database takes them.
_TOO_LARGE = 10**18


class ShapeError(ValueError):
    """The answer does not have the shape the method documents."""


def mapping(value: object) -> dict[str, Any]:
    """A map of an answer: an empty one arrives as `[]`, one with keys 0, 1, 2 as a list."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    if value is None:
        return {}
    raise ShapeError(f"expected a map, got {type(value).__name__}")


def rows(value: object) -> list[Any]:
    """A list of an answer: one with gaps arrives as a map."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values())
    if value is None:
        return []
    raise ShapeError(f"expected a list, got {type(value).__name__}")


def maps(value: object) -> Iterator[dict[str, Any]]:
    """The rows of a list that are maps; what else stands among them says nothing."""
    return (mapping(row) for row in rows(value) if isinstance(row, Mapping))


def integer(value: object) -> int | None:
    """An id or a count: int, digits in a string; None for everything PHP uses for "nothing"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < _TOO_LARGE else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _TOO_LARGE else None
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    return None


def required_integer(value: object, name: str) -> int:
    """An id that must be there. Raises ShapeError."""
    found = integer(value)
    if found is None:
        raise ShapeError(f"{name} is missing")
    return found


def text(value: object) -> str:
    """A string of an answer; null, false and odd types are empty."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return ""


def required_text(value: object, name: str) -> str:
    """A string that must be there. Raises ShapeError."""
    found = text(value)
    if not found:
        raise ShapeError(f"{name} is missing")
    return found


def yes(value: object) -> bool:
    """A flag: true, 1, "1", "Y", "true"."""
    return value is True or value == 1 or str(value).casefold() in {"y", "1", "true"}


def clean(value: object) -> Any:
    """A value as it may be sent: None dropped inside maps, booleans 1 and 0, text valid UTF-8.

    Half a surrogate pair would make the JSON body invalid, and the portal does not report that: it
    runs the method without any parameters. Raises ValueError for what has no form on the wire.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a parameter is not a finite number")
        return value
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value if item is not None]
    raise ValueError(f"a parameter cannot be of type {type(value).__name__}")


def build_query(params: Mapping[str, Any]) -> str:
    """A query string that PHP's parse_str reads back as `params`, all leaves as strings.

    Everything but letters, digits and `_.-~` is percent-encoded: `+` would arrive as a space and
    `#` would end the query. Empty maps and lists vanish, as they do in PHP. A text can no longer be
    taken for a batch reference; Raw() passes as it is.
    """
    for name in params:
        if not name or _BAD_NAME.search(name):
            raise ValueError(f"PHP cannot take the parameter name {name!r}")
    return "&".join(_pairs(params, ""))


class Raw(str):
    """Text for a batch command that is meant as a reference."""


def _pairs(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], prefix: str) -> Iterator[str]:
    items = value.items() if isinstance(value, Mapping) else enumerate(item for item in value if item is not None)
    for key, item in items:
        if item is None:
            continue
        name = _nested(prefix, str(key))
        if isinstance(item, (str, int)):  # nearly all are, and what is no leaf takes longer to tell
            yield f"{name}={_quoted_leaf(item)}"
        elif isinstance(item, (Mapping, list, tuple)):
            yield from _pairs(item, name)
        else:
            yield f"{name}={_quoted_leaf(item)}"


def _quoted_leaf(item: object) -> str:
    if isinstance(item, Raw):
        return _quote(item)
    text = str(clean(item))
    # Most values are dates, numbers and ids; quoting what needs no quotes is half the cost of a batch.
    return text if _PLAIN.fullmatch(text) else _quote(_REFERENCE_WORD.sub("$ ", text))


def _quote(text: str) -> str:
    return _quote_short(text) if len(text) <= _SHORT else quote(text, safe="")  # a recording would stay in memory


@functools.lru_cache(1024)  # one call's commands hold its number again and again, and the same references
def _quote_short(text: str) -> str:
    return quote(text, safe="")


@functools.lru_cache(4096)  # parameters have few names
def _nested(prefix: str, key: str) -> str:
    if not prefix:
        return _quote(key)
    if not key or _BAD_INNER_NAME.search(key):
        raise ValueError(f"PHP cannot take the array key {key!r}")
    return f"{prefix}[{_quote(key)}]"
