"""Who we are for the portal. A webhook today; an application fits the same protocol."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

_WEBHOOK_PATH = re.compile(r"/rest/(?P<user>\d+)/(?P<secret>[A-Za-z0-9_-]+)/?")
_SECRET_IN_TEXT = re.compile(r"(/rest/\d+/)[^/\s?\"']+")
_TOKEN_IN_TEXT = re.compile(r"(?i)\b(auth|access_token|refresh_token|token|sessid)=[^&\s\"']+")


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


def mask(text: str) -> str:
    """Hide webhook secrets and tokens of addresses in a text."""
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
