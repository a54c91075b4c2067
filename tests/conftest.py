"""What all tests share: one MariaDB a process, and what must not run beside each other.

`make test` runs four processes on whatever cores there are: most tests wait for seconds and compute for hundredths.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.mariadb_server import mariadb

# How long an example takes is a matter of what else the machine does.
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")

CHAOS = Path(__file__).parent / "chaos"


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A server that stays; whoever uses it begins with an empty database."""
    with mariadb() as url:
        yield url


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has all real Asterisks, one after another, and one the storms: each of these fills a core by itself.

    Other tests that share something dear by module or class say so by a mark of their own.
    """
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.xdist_group("real"))
        elif item.path.is_relative_to(CHAOS):
            item.add_marker(pytest.mark.xdist_group("chaos"))
