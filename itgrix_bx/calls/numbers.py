"""Telephone numbers: one spelling everywhere, E.164 with `+`."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

# The portal's statistics refuse more than 20 characters, and after it has made the activity
# (bitrix24-rest: "poison finish"), so nothing longer may ever leave here.
LONGEST = 20
_NOT_DIALLABLE = re.compile(r"[^0-9+]")


@lru_cache(maxsize=20_000)
def e164(raw: str, country: str) -> str:
    """`raw` as E.164 in the numbering plan of `country` (ISO 3166); "" when it holds no number.

    What is no possible telephone number (112, a short service number) keeps its bare digits.
    """
    number = spelling(raw)
    bare = number.removeprefix("+")
    # A plus before what is no international number says nothing: some trunks put one before everything.
    return _parse(number, country) or _parse(bare, country) or bare[:LONGEST]


def spelling(raw: str) -> str:
    """Only the digits of a number as it came, after a `+` when it began with one; "" when it holds no number."""
    number = _NOT_DIALLABLE.sub("", raw.strip()[:64])
    digits = number.replace("+", "")
    return "+" + digits if digits and number.startswith("+") else digits


def trunk(channel: str) -> str:
    """The trunk a channel of the telephone network belongs to, as the PBX names it; "" for Asterisk's own plumbing.

    `mts` of PJSIP/mts-0000001a, `i1` of DAHDI/i1/74951234567-2, `4` of DAHDI/4-1.
    """
    technology, _, name = channel.partition("/")
    if not name or technology == "Local":
        return ""
    name = name.rpartition("-")[0] or name
    return (name.partition("/")[0] if technology == "DAHDI" else name)[:80]


def _parse(number: str, country: str) -> str | None:
    # A number with its country code but without the plus is common from trunks: try the country's own
    # reading first, then the international one.
    for candidate in (number, "+" + number.lstrip("+")):
        try:
            parsed = phonenumbers.parse(candidate, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(parsed) and phonenumbers.is_valid_number(parsed):
            return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    return _possible(number, country)


def _possible(number: str, country: str) -> str | None:
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def extensions(raw: str) -> list[str]:
    """The extensions of a `ring` argument: joined by `-` or `&`, FreePBX's follow-me prefixes dropped."""
    words = re.split(r"[-&]", raw.replace("FMPR-", "").replace("FMGL-", ""))
    found = [re.sub(r"[^0-9A-Za-z_.+*#]", "", word.split("/")[-1].split("@")[0])[:40] for word in words]
    return list(dict.fromkeys(word for word in found if word))
