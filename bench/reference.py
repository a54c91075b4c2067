"""Two reference clients, each told of calls directly, with no Asterisk between: how connectors ask today.

Both are kinder than what they stand for: they keep connections, send EXTERNAL_CALL_ID, repeat a request that the portal
refused for as long as the run lasts, never lose a call by a crash, read the responsible out of the search, and hide
cards only from those who rang in vain. Neither knows the portal's limits: a refusal is answered by a pause that grows
by a second each time. A command refused inside a batch is not repeated, and its call is given up.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests

from bench.callers import Made
from bench.office import DEFAULT_USER, Office

_CALL = "telephony.externalCall."
_AT_ONCE = 64
_REQUEST_S = 90.0
_PAUSE_STEP_S, _LONGEST_PAUSE_S = 1.0, 10.0
_PASSING = ("QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT")

Params = Mapping[str, Any]


class RefusedError(Exception):
    """The portal refused for good."""


class Rest:
    """Requests to the portal from threads, awaited."""

    def __init__(self, webhook: str) -> None:
        self._webhook = webhook
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rest")
        self._own = threading.local()
        self._sessions: list[requests.Session] = []

    async def ask(self, method: str, params: Params) -> Any:
        """The result of a method. Raises RefusedError."""
        return await self._persist(
            lambda: self._session().post(self._webhook + method, json=params, timeout=_REQUEST_S)
        )

    async def batch(self, commands: Mapping[str, tuple[str, Params]]) -> dict[str, Any]:
        """The results of one chain, `halt=1`. Raises RefusedError when one was refused."""
        lines = {key: f"{method}?{urlencode(params)}" for key, (method, params) in commands.items()}
        answer = await self.ask("batch", {"halt": 1, "cmd": lines})
        if answer["result_error"]:
            raise RefusedError(str(answer["result_error"]))
        results: dict[str, Any] = answer["result"]
        return results

    async def upload(self, url: str, name: str, content: bytes) -> Any:
        """Send a file to an `uploadUrl`. Raises RefusedError."""
        files = {"file": (name, content)}
        return await self._persist(lambda: self._session().post(url, files=files, timeout=_REQUEST_S))

    def close(self) -> None:
        """No more requests; those under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for session in self._sessions:
            session.close()

    async def _persist(self, post: Callable[[], requests.Response]) -> Any:
        pause = 0.0
        while True:
            body = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: post().json())
            if "error" not in body:
                return body["result"]
            if body["error"] not in _PASSING:
                raise RefusedError(str(body))
            pause = min(pause + _PAUSE_STEP_S, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    def _session(self) -> requests.Session:
        session = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = False
            self._sessions.append(session)
        assert isinstance(session, requests.Session)
        return session


class Connector(ABC):
    """What both have in common: steps of a call follow each other, and only the first is waited for, `caller_s` at
    most: what a connector's HTTP client gives a request before the dialplan goes on without an answer."""

    def __init__(self, webhook: str, office: Office, monitor: Path, caller_s: float = 30.0) -> None:
        self.rest = Rest(webhook)
        self._office = office
        self._monitor = monitor
        self._caller_s = caller_s
        self._work: dict[str, asyncio.Task[None]] = {}
        self._portal_ids: dict[str, str] = {}
        self._routes: dict[str, str] = {}

    async def inbound(self, call: Made) -> None:
        async def first() -> None:
            self._routes[call.call_id] = await self.begin(call)

        await asyncio.wait({self._then(call, first)}, timeout=self._caller_s)
        call.route = self._routes.get(call.call_id, "")
        call.state = "registered" if call.call_id in self._portal_ids else "deferred"

    async def ring(self, call: Made) -> None:
        self._then(call, lambda: self.show(call, self._users(call.ringing)))

    async def answer(self, call: Made) -> None:
        losers = [extension for extension in call.ringing if extension != call.extension]
        if losers:
            self._then(call, lambda: self.hide(call, self._users(losers)))

    async def hangup(self, call: Made) -> None:
        self._then(call, lambda: self.end(call))

    async def settle(self, calls: Sequence[Made], patience_s: float) -> None:
        if calls:
            await asyncio.wait([self._work[call.call_id] for call in calls], timeout=patience_s)

    def pending(self) -> set[str]:
        """Those still at work, which ends here."""
        waiting = {call_id for call_id, task in self._work.items() if not task.done()}
        for task in self._work.values():
            task.cancel()
        self.rest.close()
        return waiting

    @abstractmethod
    async def begin(self, call: Made) -> str:
        """Find the client, register the call; the responsible's extension."""

    @abstractmethod
    async def show(self, call: Made, users: list[int]) -> None:
        """Cards for those who ring."""

    @abstractmethod
    async def hide(self, call: Made, users: list[int]) -> None:
        """No card any more for those who did not answer."""

    @abstractmethod
    async def end(self, call: Made) -> None:
        """The outcome, then the recording."""

    def portal_id(self, call: Made) -> str:
        """The portal's CALL_ID."""
        return self._portal_ids[call.call_id]

    def registered(self, call: Made, result: Mapping[str, Any]) -> None:
        """Note what `register` answered."""
        self._portal_ids[call.call_id] = result["CALL_ID"]

    def content(self, call: Made) -> bytes:
        """The recording."""
        return (self._monitor / call.recording).read_bytes()

    def finish_params(self, call: Made) -> dict[str, Any]:
        """All of `finish` but the CALL_ID."""
        user_id = self._office.user_of(call.extension)
        return {"USER_ID": user_id, "DURATION": round(call.talked_s), "STATUS_CODE": "200", "ADD_TO_CHAT": 0}

    def _users(self, extensions: Sequence[str]) -> list[int]:
        return [self._office.user_of(extension) for extension in extensions]

    def _then(self, call: Made, step: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        before = self._work.get(call.call_id)
        task = asyncio.create_task(self._after(call, before, step))
        self._work[call.call_id] = task
        return task

    async def _after(
        self, call: Made, before: asyncio.Task[None] | None, step: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        if before is not None:
            await before
        if call.hitches:
            return  # a call whose registration was refused is forgotten
        try:
            await step()
        except (RefusedError, requests.RequestException, LookupError) as error:
            call.hitches.append(f"{type(error).__name__}: {error}"[:200])


class GoLike(Connector):
    """One request a method, as a Go connector does it: search, register; show; hide; finish, attach."""

    async def begin(self, call: Made) -> str:
        found = await self.rest.ask(f"{_CALL}searchCrmEntities", {"PHONE_NUMBER": call.arrival.client.number})
        self.registered(call, await self.rest.ask(f"{_CALL}register", register_params(call)))
        return _route(found)

    async def show(self, call: Made, users: list[int]) -> None:
        await self.rest.ask(f"{_CALL}show", {"CALL_ID": self.portal_id(call), "USER_ID": users})

    async def hide(self, call: Made, users: list[int]) -> None:
        await self.rest.ask(f"{_CALL}hide", {"CALL_ID": self.portal_id(call), "USER_ID": users})

    async def end(self, call: Made) -> None:
        name = {"CALL_ID": self.portal_id(call)}
        await self.rest.ask(f"{_CALL}finish", name | self.finish_params(call))
        content = base64.b64encode(self.content(call)).decode()
        await self.rest.ask(
            f"{_CALL}attachRecord", name | {"FILENAME": call.recording.lower(), "FILE_CONTENT": content}
        )


class PhpLike(Connector):
    """One batch a step, as a PHP module does it: search, register, show; finish and the upload's address; the file."""

    async def begin(self, call: Made) -> str:
        person = "$result[search][0][ASSIGNED_BY][ID]"
        result = await self.rest.batch(
            {
                "search": (f"{_CALL}searchCrmEntities", {"PHONE_NUMBER": call.arrival.client.number}),
                "register": (f"{_CALL}register", register_params(call)),
                "show": (f"{_CALL}show", {"CALL_ID": "$result[register][CALL_ID]", "USER_ID": person}),
            }
        )
        self.registered(call, result["register"])
        return _route(result["search"])

    async def show(self, call: Made, users: list[int]) -> None:
        if call.ringing != [call.route]:  # the responsible's card came with the registration
            await self.rest.batch({"show": (f"{_CALL}show", self._for_users(call, users))})

    async def hide(self, call: Made, users: list[int]) -> None:
        await self.rest.batch({"hide": (f"{_CALL}hide", self._for_users(call, users))})

    async def end(self, call: Made) -> None:
        name = {"CALL_ID": self.portal_id(call)}
        result = await self.rest.batch(
            {
                "finish": (f"{_CALL}finish", name | self.finish_params(call)),
                "attach": (f"{_CALL}attachRecord", name | {"FILENAME": call.recording.lower()}),
            }
        )
        await self.rest.upload(result["attach"]["uploadUrl"], call.recording.lower(), self.content(call))

    def _for_users(self, call: Made, users: list[int]) -> dict[str, Any]:
        return {"CALL_ID": self.portal_id(call)} | {f"USER_ID[{n}]": user for n, user in enumerate(users)}


def register_params(call: Made) -> dict[str, Any]:
    """The parameters of `register`; no card yet."""
    return {
        "USER_ID": DEFAULT_USER,
        "PHONE_NUMBER": call.arrival.client.number,
        "TYPE": 2,
        "CRM_CREATE": 1,
        "SHOW": 0,
        "EXTERNAL_CALL_ID": call.call_id,
    }


def _route(entities: Sequence[Mapping[str, Any]]) -> str:
    people = (entity.get("ASSIGNED_BY") or {} for entity in entities)
    return next((person["USER_PHONE_INNER"] for person in people if person.get("USER_PHONE_INNER")), "")
