"""Many clients at once: nothing is lost, mixed up or numbered twice."""

from __future__ import annotations

import threading
from typing import Any

CALLERS = 12
CALLS_EACH = 8


def test_a_hundred_calls_at_once_each_end_in_one_row_of_their_own(api: Any, wav: bytes, encode: Any) -> None:
    errors: list[str] = []

    def caller(number: int) -> None:
        client = type(api)(api.emulator)
        with client.session:
            for turn in range(CALLS_EACH):
                try:
                    whole_call(client, f"{number}-{turn}", 11 + number % 3, encode(wav))
                except AssertionError as error:
                    errors.append(str(error))

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    state = api.state()
    count = CALLERS * CALLS_EACH
    assert {row["EXTERNAL_CALL_ID"] for row in state["statistics"]} == names()
    for table in ("statistics", "activities", "files"):
        assert len(state[table]) == count
        assert len({row.get("id", row.get("ID")) for row in state[table]}) == count
    assert all(row["RECORD_FILE_ID"] for row in state["statistics"])
    assert (state["calls"], state["open_cards"], state["http_requests"]) == ([], [], 3 * count)


def names() -> set[str]:
    return {f"{number}-{turn}" for number in range(CALLERS) for turn in range(CALLS_EACH)}


def whole_call(client: Any, name: str, user_id: int, content: str) -> None:
    register = {"USER_ID": user_id, "PHONE_NUMBER": "+79161234567", "TYPE": 2, "EXTERNAL_CALL_ID": name}
    call_id = client.ok("telephony.externalCall.register", **register)["CALL_ID"]
    finished = client.ok("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=user_id, DURATION=5)
    assert (finished["EXTERNAL_CALL_ID"], finished["PORTAL_USER_ID"]) == (name, user_id)
    record = {"CALL_ID": call_id, "FILENAME": f"{name}.wav", "FILE_CONTENT": content}
    assert client.ok("telephony.externalCall.attachRecord", **record)["FILE_ID"]
