"""Links under which the portal may fetch a recording from us: signed, for an hour, each for one file of one call.

All a link says travels in it, and the key is in the database, so whichever machine the portal's request comes to can
answer it. Whether it was used already the journal knows.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from sql.database import DatabaseAwayError
from sql.notes import Notes

LASTS_S = 3600.0
PROBE = "probe.wav"  # a link of no call, by which `doctor` sees whether we can be reached
_KEY = "key of recordings' links"
_TOKEN = re.compile(r"[\w-]{40,}(?:\.[\w-]*)?")


class UnknownLinkError(Exception):
    """We never gave this link out."""


class LinkOverError(Exception):
    """The link's time is over."""


def hidden(text: str) -> str:
    """A text of the portal's without the link it may quote, whole or cut: who reads it must not fetch the file."""
    return _TOKEN.sub("…", text)


class Links:
    """`public_url`: the address, ending in a slash, under which others reach our /recordings/; "" where they do not."""

    def __init__(self, public_url: str) -> None:
        self._base = public_url
        self._signer: Signer | None = None

    def prepare(self, notes: Notes) -> None:
        """Read the key, or make it when nobody has yet. Raises DatabaseAwayError."""
        key = notes.change(_KEY, lambda known: known or secrets.token_hex(32))
        self._signer = Signer(key, salt="recording", key_derivation="hmac", digest_method=hashlib.sha256)

    def make(self, call_id: str, name: str) -> str:
        """The address of the file `name`. Raises DatabaseAwayError before `prepare`."""
        claim = json.dumps([call_id, name, int(time.time() + LASTS_S)])
        return f"{self._base}{self._ready().sign(base64_encode(claim)).decode()}/{name}"

    def call_of(self, token: str, name: str) -> str:
        """The call whose file `name` a link is for. Raises UnknownLinkError, LinkOverError, DatabaseAwayError."""
        try:
            claim = self._ready().unsign(token)  # compares in constant time
        except BadSignature:
            raise UnknownLinkError from None
        call_id, signed_name, until = json.loads(base64_decode(claim))
        if signed_name != name:
            raise UnknownLinkError
        if time.time() > until:
            raise LinkOverError
        return str(call_id)

    def _ready(self) -> Signer:
        if self._signer is None:
            raise DatabaseAwayError("the key of recordings' links has not been read yet")
        return self._signer
