"""Whom to try first for a client: a pure decision over what is known, told step by step.

A step is a dict that the journal can keep: `code` names the rule, the rest are its particulars;
itgrix_bx/words/routing.py says it in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from itgrix_bx.calls.directory import ABSENCES, EMPLOYEES, HEADS, Absence
from itgrix_bx.calls.policy import DAYS, RULES, Policy, Rules, find

RING_SECONDS = Policy().seconds
# Off duty is what the portal says so: time tracking that is switched off says nothing.
_ON_DUTY = frozenset({"OPENED", "UNAVAILABLE", "NOT_INSTALLED"})
_GONE = frozenset({"dismissed", "unknown"})
_UNSUITED = _GONE | {"nobody", "no_extension"}  # the next client's manager is looked at

# Why the client is not known from the portal's own answer: it came too late, it was a refusal or no answer at all, the
# portal was not even asked because it does not answer, or there was no need to wait for it.
LATE, REFUSED, AWAY, MEMORY = "late", "refused", "away", "memory"

Step = dict[str, Any]
NO_RULES = Rules()


class People(Protocol):
    """What is asked about employees (calls/directory.py)."""

    @property
    def employees(self) -> Mapping[int, Any]: ...
    @property
    def mapped(self) -> Mapping[str, int]: ...
    def user_of(self, extension: str) -> int | None: ...
    def holder_of(self, extension: str) -> int | None: ...
    def is_active(self, user_id: int) -> bool: ...
    def rung_on(self, user_id: int, said_by_portal: str = "") -> tuple[str, ...]: ...
    def head_of(self, user_id: int) -> int | None: ...
    def deputy_of(self, user_id: int, at: float | None = None) -> int | None: ...
    def absence(self, user_id: int, at: float) -> Absence | None: ...
    def untold(self, what: str) -> bool: ...


class Devices(Protocol):
    """What is asked about phones: free, ringing, busy, dnd, unreachable or unknown, which is taken for free."""

    def state(self, extension: str) -> str: ...


class NoDevices:
    """Where nobody tells how the phones are."""

    def state(self, extension: str) -> str:
        del extension
        return "unknown"


@dataclass(frozen=True, slots=True)
class Talk:
    """The last talk with a number: who and when (unix seconds)."""

    user_id: int
    at: float


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision is made of. `entities` None: the portal did not tell; `lack`: why it did not, or why they are
    only remembered (LATE, REFUSED, AWAY, MEMORY); `deals` None: nothing is known of them, else the open ones,
    [{id, user_id, …}]; `workday`: what the portal said lately of others than the responsibles."""

    number: str
    did: str
    at: float
    entities: Sequence[Mapping[str, Any]] | None
    deals: Sequence[Mapping[str, Any]] | None = None
    talk: Talk | None = None
    line_user: int | None = None
    trunk: str = ""
    workday: Callable[[int], str] = lambda _: ""
    lack: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """`extension` is empty for the normal route; `steps` tell every rule that decided."""

    extension: str = ""
    client_name: str = ""
    seconds: int = RING_SECONDS
    steps: tuple[Step, ...] = ()


