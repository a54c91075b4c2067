"""The portal, as the rest of a program sees it: execute a command, a batch, an upload."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tenacity

from bx24client import php, users
from bx24client.auth import Auth, Webhook
from bx24client.commands import Answer, BatchResult, Command, encode_batch, read_batch
from bx24client.durations import Durations
from bx24client.errors import (
    AnswerLost,
    AuthFailed,
    BitrixError,
    BudgetExhausted,
    MethodBlocked,
    MovedTooFar,
    NotSent,
    PortalError,
    RateLimited,
    TransportError,
    UnreadableAnswer,
    WebServerRefused,
    portal_error,
)
from bx24client.health import Health
from bx24client.limits import Budget
from bx24client.telephony import UploadUrl, read_file_id
from bx24client.transport import JsonBody, Reply, Timeouts, Transport
from bx24client.upload import Multipart

T = TypeVar("T")

log = logging.getLogger("bx24client")

# The portal stops a request after 60 seconds; waiting longer for one is pointless.
PORTAL_LIMIT_S = 60.0
ATTEMPTS = 3
_PAUSES_S = (0.1, 0.4)


class Bitrix24:
    """A Bitrix24 portal. Safe to share between threads; they also share the request budget.

    `auth`: address of an incoming webhook, or any Auth. `budget`: None makes one for an ordinary plan
    (2 requests a second, burst 50). `ca_file`: certificates of a portal with its own authority.
    `on_moved`: told the new base address when the portal was renamed.

    Every call raises a BitrixError (see errors.py) and nothing else, except ValueError for parameters
    that have no form on the wire.
    """

    def __init__(
        self,
        auth: str | Auth,
        *,
        timeouts: Timeouts | None = None,
        budget: Budget | None = None,
        ca_file: str | None = None,
        on_moved: Callable[[str], None] | None = None,
    ) -> None:
        self.auth: Auth = Webhook(auth) if isinstance(auth, str) else auth
        self.timeouts = timeouts or Timeouts()
        self.budget = budget or Budget()
        self.durations = Durations()
        self.health = Health()
        self._transport = Transport(self.auth.portal, ca_file=ca_file, on_moved=on_moved)

    def __repr__(self) -> str:
        return f"Bitrix24({self._transport.portal!r})"

    def __enter__(self) -> Bitrix24:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    @property
    def portal(self) -> str:
        """Base address of the portal, the new one after it was renamed."""
        return self._transport.portal

    def execute(self, command: Command[T], *, timeout_s: float | None = None, lane: str = "outcome") -> T:
        """Run one command and return its value.

        `timeout_s` covers everything: waiting for the budget, all attempts, the slowest byte. `lane` is
        one of limits.LANES. A request that was surely not executed is repeated within that time; one
        whose answer was lost only if the command is idempotent.
        """
        return self.answer(command, timeout_s=timeout_s, lane=lane).value

    def answer(self, command: Command[T], *, timeout_s: float | None = None, lane: str = "outcome") -> Answer[T]:
        """Like execute(), with the total and the next page that list methods give."""
        body = command.body()

        def once(timeouts: Timeouts) -> Answer[T]:
            reply = self._call(command.method, body, timeouts)
            value = command.read(reply.get("result"))
            return Answer(value, php.integer(reply.get("total")), php.integer(reply.get("next")))

        return self._persist(once, self.timeouts, timeout_s, lane, command.idempotent)

    def batch(
        self,
        commands: Mapping[str, Command[Any]],
        *,
        halt: bool,
        timeout_s: float | None = None,
        lane: str = "outcome",
    ) -> BatchResult:
        """Run up to 50 commands in one request, in their order.

        `halt=True` stops at the first that fails and allows references (Ref) to earlier ones: for the
        chain of one call. `halt=False` lets each stand alone. Errors of single commands wait in the
        result; only a failure of the request as a whole is raised. Raises ValueError for a batch the
        portal would misunderstand.
        """
        body = encode_batch(commands, halt=halt)

        def once(timeouts: Timeouts) -> BatchResult:
            reply = self._call("batch", body, timeouts)
            self._learn_batch(commands, reply.get("result"))
            outcome = read_batch(commands, reply.get("result"), halt=halt)
            self._note_errors(commands, outcome)
            return outcome

        idempotent = all(command.idempotent for command in commands.values())
        # A batch is rightly silent while the portal works through it.
        timeouts = replace(self.timeouts, read=max(self.timeouts.read, PORTAL_LIMIT_S))
        return self._persist(once, timeouts, timeout_s, lane, idempotent)

    def upload(
        self,
        target: UploadUrl,
        source: Path | str | bytes,
        filename: str,
        *,
        timeout_s: float | None = None,
        lane: str = "recording",
    ) -> int:
        """Send a recording to the address that telephony.upload_url() gave; returns the file's id.

        A path is streamed from disk. The request goes to the portal itself, whatever host the address
        names. Raises OSError when the file cannot be read, besides BitrixError.
        """
        body = Multipart(target.field, filename, source if isinstance(source, bytes) else Path(source))
        parts = urlsplit(target.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path

        def once(timeouts: Timeouts) -> int:
            reply = self._transport.post(path, body, timeouts)
            return self._read(Command("upload", {}, read_file_id), reply)

        return self._persist(once, self.timeouts, timeout_s, lane, False)

    def users(self, *, timeout_s: float | None = None, lane: str = "background") -> list[users.PortalUser]:
        """All employees of the portal, dismissed ones included.

        Raises rather than returning a part: a missing page would look like dismissed people.
        `timeout_s` is for each request.
        """
        first = self.answer(users.page(0), timeout_s=timeout_s, lane=lane)
        pages = [first.value]
        for group in users.further_pages(first):
            result = self.batch(group, halt=False, timeout_s=timeout_s, lane=lane)
            pages += [result[key] for key in group]
        return users.join(pages, first.total)

    def _read(self, command: Command[T], reply: Reply) -> T:
        return command.read(self._envelope(command.method, reply).get("result"))

    def _call(self, method: str, body: Mapping[str, Any], timeouts: Timeouts) -> dict[str, Any]:
        reply = self._post(method, body, timeouts)
        try:
            envelope = self._envelope(method, reply)
        except PortalError as error:
            log.debug("%s refused in %.3f s: %s", method, reply.wall_s, type(error).__name__)
            raise
        duration = self.durations.learn(method, envelope.get("time"))
        self.durations.learn_overhead(reply.wall_s, duration)
        log.debug("%s answered in %.3f s", method, reply.wall_s)
        return envelope

    def _post(self, method: str, body: Mapping[str, Any], timeouts: Timeouts) -> Reply:
        content = json.dumps({**body, **self.auth.credentials()}, allow_nan=False).encode()
        started = time.monotonic()
        try:
            return self._transport.post(self.auth.path(method), JsonBody(content), timeouts)
        except AnswerLost as error:
            if error.timed_out:  # whoever plans by typical times must know that the portal is slow
                self.durations.record(method, time.monotonic() - started)
            raise

    def _envelope(self, method: str, reply: Reply) -> dict[str, Any]:
        envelope = _decode(reply)
        if "error" in envelope and (envelope["error"] or "result" not in envelope):
            error = portal_error(envelope["error"], envelope.get("error_description"), reply.status, method)
            self._note(method, error)
            raise error
        if "result" not in envelope:
            raise UnreadableAnswer("the portal's answer has neither a result nor an error", reply.status)
        return envelope

    def _note(self, method: str, error: BitrixError) -> None:
        if isinstance(error, RateLimited):
            self.budget.refused()
        elif isinstance(error, MethodBlocked):
            known = self.durations.operating(method)
            if known and known.reset_at and known.reset_at > time.time():
                error.until = known.reset_at
                error.retry_after_s = known.reset_at - time.time()

    def _note_errors(self, commands: Mapping[str, Command[Any]], outcome: BatchResult) -> None:
        for key, error in outcome.errors.items():
            self._note(commands[key].method, error)

    def _learn_batch(self, commands: Mapping[str, Command[Any]], result: object) -> None:
        times = result.get("result_time") if isinstance(result, Mapping) else None
        if isinstance(times, (Mapping, list)):
            for key, time_of_command in php.mapping(times).items():
                if key in commands:
                    self.durations.learn(commands[key].method, time_of_command)

    def _persist(
        self,
        once: Callable[[Timeouts], T],
        timeouts: Timeouts,
        timeout_s: float | None,
        lane: str,
        idempotent: bool,
    ) -> T:
        deadline = time.monotonic() + (timeouts.total if timeout_s is None else timeout_s)

        def attempt() -> T:
            self.budget.take(lane, max(0.0, deadline - time.monotonic()))
            try:
                return once(timeouts.ending_in(deadline - time.monotonic()))
            except MovedTooFar:  # the portal was asked and answered, if only with a redirect
                raise
            except NotSent:
                self.budget.give_back()
                raise

        def run() -> T:
            # Nearly every request succeeds at once, and the machinery of retrying costs more than many of its parts.
            try:
                return attempt()
            except BitrixError as error:
                return _retrying(deadline, idempotent)(_first_raising(error, attempt))

        try:
            result = self._renewing(run)
        except BitrixError as error:
            self.health.failed(error)
            raise
        self.health.worked()
        return result

    def _renewing(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except AuthFailed:
            if not self.auth.renew():
                raise
        return run()


def _retrying(deadline: float, idempotent: bool) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _again(error, idempotent)),
        wait=_pause,
        stop=lambda state: state.attempt_number >= ATTEMPTS or _too_late(state, deadline),
        reraise=True,
    )


def _first_raising(error: BitrixError, attempt: Callable[[], T]) -> Callable[[], T]:
    """`attempt`, whose first run is over and ended with `error`."""
    failed = [error]

    def run() -> T:
        if failed:
            raise failed.pop()
        return attempt()

    return run


def _decode(reply: Reply) -> dict[str, Any]:
    try:
        envelope = json.loads(reply.body)
    except (ValueError, RecursionError):
        envelope = None
    if isinstance(envelope, dict):
        return envelope
    what = "an empty answer" if not reply.body.strip() else "a page or broken data instead of an answer"
    if 400 <= reply.status < 500:
        raise _web_server_refused(reply.status)
    raise UnreadableAnswer(f"the portal sent {what} (HTTP {reply.status})", reply.status)


def _web_server_refused(status: int) -> WebServerRefused:
    error = WebServerRefused(status=status)
    # 408, 425 and 429 pass by themselves; the others need a person, but calls must not be lost by it.
    error.retryable = True
    error.retry_after_s = 5.0 if status in (408, 425, 429) else 300.0
    return error


def _again(error: BaseException, idempotent: bool) -> bool:
    if isinstance(error, (BudgetExhausted, MovedTooFar)):
        return False
    if isinstance(error, (NotSent, RateLimited)):
        return True
    return idempotent and isinstance(error, TransportError)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    # After a refusal the budget is full and makes us wait for a place.
    return 0.0 if isinstance(error, RateLimited) else _PAUSES_S[min(state.attempt_number, 2) - 1]


def _too_late(state: tenacity.RetryCallState, deadline: float) -> bool:
    return time.monotonic() + _pause(state) >= deadline
