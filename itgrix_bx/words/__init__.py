"""What the program says to people, in their language: one gettext catalogue a language, English being the key.

A sentence is made where it is thought of, as a `Phrase`, and put into a language where it is shown. `ru.po` is
written by hand or in any translator's tool; a test keeps it whole.
"""

from __future__ import annotations

import functools
import gettext
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources

LANGUAGES = ("en", "ru")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence in no language yet: its English `text` with {named} values, which may be phrases themselves."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def said(self, lang: str) -> str:
        """In the language `lang`, one of LANGUAGES; English where the catalogue does not know it."""
        values = {name: _said(value, lang) for name, value in self.values.items()}
        return catalogue(lang).gettext(self.text).format_map(values)

    def __str__(self) -> str:
        return self.said("en")


def as_is(text: str) -> Phrase:
    """What is the same in every language: a command, a name."""
    return Phrase("{text}", {"text": text})


def listed(phrases: Iterable[Phrase]) -> Phrase:
    """One after the other, with commas between."""
    values = {f"p{number}": phrase for number, phrase in enumerate(phrases)}
    text = ", ".join(f"{{{name}}}" for name in values)
    return Phrase(text, values)


class SpokenError(Exception):
    """Something went wrong, in one sentence for people that names the cure."""

    def __init__(self, said: Phrase) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return str(self.said)


def _said(value: object, lang: str) -> object:
    return value.said(lang) if isinstance(value, Phrase) else value


def preferred() -> str:
    """The language the environment asks for, as gettext reads it; English where we do not speak it.

    Not the locale in force: on a server without Russian locales that is C, whatever the terminal asks for.
    """
    asked = next(filter(None, map(os.environ.get, ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"))), "")
    spoken = asked.lower()[:2]
    return spoken if spoken in LANGUAGES else "en"


@functools.cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """The translations of a language. English needs none."""
    if lang == "en":
        return gettext.NullTranslations()
    # Babel reads the text itself: nothing has to be compiled when the program is installed.
    from babel.messages import mofile, pofile

    with resources.files(__name__).joinpath(f"{lang}.po").open("rb") as file:
        catalog = pofile.read_po(file, locale=lang)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
