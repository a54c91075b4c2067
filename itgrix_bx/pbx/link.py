"""One connection to Asterisk's manager, from greeting to loss."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from types import TracebackType

from itgrix_bx.pbx.messages import (
    AmiError,
    AmiLinkLostError,
    AmiLoginError,
    AmiProtocolError,
    AmiRefusedError,
    AmiTimeoutError,
    AmiUnreachableError,
    Fields,
    Message,
    Splitter,
    encode,
)
from itgrix_bx.pbx.stream import Stream

log = logging.getLogger("itgrix_bx.ami")

_GREETING = b"Asterisk Call Manager"
_LONGEST_GREETING = 1024


@dataclass(frozen=True, slots=True)
class Timings:
    """All in seconds. A link that is silent for `silence` is pinged, and lost when that brings nothing in `answer`."""

    connect: float = 5.0
    answer: float = 10.0
    silence: float = 10.0
    again: float = 1.0  # the first pause before a new attempt; it doubles up to `slowest`
    slowest: float = 60.0
    steady: float = 10.0  # a link that held this long was a good one
    refused: float = 60.0  # at least, after a refused login: fail2ban counts them


@dataclass(frozen=True, slots=True)
class Manager:
    """Where the manager is and as whom. `mask`: the classes of events wanted (`call,agent`; `off`); `events`: of these
    only the named ones, which Asterisk itself sorts out where the user has `write = system`."""

    address: tuple[str, int]
    username: str
    secret: str = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    mask: str = "off"
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the items of a list that followed it as events (its last event is `end`)."""

    answer: Message
    items: list[Message]
    end: Message | None = None


class _Asked:
    """An action that waits for its answer."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.future: Future[Reply] = Future()
        self.future.set_running_or_notify_cancel()  # Asterisk does it whether or not somebody still wants it
        self._answer: Message | None = None
        self._items: list[Message] = []

    def hear(self, message: Message) -> bool:
        """Take what carries this action's id; False for an event that is no item of its list."""
        if message.event:
            return self._hear_item(message)
        self._answer = message
        if message.response == "Error":
            self.fail(AmiRefusedError(self.action, message.get("Message")))
        elif not message.list_begins:
            self._finish(Reply(message, []))
        return True

    def _hear_item(self, message: Message) -> bool:
        if self._answer is None:
            return False
        if message.list_ends:
            self._finish(Reply(self._answer, self._items, message))
        else:
            self._items.append(message)
        return True

    def _finish(self, reply: Reply) -> None:
        with contextlib.suppress(InvalidStateError):  # the loss of the link came first
            self.future.set_result(reply)

    def fail(self, error: AmiError) -> None:
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)


