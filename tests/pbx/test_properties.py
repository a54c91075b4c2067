"""However far the hooks came before they stopped, and whatever stands in the tables, a call comes out right or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itgrix_bx.calls.call import fold
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.pbx.reconcile import House, calls_of, missing
from itgrix_bx.pbx.records import groups
from tests.pbx.database import rows_of
from tests.pbx.test_recorded import FOR_THE_CRM, PEOPLE, come_out, read


def as_hooks(events: list[Event]) -> list[Event]:
    """The same reported by hooks: a little later, as their own clock has it, under ids of their own."""
    return [
        replace(
            event, at=event.at + 0.4, event_id=f"hook {n}", data={k: v for k, v in event.data.items() if k != "source"}
        )
        for n, event in enumerate(events)
    ]


@pytest.mark.parametrize("with_cel", [True, False])
@pytest.mark.parametrize("name", FOR_THE_CRM)
def test_a_call_ends_the_same_wherever_the_hooks_stopped(name: str, with_cel: bool) -> None:
    (told,) = read(name, with_cel=with_cel)
    whole = fold(told.events)
    for count in range(len(told.events)):
        known = as_hooks(list(told.events[:count]))
        call = fold([*known, *missing(told.events, known)])
        found, expected = come_out(call), come_out(whole)
        assert abs(found.pop("talk_seconds") - expected.pop("talk_seconds")) <= 1, count
        assert found == expected, count
        assert [leg.extension for leg in call.legs] == [leg.extension for leg in whole.legs], count


_SPOILT = [
    "", "Local/1-0;1", "Local/1-0;2", "PJSIP/-", "PJSIP/1011-0a", "2026-11-25 23:15:18", "1.1", "{", "[]",
    '{"bridge_id": 5}',
]  # fmt: skip
HOSTILE = st.one_of(st.none(), st.integers(-5, 10**12), st.text(max_size=40), st.sampled_from(_SPOILT))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Recorded rows, some of them gone, doubled, in another order or with a value spoilt."""
    made = rows_of(draw(st.lists(st.sampled_from(FOR_THE_CRM), min_size=1, max_size=3, unique=True)))
    for rows in made:
        rows[:] = draw(st.permutations(rows))
        del rows[: draw(st.integers(0, 2))]
        for _ in range(draw(st.integers(0, 4)) if rows else 0):
            row = draw(st.sampled_from(rows))
            rows.append(row | {draw(st.sampled_from(sorted(row))): draw(HOSTILE)})
    return made


@settings(max_examples=200, deadline=None)
@given(tables())
def test_whatever_stands_in_the_tables_makes_whole_calls_or_none(
    made: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    for group in groups(*made):
        for told in calls_of(group, House(PEOPLE), now=4_000_000_000.0):
            call = fold(told.events)
            assert call.over
            assert told.events[-1].kind is Kind.HANGUP
            assert all(len(event.event_id) == 32 for event in told.events)
            assert come_out(call)["talk_seconds"] >= 0
            assert missing(told.events, told.events) == []
