"""A peer of its own for each test, and links that are patient with it only as long as a test may take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from itgrix_bx.pbx.link import Timings
from tests.pbx.peer import Peer

HURRIED = Timings(connect=2.0, answer=5.0, silence=5.0, again=0.02, slowest=0.1, refused=0.2)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as running:
        yield running
