"""What the phone shows of who calls: a line's template, filled with what the caller's one round trip told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from anyascii import anyascii

PLACEHOLDERS = ("client", "company", "deal", "line", "number")
# Desk phones show 20 to 30 characters and scroll or cut the rest; a PRI or DECT gateway behind the PBX passes on 50 at
# most. So 40 for what everybody should see, and never more than B24_CLIENT. chan_sip has 256 bytes for a From header's
# name and cuts a letter in two: 80 of Cyrillic are 160 bytes, but as many of the rarest scripts or emoji are 320.
USUAL_LENGTH = 40
MOST_LENGTH = 80
_MOST_BYTES = 255
_LONGEST_TEMPLATE = 200

_FIELD = re.compile(r"\{([^{}]*)\}")
# Quotes and backslashes end a SIP display name, <> begin its address; ${} is for who puts the name into a shell or an
# EVAL() later in the dialplan.
_NEVER = frozenset("\"'`\\<>${}")
_SEPARATORS = "/|\\-–—·•,:;"


class TemplateError(ValueError):
    """A template that cannot be used; the text says what to write."""


def check(template: str) -> str:
    """The template, trimmed. Raises TemplateError."""
    template = template.strip()
    if len(template) > _LONGEST_TEMPLATE:
        raise TemplateError(f"a caller name's template has at most {_LONGEST_TEMPLATE} characters")
    known = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
    for name in _FIELD.findall(template):
        if name not in PLACEHOLDERS:
            raise TemplateError(f"{{{name}}} means nothing in a caller name: there are {known}")
    if set(_FIELD.sub("", template)) & {"{", "}"}:
        raise TemplateError(f"a brace is left alone in {template!r}: a caller name may hold {known}")
    return template


def names(
    entities: Sequence[Mapping[str, Any]] | None,
    deals: Sequence[Mapping[str, Any]] | None = None,
    *,
    client: str,
    line: str,
    number: str,
) -> dict[str, str]:
    """What the placeholders stand for; `client` is the name the dialplan is told of, `deals` are open, newest first."""
    firsts = {str(entity.get("type", "")): str(entity.get("name") or "") for entity in reversed(entities or [])}
    company = firsts.get("COMPANY", "")
    return {
        "client": client,
        "company": "" if company == client else company,
        "deal": str(deals[0].get("title") or "") if deals else "",
        "line": line,
        "number": number,
    }


def render(template: str, known: Mapping[str, str], *, latin: bool = False, longest: int = USUAL_LENGTH) -> str:
    """The name to show, "" when there is nothing to say. Words with nothing in them go, and separators beside them.

    Never with quotes or control characters, never longer than `longest`.
    """
    words: list[str] = []
    for word in template.split():
        fields = _FIELD.findall(word)
        if fields and not any(clean(known.get(name, "")) for name in fields):
            continue
        filled = clean(_FIELD.sub(lambda found: known.get(found[1], ""), word))
        if not filled.strip(_SEPARATORS) and (not words or not words[-1].strip(_SEPARATORS)):
            continue
        words.append(filled)
    return _cut(_latin(" ".join(words)) if latin else " ".join(words), min(longest, MOST_LENGTH))


def clean(text: str) -> str:
    """Text from outside as part of a display name: one line, composed letters, nothing that ends or runs anything."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c for c in composed if c.isprintable() and c not in _NEVER).strip()


def _latin(text: str) -> str:
    # The hard and the soft sign become quotes.
    return clean(anyascii(text))


def _cut(text: str, longest: int) -> str:
    short = text.strip(_SEPARATORS + " ")[:longest].encode()[:_MOST_BYTES].decode(errors="ignore")
    return short.strip(_SEPARATORS + " ")
