"""Does it work? Step by step: the files, what Asterisk has loaded, and a call that goes through the hook and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

from itgrix_bx.pbx.installer.console import Console, Reached
from itgrix_bx.pbx.installer.plan import Plan
from itgrix_bx.pbx.installer.steps import Step
from itgrix_bx.words import Phrase, as_is

_CALL_S = 15.0
_LOOK_S = 0.2
_NOT_THERE = "There is no existence"


def check(plan: Plan, reached: Reached) -> Iterator[Step]:
    """`plan` is what an installation would change now. Raises InstallError when Asterisk stops answering."""
    yield Step(plan.system.said, True)
    yield from _files(plan)
    if reached.console is None:
        yield Step(Phrase("what Asterisk has loaded, and a test call"), None, reached.why_not)
        return
    loaded = list(_loaded(plan, reached.console))
    yield from loaded
    if all(step.ok for step in loaded):
        yield place_call(reached.console, plan.address)


def _files(plan: Plan) -> Iterator[Step]:
    for change in plan.changes:
        values = {"file": change.name}
        yield Step(Phrase("{file} is not as it should be", values), False, as_is("itgrix-bx dialplan install"))
    if not plan.changes:
        yield Step(Phrase("the files hold the hooks"), True)
    yield from plan.warnings


def _loaded(plan: Plan, console: Console) -> Iterator[Step]:
    for context in ("b24-agi", "b24-check"):
        shown = console.run(f"dialplan show {context}")
        yield _is_loaded(context, context in shown and _NOT_THERE not in shown)
    for context in plan.contexts:
        yield _is_ours(context, console.run(f"dialplan show {context}"))
    if not plan.system.generated:
        shown = console.run("module show like pbx_loopback")
        cure = Phrase("add `load = pbx_loopback.so` to modules.conf and restart Asterisk when nobody talks")
        yield Step(Phrase("pbx_loopback is loaded"), "pbx_loopback" in shown, cure)
        yield from _endpoints(plan, console)


def _is_loaded(context: str, there: bool) -> Step:
    return Step(Phrase("[{context}] is loaded", {"context": context}), there, as_is('asterisk -rx "dialplan reload"'))


def _is_ours(context: str, shown: str) -> Step:
    """A hook whose first definition is somebody else's does not lead to us."""
    if _NOT_THERE in shown or f"'{context}'" not in shown:
        return _is_loaded(context, False)
    ours = "b24-" in shown.partition(f"'{context}'")[2]
    hidden = Phrase("somebody else's comes first: itgrix-bx dialplan install")
    return Step(Phrase("[{context}] leads to the hooks", {"context": context}), ours, hidden)


def _endpoints(plan: Plan, console: Console) -> Iterator[Step]:
    for name, ours in plan.samples.items():
        shown = console.run(f"pjsip show endpoint {name}")
        if "ParameterName" in shown:
            right = any(line.split() == ["context", ":", ours] for line in shown.splitlines())
            what = Phrase("endpoint {name} comes to [{context}]", {"name": name, "context": ours})
            yield Step(what, right, as_is('asterisk -rx "module reload res_pjsip.so"'))


def place_call(console: Console, address: str) -> Step:
    """A Local channel asks the service as a client's call does, with an id for which nothing is registered."""
    nonce = str(secrets.randbelow(10**9) + 10**9)
    console.run(f"channel originate Local/s@b24-check extension {nonce}@b24-check")
    end = time.monotonic() + _CALL_S
    while (told := _answer(console, nonce)) is None and time.monotonic() < end:
        time.sleep(_LOOK_S)
    if told == ("ok", "skipped"):
        proven = Phrase(
            "a test call reached the service and came back: Local/s@b24-check, agi://{address}/inbound, its journal",
            {"address": address},
        )
        return Step(proven, True)
    return Step(Phrase("a test call reached the service and came back"), False, _cure(told, address))


def _cure(told: tuple[str, str] | None, address: str) -> Phrase:
    if told is None:
        return Phrase("the call did not end: a firewall drops, or the service hangs: `itgrix-bx doctor`")
    result, _ = told
    if result == "ok":
        return Phrase("the service is of an older version: `systemctl restart itgrix-bx`")
    if result:
        return Phrase("its journal cannot be written: `itgrix-bx doctor`")
    return Phrase(
        "nothing answered on {address}: `systemctl start itgrix-bx`; [fastagi] listen and allow must fit",
        {"address": address},
    )


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
