"""The steps of a routing decision (calls/routing.py) in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from itgrix_bx.words import Phrase

Step = Mapping[str, Any]

_SENTENCES = {
    "off": Phrase("routing is off for this line"),
    "black": Phrase("on the black list ({whom})"),
    "vip": Phrase("VIP ({whom})"),
    "vip.off_duty": Phrase("VIP ({whom}), rung off duty too"),
    "holiday": Phrase("holiday {date}"),
    "closed": Phrase("outside the line's hours: {day} {time}"),
    "stranger": Phrase("nobody in the CRM has this number"),
    "not_heard": Phrase("the portal was not heard in time"),
    "client": Phrase("{type} {id}"),
    "client.preferred": Phrase("{type} {id} (preferred)"),
    "nobody": Phrase("no {role}"),
    "nobody.talker": Phrase("nobody talked to this number within {days} days"),
    "nobody.deal": Phrase("no open deal"),
    "nobody.deal.unheard": Phrase("open deals are not known"),
    "try": Phrase("{role}, ext. {extension}"),
    "next": Phrase("their ext. {extension}"),
    "try.without": Phrase("{role} (user {user_id})"),
    "dismissed": Phrase("dismissed"),
    "unknown": Phrase("not among the portal's employees"),
    "no_extension": Phrase("has no extension"),
    "again": Phrase("was tried already"),
    "circle": Phrase("and round in a circle ({role})"),
    "absent": Phrase("absent"),
    "workday": Phrase("workday not open ({workday})"),
    "workday.CLOSED": Phrase("workday ended"),
    "workday.PAUSED": Phrase("on a break"),
    "workday.EXPIRED": Phrase("workday of an earlier day not closed"),
    "device": Phrase("phone {state}"),
    "device.free": Phrase("free"),
    "device.busy": Phrase("busy"),
    "device.dnd": Phrase("do not disturb"),
    "device.ringing": Phrase("is being rung by another call"),
    "device.unreachable": Phrase("phone not reachable"),
    "device.unknown": Phrase("phone's state not known"),
    "ring": Phrase("ring {seconds} s, then the normal route"),
    "normal": Phrase("the normal route"),
}
_NAMES = {
    "contact": Phrase("contact"),
    "company": Phrase("company"),
    "lead": Phrase("lead"),
    "talker": Phrase("last talker"),
    "deal": Phrase("deal"),
    "responsible": Phrase("responsible"),
    "deputy": Phrase("deputy"),
    "head": Phrase("head"),
    "line": Phrase("line's default user"),
    "user": Phrase("user"),
    "ext": Phrase("named extension"),
    "mon": Phrase("Mon"),
    "tue": Phrase("Tue"),
    "wed": Phrase("Wed"),
    "thu": Phrase("Thu"),
    "fri": Phrase("Fri"),
    "sat": Phrase("Sat"),
    "sun": Phrase("Sun"),
}
_THE_DEAL = Phrase("deal {deal}")
_THE_TALKER = Phrase("last talker ({at})")


def say(steps: Iterable[Step], lang: str) -> str:
    """All steps in one line. A step this version does not know is said by its code."""
    return " → ".join(_sentence(step).said(lang) for step in steps)


def _sentence(step: Step) -> Phrase:
    form = next((_SENTENCES[key] for key in _keys(step) if key in _SENTENCES), None)
    values = {name: _NAMES.get(str(value), value) for name, value in step.items()} | _role(step)
    sentence = dataclasses.replace(form or _SENTENCES["normal"], values=values)
    try:
        str(sentence)
    except KeyError:
        form = None
    return sentence if form is not None else _plain(str(step.get("code", "")))


def _plain(text: str) -> Phrase:
    return dataclasses.replace(_SENTENCES["normal"], text=text.replace("{", "{{").replace("}", "}}"))


def _role(step: Step) -> dict[str, Phrase]:
    """A deal has a number, a talk a time."""
    if step.get("role") == "deal" and step.get("deal"):
        return {"role": dataclasses.replace(_THE_DEAL, values={"deal": step["deal"]})}
    if step.get("role") == "talker" and step.get("at"):
        at = datetime.fromtimestamp(step["at"]).strftime("%d.%m.%Y %H:%M")
        return {"role": dataclasses.replace(_THE_TALKER, values={"at": at})}
    return {}


def _keys(step: Step) -> list[str]:
    """The forms of a step's sentence, the most telling first."""
    code = str(step.get("code", ""))
    tell = _TELLING.get(code)
    return [f"{code}.{tell(step)}", code] if tell is not None else [code]


_TELLING: Mapping[str, Callable[[Step], str]] = {
    "client": lambda step: "preferred" if step.get("preferred") else "",
    "vip": lambda step: "off_duty" if step.get("off_duty") else "",
    "nobody": lambda step: "deal.unheard" if step.get("unheard") else str(step.get("role", "")),
    "try": lambda step: "" if step.get("extension") else "without",
    "workday": lambda step: str(step.get("workday", "")),
    "device": lambda step: str(step.get("state", "")),
}
