"""The portal, as the rest of a program sees it: execute a command, a batch, an upload."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tenacity

from bx24client import crm, php, structure, users
from bx24client.auth import Auth, Webhook
from bx24client.commands import Answer, BatchResult, Command, encode_batch, read_batch
from bx24client.durations import PORTAL_LIMIT_S, Durations
from bx24client.errors import (
    AnswerLost,
    AuthFailed,
    BitrixError,
    MethodBlocked,
    MovedTooFar,
    NotSent,
    PortalError,
    RateLimited,
    UnreadableAnswer,
    WebServerRefused,
    portal_error,
)
from bx24client.gate import Gate
from bx24client.health import Health
from bx24client.limits import LANES, Budget
from bx24client.pages import Listing
from bx24client.planner import WANTED_WITHIN_S, Load, Parcel, Planner, is_batch
from bx24client.telephony import UploadUrl, read_file_id
from bx24client.transport import JsonBody, Reply, Timeouts, Transport
from bx24client.upload import Multipart
from bx24client.worktime import CAUTIOUS_S, Worktime

T = TypeVar("T")

log = logging.getLogger("bx24client")

ATTEMPTS = 3
_PAUSES_S = (0.1, 0.4)
_ROUND_TRIP_S = 0.1  # until it is measured


class Bitrix24:
    """A Bitrix24 portal. Safe to share between threads; they also share the request budget.

    `auth`: address of an incoming webhook, or any Auth. `budget`: None makes one for an ordinary plan
    (2 requests a second, burst 50). `ca_file`: certificates of a portal with its own authority.
    `on_moved`: told the new base address when the portal was renamed. `working_time_s`: seconds of one method's work in
    ten minutes that the portal allows at least.

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
        working_time_s: float = CAUTIOUS_S,
    ) -> None:
        self.auth: Auth = Webhook(auth) if isinstance(auth, str) else auth
        self.timeouts = timeouts or Timeouts()
        self.budget = budget or Budget()
        self.durations = Durations()
        self.health = Health()
        self._worktime = Worktime(self.durations, cautious_s=working_time_s)
        planner = Planner(self.budget, self._worktime, lambda: self.durations.round_trip() or _ROUND_TRIP_S)
        self._gate = Gate(planner, self._carry)
        self._transport = Transport(self.auth.portal, ca_file=ca_file, on_moved=on_moved)

    def __repr__(self) -> str:
        return f"Bitrix24({self._transport.portal!r})"

    def __enter__(self) -> Bitrix24:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what waits for its turn, and close the kept connections."""
        self._gate.close()
        self._transport.close()

    @property
    def portal(self) -> str:
        """Base address of the portal, the new one after it was renamed."""
        return self._transport.portal

    def execute(
        self,
        command: Command[T],
        *,
        timeout_s: float | None = None,
        lane: str = "outcome",
        on_leaving: Callable[[], object] | None = None,
    ) -> T:
        """Run one command and return its value.

        `timeout_s` covers everything: waiting for its turn, all attempts, the slowest byte. `lane` is
        one of limits.LANES. A request that was surely not executed is repeated within that time; one
        whose answer was lost only if the command is idempotent. `on_leaving` is called just before the
        request leaves; what it raises is raised here, and nothing was sent.
        """
        return self.answer(command, timeout_s=timeout_s, lane=lane, on_leaving=on_leaving).value

    def answer(
        self,
        command: Command[T],
        *,
        timeout_s: float | None = None,
        lane: str = "outcome",
        on_leaving: Callable[[], object] | None = None,
    ) -> Answer[T]:
        """Like execute(), with the total and the next page that list methods give."""
        parcel = self.parcel({"it": command}, lane=lane, timeout_s=timeout_s, on_leaving=on_leaving)
        self._gate.submit([parcel], own=True)
        return parcel.future.result().answer("it")

    def batch(
        self,
        commands: Mapping[str, Command[Any]],
        *,
        halt: bool,
        timeout_s: float | None = None,
        lane: str = "outcome",
        on_leaving: Callable[[], object] | None = None,
    ) -> BatchResult:
        """Run up to 50 commands in one request, in their order.

        `halt=True` stops at the first that fails and allows references (Ref) to earlier ones: for the
        chain of one call. `halt=False` lets each stand alone; others' commands may ride along. Errors of
        single commands wait in the result; only a failure of the request as a whole is raised. Raises
        ValueError for a batch the portal would misunderstand.
        """
        parcel = self.parcel(commands, lane=lane, timeout_s=timeout_s, chain=halt, on_leaving=on_leaving)
        self._gate.submit([parcel], own=True)
        return parcel.future.result()

    def parcel(
        self,
        commands: Mapping[str, Command[Any]],
        *,
        lane: str = "outcome",
        wanted_in_s: float | None = None,
        timeout_s: float | None = None,
        chain: bool = False,
        errand: Callable[[float], Any] | None = None,
        on_leaving: Callable[[], object] | None = None,
        behind: Parcel | None = None,
        apart: Callable[[], Mapping[str, Command[Any]]] | None = None,
    ) -> Parcel:
        """Commands to be handed to submit(). Raises ValueError for what the portal would misunderstand.

        `wanted_in_s`: the seconds within which the answer is of use, by default the lane's. `behind`: a parcel it
        must not overtake, to whose commands its own may refer; `apart`: the commands that do not, for when it leaves
        without it.
        """
        if lane not in LANES:
            raise ValueError(f"no such lane: {lane!r}; there are {', '.join(LANES)}")
        if errand is None:
            _check({**behind.commands, **commands} if apart is not None and behind is not None else commands, chain)
        now = self.budget.clock()
        wanted = WANTED_WITHIN_S[lane] if wanted_in_s is None else wanted_in_s
        ends = now + (self.timeouts.total if timeout_s is None else timeout_s)
        return Parcel(
            commands, lane, now + wanted, ends, chain=chain, errand=errand, on_leaving=on_leaving, behind=behind,
            apart=apart,
        )  # fmt: skip

    def submit(self, *parcels: Parcel) -> None:
        """Let parcels leave when it is their turn, without waiting: `parcel.future` gets a BatchResult, or the
        BitrixError of a request that failed as a whole. Callbacks of a future run in the gate's threads."""
        self._gate.submit(parcels)

    @property
    def plenty(self) -> bool:
        """Whether a command would leave at once on its own."""
        return self._gate.plenty

    def has_room(self, *methods: str) -> bool:
        """Whether the portal's limit of working time lets a command of each of `methods` leave now, in one batch where
        they are several."""
        with self._gate.lock:
            free = all(self._worktime.room(method) > 0 for method in methods)
            work = sum(map(self._worktime.cost, methods))
            return free and (len(methods) < 2 or work <= self._worktime.batch_room_s())

    @property
    def bills_batches(self) -> bool:
        """Whether the portal bills the working time of a batch as a whole: what can go alone had better."""
        with self._gate.lock:
            return self._worktime.bills_batches

    def upload(
        self,
        target: UploadUrl,
        source: Path | str | bytes,
        filename: str,
        *,
        timeout_s: float | None = None,
        lane: str = "recording",
        on_leaving: Callable[[], object] | None = None,
    ) -> int:
        """Send a recording to the address that telephony.upload_url() gave; returns the file's id.

        A path is streamed from disk. The request goes to the portal itself, whatever host the address
        names. Raises OSError when the file cannot be read, besides BitrixError.
        """
        body = Multipart(target.field, filename, source if isinstance(source, bytes) else Path(source))
        parts = urlsplit(target.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path

        def errand(seconds: float) -> int:
            reply = self._transport.post(path, body, self.timeouts.ending_in(seconds))
            return self._read(Command("upload", {}, read_file_id), reply)

        parcel = self.parcel({}, lane=lane, timeout_s=timeout_s, errand=errand, on_leaving=on_leaving)
        self._gate.submit([parcel], own=True)
        file_id: int = parcel.future.result()["it"]
        return file_id

    def users(self, *, timeout_s: float | None = None, lane: str = "background") -> list[users.PortalUser]:
        """All employees of the portal, dismissed ones included.

        Raises rather than returning a part: a missing page would look like dismissed people.
        `timeout_s` is for each request.
        """
        return self._whole(users.EMPLOYEES, timeout_s, lane)

    def departments(self, *, timeout_s: float | None = None, lane: str = "background") -> list[structure.Department]:
        """The whole structure of the company. Raises ScopeMissing without the scope `department`."""
        return self._whole(structure.DEPARTMENTS, timeout_s, lane)

    def away(
        self, user_ids: Sequence[int], since: date, until: date, *, timeout_s: float | None = None
    ) -> list[structure.Away]:
        """Who of these employees is away when. Raises ScopeMissing without the scope `calendar`."""
        found: list[structure.Away] = []
        for group in structure.batches(user_ids, since, until):
            result = self.batch(group, halt=False, timeout_s=timeout_s, lane="background")
            for key in group:
                found += result[key]
        return found

    def sources(self, *, timeout_s: float | None = None) -> list[crm.Source]:
        """The sources of leads. Raises ScopeMissing without the scope `crm`."""
        return self._whole(crm.SOURCES, timeout_s, "background")

    def _whole(self, listing: Listing[T], timeout_s: float | None, lane: str) -> list[T]:
        first = self.answer(listing.page(0), timeout_s=timeout_s, lane=lane)
        pages = [first.value]
        for group in listing.further(first):
            result = self.batch(group, halt=False, timeout_s=timeout_s, lane=lane)
            pages += [result[key] for key in group]
        return listing.join(pages, first.total)

    # --- what a carrier's thread does ------------------------------------------------------------

    def _carry(self, load: Load) -> None:
        """Send a load that may leave, and settle its futures whatever happens."""
        try:
            if self._has_a_place(load):
                self._deliver([parcel for parcel in load if _says_it_leaves(parcel)], load)
        except BaseException as error:  # our own fault: nobody may wait for ever because of it
            for parcel in load:
                if not parcel.future.done():
                    parcel.future.set_exception(error)

    def _has_a_place(self, load: Load) -> bool:
        """Whether those who share the bucket let this request go; else it waits again."""
        level, wait_s = self.budget.claim()
        if level is not None:
            with self._gate.lock:
                self.budget.learn(level)
        if wait_s > 0:
            self._gate.wait_again(load)
        return wait_s <= 0

    def _deliver(self, going: Load, load: Load) -> None:
        error: BitrixError | None = None
        try:
            results = self._renewing(lambda: self._send(going)) if going else []
        except BitrixError as failure:
            error, results = failure, []
        with self._gate.lock:
            counted = bool(going) and not _never_arrived(error)
            self._gate.planner.came_back(load, counted=counted, let_in=_was_let_in(results))
        self._note_health(error, results)
        if error is not None:
            self._unanswered(going, error)
        for parcel, result in zip(going, results, strict=False):
            parcel.future.set_result(result)
        self._gate.look_again()

    def _send(self, going: Load) -> list[BatchResult]:
        """One request for all of them. Raises BitrixError when it failed as a whole."""
        for parcel in going:
            parcel.left_in(going)
        deadline = max(parcel.ends_by for parcel in going)
        first = going[0]
        if first.errand is not None:
            return [BatchResult({"it": Answer(first.errand(max(0.001, deadline - self.budget.clock())))})]
        if len(going) == 1 and not first.chain and len(first.commands) == 1:
            return [self._send_one(*next(iter(first.commands.items())), deadline)]
        return self._send_batch(going, deadline)

    def _send_one(self, key: str, command: Command[Any], deadline: float) -> BatchResult:
        body = command.body()
        reply = _quickly(lambda: self._call(command.method, body, self._until(deadline)), deadline)
        try:
            value = command.read(reply.get("result"))
        except UnreadableAnswer as error:
            return BatchResult(errors={key: error})
        return BatchResult({key: Answer(value, php.integer(reply.get("total")), php.integer(reply.get("next")))})

    def _send_batch(self, going: Load, deadline: float) -> list[BatchResult]:
        halt = going[0].chain
        single = len(going) == 1
        names = [{key: key if single else f"p{n}_{key}" for key in parcel.commands} for n, parcel in enumerate(going)]
        commands: dict[str, Command[Any]] = {}
        for parcel, named in zip(going, names, strict=True):
            known = named if parcel.behind not in going else names[going.index(parcel.behind)] | named
            commands |= {named[key]: command.renamed(known) for key, command in parcel.commands.items()}
        body = encode_batch(commands, halt=halt)
        reply = _quickly(lambda: self._call("batch", body, self._until(deadline, batch=True)), deadline)
        self._learn_batch(commands, reply.get("result"))
        outcome = read_batch(commands, reply.get("result"), halt=halt)
        self._note_errors(commands, outcome)
        return [_part(outcome, named) for named in names]

    def _until(self, deadline: float, *, batch: bool = False) -> Timeouts:
        timeouts = self.timeouts.ending_in(deadline - self.budget.clock())
        # A batch is rightly silent while the portal works through it.
        return replace(timeouts, read=max(timeouts.read, PORTAL_LIMIT_S)) if batch else timeouts

    def _unanswered(self, going: Load, error: BitrixError) -> None:
        """A request failed as a whole: what may be sent again waits again, the others hear of it."""
        # A batch refused for the time of all batches is no fault of its commands: they wait, or leave alone.
        waits = isinstance(error, RateLimited) or (isinstance(error, MethodBlocked) and is_batch(going))
        again = [parcel for parcel in going if _again(error, parcel, self.budget.clock(), waits=waits)]
        for parcel in going:
            parcel.tries += 1
            if parcel not in again:
                parcel.future.set_exception(error)
        self._gate.put_back(again)

    def _note_health(self, error: BitrixError | None, results: list[BatchResult]) -> None:
        alone = next(iter(results[0].errors.values()), None) if len(results) == 1 else None
        if error is not None or alone is not None:
            self.health.failed(error or alone)  # type: ignore[arg-type]
        elif results:
            self.health.worked()

    def _read(self, command: Command[T], reply: Reply) -> T:
        return command.read(self._envelope(command.method, reply).get("result"))

    def _call(self, method: str, body: Mapping[str, Any], timeouts: Timeouts) -> dict[str, Any]:
        reply = self._post(method, body, timeouts)
        try:
            envelope = self._envelope(method, reply)
        except PortalError as error:
            log.debug("%s refused in %.3f s: %s", method, reply.wall_s, type(error).__name__)
            raise
        except AnswerLost as error:
            error.left_at = time.time() - reply.wall_s
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

    def _note(self, method: str, error: BitrixError, *, just_told: bool = False) -> None:
        if isinstance(error, RateLimited):
            self.budget.announce_refusal()
        with self._gate.lock:
            if isinstance(error, RateLimited):
                self.budget.refused()
            elif isinstance(error, MethodBlocked):
                self._note_blocked(method, error, just_told=just_told)

    def _note_blocked(self, method: str, error: MethodBlocked, *, just_told: bool) -> None:
        known = self.durations.operating(method)
        if known and known.reset_at and known.reset_at > time.time():
            error.until = known.reset_at
            error.retry_after_s = known.reset_at - time.time()
        until = error.until or time.time() + (error.retry_after_s or 0.0)
        self._worktime.blocked(method, until, just_told=just_told)

    def _note_errors(self, commands: Mapping[str, Command[Any]], outcome: BatchResult) -> None:
        answered = {commands[key].method for key in outcome.answers}
        for key, error in outcome.errors.items():
            method = commands[key].method
            self._note(method, error, just_told=method in answered)

    def _learn_batch(self, commands: Mapping[str, Command[Any]], result: object) -> None:
        times = result.get("result_time") if isinstance(result, dict) else None
        if isinstance(times, (dict, list)):
            for key, time_of_command in php.mapping(times).items():
                if key in commands:
                    self.durations.learn(commands[key].method, time_of_command)

    def _renewing(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except AuthFailed:
            if not self.auth.renew():
                raise
        return run()


def _check(commands: Mapping[str, Command[Any]], chain: bool) -> None:
    """Raises ValueError for what has no form on the wire."""
    if len(commands) == 1 and not chain:
        next(iter(commands.values())).body()
    else:
        encode_batch(commands, halt=chain)


def _says_it_leaves(parcel: Parcel) -> bool:
    try:
        if parcel.on_leaving is not None:
            parcel.on_leaving()
    except Exception as reason:
        parcel.future.set_exception(reason)
        return False
    return True


def _part(outcome: BatchResult, named: Mapping[str, str]) -> BatchResult:
    """One parcel's part of a batch's result, under its own keys."""
    answers = {key: outcome.answers[name] for key, name in named.items() if name in outcome.answers}
    errors = {key: outcome.errors[name] for key, name in named.items() if name in outcome.errors}
    return BatchResult(answers, errors)


def _quickly(attempt: Callable[[], T], deadline: float) -> T:
    """`attempt`, again within a moment when the portal was not reached at all."""
    # Nearly every request succeeds at once, and the machinery of retrying costs more than many of its parts.
    try:
        return attempt()
    except NotSent as error:
        if isinstance(error, MovedTooFar):  # the portal was asked and answered, if only with a redirect
            raise
        first = error
    failed = [first]

    def run() -> T:
        if failed:
            raise failed.pop()
        return attempt()

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NotSent) & tenacity.retry_if_not_exception_type(MovedTooFar),
        wait=_pause,
        stop=lambda state: state.attempt_number >= ATTEMPTS or time.monotonic() + _pause(state) >= deadline,
        reraise=True,
    )(run)


def _pause(state: tenacity.RetryCallState) -> float:
    return _PAUSES_S[min(state.attempt_number, 2) - 1]


def _was_let_in(results: Sequence[BatchResult]) -> bool:
    """Whether the portal answered and refused none of it for its working time."""
    errors = [error for result in results for error in result.errors.values()]
    return bool(results) and not any(isinstance(error, MethodBlocked) for error in errors)


def _never_arrived(error: BitrixError | None) -> bool:
    return isinstance(error, NotSent) and not isinstance(error, MovedTooFar)


def _again(error: BitrixError, parcel: Parcel, now: float, *, waits: bool) -> bool:
    """Whether a parcel may be sent once more after its request failed as a whole. `waits`: it was too early for it."""
    if now >= parcel.ends_by:
        return False
    if waits:
        return True
    return parcel.tries + 1 < ATTEMPTS and parcel.idempotent and isinstance(error, AnswerLost)


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
