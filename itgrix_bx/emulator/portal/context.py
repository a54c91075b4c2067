"""What a REST method gets besides its parameters, and how methods are listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Store


@dataclass(frozen=True)
class Caller:
    """Who calls: a webhook of this user."""

    user_id: int
    secret: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Context:
    """A method at work. `work(step)` takes the time the latency model gives to that step."""

    store: Store
    caller: Caller
    base_url: str
    work: Callable[[str], None]


Run = Callable[[Context, Params], Any]


@dataclass(frozen=True)
class Method:
    """A REST method. `scope` None: everybody may; `app_only`: webhooks are refused on such portals;
    `own_pace`: takes its working time inside, where a race is to be seen."""

    name: str
    run: Run
    scope: str | None = None
    app_only: bool = False
    never_webhook: bool = False
    own_pace: bool = False
