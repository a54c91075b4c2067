"""Why a recording cannot be sent."""

from __future__ import annotations


class RefusedError(Exception):
    """The file must not or cannot be sent, ever; says why."""


class NotReadyError(Exception):
    """The file is not there or not complete yet; says which."""


class BlockedError(NotReadyError):
    """Nobody can tell whether it is there before a person has acted, and that concerns all calls; says what to do."""
