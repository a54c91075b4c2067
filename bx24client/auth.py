"""Who we are for the portal. A webhook today; an application fits the same protocol."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import quote, urlsplit

_WEBHOOK_PATH = re.compile(r"/rest/(?P<user>\d+)/(?P<secret>[A-Za-z0-9_-]+)/?")
_SECRET_IN_TEXT = re.compile(r"(/rest/\d+/)[^/\s?\"']+")
_TOKEN_IN_TEXT = re.compile(r"(?i)\b(auth|access_token|refresh_token|token|sessid)=[^&\s\"']+")
_SHORT = 8  # a shorter secret may be part of a word or a number, and is hidden only where it stands alone


class Auth(Protocol):
    """What the transport and the client need to know about an authorization.

    `portal` is the base address `https://host[:port]`, without a slash at the end.
    """

    @property
    def portal(self) -> str: ...

    def path(self, method: str) -> str:
        """Path of a method on the portal, beginning with a slash. It may hold a secret."""
        ...

    def credentials(self) -> Mapping[str, str]:
        """Parameters to add to the body of a request, such as an access token."""
        ...

    def renew(self) -> bool:
        """After an AuthFailed: get fresh credentials. False when there is nothing to renew."""
        ...


class Webhook:
    """An incoming webhook: `https://<portal>/rest/<user id>/<secret>/`.

    Raises ValueError with a sentence that does not repeat the secret. Plain http is for loopback
    addresses only: the secret would otherwise travel readable.
    """

    def __init__(self, url: str) -> None:
        base, match = _split(url.strip())
        self._portal = base
        self.user_id = int(match["user"])
        self._secret = match["secret"]
        keep_secret(self._secret)

    @property
    def portal(self) -> str:
        return self._portal

    def path(self, method: str) -> str:
        return f"/rest/{self.user_id}/{self._secret}/{method}"

    def credentials(self) -> Mapping[str, str]:
        return {}

    def renew(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"Webhook('{self._portal}/rest/{self.user_id}/***/')"


class _Known:
    """The secrets of this process, to be hidden wherever they come back from: a portal may repeat what it was sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self.pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        with self._lock:
            new = {value for value in values if len(value) > 3} - self._values
            if new:
                self._values |= new
                longest_first = sorted(self._values, key=len, reverse=True)
                self.pattern = re.compile("|".join(map(_alone_if_short, longest_first)))


_known = _Known()


def _alone_if_short(secret: str) -> str:
    escaped = re.escape(secret)
    return escaped if len(secret) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"


def keep_secret(*values: str) -> None:
    """Let mask() hide these values, and how an address would spell them, from now on."""
    _known.add(spelt for value in values for spelt in (value, quote(value, safe="")))


def mask(text: str) -> str:
    """Hide the secrets of this process, and what looks like a webhook's or a token in an address."""
    if _known.pattern is not None:
        text = _known.pattern.sub("***", text)
    return _TOKEN_IN_TEXT.sub(r"\1=***", _SECRET_IN_TEXT.sub(r"\1***", text))


def is_loopback(host: str | None) -> bool:
    """Does this host name or address mean this very machine?"""
    if not host:
        return False
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _split(url: str) -> tuple[str, re.Match[str]]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the webhook address is not a web address") from None
    match = _WEBHOOK_PATH.fullmatch(parts.path)
    if not host or match is None or parts.username or parts.query or parts.fragment:
        raise ValueError("the webhook address must look like https://example.bitrix24.com/rest/1/secret/")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("the webhook address must begin with https:// (http:// is for this machine only)")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else ""), match
