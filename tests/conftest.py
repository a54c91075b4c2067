"""What all tests share: one MariaDB a process, and what must not run beside each other.

`make test` runs four processes on whatever cores there are: most tests wait for seconds and compute for hundredths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.mariadb_server import mariadb

# How long an example takes is a matter of what else the machine does.
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")

# Of these one process has all, one after another: real Asterisks and storms each fill a core by themselves, the others
# share by module what is dear to make.
TOGETHER = ("tests/real/", "tests/chaos/", "tests/bench/test_trial.py", "tests/pbx/test_cdr.py")


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A server that stays; whoever uses it begins with an empty database."""
    with mariadb() as url:
        yield url


class Together(LoadScopeScheduling):
    """Gives each test to whoever is free, but those that stay together to one, the largest such group first."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """For `-n`. (xdist's own groups go by a mark that it writes into the tests' ids; pytest 9.2 no longer lets it.)"""
    return Together(config, log)
