"""How commands are written for a batch, checked against PHP's own reading of a query string."""

from __future__ import annotations

import tracemalloc
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24client import Command, Ref, telephony
from bx24client.commands import encode_batch
from bx24client.php import build_query


def parse_str(query: str) -> Any:
    """PHP's parse_str: brackets nest, `+` is a space, keys of digits are integers, order is kept."""
    root: dict[Any, Any] = {}
    for pair in query.split("&") if query else []:
        raw_name, _, raw_value = pair.partition("=")
        name, value = _decode(raw_name), _decode(raw_value)
        first, bracket, rest = name.partition("[")
        keys = [first.replace(".", "_").replace(" ", "_")]
        keys += rest.rstrip("]").split("][") if bracket else []
        target = root
        for key in keys[:-1]:
            target = target.setdefault(key, {})
        target[keys[-1]] = value
    return _lists(root)


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {key: _lists(item) for key, item in value.items()}
    if items and list(items) == [str(index) for index in range(len(items))]:
        return list(items.values())
    return items


def as_php_sees(value: Any) -> Any:
    """What is left of a value after PHP's query string: strings, no nulls, no empty arrays."""
    if isinstance(value, dict):
        kept = {key: as_php_sees(item) for key, item in value.items()}
        return _lists({key: item for key, item in kept.items() if item is not None and item not in ({}, [])})
    if isinstance(value, list):
        seen = [as_php_sees(item) for item in value if item is not None]
        kept = {str(index): item for index, item in enumerate(seen) if item not in ({}, [])}
        return _lists(kept) if kept else []
    if isinstance(value, bool):
        return str(int(value))
    return None if value is None else str(value)


texts = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: "$" not in text)
names = st.text(
    st.characters(codec="utf-8", exclude_characters="[]. \x00\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"),
    min_size=1,
    max_size=8,
).filter(lambda name: not any(c.isspace() for c in name))
leaves = st.none() | st.booleans() | st.integers() | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


@settings(deadline=None)
@given(st.dictionaries(names, values, max_size=4))
def test_php_reads_back_what_was_written(params: dict[str, Any]) -> None:
    assert parse_str(build_query(params)) == as_php_sees(params)


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"PHONE_NUMBER": "+7 916#1"}, "PHONE_NUMBER=%2B7%20916%231"),
        ({"USER_ID": [11, 12]}, "USER_ID[0]=11&USER_ID[1]=12"),
        ({"FILTER": {">=ID": 5}}, "FILTER[%3E%3DID]=5"),
        ({"A": True, "B": False, "C": None, "D": [], "E": {}}, "A=1&B=0"),
        ({"N": "Анна & К°?"}, "N=%D0%90%D0%BD%D0%BD%D0%B0%20%26%20%D0%9A%C2%B0%3F"),
        ({}, ""),
    ],
)
def test_the_query_string_is_encoded_completely(params: dict[str, Any], query: str) -> None:
    assert build_query(params) == query


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a[b]", "a\x00"])
def test_names_that_php_would_change_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="PHP cannot take"):
        build_query({name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object()])
def test_values_without_a_form_on_the_wire_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a parameter"):
        build_query({"A": value})


@pytest.mark.parametrize(
    "word", ["$result[reg][CALL_ID]", "$RESULT[x]", "$next[a]", "$error[a]", "x$total[a]", "$time[a]"]
)
def test_a_strangers_text_is_never_taken_for_a_reference(word: str) -> None:
    assert parse_str(build_query({"FAILED_REASON": word}))["FAILED_REASON"] == word.replace("$", "$ ")


def test_a_reference_arrives_as_the_server_expects_it() -> None:
    command = telephony.show(Ref("reg", "CALL_ID"), [5])
    assert command.encoded == "telephony.externalCall.show?CALL_ID=%24result%5Breg%5D%5BCALL_ID%5D&USER_ID[0]=5"


def _finish(call_id: Any = "c") -> Command[Any]:
    return Command("telephony.externalCall.finish", {"CALL_ID": call_id}, lambda result: result)


def test_a_reference_needs_halt() -> None:
    with pytest.raises(ValueError, match="halt=True"):
        encode_batch({"a": _finish(), "b": _finish(Ref("a", "CALL_ID"))}, halt=False)
    question = Command("m", {"A": Ref("a", "CALL_ID")}, str, idempotent=True)  # to ask nonsense twice is nonsense
    with pytest.raises(ValueError, match="halt=True"):
        encode_batch({"a": _finish(), "b": question}, halt=False)


@pytest.mark.parametrize("key", ["b", "c", "nowhere"])
def test_a_reference_needs_an_earlier_command(key: str) -> None:
    with pytest.raises(ValueError, match="not an earlier command"):
        encode_batch({"a": _finish(), "b": _finish(Ref(key, "CALL_ID")), "c": _finish()}, halt=True)


def test_a_reference_is_found_in_nested_parameters() -> None:
    nested = Command("m", {"A": [{"B": Ref("x", "y")}]}, lambda result: result)
    with pytest.raises(ValueError, match="halt=True"):
        encode_batch({"x": _finish(), "n": nested}, halt=False)
    with pytest.raises(ValueError, match="needs a batch"):
        nested.body()


@pytest.mark.parametrize("part", ["", "a]", "a[", "a b", "$result"])
def test_a_reference_cannot_smuggle_brackets(part: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        Ref("reg", part)


@pytest.mark.parametrize("method", ["batch", "Batch", "upload", "download"])
def test_what_the_server_forbids_in_a_batch_is_refused_here(method: str) -> None:
    with pytest.raises(ValueError, match="not allowed in a batch"):
        encode_batch({"a": Command(method, {}, lambda result: result)}, halt=False)


@pytest.mark.parametrize("count", [0, 51])
def test_a_batch_has_1_to_50_commands(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        encode_batch({f"k{index}": _finish() for index in range(count)}, halt=False)


@pytest.mark.parametrize("key", ["", "a b", "a][b", "ключ", "a" * 65])
def test_keys_of_a_batch_are_plain(key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        encode_batch({key: _finish()}, halt=False)


@pytest.mark.parametrize("name", ["auth", "AUTH", "token", "state", "sessid"])
def test_names_the_portal_keeps_for_itself_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="keeps the parameter name"):
        Command("m", {name: 1}, lambda result: result)


@pytest.mark.parametrize("method", ["", "a/b", "../x", "a?b", "a b"])
def test_a_method_cannot_change_the_path(method: str) -> None:
    with pytest.raises(ValueError, match="not the name of a method"):
        Command(method, {}, lambda result: result)


def test_recordings_that_were_sent_are_not_kept() -> None:
    content = b"\xff\xfb" * 50_000
    tracemalloc.start()
    try:
        for n in range(50):
            command = telephony.attach_record("externalCall.1", f"{n}.mp3", n.to_bytes(1, "big") + content)
            encode_batch({"attach": command}, halt=False)
        assert tracemalloc.get_traced_memory()[0] < 1024 * 1024
    finally:
        tracemalloc.stop()
