from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24client import Bitrix24, Timeouts

from .scripted import ScriptedPortal


@pytest.fixture
def portal() -> Iterator[ScriptedPortal]:
    with ScriptedPortal() as server:
        yield server


@pytest.fixture
def client(portal: ScriptedPortal) -> Iterator[Bitrix24]:
    with Bitrix24(portal.webhook, timeouts=Timeouts(connect=2, write=2, read=5, total=10)) as bitrix:
        yield bitrix
