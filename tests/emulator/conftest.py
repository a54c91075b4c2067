"""A client that speaks to the portal double with nothing in between."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from itgrix_bx.emulator.portal import PortalEmulator

CLIENT = "+79161234567"
STRANGER = "+79035550001"
REGISTER = "telephony.externalCall.register"
FINISH = "telephony.externalCall.finish"


class Api:
    """REST calls as JSON. `ok` gives the result, `refused` the status, code and text of an error."""

    def __init__(self, emulator: PortalEmulator) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False

    def post(self, method: str, params: object = None, **how: Any) -> requests.Response:
        if params is not None:
            how["json"] = params
        return self.session.post(self.emulator.webhook_url + method, timeout=20, allow_redirects=False, **how)

    def ok(self, method: str, **params: Any) -> Any:
        answer = self.post(method, params)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def refused(self, method: str, **params: Any) -> tuple[int, str, str]:
        answer = self.post(method, params)
        body = answer.json()
        assert "time" not in body
        return answer.status_code, body["error"], body["error_description"]

    def register(self, **params: Any) -> str:
        wanted = {"USER_ID": 11, "PHONE_NUMBER": CLIENT, "TYPE": 2, "SHOW": 0} | params
        call_id = self.ok(REGISTER, **wanted)["CALL_ID"]
        assert isinstance(call_id, str)
        return call_id

    def finished(self, **params: Any) -> str:
        call_id = self.register(**params)
        self.ok(FINISH, CALL_ID=call_id, USER_ID=11, DURATION=95)
        return call_id

    def batch(self, commands: object, halt: object = 0) -> dict[str, Any]:
        result = self.ok("batch", cmd=commands, halt=halt)
        assert isinstance(result, dict)
        return result

    def state(self) -> dict[str, Any]:
        found = self.session.get(self.emulator.url + "_emulator/state", timeout=20).json()
        assert isinstance(found, dict)
        return found

    def control(self, action: str, body: object) -> requests.Response:
        return self.session.post(f"{self.emulator.url}_emulator/{action}", json=body, timeout=20)

    def settings(self, **values: Any) -> None:
        answer = self.control("seed", {"settings": values})
        assert answer.status_code == 200, answer.text

    def faults(self, *rules: dict[str, Any]) -> None:
        answer = self.control("faults", list(rules))
        assert answer.status_code == 200, answer.text


@pytest.fixture
def emulator() -> Iterator[PortalEmulator]:
    with PortalEmulator(rate=0) as running:
        yield running


@pytest.fixture
def api(emulator: PortalEmulator) -> Iterator[Api]:
    client = Api(emulator)
    with client.session:
        yield client


@pytest.fixture
def wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * 8)
    return out.getvalue()


@pytest.fixture
def encode() -> Callable[[bytes], str]:
    return lambda content: base64.b64encode(content).decode("ascii")


@pytest.fixture
def ago() -> Callable[[float], str]:
    """A start date so many minutes ago."""
    return lambda minutes: (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")
