"""Does it work? Step by step: the files, what Asterisk has loaded, and a call that goes through the hook and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from itgrix_bx.pbx.installer.console import Console
from itgrix_bx.pbx.installer.plan import Plan

_CALL_S = 15.0
_LOOK_S = 0.2
_NOT_THERE = "There is no existence"


@dataclass(frozen=True, slots=True)
class Step:
    """`ok` None: it was not looked at, and the cure says how to."""

    what: str
    ok: bool | None
    cure: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(plan: Plan, console: Console | None, why_not: str) -> Iterator[Step]:
    """`plan` is what an installation would change now. Raises InstallError when Asterisk stops answering."""
    yield Step(str(plan.system), True)
    yield from _files(plan)
    if console is None:
        yield Step("what Asterisk has loaded, and a test call", None, why_not)
        return
    loaded = list(_loaded(plan, console))
    yield from loaded
    if all(step.ok for step in loaded):
        yield place_call(console)


def _files(plan: Plan) -> Iterator[Step]:
    for change in plan.changes:
        yield Step(f"{change.name} is not as it should be", False, "itgrix-bx dialplan install")
    if not plan.changes:
        yield Step("the files hold the hooks", True)
    for warning in plan.warnings:
        what, _, cure = warning.partition("; ")
        yield Step(what, False, cure)


def _loaded(plan: Plan, console: Console) -> Iterator[Step]:
    cure = 'asterisk -rx "dialplan reload"'
    for context in ("b24-agi", "b24-check"):
        shown = console.run(f"dialplan show {context}")
        yield Step(f"[{context}] is loaded", context in shown and _NOT_THERE not in shown, cure)
    for context in plan.contexts:
        yield _is_ours(context, console.run(f"dialplan show {context}"), cure)
    if not plan.system.generated:
        shown = console.run("module show like pbx_loopback")
        yield Step("pbx_loopback is loaded", "pbx_loopback" in shown, "add `load = pbx_loopback.so` to modules.conf")
        yield from _endpoints(plan, console)


def _is_ours(context: str, shown: str, cure: str) -> Step:
    """A hook whose first definition is somebody else's does not lead to us."""
    if _NOT_THERE in shown or f"'{context}'" not in shown:
        return Step(f"[{context}] is loaded", False, cure)
    ours = "b24-" in shown.partition(f"'{context}'")[2]
    hidden = "somebody else's comes first: itgrix-bx dialplan install"
    return Step(f"[{context}] leads to the hooks", ours, "" if ours else hidden)


def _endpoints(plan: Plan, console: Console) -> Iterator[Step]:
    for name, ours in plan.samples.items():
        shown = console.run(f"pjsip show endpoint {name}")
        if "ParameterName" in shown:
            right = any(line.split() == ["context", ":", ours] for line in shown.splitlines())
            yield Step(f"endpoint {name} comes to [{ours}]", right, 'asterisk -rx "module reload res_pjsip.so"')


def place_call(console: Console) -> Step:
    """A Local channel asks the service as a client's call does, with an id for which nothing is registered."""
    what = "a test call reached the service and came back"
    nonce = str(secrets.randbelow(10**9) + 10**9)
    console.run(f"channel originate Local/s@b24-check extension {nonce}@b24-check")
    end = time.monotonic() + _CALL_S
    while (told := _answer(console, nonce)) is None and time.monotonic() < end:
        time.sleep(_LOOK_S)
    if told is None:
        return Step(what, False, "the call did not end: a firewall drops, or the service hangs: `itgrix-bx doctor`")
    result, state = told
    if result == "ok" and state == "skipped":
        return Step(what, True)
    if result == "ok":
        return Step(what, False, "the service is of an older version: `systemctl restart itgrix-bx`")
    if result:
        return Step(what, False, "its journal cannot be written: `itgrix-bx doctor`")
    return Step(what, False, "nothing answered: `systemctl start itgrix-bx`; [fastagi] listen and allow must fit")


def _answer(console: Console, nonce: str) -> tuple[str, str] | None:
    for line in console.run("dialplan show globals").splitlines():
        name, _, value = line.strip().partition("=")
        if name == "B24_CHECK" and value.startswith(f"{nonce}:"):
            result, _, state = value.removeprefix(f"{nonce}:").partition(":")
            return result, state
    return None


def reload(plan: Plan, console: Console) -> None:
    """Let Asterisk read what changed; calls go on. Raises InstallError."""
    for command in plan.reloads:
        console.run(command)
