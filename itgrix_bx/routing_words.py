"""The steps of a routing decision (calls/routing.py) in words, in Russian and in English."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

Words = Mapping[str, str]

_EN: Words = {
    "off": "routing is off for this line",
    "black": "on the black list ({whom})",
    "vip": "VIP ({whom})",
    "vip.off_duty": "VIP ({whom}), rung off duty too",
    "holiday": "holiday {date}",
    "closed": "outside the line's hours: {day} {time}",
    "stranger": "nobody in the CRM has this number",
    "not_heard": "the portal was not heard in time",
    "client": "{type} {id}",
    "nobody": "no {role}",
    "nobody.talker": "nobody talked to this number within {days} days",
    "nobody.deal": "no open deal",
    "nobody.deal.unheard": "open deals are not known",
    "try": "{role}, ext. {extension}",
    "try.without": "{role} (user {user_id})",
    "dismissed": "dismissed",
    "unknown": "not among the portal's employees",
    "no_extension": "has no extension",
    "again": "was tried already",
    "circle": "and round in a circle ({role})",
    "absent": "absent",
    "workday": "workday not open ({workday})",
    "workday.CLOSED": "workday ended",
    "workday.PAUSED": "on a break",
    "workday.EXPIRED": "workday of an earlier day not closed",
    "device": "phone {state}",
    "device.free": "free",
    "device.busy": "busy",
    "device.dnd": "do not disturb",
    "device.ringing": "is being rung by another call",
    "device.unreachable": "phone not reachable",
    "device.unknown": "phone's state not known",
    "ring": "ring {seconds} s, then the normal route",
    "normal": "the normal route",
}
_RU: Words = {
    "off": "для этой линии маршрутизация выключена",
    "black": "в чёрном списке ({whom})",
    "vip": "VIP ({whom})",
    "vip.off_duty": "VIP ({whom}), звоним и в нерабочее время",
    "holiday": "праздник {date}",
    "closed": "вне часов работы линии: {day} {time}",
    "stranger": "такого номера нет в CRM",
    "not_heard": "портал не ответил вовремя",
    "client": "{type} {id}",
    "nobody": "нет: {role}",
    "nobody.talker": "за {days} дн. с этим номером никто не говорил",
    "nobody.deal": "нет открытой сделки",
    "nobody.deal.unheard": "открытые сделки неизвестны",
    "try": "{role}, вн. {extension}",
    "try.without": "{role} (пользователь {user_id})",
    "dismissed": "уволен",
    "unknown": "нет среди сотрудников портала",
    "no_extension": "нет внутреннего номера",
    "again": "уже пробовали",
    "circle": "дальше по кругу ({role})",
    "absent": "отсутствует",
    "workday": "рабочий день не начат ({workday})",
    "workday.CLOSED": "рабочий день закончен",
    "workday.PAUSED": "на перерыве",
    "workday.EXPIRED": "вчерашний рабочий день не закрыт",
    "device": "телефон: {state}",
    "device.free": "свободен",
    "device.busy": "занят",
    "device.dnd": "не беспокоить",
    "device.ringing": "ему уже звонят",
    "device.unreachable": "телефон недоступен",
    "device.unknown": "состояние телефона неизвестно",
    "ring": "звонить {seconds} с, затем обычный маршрут",
    "normal": "обычный маршрут",
}
_NAMES: Mapping[str, Words] = {
    "en": {
        "contact": "contact", "company": "company", "lead": "lead",
        "talker": "last talker", "deal": "deal", "responsible": "responsible", "deputy": "deputy", "head": "head",
        "line": "line's default user", "user": "user", "ext": "named extension",
        "mon": "Mon", "tue": "Tue", "wed": "Wed", "thu": "Thu", "fri": "Fri", "sat": "Sat", "sun": "Sun",
    },
    "ru": {
        "contact": "контакт", "company": "компания", "lead": "лид",
        "talker": "последний собеседник", "deal": "сделка", "responsible": "ответственный", "deputy": "заместитель",
        "head": "руководитель", "line": "сотрудник линии по умолчанию", "user": "сотрудник",
        "ext": "заданный номер",
        "mon": "пн", "tue": "вт", "wed": "ср", "thu": "чт", "fri": "пт", "sat": "сб", "sun": "вс",
    },
}  # fmt: skip
_SENTENCES: Mapping[str, Words] = {"en": _EN, "ru": _RU}
LANGUAGES = tuple(_SENTENCES)


def say(steps: Iterable[Mapping[str, Any]], language: str = "en") -> str:
    """All steps in one line. A step this version does not know is said by its code."""
    return " → ".join(_sentence(step, language) for step in steps)


def _sentence(step: Mapping[str, Any], language: str) -> str:
    sentences, names = _SENTENCES[language], _NAMES[language]
    form = next((sentences[key] for key in _keys(step) if key in sentences), "")
    said = {name: names.get(str(value), value) for name, value in step.items()}
    if step.get("role") == "deal" and step.get("deal"):
        said["role"] = f"{names['deal']} {step['deal']}"
    if step.get("role") == "talker" and step.get("at"):
        said["role"] = f"{names['talker']} ({datetime.fromtimestamp(step['at']):%d.%m.%Y %H:%M})"
    try:
        return form.format(**said) or str(step.get("code", ""))
    except (KeyError, IndexError):
        return str(step.get("code", ""))


def _keys(step: Mapping[str, Any]) -> list[str]:
    """The forms of a step's sentence, the most telling first."""
    code = str(step.get("code", ""))
    return [f"{code}.{more}" for tell in _TELLING.get(code, ()) if (more := tell(step))] + [code]


_TELLING: Mapping[str, tuple[Callable[[Mapping[str, Any]], str], ...]] = {
    "vip": (lambda step: "off_duty" if step.get("off_duty") else "",),
    "nobody": (lambda step: "deal.unheard" if step.get("unheard") else str(step.get("role", "")),),
    "try": (lambda step: "" if step.get("extension") else "without",),
    "workday": (lambda step: str(step.get("workday", "")),),
    "device": (lambda step: str(step.get("state", "")),),
}
