"""The demonstration shows what is, and fails when it is not as promised."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from itgrix_bx.cli import main
from itgrix_bx.demo import Demo


def test_the_demo_plays_three_calls_and_tells_them_in_both_languages() -> None:
    result = CliRunner().invoke(main, ["demo", "--lang", "ru"])
    assert result.exit_code == 0, result.output
    assert result.output.count("✓") == 3
    for told in ("Битрикс24", "ответ itgrix-bx", "запись прикреплена", "LEAD"):
        assert told in result.output


def test_the_demo_as_json_has_the_calls_and_the_portals_rows() -> None:
    result = CliRunner().invoke(main, ["demo", "--json"])
    assert result.exit_code == 0, result.output
    known, lead, missed = json.loads(result.stdout)
    assert (known["call"]["status_code"], known["statistics"]["PORTAL_USER_ID"]) == ("200", "11")
    assert lead["call"]["entity"]["type"] == "LEAD"
    assert (missed["call"]["status_code"], missed["call"]["talk_seconds"]) == ("304", 0)
    assert [known["faults"], lead["faults"], missed["faults"]] == [[], [], []]


def test_a_demo_that_goes_wrong_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_it(demo: Demo) -> None:
        rule = {"method": "telephony.externalCall.finish", "kind": "error", "times": -1, "code": "ACCESS_DENIED"}
        demo._portal.faults([rule])

    monkeypatch.setattr("itgrix_bx.demo._ARRIVES_S", 1.0)
    original = Demo.play

    def play(self: Demo) -> object:
        break_it(self)
        return original(self)

    monkeypatch.setattr(Demo, "play", play)
    result = CliRunner().invoke(main, ["demo", "--lang", "en"])
    assert result.exit_code == 1
    assert "not as it must be" in result.output