def decide(known: Known, people: People, rules: Rules = NO_RULES, devices: Devices | None = None) -> Route:
    """The extension to ring first, or the normal route. The known client is the first entity whose responsible is
    active and has an extension; it names the call, else the first entity does."""
    decision = _Decision(known, people, rules, devices or NoDevices())
    extension = decision.extension()
    name = str(decision.client.get("name", "")) if decision.client else ""
    return Route(extension, name, decision.policy.seconds, tuple(decision.steps))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Somebody to try, by user or by extension; with neither the role has nobody, and `told` says why."""

    role: str
    user_id: int | None = None
    extension: str = ""
    told: Step = field(default_factory=dict)

    @property
    def somebody(self) -> bool:
        return self.user_id is not None or bool(self.extension)


class _Decision:
    """One decision being made: the steps so far, and who has been looked at."""

    def __init__(self, known: Known, people: People, rules: Rules, devices: Devices) -> None:
        self.known, self.people, self.rules, self.devices = known, people, rules, devices
        self.policy = rules.policy(known.did, known.trunk)
        self.entities = _preferred(known.entities or (), self.policy.prefer)
        self.client = next(filter(self._has_a_manager, self.entities), self.entities[0] if self.entities else None)
        self.vip = find(rules.vip, known.number, self.entities)
        self.steps: list[Step] = []
        self._told_of: Mapping[str, Any] | None = None
        self._tried: set[str] = set()
        self._base: int | None = None  # whose deputy or head is looked for
        self._refused = ""  # why the one before was not taken
        self._asked: set[str] = set()  # the rules whose question came up

    def extension(self) -> str:
        """Who is rung; the steps say why."""
        if stop := self._stopped():
            self.steps.append(stop)
        else:
            for candidate in self._candidates():
                if found := self._try(candidate):
                    self._ask("seconds")
                    self._end({"code": "ring", "extension": found, "seconds": self.policy.seconds})
                    return found
        self._end({"code": "normal"})
        return ""

    def _ask(self, *names: str) -> None:
        """These rules have a say in the decision, whatever they say."""
        self._asked.update(names)

    def _end(self, step: Step) -> None:
        """The last step says whose rules had a say, as far as anybody set them."""
        whose = {
            name: self.rules.whose(name, self.known.did, self.known.trunk) for name in RULES if name in self._asked
        }
        told = {name: place for name, place in whose.items() if place is not None}
        self.steps.append(step | ({"rules": told} if told else {}))

    # --- whether to try anybody ------------------------------------------------------------------

    def _stopped(self) -> Step | None:
        self._ask("on")
        if not self.policy.on:
            return {"code": "off"}
        if len(self.entities) > 1:
            self._ask("prefer")
        if black := find(self.rules.black, self.known.number, self.entities):
            return {"code": "black", "whom": black.whom}
        if self.vip is not None:
            self.steps.append({"code": "vip", "whom": self.vip.whom, "off_duty": self.vip.off_duty})
        return None if self._off_duty_too else self._closed()

    def _closed(self) -> Step | None:
        self._ask("holidays", *(["timezone"] if self.policy.holidays or self.policy.hours else []))
        local = self.policy.local(self.known.at)
        told = {"day": DAYS[local.weekday()], "time": local.strftime("%H:%M"), "date": local.date().isoformat()}
        if self.policy.holiday(local):
            return {"code": "holiday"} | told
        self._ask("hours")
        if self.policy.open(local):
            return None
        begins_day, begins = self.policy.begins(local)
        return {"code": "closed"} | told | {
            "ended": self.policy.ended(local), "begins_day": begins_day, "begins": begins,
        }  # fmt: skip

    @property
    def _off_duty_too(self) -> bool:
        return self.vip is not None and self.vip.off_duty

    # --- whom to try, in order -------------------------------------------------------------------

    def _candidates(self) -> Iterator[_Candidate]:
        self._tell_of_client()
        for role in _once(self._order()):
            kind, _, name = role.partition(":")
            yield from _BY_ROLE[kind](self, name)

    def _order(self) -> Iterator[str]:
        """The client's own order first. Whom nobody knows only the last talk leads to somebody."""
        yield from self.vip.order if self.vip else ()
        self._ask("order")
        yield from self.policy.order if self.entities else (role for role in self.policy.order if role == "talker")

    def _tell_of_client(self) -> None:
        if self.people.untold(EMPLOYEES):
            self.steps.append({"code": "untold", "what": EMPLOYEES})
        lack = {"lack": self.known.lack} if self.known.lack else {}
        if self.known.entities is None:
            self.steps.append({"code": "not_heard"} | lack)
        elif lack:
            self.steps.append({"code": "remembered"} | lack)
        if self.entities:
            self._tell_of(self.entities[0])
        elif self.known.entities is not None:
            self.steps.append({"code": "stranger"})

    def _tell_of(self, entity: Mapping[str, Any]) -> None:
        if entity is not self._told_of:
            self._told_of = entity
            told = {"type": str(entity["type"]).lower(), "id": entity["id"]}
            # The rule `prefer` decided when another client was found first.
            preferred = entity is self.entities[0] is not (self.known.entities or self.entities)[0]
            self.steps.append({"code": "client"} | told | ({"preferred": True} if preferred else {}))

    def _responsibles(self, _: str) -> Iterator[_Candidate]:
        for n, entity in enumerate(self.entities, 1):
            self._tell_of(entity)
            user_id, extension = _responsible(entity)
            yield _Candidate("responsible", user_id, extension if user_id is not None else "")
            if n < len(self.entities) and self._refused not in _UNSUITED:
                self._ask("clients")
                if self.policy.clients == "first":
                    return

    def _talker(self, _: str) -> Iterator[_Candidate]:
        self._ask("talker_days")
        talk, days = self.known.talk, self.policy.talker_days
        if talk is None or self.known.at - talk.at > days * 86400:
            yield _Candidate("talker", told={"days": days})
        else:
            yield _Candidate("talker", talk.user_id, told={"at": talk.at})

    def _deals(self, _: str) -> Iterator[_Candidate]:
        if not self.known.deals:
            yield _Candidate("deal", told={"unheard": self.known.deals is None} | self._whose_deals())
        for deal in self.known.deals or ():
            yield _Candidate("deal", deal["user_id"], told={"deal": deal["id"]})

    def _whose_deals(self) -> Step:
        """Of several clients the portal was asked for the first one's deals alone."""
        found = self.known.entities or ()
        return {"type": str(found[0]["type"]).lower(), "id": found[0]["id"]} if len(found) > 1 else {}

    def _deputies(self, _: str) -> Iterator[_Candidate]:
        yield from self._in_place_of("deputy", lambda user: self.people.deputy_of(user, self.known.at))

    def _heads(self, _: str) -> Iterator[_Candidate]:
        yield from self._in_place_of("head", self.people.head_of)

    def _in_place_of(self, role: str, of: Callable[[int], int | None]) -> Iterator[_Candidate]:
        """Who stands in for the one looked at before, and in for that one, as long as somebody new comes."""
        user, seen = self._base, set[int]()
        while user is not None:
            seen.add(user)
            user = of(user)
            if user is None or user in seen:
                break
            yield _Candidate(role, user)
        if user is None and len(seen) < 2:
            yield _Candidate(role, told={"untold": True} if role == "head" and self.people.untold(HEADS) else {})
        elif user is not None:
            self.steps.append({"code": "circle", "role": role, "user_id": user})

    def _line_user(self, _: str) -> Iterator[_Candidate]:
        yield _Candidate("line", self.known.line_user)

    def _named_user(self, number: str) -> Iterator[_Candidate]:
        yield _Candidate("user", int(number))

    def _named_extension(self, extension: str) -> Iterator[_Candidate]:
        yield _Candidate("ext", self.people.user_of(extension), extension)

    # --- whether somebody can take the call ------------------------------------------------------

    def _try(self, candidate: _Candidate) -> str:
        """The extension to ring for somebody who can take the call; empty, and a step why, for another."""
        if not candidate.somebody:
            return self._refuse({"code": "nobody", "role": candidate.role} | candidate.told)
        if candidate.user_id is not None and candidate.role not in ("deputy", "head"):
            self._base = candidate.user_id
        told = {"role": candidate.role, "user_id": candidate.user_id}
        code = "try"
        for extension in self._extensions(candidate):
            self.steps.append({"code": code} | told | {"extension": extension} | candidate.told)
            refusal = self._refusal(candidate, extension)
            if refusal is None:
                return extension
            self._refuse(refusal)
            if refusal["code"] not in _GONE:  # whose extension may be a successor's by now
                self._tried.add(extension)
            if refusal.get("state") != "unreachable":  # on another phone too he is busy, or wants none
                break
            code = "next"
        return ""

    def _refuse(self, step: Step) -> str:
        self._refused = step["code"]
        self.steps.append(step)
        return ""

    def _extensions(self, candidate: _Candidate) -> tuple[str, ...]:
        """What to ring somebody on, the first first; one empty one where there is nothing."""
        if candidate.role == "ext" or candidate.user_id is None:
            return (candidate.extension,)
        return self.people.rung_on(candidate.user_id, candidate.extension) or ("",)

    def _refusal(self, candidate: _Candidate, extension: str) -> Step | None:
        user = candidate.user_id
        if user is not None and not self.people.is_active(user):
            return {"code": "dismissed" if user in self.people.employees else "unknown"}
        if user is None and self._was_somebodys(extension):
            return {"code": "dismissed"}
        if not extension:
            return {"code": "no_extension"} | self._anothers(candidate)
        if extension in self._tried:
            return {"code": "again"}
        return self._off_duty(user) or self._device(extension)

    def _anothers(self, candidate: _Candidate) -> Step:
        """Whose the extension is that the portal says somebody has."""
        holder = self.people.holder_of(candidate.extension) if candidate.extension else None
        return {} if holder is None else {"said": candidate.extension, "holder": holder}

    def _was_somebodys(self, extension: str) -> bool:
        """An extension that no active user has, but a dismissed one."""
        had = (getattr(employee, "extension", "") for employee in self.people.employees.values())
        return extension in self.people.mapped or extension in had

    def _off_duty(self, user: int | None) -> Step | None:
        if user is None or self._off_duty_too:
            return None
        self._ask("absence")
        if self.policy.absence and (away := self.people.absence(user, self.known.at)):
            return {"code": "absent", "until": away.period.until}
        if self.policy.absence and self.people.untold(ABSENCES):
            self._tell_once({"code": "untold", "what": ABSENCES})
        self._ask("workday")
        workday = self._workday(user)
        if workday is None and self.policy.workday:
            self.steps.append({"code": "workday_untold"})
        closed = bool(workday) and workday not in _ON_DUTY
        return {"code": "workday", "workday": workday} if self.policy.workday and closed else None

    def _workday(self, user: int) -> str | None:
        """What the portal said of a workday; None where its search names the user and leaves that out."""
        told = (entity.get("responsible") or {} for entity in self.entities)
        said = [person.get("workday") for person in told if person.get("user_id") == user]
        return (str(said[0] or "").upper() or None) if said else self.known.workday(user).upper()

    def _tell_once(self, step: Step) -> None:
        if step not in self.steps:
            self.steps.append(step)

    def _device(self, extension: str) -> Step | None:
        self._ask("device")
        if not self.policy.device:
            return None
        state = str(self.devices.state(extension))
        step = {"code": "device", "state": state}
        if state in self.policy.device:
            return step
        self.steps.append(step)
        return None

    def _has_a_manager(self, entity: Mapping[str, Any]) -> bool:
        user_id, extension = _responsible(entity)
        if user_id is None or not self.people.is_active(user_id):
            return False
        return bool(self.people.rung_on(user_id, extension))


_BY_ROLE: dict[str, Callable[[_Decision, str], Iterable[_Candidate]]] = {
    "talker": _Decision._talker,
    "deal": _Decision._deals,
    "responsible": _Decision._responsibles,
    "deputy": _Decision._deputies,
    "head": _Decision._heads,
    "line": _Decision._line_user,
    "user": _Decision._named_user,
    "ext": _Decision._named_extension,
}


def _once(roles: Iterable[str]) -> Iterator[str]:
    seen = set[str]()
    for role in roles:
        if role not in seen:
            seen.add(role)
            yield role


def _responsible(entity: Mapping[str, Any]) -> tuple[int | None, str]:
    responsible = entity.get("responsible") or {}
    return responsible.get("user_id"), responsible.get("extension") or ""


def _preferred(entities: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> list[Mapping[str, Any]]:
    """The kinds that are preferred first, the rest as the search gave them."""
    place = {kind: n for n, kind in enumerate(kinds)}
    return sorted(entities, key=lambda entity: place.get(str(entity["type"]).lower(), len(place)))
