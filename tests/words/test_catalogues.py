"""Everything that is said is said in every language, with the same values in it."""

from __future__ import annotations

import functools
import string
from pathlib import Path

import pytest
from babel.messages import Catalog, extract, pofile

from itgrix_bx.words import LANGUAGES, Phrase

ROOT = Path(__file__).parents[2]


@functools.cache
def spoken() -> frozenset[str]:
    found = set()
    for file in [*(ROOT / "itgrix_bx").rglob("*.py"), *(ROOT / "sql").rglob("*.py")]:
        if "Phrase" not in file.read_text(encoding="utf-8"):
            continue
        with file.open("rb") as source:
            for _, message, _, _ in extract.extract("python", source, keywords={"Phrase": None}):
                found.add(message if isinstance(message, str) else message[0])
    return frozenset(found)


def catalog(lang: str) -> Catalog:
    with (ROOT / "itgrix_bx" / "words" / f"{lang}.po").open("rb") as file:
        return pofile.read_po(file, locale=lang, abort_invalid=True)


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("lang", [lang for lang in LANGUAGES if lang != "en"])
def test_a_catalogue_has_every_phrase_and_nothing_else(lang: str) -> None:
    translated = {str(message.id): str(message.string) for message in catalog(lang) if message.id}
    assert spoken() - translated.keys() == set()
    assert translated.keys() - spoken() == set()
    assert [text for text, said in translated.items() if not said] == []
    assert [text for text, said in translated.items() if values(text) != values(said)] == []


def test_a_phrase_is_put_into_words_where_it_is_shown() -> None:
    inner = Phrase("inbound calls")
    assert str(Phrase("{where}: never said before", {"where": inner})) == "inbound calls: never said before"
    assert Phrase("{where}: never said before", {"where": inner}).said("ru") == "входящие: never said before"


def test_what_callers_send_is_no_placeholder() -> None:
    assert str(Phrase("it is {number}", {"number": "{secret} %s {0}"})) == "it is {secret} %s {0}"
