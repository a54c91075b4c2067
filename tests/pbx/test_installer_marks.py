"""Whatever a file holds and wherever ours is put into it: taking ours away gives the file back."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.pbx.installer import marks

FILES = st.lists(
    st.sampled_from([b"[a]", b"exten => s,1,NoOp()", b"; \xff\x00", b"", b"\r", b"context=x", b";-- --;", b"  "])
    | st.binary(max_size=8).filter(lambda raw: b"\n" not in raw),
    max_size=8,
).flatmap(lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(lines)))
UNMARKED = FILES
FILES |= FILES.map(lambda data: codecs.BOM_UTF8 + data)
BODIES = st.sampled_from(["one\n", "one\ntwo\n", "\n"])


@given(FILES, BODIES, st.integers(0, 8) | st.none(), st.sampled_from([";", "#"]))
def test_a_block_leaves_no_trace(data: bytes, body: str, at: int | None, sign: str) -> None:
    place = None if at is None else min(at, len(marks.theirs(data)))
    installed = marks.with_block(data, body, what="x", at=place, sign=sign)
    assert marks.without(installed) == data
    assert marks.block(installed).rstrip("\n") == body.rstrip("\n")


@given(FILES, BODIES, st.data())
def test_lines_and_a_block_leave_no_trace(data: bytes, body: str, draw: st.DataObject) -> None:
    count = len(marks.theirs(data))
    indexes = draw.draw(st.sets(st.integers(0, count - 1)) if count else st.just(set()))
    lined = marks.with_lines(data, {index: f"line {index}" for index in indexes})
    assert marks.without(lined) == data
    assert lined.count(b"<> itgrix-bx") == len(indexes)
    at = draw.draw(st.integers(0, min(indexes, default=0)))
    both = marks.with_block(lined, body, what="x", at=at)
    assert marks.without(both) == data


@given(UNMARKED, FILES, BODIES)
def test_what_is_written_around_a_block_stays(data: bytes, more: bytes, body: str) -> None:
    installed = marks.with_block(data, body, what="x")
    assert marks.without(b"; top\n" + installed + more + b"\nend") == b"; top\n" + _ended(data) + more + b"\nend"


def _ended(data: bytes) -> bytes:
    """What follows a block begins on a line of its own, also once the block is gone."""
    return data if not data or data.endswith(b"\n") else data + marks.line_end(data)


@given(FILES, BODIES)
def test_a_file_of_ours_goes_with_its_block(more: bytes, body: str) -> None:
    made = marks.with_block(None, body, what="x", new=True)
    assert marks.without(made) is None
    assert marks.without(made + more) == (more or None)


@pytest.mark.parametrize(
    "half", [b"; >>> itgrix-bx: x\n", b"; <<< itgrix-bx\n", b"; >>> itgrix-bx\n; >>> itgrix-bx\n; <<< itgrix-bx\n"]
)
def test_marks_that_do_not_pair_are_refused(half: bytes) -> None:
    with pytest.raises(marks.MarkError, match=r"line \d+: "):
        marks.without(b"[a]\n" + half)
