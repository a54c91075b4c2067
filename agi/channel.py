"""What a hook learns from its channel: the AGI environment and a few variables, as plain facts."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from agi import variables as v
from agi.session import Session

_CALL_ID = re.compile(r"[A-Za-z0-9._:@/+-]{1,80}")
_EXTENSION = re.compile(r"[^0-9A-Za-z_.+*#]")
_NUMBER = re.compile(r"[^0-9A-Za-z+ ()_.@:*#-]")


class MalformedError(ValueError):
    """The dialplan called a hook wrongly; the text says what to correct."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The reporting channel. `at`: when Asterisk connected (unix seconds), which is when the thing happened, however
    busy we are. `own`: it is the call's first channel (its UNIQUEID is the call's id)."""

    call_id: str
    at: float
    own: bool
    name: str
    caller: str
    caller_name: str
    dialled: str


def channel(session: Session) -> Channel:
    """The facts that cost no round trip. Raises MalformedError without a usable call id."""
    call_id = session.args[0] if session.args else ""
    if not _CALL_ID.fullmatch(call_id):
        raise MalformedError(f"its first argument must be the call id ${{B24_ID}}, not {call_id[:20]!r}")
    env = session.env
    unique = env.get("agi_uniqueid", "")
    return Channel(
        call_id=call_id,
        at=time.time() - (time.monotonic() - session.accepted_at),
        own=unique in ("", call_id),
        name=env.get("agi_channel", "")[:120],
        caller=known(env.get("agi_callerid", "")),
        caller_name=text(known(env.get("agi_calleridname", ""))),
        dialled=number(env.get("agi_dnid", "")),
    )


def argument(session: Session, index: int) -> str:
    """Argument number `index` (0 is the call id), "" when it is not there."""
    return session.args[index] if index < len(session.args) else ""


def did(session: Session, given: str) -> str:
    """The dialled number the hook was told, else the channel's own FROM_DID."""
    return number(given) or number(session.get_variable(v.FROM_DID))


def extension(raw: str) -> str:
    """An extension as it may be stored and compared."""
    return _EXTENSION.sub("", raw.split("/")[-1].split("@")[0])[:40]


def number(raw: str) -> str:
    """A telephone number without anything that is none; at most 64 characters."""
    return _NUMBER.sub("", raw)[:64]


def known(value: str) -> str:
    """Asterisk writes `unknown` where there is nothing."""
    return "" if value.lower() == "unknown" else value


def text(raw: str, longest: int = 80) -> str:
    """Text from outside for people to read: no control characters, no quotes."""
    return "".join(c for c in raw if c.isprintable() and c not in "\"'`\\")[:longest].strip()
