"""Telephone systems in the shape of those people have: FreePBX 17 and 16, Issabel, and plain Asterisk 22 and 16.

Their dialplans are written here after what was measured on the generated ones: the same contexts, the same order of
hooks, the same option strings. What is tested is the shipped extensions_custom.conf, this very file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.real import site
from tests.real.asterisk import EXAMPLES, Site
from tests.real.scenarios import Measured
from tests.real.shapes import routes

_HERE = Path(__file__).parent
_OURS = "agi://127.0.0.1:4575"
_APPLY_HEADERS = "b(func-apply-sipheaders^s^1)"
_MACRO = re.compile(r",Macro\(([a-z-]+),(.*)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Shape:
    """A telephone system to play on; `pbx` makes it from the ports of our server and of the MariaDB for its records."""

    name: str
    title: str
    pbx: Callable[[int, int], Site]
    otherwise: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def expects(self, scenario: str, measured: Measured) -> Measured:
        """What must come out here: the same as elsewhere, but for what this system itself does otherwise."""
        return replace(measured, **self.otherwise.get(scenario, {}))


# Without a trunk FreePBX says that all circuits are busy; plain Asterisk says nothing.
_ALL_CIRCUITS_BUSY = {"outbound_without_a_trunk": {"code": "503", "reason": "direction unavailable"}}
# Issabel records in the name of an extension, a group or a queue, not of an inbound route.
_NO_ROUTE_IS_RECORDED = {"trunk_as_destination": {"recorded": False}}


@dataclass(frozen=True)
class _Generation:
    """`tags` choose the lines of the templates; `settings` is globals_custom.conf as the administrator writes it."""

    tags: frozenset[str]
    asterisk: str
    settings: str = ""

    @property
    def is_freepbx(self) -> bool:
        return "freepbx" in self.tags

    def render(self, text: str) -> str:
        """The template's lines of this generation, in its words."""
        lines = (self._line(line) for line in text.splitlines())
        text = "\n".join(line for line in lines if line is not None) + "\n"
        text = text.replace("APPLYHEADERS", _APPLY_HEADERS if self.is_freepbx else "")
        if "17" not in self.tags:
            return text
        return _MACRO.sub(r",Gosub(macro-\1,s,1(\2))", text).replace("MacroExit()", "Return()")

    def _line(self, line: str) -> str | None:
        tag, _, rest = line.partition(" ")
        if not tag.startswith("@"):
            return line
        return rest if tag[1:] in self.tags else None

    def site(self, agi_port: int, records_port: int) -> Site:
        ours = (EXAMPLES / "freepbx-issabel/extensions_custom.conf").read_text(encoding="utf-8")
        assert ours.count(_OURS) == 1
        empty = "extensions_override_freepbx.conf" if self.is_freepbx else "extensions_override_issabelpbx.conf"
        return Site(
            phones=site.phones(),
            queues=routes.queues(),
            dialplan=self.render((_HERE / "static.conf").read_text(encoding="utf-8")),
            agi_port=agi_port,
            records_port=records_port,
            voicemail=[site.extension(n, 1) for n in range(site.SCENARIOS)],
            version=self.asterisk,
            files={
                empty: "",
                "globals_custom.conf": self.settings,
                "extensions_additional.conf": self.render(
                    (_HERE / "additional.conf").read_text(encoding="utf-8") + routes.generated()
                ),
                "extensions_custom.conf": ours.replace(_OURS, f"agi://127.0.0.1:{agi_port}"),
            },
            database=routes.database(always="yes" if self.is_freepbx else "always"),
            two_devices=site.two_devices(),
            one_call_each=site.one_call_each("4", "5"),
        )


def _plain_16(agi_port: int, records_port: int) -> Site:
    return replace(site.site(agi_port, records_port), version="16")


_FP17 = _Generation(frozenset({"17", "freepbx"}), "22")
_FP16 = _Generation(frozenset({"16", "freepbx"}), "16", "B24_MACRO = 1\n")
_ISSABEL = _Generation(frozenset({"issabel"}), "16", "B24_MACRO = 1\nB24_DIALOPT = 1\n")

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("plain22", "plain Asterisk 22", site.site),
        Shape("plain16", "plain Asterisk 16", _plain_16),
        Shape("fp17", "FreePBX 17 (Gosub), Asterisk 22", _FP17.site, _ALL_CIRCUITS_BUSY),
        Shape("fp16", "FreePBX 16 (Macro), Asterisk 16", _FP16.site, _ALL_CIRCUITS_BUSY),
        Shape("issabel", "Issabel (Macro), Asterisk 16", _ISSABEL.site, _ALL_CIRCUITS_BUSY | _NO_ROUTE_IS_RECORDED),
    )
}