class Link:
    """Connects at once; `login` next. `hear` gets every event that answers nothing, in the reader's thread: be quick.

    Raises AmiUnreachableError, AmiProtocolError. It is used once: who wants another connection makes another Link.
    `lost` is set at its end, `reason` tells why; `heard_at`: when Asterisk was last heard, its end included.
    """

    def __init__(
        self, manager: Manager, hear: Callable[[Message], None] = lambda _: None, timings: Timings | None = None
    ) -> None:
        self._manager = manager
        self._hear = hear
        self._timings = timings or Timings()
        self._asked: dict[str, _Asked] = {}
        self._lock = threading.Lock()
        self._ours = secrets.token_hex(6)  # nobody can guess an ActionID and answer in Asterisk's place
        self._count = itertools.count(1)
        self._splitter = Splitter()
        self._stream = self._connect()
        try:
            self.version, early = self._greeting()
        except AmiError:
            self._stream.close()
            raise
        self.heard_at = time.time()
        self.lost = threading.Event()
        self.reason: AmiError | None = None
        self._thread = threading.Thread(target=self._read, args=(early,), name="ami", daemon=True)
        self._thread.start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- asking ----------------------------------------------------------------------------------

    def login(self) -> None:
        """Log in and choose the events. The secret does not travel where Asterisk offers a challenge. Raises AmiError,
        AmiLoginError when it is this user that is not let in."""
        user = self._manager.username
        try:
            self.ask("Login", {"Username": user, **self._credentials(), "Events": "off"})
        except AmiRefusedError as error:
            raise AmiLoginError(f"Asterisk does not let {user} in: {error.reason}") from None
        if self._manager.mask != "off":
            self._filter()
            self.ask("Events", {"EventMask": self._manager.mask})

    def _credentials(self) -> dict[str, str]:
        try:
            challenge = self.ask("Challenge", {"AuthType": "MD5"}).answer.get("Challenge")
        except AmiRefusedError as error:
            log.warning("the manager offers no MD5 login (%s): the secret travels as it is", error.reason)
            return {"Secret": self._manager.secret}
        together = (challenge + self._manager.secret).encode()
        return {"AuthType": "MD5", "Key": hashlib.md5(together, usedforsecurity=False).hexdigest()}

    def _filter(self) -> None:
        """What nobody wants is not sent. Without the right to filter it is sent and thrown away here."""
        if not self._manager.events:
            return
        pattern = f"^Event: ({'|'.join(self._manager.events)})[[:space:]]"
        try:
            self.ask("Filter", {"Operation": "Add", "Filter": pattern})
        except AmiRefusedError as error:
            log.debug("events are not filtered by Asterisk: %s", error.reason)

    def ask(self, action: str, fields: Fields = (), *, timeout_s: float | None = None) -> Reply:
        """Do `action` and wait for its answer, of a list for the last item. Raises AmiError; see AmiRefusedError."""
        action_id, future = self._submit(action, fields)
        within = self._timings.answer if timeout_s is None else timeout_s
        try:
            return future.result(within)
        except TimeoutError:
            raise AmiTimeoutError(f"Asterisk did not answer {action} within {within:g} s") from None
        finally:
            self._forget(action_id)

    def submit(self, action: str, fields: Fields = ()) -> Future[Reply]:
        """Do `action`; its answer will come, or AmiRefusedError, or AmiLinkLostError. Raises AmiError as it stands."""
        return self._submit(action, fields)[1]

    def _submit(self, action: str, fields: Fields) -> tuple[str, Future[Reply]]:
        action_id = self._next_id()
        data = encode(action, action_id, fields)
        asked = _Asked(action)
        with self._lock:  # nobody is left waiting: either the loss sees this one, or this one the loss
            if self.reason is not None:
                raise AmiLinkLostError(f"{action} was not sent: {self.reason}")
            self._asked[action_id] = asked
        try:
            self._stream.send(data, self._timings.answer)
        except OSError as error:
            self._lose(AmiLinkLostError(f"the connection broke: {_said(error)}"))
            raise AmiLinkLostError(f"{action} may not have been sent: {self.reason}") from None
        return action_id, asked.future

    def _next_id(self) -> str:
        return f"{self._ours}-{next(self._count)}"

    def close(self) -> None:
        """Log off as well as it can be done, and end."""
        if not self.lost.is_set():
            with contextlib.suppress(OSError):
                self._stream.send(encode("Logoff", self._next_id()), 1.0)
        self._lose(AmiLinkLostError("the link was closed"))
        self._thread.join(self._timings.answer)

    # --- hearing ---------------------------------------------------------------------------------

    def _connect(self) -> Stream:
        manager = self._manager
        try:
            return Stream(manager.address, self._timings.connect, manager.tls)
        except OSError as error:
            where = "{}:{}".format(*manager.address)
            raise AmiUnreachableError(f"no connection to Asterisk's manager on {where}: {_said(error)}") from None

    def _greeting(self) -> tuple[str, bytes]:
        """(the manager's version, what came with it)"""
        until = time.monotonic() + self._timings.answer
        heard = b""
        while b"\r\n" not in heard:
            try:
                data = self._stream.receive(max(0.0, until - time.monotonic()))
            except OSError as error:
                raise AmiUnreachableError(f"the connection broke before the greeting: {_said(error)}") from None
            if data is None:
                raise AmiUnreachableError(f"no greeting within {self._timings.answer:g} s: is that Asterisk's manager?")
            if not data:
                raise AmiUnreachableError("closed without a greeting: the manager takes no more connections from here")
            heard += data
            if heard[: len(_GREETING)] != _GREETING[: len(heard)] or len(heard) > _LONGEST_GREETING:
                raise AmiProtocolError("what answers there is not Asterisk's manager")
        line, _, rest = heard.partition(b"\r\n")
        return line.decode("ascii", "replace").rpartition("/")[2], rest

    def _read(self, early: bytes) -> None:
        try:
            for data in self._arriving(early):
                at = time.time()
                for message in self._splitter.feed(data, at):
                    self._sort(message)
        except AmiError as error:
            self._lose(error)
        except OSError as error:
            self._lose(AmiLinkLostError(f"the connection broke: {_said(error)}"))
        except Exception as error:
            log.exception("reading from Asterisk's manager failed by our own fault")
            self._lose(AmiLinkLostError(f"internal error: {type(error).__name__}"))
        finally:
            self._stream.close()

    def _arriving(self, early: bytes) -> Iterator[bytes]:
        """What comes, until the end; silence is asked what it means."""
        if early:
            yield early
        pinged = False
        while True:
            data = self._stream.receive(self._timings.answer if pinged else self._timings.silence)
            if data is not None:
                self.heard_at = time.time()
            if data:
                pinged = False
                yield data
            elif data is not None:
                raise AmiLinkLostError("Asterisk closed the connection")
            elif pinged:
                raise AmiLinkLostError("Asterisk has fallen silent")
            else:
                self._stream.send(encode("Ping", self._next_id()), self._timings.answer)
                pinged = True

    def _sort(self, message: Message) -> None:
        """To the action it answers; else it is an event, or an answer nobody waits for any more."""
        asked = self._asked.get(message.action_id)
        if asked is not None and asked.hear(message):
            if asked.future.done():
                self._forget(message.action_id)
        elif message.event:
            self._hear(message)

    def _forget(self, action_id: str) -> None:
        with self._lock:
            self._asked.pop(action_id, None)

    def _lose(self, error: AmiError) -> None:
        with self._lock:
            if self.reason is not None:
                return
            self.reason = error
            left, self._asked = self._asked, {}
        for asked in left.values():
            asked.fail(AmiLinkLostError(f"no answer to {asked.action}: {error}"))
        self._stream.end()
        self.lost.set()


def _said(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
