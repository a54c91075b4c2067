"""One spelling of a number everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.calls.numbers import LONGEST, e164, extensions


@pytest.mark.parametrize(
    "spelling",
    ["89161234567", "+79161234567", "79161234567", "9161234567", "8 (916) 123-45-67", " +7 916 123 45 67 "],
)
def test_every_spelling_of_a_number_is_one(spelling: str) -> None:
    assert e164(spelling, "RU") == "+79161234567"


def test_the_country_decides_what_a_national_number_means() -> None:
    assert e164("030 123456", "DE") == "+4930123456"
    assert e164("+4930123456", "RU") == "+4930123456"
    assert e164("8104930123456", "RU") == "+4930123456"


@pytest.mark.parametrize("nobody", ["", "anonymous", "Unknown", "restricted", "+", "sip:alice", "${EXTEN}", "😀"])
def test_who_gives_no_number_has_none(nobody: str) -> None:
    assert e164(nobody, "RU") == ""


@pytest.mark.parametrize("short", ["112", "0611", "900"])
def test_a_service_number_keeps_its_digits(short: str) -> None:
    assert e164(short, "RU") == short


@given(st.text(max_size=200))
def test_whatever_the_network_sends_the_portal_can_store(raw: str) -> None:
    number = e164(raw, "RU")
    assert len(number) <= LONGEST
    assert all(c in "+0123456789" for c in number)
    assert "+" not in number[1:]
    assert number == "" or e164(number, "RU") == number


def test_an_argument_of_ring_may_hold_several_extensions() -> None:
    assert extensions("101-102&103") == ["101", "102", "103"]
    assert extensions("FMPR-101-FMGL-102") == ["101", "102"]
    assert extensions("101-101") == ["101"]
    assert extensions("") == []
