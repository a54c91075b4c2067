"""Whatever the rules and the facts are: a decision ends, harms nobody and explains itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itgrix_bx.calls import policy
from itgrix_bx.calls.directory import Absence, Department, Deputy, Directory, Employee, Structure
from itgrix_bx.calls.policy import ROLES, RULES, STATES, Entry, Policy, Rules
from itgrix_bx.calls.routing import Known, Route, Talk, decide
from itgrix_bx.words import LANGUAGES
from itgrix_bx.words.routing import say
from tests.calls.test_routing import DID, NUMBER, THURSDAY, Firm, Phones

USERS = range(1, 9)
user = st.sampled_from(USERS)
somebody = user | st.just(99)  # 99: nobody the portal's list has
extension = st.sampled_from(["", "101", "102", "103", "104", "105"])
step = st.sampled_from(ROLES) | user.map(lambda n: f"user:{n}") | extension.filter(bool).map(lambda e: f"ext:{e}")
order = st.lists(step, max_size=8, unique=True).map(tuple)
workday = st.sampled_from(["OPENED", "CLOSED", "PAUSED", "EXPIRED", "UNAVAILABLE", "", "SOMETHING NEW"])
state = st.sampled_from([*STATES, "free", "unknown"])
KEYS = (NUMBER, "contact:1", "company:2")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    told = {
        "hours": draw(st.sampled_from(["always", "mon-fri 09:00-18:00", "sat-sun 22:00-06:00"])),
        "holidays": draw(st.sampled_from(["none", "11-26", "12-31..01-08"])),
        "timezone": "UTC",
    }
    return dataclasses.replace(
        policy.with_rules(Policy(), told),
        on=draw(st.integers(0, 9)) > 0,
        seconds=draw(st.integers(1, 120)),
        order=draw(order),
        device=tuple(sorted(draw(st.sets(st.sampled_from(STATES))), key=STATES.index)),
        workday=draw(st.booleans()),
        absence=draw(st.booleans()),
        talker_days=draw(st.integers(1, 30)),
        clients=draw(st.sampled_from(["first", "all"])),
        prefer=draw(st.sampled_from([(), ("company",), ("lead", "contact")])),
    )


def entries(own_order: bool) -> st.SearchStrategy[dict[str, Entry]]:
    entry = st.builds(
        Entry, st.just(""), order if own_order else st.just(()), st.booleans() if own_order else st.just(False)
    )
    listed = st.dictionaries(st.sampled_from(KEYS), entry, max_size=1)
    return listed.map(lambda d: {whom: dataclasses.replace(entry, whom=whom) for whom, entry in d.items()})


rules = st.builds(
    Rules, policies(), st.dictionaries(st.just(DID), policies(), max_size=1), entries(True), entries(False)
)


@st.composite
def firms(draw: st.DrawFn) -> Firm:
    people = [Employee(n, f"U{n}", draw(st.booleans()), draw(extension)) for n in USERS if draw(st.integers(0, 5))]
    mapped = draw(st.dictionaries(extension.filter(bool), user, max_size=2))
    directory = Directory.of(people, mapped, synced=True)
    stand_in = st.dictionaries(somebody, somebody, max_size=8)  # circles and all
    return Firm(directory, draw(stand_in), draw(stand_in), draw(st.sets(user)))


@st.composite
def entities(draw: st.DrawFn) -> list[dict[str, Any]] | None:
    if not draw(st.integers(0, 9)):
        return None
    found = []
    for kind, number in (("CONTACT", 1), ("LEAD", 3), ("COMPANY", 2)):
        if draw(st.booleans()):
            person = {"user_id": draw(somebody), "extension": draw(extension), "workday": draw(workday)}
            found.append(
                {"type": kind, "id": number, "name": kind, "responsible": draw(st.sampled_from([person, None]))}
            )
    return found


@st.composite
def knowledge(draw: st.DrawFn) -> Known:
    deals = st.none() | st.lists(somebody.map(lambda n: {"id": n, "user_id": n}), max_size=3)
    talks = st.none() | st.builds(Talk, somebody, st.floats(0, 60).map(lambda days: THURSDAY - days * 86400))
    said = draw(st.dictionaries(user, workday, max_size=4))
    return Known(
        NUMBER, DID, THURSDAY, draw(entities()), draw(deals), draw(talks), draw(st.none() | somebody),
        workday=lambda user_id: said.get(user_id, ""),
    )  # fmt: skip


phones = st.dictionaries(extension.filter(bool), state).map(Phones)


@settings(deadline=None, max_examples=120)
@given(known=knowledge(), firm=firms(), rules=rules, phones=phones)
def test_it_ends_in_an_employees_extension_or_in_the_normal_route(
    known: Known, firm: Firm, rules: Rules, phones: Phones
) -> None:
    route = decide(known, firm, rules, phones)
    last = route.steps[-1]
    if route.extension:
        assert last == {"code": "ring", "extension": route.extension, "seconds": rules.policy(DID).seconds}
        tried = [step for step in route.steps if step["code"] in ("try", "next")][-1]
        assert tried["extension"] == route.extension
        assert tried["user_id"] is None or firm.is_active(tried["user_id"])  # never dismissed, never unknown
        assert tried["user_id"] is not None or tried["role"] == "ext"
    else:
        assert last == {"code": "normal"}
        assert len(route.steps) > 1 or not rules.policy(DID).order


@settings(deadline=None, max_examples=80)
@given(known=knowledge(), firm=firms(), rules=rules, phones=phones)
def test_nobody_is_looked_at_for_ever_and_nothing_rings_twice(
    known: Known, firm: Firm, rules: Rules, phones: Phones
) -> None:
    route = decide(known, firm, rules, phones)
    assert len(route.steps) < 200
    by_role: dict[str, list[Any]] = {}
    for told in route.steps:
        if told["code"] == "try" and told["role"] in ("deputy", "head"):
            by_role.setdefault(told["role"], []).append(told["user_id"])
    assert all(len(users) == len(set(users)) for users in by_role.values())


@settings(deadline=None, max_examples=80)
@given(known=knowledge(), firm=firms(), rules=rules, phones=phones)
def test_the_same_facts_give_the_same_route_and_it_can_be_kept_and_said(
    known: Known, firm: Firm, rules: Rules, phones: Phones
) -> None:
    route = decide(known, firm, rules, phones)
    assert route == decide(known, firm, rules, phones)
    assert json.loads(json.dumps(route.steps)) == list(route.steps)
    for language in LANGUAGES:
        said = say(route.steps, language)
        assert said.count(" → ") == len(route.steps) - 1
        assert "{" not in said


people = st.lists(
    st.builds(
        Employee, user, st.just("U"), st.booleans(), extension, departments=st.lists(user, max_size=3).map(tuple)
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=150)
@given(
    people=people,
    tree=st.lists(st.builds(Department, user, st.none() | user, st.none() | somebody), max_size=8),
    heads=st.dictionaries(user, somebody),
    deputies=st.lists(st.builds(Deputy, user, somebody), max_size=8),
    away=st.sets(user),
    order=st.permutations(["responsible", "deputy", "head", "line"]),
    responsible=somebody,
)
def test_departments_and_deputies_in_a_circle_end(
    people: list[Employee],
    tree: list[Department],
    heads: dict[int, int],
    deputies: list[Deputy],
    away: set[int],
    order: list[str],
    responsible: int,
) -> None:
    structure = Structure(tuple(tree), heads, tuple(deputies), tuple(Absence(user_id) for user_id in away))
    directory = Directory.of(people, {}, synced=True, structure=structure)
    client = {"type": "CONTACT", "id": 1, "name": "", "responsible": {"user_id": responsible, "extension": ""}}
    told = {"order": " ".join(order), "absence": "on"}
    route = decide(
        Known(NUMBER, DID, THURSDAY, [client], line_user=1), directory, Rules(policy.with_rules(Policy(), told))
    )
    assert len(route.steps) < 60
    last_tried = [told["user_id"] for told in route.steps if told["code"] in ("try", "next")][-1:]
    if route.extension:
        assert directory.is_active(last_tried[0])
        assert last_tried[0] not in away


# A rule without effect, and the step that must be told where the rule decided.
_NEUTRAL: dict[str, tuple[dict[str, Any], str]] = {
    "on": ({"on": True}, "off"),
    "hours": ({"hours": ()}, "closed"),
    "holidays": ({"holidays": ()}, "holiday"),
    "workday": ({"workday": False}, "workday"),
    "absence": ({"absence": False}, "absent"),
    "device": ({"device": ()}, "device"),
}


@settings(deadline=None, max_examples=250)
@given(known=knowledge(), firm=firms(), rules=rules, phones=phones, name=st.sampled_from([*_NEUTRAL, "vip", "black"]))
def test_a_rule_without_which_the_call_would_go_elsewhere_is_named(
    known: Known, firm: Firm, rules: Rules, phones: Phones, name: str
) -> None:
    route = decide(known, firm, rules, phones)
    if name in ("vip", "black"):
        without, code = dataclasses.replace(rules, **{name: {}}), name
    else:
        change, code = _NEUTRAL[name]
        changed = dataclasses.replace(rules.policy(DID), **change)
        without = dataclasses.replace(rules, by_did={DID: changed})
    if decide(known, firm, without, phones).extension != route.extension:
        assert code in [told["code"] for told in route.steps]


# What must be asked at all before these rules can make a difference.
_REACHED: dict[str, dict[str, Any]] = {
    "prefer": {"order": ("responsible",)},
    "clients": {"order": ("responsible",)},
    "talker_days": {"order": ("talker",)},
    "timezone": {"hours": policy.parse("hours", ["mon-fri 09:00-18:00"])},
}
_IN_FORCE: dict[str, Any] = {"on": True, "hours": (), "holidays": ()}


@pytest.mark.parametrize("name", list(RULES))
@settings(deadline=None, max_examples=60)
@given(
    known=knowledge(), firm=firms(), one=policies(), other=policies(), phones=phones, vip=entries(True),
    whose=st.sampled_from([DID, ""]),
)  # fmt: skip
def test_whoever_set_the_rule_that_made_the_difference_is_named(
    known: Known, firm: Firm, one: Policy, other: Policy, phones: Phones, vip: dict[str, Entry], whose: str, name: str
) -> None:
    if name in _REACHED:
        one = dataclasses.replace(one, **_IN_FORCE | _REACHED[name])
    if name == "timezone":
        other = dataclasses.replace(other, timezone="Pacific/Kiritimati")

    def decided(value: Policy) -> Route:
        mine = {"by_did": {DID: value}} if whose else {"default": value}
        return decide(known, firm, Rules(vip=vip, own={whose: {*RULES}}, **mine), phones)

    route, elsewhere = decided(one), decided(dataclasses.replace(one, **{name: getattr(other, name)}))
    differs = route.extension != elsewhere.extension or (route.extension and route.seconds != elsewhere.seconds)
    for made in (route, elsewhere) if differs else ():
        assert made.steps[-1]["rules"][name] == whose
        assert name in say(made.steps, "en").rpartition("(")[2]


@settings(deadline=None, max_examples=80)
@given(known=knowledge(), firm=firms())
def test_without_rules_it_is_the_contract(known: Known, firm: Firm) -> None:
    expected = ""
    for entity in known.entities or ():
        person = entity["responsible"]
        if person and firm.is_active(person["user_id"]):
            extension = firm.directory.extension_of(person["user_id"], person["extension"])
            if extension:
                on_duty = person["workday"] in ("OPENED", "UNAVAILABLE", "NOT_INSTALLED", "")
                expected = extension if on_duty else ""
                break
    assert decide(known, firm).extension == expected


@settings(deadline=None, max_examples=80)
@given(value=policies())
def test_what_a_rule_says_sets_it_again(value: Policy) -> None:
    told = {name: policy.text(name, getattr(value, name)) for name in RULES}
    again = policy.with_rules(Policy(), told)
    assert {name: policy.text(name, getattr(again, name)) for name in RULES} == told
    assert again.order == value.order


@settings(deadline=None, max_examples=120)
@given(name=st.sampled_from([*RULES, "nonsense"]), words=st.lists(st.text(max_size=20), max_size=4))
def test_a_wrong_rule_is_refused_with_a_sentence_that_names_it(name: str, words: list[str]) -> None:
    told = _parsed(name, words)
    if isinstance(told, policy.WrongRuleError):
        assert name in str(told)
    else:
        again = policy.text(name, told)
        assert policy.text(name, policy.parse(name, [again])) == again


def _parsed(name: str, words: list[str]) -> Any:
    try:
        return policy.parse(name, words)
    except policy.WrongRuleError as error:
        return error
