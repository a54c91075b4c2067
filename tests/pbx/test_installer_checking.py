"""What `dialplan check` makes of what Asterisk prints, and of each way a test call can come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from itgrix_bx.config import Ami
from itgrix_bx.pbx.installer import checking
from itgrix_bx.pbx.installer.console import Reached
from itgrix_bx.pbx.installer.plain import Chosen
from itgrix_bx.pbx.installer.plan import Plan, Told, Wishes, installation
from itgrix_bx.pbx.installer.tree import Tree
from tests.pbx.trees import SHAPES, plant

ADDRESS = "127.0.0.1:4575"


class Printed:
    """A command line that prints what it is told to; `call` is what a test call leaves, after the number it carries."""

    def __init__(self, call: str | None = ":ok:skipped", **contexts: str) -> None:
        self._call = call
        self._contexts = contexts
        self._globals = ""

    def run(self, command: str) -> str:
        if called := re.fullmatch(r"channel originate Local/s@b24-check extension (\d+)@b24-check", command):
            self._globals = "" if self._call is None else f"   B24_CHECK={called[1]}{self._call}\n"
            return ""
        if command == "dialplan show globals":
            return f"   B24_CHECK=1:ok:skipped\n{self._globals}"  # and what an earlier call has left
        if command.startswith("module show"):
            return "pbx_loopback.so"
        context = command.removeprefix("dialplan show ")
        leads = self._contexts.get(context.replace("-", "_"), "b24-in")
        return f"[ Context '{context}' created by 'pbx_config' ]\n  's' => 1. Gosub({leads},s,1())"


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (":ok:skipped", None),
        (":ok:registered", "the service is of an older version"),
        (":error:", "its journal cannot be written"),
        ("::", "nothing answered on 127.0.0.1:4575"),
        (None, "the call did not end"),
    ],
)
def test_a_test_call_proves_the_way_or_names_the_cure(
    call: str | None, cure: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_CALL_S", 0.3)
    step = checking.place_call(Printed(call), ADDRESS)
    assert step.ok is (cure is None)
    assert (str(step.cure or "")).startswith(cure or "")


def planned(root: Path, name: str, *, internal: bool = False) -> Plan:
    plant(root, next(shape for shape in SHAPES if shape.name == name))
    wishes = Wishes(ADDRESS, Told(ami=False, internal=internal), Ami(), Chosen())
    return installation(Tree(root, "/etc/asterisk"), wishes, "22.1.0")


def test_a_context_of_ours_that_leads_elsewhere_is_found_and_no_call_is_placed(tmp_path: Path) -> None:
    """Its name, which has ours in it, proves nothing."""
    plan = planned(tmp_path, "plain")
    printed = Printed(b24_in_from_trunk="somebody-elses")
    wrong = [str(step.what) for step in checking.check(plan, Reached(printed)) if step.ok is False]
    assert "[b24-in-from-trunk] leads to the hooks" in wrong
    assert not any("test call" in what for what in wrong)


@pytest.mark.parametrize("internal", [True, False])
def test_what_phones_dial_is_looked_at_where_it_comes_by_us(tmp_path: Path, internal: bool) -> None:
    plan = planned(tmp_path, "issabel", internal=internal)
    looked_at = [str(step.what) for step in checking.check(plan, Reached(Printed())) if step.ok]
    assert ("[from-internal-noxfer-custom] leads to the hooks" in looked_at) is internal
    assert "[from-pstn-custom] leads to the hooks" in looked_at
