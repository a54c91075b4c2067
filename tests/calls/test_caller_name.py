"""The name on the phone: what a template makes of what is known, and what never leaves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.calls.caller_name import MOST_LENGTH, PLACEHOLDERS, TemplateError, check, names, render

BOTH = {"client": "Иван Клиентов", "line": "Продажи", "company": "", "deal": "", "number": "+79161234567"}
STRANGER = BOTH | {"client": ""}


@pytest.mark.parametrize(
    ("template", "known", "shown"),
    [
        ("{client} / {line}", BOTH, "Иван Клиентов / Продажи"),
        ("{client} / {line}", STRANGER, "Продажи"),
        ("{client} / {company} / {line}", BOTH, "Иван Клиентов / Продажи"),
        ("{client} ({line})", BOTH, "Иван Клиентов (Продажи)"),
        ("{client} ({company})", BOTH, "Иван Клиентов"),
        ("{line}: {client}", STRANGER, "Продажи"),
        ("{line}/{client}", STRANGER, "Продажи"),
        ("{client}", STRANGER, ""),
        ("Офис {number}", STRANGER, "Офис +79161234567"),
        ("{deal} — {company}", STRANGER, ""),
    ],
)
def test_what_is_not_known_goes_with_its_separators(template: str, known: dict[str, str], shown: str) -> None:
    assert render(check(template), known) == shown


def test_quotes_line_ends_and_what_a_shell_would_run_never_reach_the_phone() -> None:
    known = {"client": 'ООО "Рога\n& копыта" <sip:x@y> ${SYSTEM(id)}\\', "line": "`x`\x00\u202e'"}
    assert render("{client} / {line}", known, longest=80) == "ООО Рога & копыта sip:x@y SYSTEM(id) / x"


def test_a_phone_without_cyrillic_gets_latin_letters() -> None:
    assert render("{client}", {"client": "Щукин Юрий, ООО «Подъезд»"}, latin=True) == "Shchukin Yuriy, OOO Podezd"


def test_the_name_is_cut_and_ends_in_no_separator() -> None:
    assert render("{client} / {line}", {"client": "Ы" * 18, "line": "Продажи"}, longest=20) == "Ы" * 18
    assert len(render("{client}", {"client": "Ы" * 500}, longest=500)) == MOST_LENGTH
    assert render("{client}", {"client": "Щ" * 30}, latin=True, longest=9) == "ShchShchS"


@pytest.mark.parametrize("template", ["{klient}", "{client", "client}", "{}", "{client.name}", "{client!r}", "x" * 300])
def test_a_template_that_means_nothing_is_refused_with_what_there_is(template: str) -> None:
    with pytest.raises(TemplateError, match=r"\{client\}|at most"):
        check(template)


def test_a_company_that_is_the_client_itself_is_not_said_twice() -> None:
    company = {"type": "COMPANY", "id": 3, "name": "Ромашка"}
    contact = {"type": "CONTACT", "id": 7, "name": "Иван"}
    assert names([company], client="Ромашка", line="", number="")["company"] == ""
    assert names([contact, company], client="Иван", line="", number="")["company"] == "Ромашка"
    assert names(None, client="", line="", number="")["company"] == ""


def test_of_several_companies_the_first_is_named_and_of_several_deals_the_newest() -> None:
    companies = [{"type": "COMPANY", "id": n, "name": f"C{n}"} for n in (3, 4)]
    deals = [{"id": 9, "title": "New"}, {"id": 8, "title": "Old"}]
    found = names(companies, deals, client="Иван", line="", number="")
    assert (found["company"], found["deal"]) == ("C3", "New")


def test_a_name_of_nothing_but_what_is_never_shown_is_no_name() -> None:
    assert render("{client} / {line}", {"client": "\u202e\"'\x00", "line": "Продажи"}) == "Продажи"
    assert render("[{client}] {line}", {"client": "$\u200f", "line": "Продажи"}) == "Продажи"


def test_separators_in_front_take_no_room_and_a_template_is_trimmed() -> None:
    assert render("{client}", {"client": "— — — Иван Клиентов"}, longest=13) == "Иван Клиентов"
    assert check("  {client}\n") == "{client}"


@pytest.mark.parametrize("letter", ["я", "漢", "😀", "𝔸"])
def test_the_longest_name_fits_the_header_in_whole_letters(letter: str) -> None:
    shown = render("{client}", {"client": letter * 500}, longest=MOST_LENGTH)
    assert set(shown) == {letter}
    assert len(shown.encode()) <= 255  # chan_sip has 256 for a From header's name, and would cut a letter in two


TEMPLATES = st.lists(
    st.sampled_from(["{" + name + "}" for name in PLACEHOLDERS]) | st.sampled_from([" ", "/", " / ", "(", ")", "№"])
).map("".join)


@given(
    template=TEMPLATES,
    known=st.fixed_dictionaries({name: st.text(max_size=200) for name in PLACEHOLDERS}),
    latin=st.booleans(),
    longest=st.integers(1, 200),
)
def test_whatever_people_are_called_the_phone_gets_one_short_clean_line(
    template: str, known: dict[str, str], latin: bool, longest: int
) -> None:
    shown = render(check(template), known, latin=latin, longest=longest)
    assert len(shown) <= min(longest, MOST_LENGTH)
    assert shown == shown.strip()
    assert shown.isprintable()
    assert not set(shown) & set("\"'`\\<>${}")
    assert shown.isascii() or not latin
    shown.encode()
