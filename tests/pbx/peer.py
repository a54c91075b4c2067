"""A scripted manager on a real socket: it greets, lets in who knows the secret, and else does what a test says."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from itgrix_bx.pbx.link import Manager

SECRET = "t1ger;, secret"
CHALLENGE = "4711"
GREETING = b"Asterisk Call Manager/11.0.0\r\n"


class Action:
    """What the peer was asked, header by header."""

    def __init__(self, block: bytes) -> None:
        self.raw = block
        lines = block.decode("utf-8", "surrogateescape").split("\r\n")
        self.headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines) if name]

    def get(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")

    @property
    def name(self) -> str:
        return self.get("Action")


Answer = Callable[[Action], "str | bytes | None"]


def message(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogatepass") + b"\r\n"


def success(action: Action, *lines: str) -> bytes:
    return message("Response: Success", f"ActionID: {action.get('ActionID')}", *lines)


def error(action: Action, text: str) -> bytes:
    return message("Response: Error", f"ActionID: {action.get('ActionID')}", f"Message: {text}")


def _nothing(action: Action) -> bytes:
    """A list without items."""
    end = ("Event: ListComplete", f"ActionID: {action.get('ActionID')}", "EventList: Complete", "ListItems: 0")
    return success(action, "EventList: start") + message(*end)


class Peer:
    """Listens until stopped. `answers` says by action what to send back (None: nothing), others are refused as Asterisk
    refuses what it does not know; `heard` is all it was asked,
    `channels` what CoreShowChannels tells."""

    def __init__(self, host: str = "127.0.0.1", *, greeting: bytes | None = GREETING, tls: Any = None) -> None:
        self.greeting = greeting
        self.tls: ssl.SSLContext | None = tls
        self.heard: list[Action] = []
        self._answered: list[Action] = []
        self.connections: list[socket.socket] = []
        self.channels: list[dict[str, str]] = []
        self.system_name = ""
        self.answers: dict[str, Answer] = {
            "Challenge": lambda a: success(a, f"Challenge: {CHALLENGE}"),
            "Login": self._login,
            "Logoff": lambda a: message("Response: Goodbye", f"ActionID: {a.get('ActionID')}"),
            "Filter": success,
            "Events": lambda a: success(a, "Events: On"),
            "Ping": lambda a: success(a, "Ping: Pong"),
            "CoreSettings": lambda a: success(a, "AsteriskVersion: 22.0.0", f"SystemName: {self.system_name}"),
            "CoreShowChannels": self._show_channels,
            "DeviceStateList": _nothing,
            "ExtensionStateList": _nothing,
            "DBGetTree": lambda a: error(a, "Database entry not found"),
        }
        self._host = host
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen (again, on the same port)."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self.port), family=family)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Nobody answers any more, and every connection ends."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def manager(self, **more: Any) -> Manager:
        return Manager((self._host, self.port), "admin", SECRET, **more)

    # --- what a test does ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """To the newest connection."""
        self.connections[-1].sendall(data)

    def event(self, name: str, *lines: str) -> None:
        self.send(message(f"Event: {name}", *lines))

    def hang_up(self, channel: dict[str, str]) -> None:
        """The channel ends."""
        self.channels.remove(channel)
        self.event("Hangup", *(f"{name}: {value}" for name, value in channel.items()), "Cause: 16")

    def drop(self) -> None:
        """The connections end."""
        ended, self.connections = self.connections, []  # who is quick is back before the last one has ended
        for connection in ended:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def asked(self, name: str) -> list[Action]:
        return [action for action in self.heard if action.name == name]

    def wait_for(self, name: str, count: int = 1, seconds: float = 10.0) -> list[Action]:
        """Until it was asked so often, and answered."""
        end = time.monotonic() + seconds
        while len(found := [action for action in self._answered if action.name == name]) < count:
            assert time.monotonic() < end, f"{name} was asked {len(found)} times; heard {[a.name for a in self.heard]}"
            time.sleep(0.005)
        return found

    # --- the manager -----------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.connections.append(connection)
            if self.greeting is not None:
                connection.sendall(self.greeting)
            self._listen(connection)
        except OSError:
            connection.close()

    def _listen(self, connection: socket.socket) -> None:
        buffer = b""
        while data := connection.recv(65536):
            buffer += data
            while b"\r\n\r\n" in buffer:
                block, _, buffer = buffer.partition(b"\r\n\r\n")
                action = Action(block)
                self.heard.append(action)
                try:
                    answer = self.answers.get(action.name, _unknown)(action)
                    if answer is not None:
                        connection.sendall(answer.encode() if isinstance(answer, str) else answer)
                finally:
                    self._answered.append(action)  # whoever waits for that says more only after the answer

    def _login(self, action: Action) -> bytes:
        key = hashlib.md5((CHALLENGE + SECRET).encode()).hexdigest()
        known = action.get("Key") == key if action.get("AuthType") == "MD5" else action.get("Secret") == SECRET
        if action.get("Username") == "admin" and known:
            return success(action, "Message: Authentication accepted")
        return error(action, "Authentication failed")

    def _show_channels(self, action: Action) -> bytes:
        with_id = f"ActionID: {action.get('ActionID')}"
        items = [
            message("Event: CoreShowChannel", with_id, *(f"{name}: {value}" for name, value in channel.items()))
            for channel in self.channels
        ]
        end = ("Event: CoreShowChannelsComplete", with_id, "EventList: Complete", f"ListItems: {len(items)}")
        begin = success(action, "EventList: start", "Message: Channels will follow")
        return begin + b"".join(items) + message(*end)


def _unknown(action: Action) -> bytes:
    text = f"Invalid/unknown command: {action.name}. Use Action: ListCommands to show available commands."
    return error(action, text)


def channel(uniqueid: str, linkedid: str = "", **more: str) -> dict[str, str]:
    return {"Channel": f"PJSIP/x-{uniqueid}", "Uniqueid": uniqueid, "Linkedid": linkedid or uniqueid} | more
