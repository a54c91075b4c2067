"""The REST server: the order of its checks, its envelope, and the log of what was asked.

A request passes, in the real portal's order: rate limit, method (404), authorisation and scope,
operating limit (429), the method itself.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from itgrix_bx.emulator.portal import (
    about,
    batch,
    crm,
    finishing,
    items,
    leads,
    lines,
    multipart,
    php,
    records,
    statistics,
    structure,
    telephony,
    users,
)
from itgrix_bx.emulator.portal.answers import (
    BLOCKED,
    LINK_CHECK,
    METHOD_NOT_FOUND,
    TOO_MANY,
    WRONG_AUTH_TYPE,
    Page,
    RestError,
    auth_error,
)
from itgrix_bx.emulator.portal.clock import Clock
from itgrix_bx.emulator.portal.context import Caller, Context, Method
from itgrix_bx.emulator.portal.faults import Faults, Rule
from itgrix_bx.emulator.portal.http import Request, Response
from itgrix_bx.emulator.portal.journal import Entry, Journal
from itgrix_bx.emulator.portal.latency import Latency
from itgrix_bx.emulator.portal.limits import OperatingLimit, RequestLimit
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Store
from itgrix_bx.emulator.portal.target import Target

_TELEPHONY = ("telephony.", "voximplant.")
_TOO_LITTLE = "The request requires higher privileges than provided by the webhook token"
_HTML = b"<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>%d</h1></center>\r\n</body>\r\n</html>\r\n"


class _TooLongError(Exception):
    """The portal ends a request that has lasted too long; what it had not done yet is never done."""


class Portal:
    """The REST side of the double. Thread-safe; sleeps only outside of the store's lock."""

    def __init__(self, store: Store, clock: Clock, latency: Latency) -> None:
        self.store = store
        self.clock = clock
        self.latency = latency
        self.faults = Faults()
        self.requests = RequestLimit(store.settings, clock)
        self.operating = OperatingLimit(store.settings, clock)
        self.journal = Journal(store)
        self._batch_ids = itertools.count(1)
        self._methods = _all_methods()

    def handle(self, request: Request) -> Response:
        """Answer a request under /rest/."""
        entry = self.journal.begin()
        target = Target.of(request.target)
        if not self.requests.admits(request.address):
            self.store.refused_requests += 1
            return self._refused(RestError(*TOO_MANY), target, entry)
        self.clock.sleep(self.latency.network_s)
        params = _params(request, target)
        names = _names(target.method, params)
        fault = self.faults.take(names, single=False)
        if fault and not fault.after_effect:
            spoilt = self._spoilt(fault, request, target, entry, params)
            if spoilt:
                self._work_on(fault, request, target, params, replace(entry, record=None))
                return spoilt
        try:
            response = self._answer(request, target, params, entry)
        except _TooLongError:
            response = None
        if response is None or entry.lasted_s > self.store.settings.request_cap_s:
            self.journal.end(entry, target.method, params, 504, fault="too long")
            return _html(504, {})
        if fault and fault.after_effect:
            return self._spoilt(fault, request, target, entry, params) or response
        return response

    def _answer(self, request: Request, target: Target, params: Params, entry: Entry) -> Response:
        started = self.clock.now()
        try:
            if target.method == "upload":
                result = self._upload(request, target, params, entry)
                self.journal.end(entry, "upload", params)
                return _json({"result": result})
            value, took = self._direct(request, target, params, entry)
        except RestError as error:
            return self._refused(error, target, entry, params)
        envelope = _envelope(value) | {"time": self._times(started) | took}
        if target.method != "batch":
            self.journal.end(entry, target.method, params)
        return _json(envelope)

    def _direct(self, request: Request, target: Target, params: Params, entry: Entry) -> tuple[Any, dict[str, Any]]:
        method = self._method(target.method)
        caller = self._caller(target)
        if "token" in params:
            # Its mere presence turns the request into one by a signed link.
            raise RestError(*LINK_CHECK)
        if method is not None:
            self._check_scope(method, caller, _TOO_LITTLE)
            return self._run(method, caller, params, _base_url(request), entry)
        return self._batch(caller, params, _base_url(request), entry)

    def _batch(self, caller: Caller, params: Params, base_url: str, entry: Entry) -> tuple[Any, dict[str, Any]]:
        billed_whole = self.store.settings.operating_billing == "batch"
        if billed_whole and self.operating.is_blocked(caller.secret, "batch"):
            raise RestError(*BLOCKED)
        entry.batch_id = next(self._batch_ids)
        begin = time.perf_counter()
        command = partial(self._command, caller, base_url, entry)
        result = batch.run(params, command, doc_codes=self.store.settings.doc_error_codes)
        self.journal.end(entry, "batch", params)
        self.journal.count_batch(len(batch.commands(params)))
        if billed_whole:
            self.operating.bill(caller.secret, "batch", time.perf_counter() - begin)
        return result, self.operating.report(caller.secret, "batch")

    def _command(
        self, caller: Caller, base_url: str, whole: Entry, name: str, params: Params
    ) -> tuple[Any, dict[str, Any]]:
        entry, started = self.journal.begin_command(whole.batch_id), self.clock.now()
        bare = Target.bare(name)
        try:
            method = self._method(bare)
            if method is None:
                raise RestError(*METHOD_NOT_FOUND)
            self._check_scope(method, caller, "")
            value, took = self._run(method, caller, params, base_url, whole, in_batch=True)
        except RestError as error:
            self.journal.end(entry, bare, params, 200, error)
            raise
        self.journal.end(entry, bare, params)
        return value, self._times(started) | took

    def _run(
        self, method: Method, caller: Caller, params: Params, base_url: str, whole: Entry, *, in_batch: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """`whole`: the request, which the command may be a part of."""
        name, webhook = method.name.lower(), caller.secret
        billed = not (in_batch and self.store.settings.operating_billing == "batch")
        fault = self.faults.take((name,), single=True)
        if (fault and fault.kind == "blocked") or (billed and self.operating.is_blocked(webhook, name)):
            raise RestError(*BLOCKED)
        _raise_fault(fault, after_effect=False)
        context = Context(self.store, caller, base_url, partial(self._work, whole))
        begin = time.perf_counter()
        try:
            if not method.own_pace:
                self._work(whole, name)
            self._check_auth_type(method)
            value = method.run(context, params)
        finally:
            if billed:
                self.operating.bill(webhook, name, time.perf_counter() - begin)
        _raise_fault(fault, after_effect=True)
        if fault and fault.kind == "result":
            value = replace(value, rows=fault.result) if isinstance(value, Page) else fault.result
        return value, self.operating.report(webhook, name)

    def _work(self, whole: Entry, step: str) -> None:
        self.clock.sleep(self.latency.of(step))
        self._must_be_alive(whole)

    def _must_be_alive(self, entry: Entry) -> None:
        if entry.lasted_s > self.store.settings.work_cap_s:
            raise _TooLongError

    def _upload(self, request: Request, target: Target, params: Params, entry: Entry) -> dict[str, Any]:
        parts = multipart.parse(request.content_type, request.body)
        file = next((part for part in parts if part.name == "file" and part.filename), None)
        context = Context(self.store, self._caller(target), _base_url(request), partial(self._work, entry))
        return records.upload(context, params.get("token"), file)

    def _method(self, name: str) -> Method | None:
        """The method; None for batch. Unknown methods are refused before anybody is asked who he is."""
        if name == "batch":
            return None
        absent = self.store.settings.telephony_absent and name.startswith(_TELEPHONY)
        if absent or name not in self._methods:
            raise RestError(*METHOD_NOT_FOUND)
        return self._methods[name]

    def _caller(self, target: Target) -> Caller:
        documented = self.store.settings.auth_status == "docs"
        if self.store.settings.https_required:
            raise auth_error("INVALID_REQUEST", "Https required.", documented=documented)
        if not target.secret:
            raise auth_error("NO_AUTH_FOUND", "Wrong authorization data", documented=documented)
        user = self.store.active_user(target.user_id)
        if target.secret != self.store.secret or target.user_id != self.store.webhook_user_id or user is None:
            raise auth_error("INVALID_CREDENTIALS", "Invalid request credentials", documented=documented)
        return Caller(target.user_id, target.secret, frozenset(self.store.settings.webhook_scopes))

    def _check_scope(self, method: Method, caller: Caller, description: str) -> None:
        if method.scope is None or method.scope in caller.scopes:
            return
        # A narrower right to read employees is enough for what the double tells of them.
        if method.scope == "user" and caller.scopes & {"user_basic", "user_brief"}:
            return
        documented = self.store.settings.auth_status == "docs"
        raise auth_error("insufficient_scope", description, documented=documented)

    def _check_auth_type(self, method: Method) -> None:
        if method.never_webhook or (method.app_only and self.store.settings.webhook_refused):
            raise RestError(*WRONG_AUTH_TYPE)

    def _refused(self, error: RestError, target: Target, entry: Entry, params: Params | None = None) -> Response:
        self.journal.end(entry, target.method, params or {}, error.status, error)
        return _json(error.body(doc_codes=self.store.settings.doc_error_codes), error.status)

    def _spoilt(self, fault: Rule, request: Request, target: Target, entry: Entry, params: Params) -> Response | None:
        """What the client gets of a fault; None when it gets the true answer, only later."""
        self.clock.sleep(fault.delay_s)
        if fault.kind == "slow":
            return None
        response = self._fault_response(fault, request)
        self.journal.end(entry, target.method, params, response.status, fault=fault.kind)
        return response

    def _work_on(self, fault: Rule, request: Request, target: Target, params: Params, entry: Entry) -> None:
        """The work of a request nobody waits for any more."""

        def work() -> None:
            self.clock.sleep(fault.works_on_s)
            with suppress(_TooLongError):
                self._must_be_alive(entry)
                self._answer(request, target, params, entry)

        if fault.works_on_s:
            threading.Thread(target=work, name="portal", daemon=True).start()

    def _fault_response(self, fault: Rule, request: Request) -> Response:
        if fault.kind in ("lost_answer", "hang"):
            return Response(0, drop="close")
        if fault.kind == "reset":
            return Response(0, drop="reset")
        if fault.kind == "limit":
            return _json(RestError(*TOO_MANY).body(), 503)
        if fault.kind == "auth":
            documented = self.store.settings.auth_status == "docs"
            error = auth_error("INVALID_CREDENTIALS", "Invalid request credentials", documented=documented)
            return _json(error.body(), error.status)
        if fault.kind == "redirect":
            base = fault.location or _base_url(request).replace("127.0.0.1", "localhost")
            return _html(302, {"Location": base.rstrip("/") + request.target})
        if fault.kind == "garbage":
            return Response(200, b'{"result":{"CALL_ID":"externalCall.')
        return Response(200) if fault.kind == "empty" else _html(int(fault.kind[4:]), {})

    def _times(self, started: float) -> dict[str, Any]:
        finished = self.clock.now()
        return {
            "start": int(started),
            "finish": round(finished, 6),
            "duration": round(finished - started, 6),
            "processing": 0,
            "date_start": self.store.iso(started),
            "date_finish": self.store.iso(finished),
        }


def _all_methods() -> dict[str, Method]:
    modules = (telephony, finishing, records, lines, statistics, structure, users, crm, items, leads, about)
    methods = {method.name.lower(): method for module in modules for method in module.METHODS}
    batch_itself = Method("batch", _not_run)
    method_get = Method("method.get", partial(about.is_existing, methods | {"batch": batch_itself}))
    return methods | {"method.get": method_get}


def _not_run(context: Context, params: Params) -> None:
    raise NotImplementedError


def _raise_fault(fault: Rule | None, *, after_effect: bool) -> None:
    if fault is None or fault.after_effect != after_effect or fault.kind == "result":
        return
    if fault.kind == "not_found":
        raise RestError(*METHOD_NOT_FOUND)
    raise RestError(fault.description, fault.code, fault.status)


def _params(request: Request, target: Target) -> Params:
    params = php.parse_query(target.query)
    if php.is_json(request.content_type):
        params |= php.parse_json(request.body)
    elif request.content_type.lower().startswith("multipart/form-data"):
        parts = multipart.parse(request.content_type, request.body)
        params |= php.merge_fields((part.name, part.content) for part in parts if not part.filename)
    elif request.body:
        params |= php.parse_query(request.body.decode("utf-8", "replace"))
    return params


def _names(method: str, params: Params) -> list[str]:
    if method != "batch":
        return [method]
    return ["batch", *(Target.bare(name) for name in batch.methods(params))]


def _envelope(value: Any) -> dict[str, Any]:
    if not isinstance(value, Page):
        return {"result": value}
    counted: dict[str, Any] = {"result": value.rows}
    if value.next is not None:
        counted["next"] = value.next
    if value.total is not None:
        counted["total"] = value.total
    return counted


def _base_url(request: Request) -> str:
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _json(value: object, status: int = 200) -> Response:
    return Response(status, php.encode(value).encode("utf-8", "replace"))


def _html(status: int, headers: dict[str, str]) -> Response:
    return Response(status, _HTML % (status, status), "text/html; charset=utf-8", headers)
