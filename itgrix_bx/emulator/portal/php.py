"""How the portal, written in PHP, reads a request and writes an answer.

Several traps of the real portal live here: a bad JSON body is ignored without a word, `+` in a query
is a space, the text "false" is true, and an empty map leaves as `[]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

Params = dict[str, Any]

_INTEGER_KEY = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMBER_PREFIX = re.compile(r"\s*([+-]?[0-9]+)")
_BRACKET = re.compile(r"\[([^\]]*)\]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BACKSLASH_PAIR = re.compile(r"\\(.)")
_HEX: Final = (("<", "\\u003C"), (">", "\\u003E"), ("&", "\\u0026"), ("'", "\\u0027"), ("/", "\\/"))
# PHP refuses deeper input; without a bound a hostile key would make us build a tower of maps.
_MAX_DEPTH = 64


class EmptyObject:
    """A date the method forgot to convert: it leaves as `{}`, not as `[]`."""


EMPTY_OBJECT: Final = EmptyObject()


def parse_query(text: str) -> Params:
    """What parse_str() makes of a query or form body: `a[b][]=1` is `{"a": {"b": ["1"]}}`."""
    root: dict[str | int, Any] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        path = _key_path(unquote_plus(name, errors="replace"))
        if path:
            _put(root, path, unquote_plus(value, errors="replace"))
    return {str(key): _arrays(value) for key, value in root.items()}


def parse_json(body: bytes) -> Params:
    """The map in a JSON body; nothing at all when it is malformed, as the portal swallows the error."""
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    if b"\\ud" in body.lower() and _LONE_SURROGATE.search(json.dumps(found, ensure_ascii=False)):
        return {}
    if isinstance(found, list):
        return {str(index): item for index, item in enumerate(found)}
    return found if isinstance(found, dict) else {}


def is_json(content_type: str) -> bool:
    """Only these types are read as JSON; JSON under any other is taken for a form."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def split_command(command: str) -> tuple[str, str]:
    """Method and query of a batch command, by parse_url(): an unencoded `#` ends the query."""
    path, _, query = command.partition("#")[0].partition("?")
    return path, query


def truthy(value: object) -> bool:
    """PHP's (bool): "N" and "false" are true, "0" and "" are not."""
    return value not in ("", "0", 0, None, False) and value != [] and value != {}


def integer(value: object) -> int:
    """PHP's (int): leading digits count, anything else is 0."""
    if isinstance(value, str):
        match = _NUMBER_PREFIX.match(value)
        return int(match[1][:19]) if match else 0
    if isinstance(value, float):
        return int(value) if abs(value) < 1e18 else 0
    if isinstance(value, int):
        return int(value)
    return 1 if value else 0


def text(value: object) -> str:
    """PHP's (string) of a parameter."""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (str, int, float)):
        return str(value)
    return "" if value is None else "Array"


def pairs(value: object) -> list[tuple[str, Any]]:
    """Keys and values of a PHP array, whether it came as a list or as a map."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, list):
        return [(str(index), item) for index, item in enumerate(value)]
    return []


def integers(value: object) -> list[int]:
    """An id or an array of ids."""
    if isinstance(value, (list, dict)):
        return [integer(item) for _, item in pairs(value)]
    return [integer(value)]


def folded(params: Params) -> Params:
    """Parameters with their top-level names in upper case, for the methods that fold case."""
    return {name.upper(): value for name, value in params.items()}


def encode(value: object) -> str:
    """JSON as the portal writes it: `<>&'"` and slashes escaped, Unicode as it is, `[]` for `{}`."""
    found = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    if "\\" in found:
        found = _BACKSLASH_PAIR.sub(_hex_quote, found)
    for plain, escaped in _HEX:
        if plain in found:
            found = found.replace(plain, escaped)
    return found.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hex_quote(match: re.Match[str]) -> str:
    return "\\u0022" if match[1] == '"' else match[0]


def _refuse(name: str) -> None:
    raise ValueError(name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if not value or list(value) == list(range(len(value))):
            return [_plain(item) for item in value.values()]
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {} if value is EMPTY_OBJECT else value


def _key_path(name: str) -> list[str]:
    name = name.lstrip(" ").partition("\0")[0]
    head, bracket, rest = name.partition("[")
    head = re.sub(r"[ .]", "_", head)
    if not bracket or not head:
        return [re.sub(r"[ .]", "_", name)] if name and name[0] != "[" else []
    if "]" not in rest:
        return [f"{head}_{rest}"]
    return [head, *_inner_keys(f"[{rest}")][: _MAX_DEPTH + 1]


def _inner_keys(text: str) -> Iterator[str]:
    position = 0
    while match := _BRACKET.match(text, position):
        yield match[1]
        position = match.end()


def _put(root: dict[str | int, Any], path: list[str], value: str) -> None:
    place = root
    for key in path[:-1]:
        step = _array_key(place, key) if place is not root else key
        below = place.get(step)
        if not isinstance(below, dict):
            below = place[step] = {}
        place = below
    place[_array_key(place, path[-1]) if place is not root else path[-1]] = value


def _array_key(place: dict[str | int, Any], key: str) -> str | int:
    if key == "":
        return max((known for known in place if isinstance(known, int)), default=-1) + 1
    return int(key) if _INTEGER_KEY.fullmatch(key) else key


def _arrays(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _arrays(item) for key, item in value.items()}
    if list(inner) == list(range(len(inner))):
        return list(inner.values())
    return {str(key): item for key, item in inner.items()}


def merge_fields(fields: Iterable[tuple[str, bytes]]) -> Params:
    """Plain fields of a multipart body, bracket names included."""
    encoded = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields)
    return parse_query("&".join(encoded))
