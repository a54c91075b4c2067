"""Faults on demand: what the network, the front end and the portal do to a request at the worst moment."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# The whole request is hit; a batch is when any of its commands is.
_WHOLE: Final = ("lost_answer", "reset", "hang", "slow", "limit", "garbage", "empty", "redirect", "auth")
# One command is hit, inside a batch too.
_SINGLE: Final = ("blocked", "not_found", "error", "result")
_HTML = re.compile(r"html[1-5][0-9]{2}")
_LONGEST_DELAY_S = 3600.0


@dataclass
class Rule:
    """A fault. `times` -1: always. `after_effect`: the work is done, then the answer is spoilt. `works_on_s`: the
    answer is spoilt at once, the work is done that much later: the client is gone, the portal is still at it. `result`:
    what a method of kind "result" answers in place of what it found, any JSON."""

    method: str
    kind: str
    times: int = 1
    delay_s: float = 0.0
    after_effect: bool = False
    works_on_s: float = 0.0
    location: str = ""
    code: str = ""
    description: str = ""
    status: int = 400
    skip: int = 0
    result: Any = None

    @property
    def is_single(self) -> bool:
        """Whether it hits one command rather than the request."""
        return self.kind in _SINGLE

    def hits(self, methods: Iterable[str]) -> bool:
        """Whether one of these methods is meant."""
        return self.method == "*" or self.method.lower() in {name.lower() for name in methods}


class Faults:
    """The rules in force; the first that fits is used up."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def replace(self, rules: Iterable[Rule]) -> None:
        """New rules instead of all earlier ones."""
        with self._lock:
            self._rules = list(rules)

    def take(self, methods: Iterable[str], *, single: bool) -> Rule | None:
        """The rule that hits this request or command, one use of it spent."""
        if not self._rules:
            return None
        names = list(methods)
        with self._lock:
            for rule in self._rules:
                if rule.times and rule.is_single == single and rule.hits(names):
                    if rule.skip > 0:
                        rule.skip -= 1
                        continue
                    rule.times -= rule.times > 0
                    return rule
        return None


def parse(rules: object) -> list[Rule]:
    """Rules from JSON. Raises ValueError with a sentence."""
    if not isinstance(rules, list):
        raise ValueError("faults must be a list of rules")
    return [_rule(index, rule) for index, rule in enumerate(rules)]


def _rule(index: int, rule: object) -> Rule:
    if not isinstance(rule, Mapping):
        raise ValueError(f"faults[{index}] must be an object")
    kind = rule.get("kind")
    if not isinstance(kind, str) or not (kind in (*_WHOLE, *_SINGLE) or _HTML.fullmatch(kind)):
        raise ValueError(f"faults[{index}]: kind must be html<status> or one of {', '.join((*_WHOLE, *_SINGLE))}")
    delay_s = _number(rule.get("delay_s", 60.0 if kind == "hang" else 0.0), f"faults[{index}].delay_s")
    return Rule(
        method=str(rule.get("method", "*")),
        kind=kind,
        times=int(_number(rule.get("times", 1), f"faults[{index}].times")),
        delay_s=min(delay_s, _LONGEST_DELAY_S),
        # A lost answer means by its name that the work was done.
        after_effect=bool(rule.get("after_effect", kind == "lost_answer")),
        works_on_s=_number(rule.get("works_on_s", 0.0), f"faults[{index}].works_on_s"),
        location=str(rule.get("location", "")),
        code=str(rule.get("code", "")),
        description=str(rule.get("description", "")),
        status=int(_number(rule.get("status", 400), f"faults[{index}].status")),
        skip=int(_number(rule.get("skip", 0), f"faults[{index}].skip")),
        result=rule.get("result"),
    )


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number")
    return float(value)
