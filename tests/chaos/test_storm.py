"""`make chaos` in its short form: nothing lost, nothing doubled, nothing wrong, whatever fails at whatever moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run

_CALLS, _AT_ONCE, _SEED = 600, 20, 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def test_hundreds_of_calls_come_through_the_storm_once_and_right(database: str, tmp_path: Path) -> None:
    outcome = run(_CALLS, _SEED, database, tmp_path, at_once=_AT_ONCE)
    assert outcome.clean, str(outcome)
    # So short a storm may pass by without one kind or another; the long one has them all (make chaos).
    missed = [kind for kind in outcome.storm.expected if not outcome.storm.seen[kind]]
    assert len(missed) <= len(outcome.storm.expected) // 4, missed
    # Most calls could be told to somebody, or the run would prove little.
    assert outcome.verdict.ends_told > 0.8 * _CALLS


@pytest.mark.timeout(600)
def test_with_everything_switched_on_the_calls_come_through_once_and_right_too(tmp_path: Path) -> None:
    """A budget shared by processes, callers answered from memory, recordings converted and fetched by the portal."""
    outcome = run(300, _SEED, "sqlite", tmp_path, at_once=_AT_ONCE, everything=True)
    assert outcome.clean, str(outcome)
    assert outcome.verdict.ends_told > 150
