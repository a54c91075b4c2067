"""The steps of a routing decision (calls/routing.py) in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from itgrix_bx.calls.lines import TRUNK
from itgrix_bx.calls.policy import ALL_LINES
from itgrix_bx.words import Phrase

Step = Mapping[str, Any]

_SENTENCES = {
    "off": Phrase("routing is off for this line"),
    "black": Phrase("on the black list ({whom})"),
    "vip": Phrase("VIP ({whom})"),
    "vip.off_duty": Phrase("VIP ({whom}), rung off duty too"),
    "holiday": Phrase("holiday {date}"),
    "closed": Phrase("outside the line's hours: {day} {time}"),
    "closed.ended": Phrase("outside the line's hours: {day} {time} (ended {ended})"),
    "closed.begins": Phrase("outside the line's hours: {day} {time} (from {begins})"),
    "closed.begins.another": Phrase("outside the line's hours: {day} {time} (from {begins_day} {begins})"),
    "stranger": Phrase("nobody in the CRM has this number"),
    "not_heard": Phrase("the portal was not heard in time"),
    "not_heard.refused": Phrase("the portal could not say who has this number"),
    "not_heard.away": Phrase("the portal does not answer and was not waited for"),
    "remembered": Phrase("as remembered"),
    "remembered.away": Phrase("the portal does not answer: as remembered"),
    "untold.employees": Phrase("the employees have not been read from the portal yet"),
    "untold.absences": Phrase("absences could not be read from the portal"),
    "client": Phrase("{type} {id}"),
    "client.preferred": Phrase("{type} {id} (preferred)"),
    "nobody": Phrase("no {role}"),
    "nobody.talker": Phrase("nobody talked to this number within {days} days"),
    "nobody.deal": Phrase("no open deal"),
    "nobody.deal.of": Phrase("no open deal of {type} {id}"),
    "nobody.deal.unheard": Phrase("open deals are not known"),
    "try": Phrase("{role}, ext. {extension}"),
    "next": Phrase("their ext. {extension}"),
    "try.without": Phrase("{role} (user {user_id})"),
    "dismissed": Phrase("dismissed"),
    "unknown": Phrase("not among the portal's employees"),
    "no_extension": Phrase("has no extension"),
    "no_extension.anothers": Phrase("has no extension: {said} is user {holder}'s"),
    "again": Phrase("was tried already"),
    "circle": Phrase("and round in a circle ({role})"),
    "nobody.head.untold": Phrase("no head (the structure could not be read from the portal)"),
    "absent": Phrase("absent"),
    "absent.until": Phrase("absent until {until}"),
    "workday_untold": Phrase("workday not known"),
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


_LINES_RULES = Phrase("line {place}: {rules}")
_TRUNKS_RULES = Phrase("trunk {place}: {rules}")
_ALL_LINES_RULES = Phrase("all lines: {rules}")


def say(steps: Iterable[Step], lang: str) -> str:
    """All steps in one line, and behind them whose rules had a say. A step this version does not know is said by its
    code."""
    told = list(steps)
    whose = [phrase.said(lang) for step in told for phrase in _whose(step.get("rules"))]
    return " → ".join(_sentence(step).said(lang) for step in told) + (f" ({'; '.join(whose)})" if whose else "")


def _whose(rules: Mapping[str, str] | None) -> Iterator[Phrase]:
    """The rules by who set them: the names as `routing set` takes them."""
    by_place: dict[str, list[str]] = {}
    for name, place in (rules or {}).items():
        by_place.setdefault(place, []).append(name)
    for place, names in sorted(by_place.items(), reverse=True):  # all lines' come last
        form = _TRUNKS_RULES if place.startswith(TRUNK) else _LINES_RULES if place != ALL_LINES else _ALL_LINES_RULES
        yield dataclasses.replace(form, values={"place": place.removeprefix(TRUNK), "rules": ", ".join(names)})


def _sentence(step: Step) -> Phrase:
    form = next((_SENTENCES[key] for key in _keys(step) if key in _SENTENCES), None)
    values = {name: _NAMES.get(str(value), value) for name, value in step.items()} | _role(step) | _until(step)
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
        return {"role": dataclasses.replace(_THE_TALKER, values={"at": _moment(step["at"])})}
    return {}


def _until(step: Step) -> dict[str, str]:
    at = step.get("until")
    return {} if at is None else {"until": _moment(at)}


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%d.%m.%Y %H:%M")


def _keys(step: Step) -> list[str]:
    """The forms of a step's sentence, the most telling first."""
    code = str(step.get("code", ""))
    tell = _TELLING.get(code)
    return [f"{code}.{tell(step)}", code] if tell is not None else [code]


def _nobody_told(step: Step) -> str:
    if step.get("unheard"):
        return "deal.unheard"
    if step.get("type"):
        return "deal.of"
    return "head.untold" if step.get("untold") else str(step.get("role", ""))


def _hours_told(step: Step) -> str:
    if step.get("ended"):
        return "ended"
    if step.get("begins"):
        return "begins" if step.get("begins_day") == step.get("day") else "begins.another"
    return ""


_TELLING: Mapping[str, Callable[[Step], str]] = {
    "client": lambda step: "preferred" if step.get("preferred") else "",
    "vip": lambda step: "off_duty" if step.get("off_duty") else "",
    "nobody": _nobody_told,
    "not_heard": lambda step: str(step.get("lack", "")),
    "remembered": lambda step: str(step.get("lack", "")),
    "untold": lambda step: str(step.get("what", "")),
    "try": lambda step: "" if step.get("extension") else "without",
    "workday": lambda step: str(step.get("workday", "")),
    "device": lambda step: str(step.get("state", "")),
    "closed": _hours_told,
    "no_extension": lambda step: "anothers" if step.get("holder") else "",
    "absent": lambda step: "until" if step.get("until") is not None else "",
}
