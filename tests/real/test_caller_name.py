"""The name a real Asterisk sends to a phone: what the line's template says, in the From header of its INVITE."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.real.office import Office, office
from tests.real.sip import answers
from tests.real.site import ONE, client, did, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

KNOWN, STRANGER = 25, 5  # scenarios: the client of the first is a contact, nobody knows the other's
NAME = 'ООО "Рога\\ & «Копыта»" <sip:evil@example.com>'


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("name")) as running:
        contact = {"id": 5000 + KNOWN, "name": NAME, "phones": [client(KNOWN)], "responsible": user(KNOWN, 1)}
        running.portal.seed({"contacts": [contact]})
        yield running


def rule(where: Office, n: int, *said: str) -> None:
    """Say it with the command while the service runs; it is heard of within a second."""
    where.program.run("lines", "set", did(ONE, n), *said)
    time.sleep(3)


async def _shown(where: Office, n: int) -> str:
    """The name on the phone that rings for a call of scenario n; the network calls its caller Net Work."""
    async with where.people():
        phone = await where.phone(extension(n, 1), answers(0.5))
        call = await where.call_in(n, ONE, display="Net Work")
        await asyncio.wait_for(call.answered.wait(), 30)
        await asyncio.sleep(0.5)
        await call.hang_up()
        (rung,) = phone.calls.values()
        assert rung.invite is not None
        return rung.invite.get("From").partition("<")[0].strip()


def shown(where: Office, n: int) -> str:
    return asyncio.run(_shown(where, n))


def test_a_phone_shows_the_networks_name_then_the_template_then_latin_letters(where: Office) -> None:
    assert shown(where, KNOWN) == '"Net Work"'
    rule(where, KNOWN, "--name", "Продажи", "--caller-name", "{client} / {line}", "--longest", "80")
    assert shown(where, KNOWN) == '"ООО Рога & «Копыта» sip:evil@example.com / Продажи"'
    rule(where, KNOWN, "--latin", "--longest", "16")
    assert shown(where, KNOWN) == '"OOO Roga & Kopyt"'
    rule(where, KNOWN, "--caller-name", "")
    assert shown(where, KNOWN) == '"Net Work"'


def test_a_stranger_is_shown_by_the_line_he_called(where: Office) -> None:
    rule(where, STRANGER, "--name", "Продажи", "--caller-name", "{client} / {line}")
    assert shown(where, STRANGER) == '"Продажи"'
