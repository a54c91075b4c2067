"""A voice message left on a real Asterisk is the missed call's recording, where the administrator wants it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.office import Office, office
from tests.real.sip import only_rings
from tests.real.site import VOICEMAIL, client, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

N = 25  # its first extension has a box


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path) as running:
        # The boxes under the name they have on the PBX, as a mount on a neighbouring machine gives them.
        seen = Path(running.asterisk.asterisk_monitor).parent
        seen.symlink_to(running.asterisk.spool)
        try:
            running.program.environment["ITGRIX_BX__RECORDINGS__VOICEMAIL_DIRECTORY"] = str(seen / "voicemail")
            running.program.stop()
            running.program.start()
            yield running
        finally:
            seen.unlink()


async def _leave_a_message(where: Office) -> None:
    async with where.people():
        await where.phone(extension(N, 1), only_rings())
        call = await where.call_in(N, VOICEMAIL)
        await asyncio.wait_for(call.answered.wait(), 20)
        await asyncio.sleep(4)
        await call.hang_up()
        await asyncio.sleep(0.5)


def test_the_message_a_caller_left_is_the_missed_calls_recording_in_the_portal(where: Office) -> None:
    asyncio.run(_leave_a_message(where))
    end = time.monotonic() + 60
    while (call := where.calls_of(N)[0])["state"] != "complete" and time.monotonic() < end:
        time.sleep(0.5)
    (row,) = where.statistics_of(N)
    told = (row["CALL_FAILED_CODE"], row["CALL_FAILED_REASON"], row["PHONE_NUMBER"], int(row["PORTAL_USER_ID"]))
    assert told == ("304", "voicemail", client(N), user(N, 1))
    (message,) = (where.asterisk.spool / "voicemail/default" / extension(N, 1) / "INBOX").glob("msg*.wav")
    assert message.stat().st_size > 2 * 8000 * 2  # it says something for more than two seconds
    (file,) = where.portal.dump()["files"]
    assert (file["call_id"], file["sha256"]) == (
        call["portal_call_id"],
        hashlib.sha256(message.read_bytes()).hexdigest(),
    )
    assert call["recording"] == {"path": call["recording"]["path"], "state": "uploaded"}
    assert Path(call["recording"]["path"]).name == message.stem
