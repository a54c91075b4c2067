"""The shipped dialplan files load on a real Asterisk without a complaint."""

from __future__ import annotations

import re

import pytest

from tests.real.asterisk import EXAMPLES, Site, running

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]


@pytest.mark.parametrize(
    ("file", "contexts"),
    [
        ("plain-asterisk/extensions.conf", ["from-trunk", "did", "from-internal", "b24-in", "b24-responsible"]),
        ("freepbx-issabel/extensions_custom.conf", ["b24-inbound", "b24-customdest", "macro-dialout-one-predial-hook"]),
    ],
)
def test_an_example_loads(file: str, contexts: list[str]) -> None:
    dialplan = (EXAMPLES / file).read_text(encoding="utf-8")
    with running(Site(["101", "102", "103"], {"sales": ["101"]}, dialplan, 4575)) as asterisk:
        for context in contexts:
            assert f"Context '{context}'" in asterisk.cli(f"dialplan show {context}")
        complaints = re.findall(r".*(?:WARNING|ERROR)\S* (?:pbx_config|pbx|config)\.c.*", asterisk.log.read_text())
        # FreePBX's own contexts are not here; nothing else may be missing.
        assert [c for c in complaints if "tries to include nonexistent context" not in c] == []


def test_the_version_branch_of_the_queue_takes_the_new_form_on_22() -> None:
    dialplan = (EXAMPLES / "plain-asterisk/extensions.conf").read_text(encoding="utf-8")
    probe = "\n[probe]\nexten => v,1,Set(GLOBAL(PROBE)=$[${VERSION(ASTERISK_VERSION_NUM)} >= 210000])\n"
    with running(Site(["101"], {"sales": ["101"]}, dialplan + probe, 4575)) as asterisk:
        asterisk.cli("channel originate Local/v@probe application Wait 1")
        for _ in range(50):
            if "PROBE=" in (shown := asterisk.cli("dialplan show globals")):
                break
        assert "PROBE=1" in shown
