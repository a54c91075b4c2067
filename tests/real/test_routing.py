"""The routing table: each rule by a real call on a real Asterisk. Who rang, for how long, what `calls show` says of it,
and how long after the call came in the first phone rang.

Every case has a line, a client and three phones of its own, so ten are played at once; `-s` prints the table.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from itgrix_bx.calls import policy
from itgrix_bx.calls.directory import Period
from itgrix_bx.calls.lines import Line
from itgrix_bx.calls.policy import BLACK, VIP, Entry
from itgrix_bx.cli import main
from sql import Database, LineRules, Staff
from sql.routing import Routing
from tests.real.office import Office, ended, office
from tests.real.sip import Agent, Call, answers, only_rings
from tests.real.site import ONE, RESPONSIBLE, client, did, extension, user

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

RING_S = 3
_AT_ONCE = 10
_DEADLINE_S = 1.5 + 0.1  # [inbound] deadline, and what the contract adds
_SPARE_S = 0.6  # what a loaded test machine may add
_DAY = timedelta(days=1)

Before = Callable[[Office, int], Coroutine[Any, Any, None]]
Prepare = Callable[[Office, Routing, int], None]


@dataclass(frozen=True)
class Case:
    """`rang`: the phone (1 to 3) that is rung first and alone, 0 for the normal route, which rings 2 and 3 together;
    `says`: what must be in `calls show`. `before` is played first, `prepare` done before Asterisk hears of the call."""

    n: int
    rang: int
    says: str
    rules: dict[str, str] = field(default_factory=dict)
    prepare: Prepare | None = None
    before: Before | None = None
    phones: tuple[int, ...] = (1, 2, 3)


@dataclass
class Played:
    """What the phones saw: {phone: (rang at, stopped at)} of each one's first ring; seconds, the call came at 0."""

    rings: dict[int, tuple[float, float]]
    began: float


# --- what happens before -----------------------------------------------------------------------------


async def talks_on_another_call(where: Office, n: int) -> None:
    where.policies[extension(n, 1)] = answers(0.1)
    other = await where.call_in(n, ONE, user=f"8999555{n:04}")
    await asyncio.wait_for(other.answered.wait(), 20)
    where.policies[extension(n, 1)] = only_rings()
    await asyncio.sleep(0.5)


async def is_rung_by_another_call(where: Office, n: int) -> None:
    other = await where.call_in(n, ONE, user=f"8999555{n:04}")
    await asyncio.wait_for(other.ringing.wait(), 20)
    await asyncio.sleep(0.5)


async def does_not_want_to_be_disturbed(where: Office, n: int) -> None:
    where.asterisk.cli(f"devstate change Custom:DND{extension(n, 1)} BUSY")
    await asyncio.sleep(0.5)


async def talked_to_the_third(where: Office, n: int) -> None:
    where.policies[extension(n, 3)] = answers(0.3)
    call = await where.call_in(n, RESPONSIBLE)  # the responsible does not answer, the normal route rings the others
    await asyncio.wait_for(call.answered.wait(), 30)
    await asyncio.sleep(1)
    await call.hang_up()
    where.policies[extension(n, 3)] = only_rings()
    await asyncio.sleep(3)  # the journal is looked at every second


async def everybody_else_is_away(where: Office, n: int) -> None:
    where.asterisk.cli(f"devstate change Custom:DND{extension(n, 2)} BUSY")
    await asyncio.sleep(0.5)


async def the_rule_changes_while_a_call_runs(where: Office, n: int) -> None:
    await is_rung_by_another_call(where, n)
    words = ("routing", "set", "order", f"user:{user(n, 2)}", "--did", did(RESPONSIBLE, n))
    await asyncio.to_thread(where.program.run, *words)
    await asyncio.sleep(0.5)  # the service looks for new rules five times a second


def workday_over(where: Office, _: Routing, n: int) -> None:
    one = {"id": user(n, 1), "name": "Manager", "extension": extension(n, 1), "workday": "CLOSED"}
    where.portal.seed({"users": [one]})


def deputy_is_the_second(where: Office, rules: Routing, n: int) -> None:
    workday_over(where, rules, n)
    Staff(rules.database).set_deputy(user(n, 1), user(n, 2))


def absent_and_the_head_is_the_third(_: Office, rules: Routing, n: int) -> None:
    Staff(rules.database).add_absence(user(n, 1), Period(time.time() - 60, time.time() + 3600))
    Staff(rules.database).set_head(user(n, 1), user(n, 3))


def deal_of_the_second(where: Office, _: Routing, n: int) -> None:
    where.portal.seed({"deals": [{"id": 900 + n, "name": "Deal", "contact": 5000 + n, "responsible": user(n, 2)}]})


def also_a_company_of_the_second(where: Office, _: Routing, n: int) -> None:
    where.portal.seed({
        "companies": [{"id": 6000 + n, "name": "Firm", "phones": [client(n)], "responsible": user(n, 2)}]
    })  # fmt: skip


def default_user_is_the_third(where: Office, rules: Routing, n: int) -> None:
    workday_over(where, rules, n)
    LineRules(rules.database).set(Line(did(RESPONSIBLE, n), default_user=user(n, 3)))


def vip(*order: int, off_duty: bool = False) -> Prepare:
    def prepare(where: Office, rules: Routing, n: int) -> None:
        if off_duty:
            workday_over(where, rules, n)
        rules.put(VIP, Entry(client(n), tuple(f"ext:{extension(n, which)}" for which in order), off_duty))

    return prepare


def black(_: Office, rules: Routing, n: int) -> None:
    rules.put(BLACK, Entry(f"contact:{5000 + n}"))


# --- the table ---------------------------------------------------------------------------------------

_TODAY = datetime.now(UTC)
_DATES = f"{_TODAY - _DAY:%Y-%m-%d}..{_TODAY + _DAY:%Y-%m-%d}"
_FREE = {"device": "free", "order": "responsible user:2"}

CASES = {
    "no rule": Case(20, 1, "responsible, ext. {1} → ring"),
    "unregistered": Case(21, 2, "phone not reachable → user, ext. {2} → free → ring", _FREE, phones=(2, 3)),
    "busy": Case(22, 2, "busy → user, ext. {2}", _FREE, before=talks_on_another_call),
    "DND": Case(23, 2, "do not disturb → user, ext. {2}", _FREE, before=does_not_want_to_be_disturbed),
    "ringing elsewhere": Case(24, 2, "rung by another call → user, ext. {2}", _FREE, before=is_rung_by_another_call),
    "workday closed": Case(25, 0, "ext. {1} → workday ended → the normal route", prepare=workday_over),
    "deputy": Case(
        35, 2, "workday ended → deputy, ext. {2} → ring", {"order": "responsible deputy"}, deputy_is_the_second
    ),
    "head of the absent": Case(
        36, 3, " → no deputy → head, ext. {3} → ring",
        {"order": "responsible deputy head", "absence": "on"}, absent_and_the_head_is_the_third,
    ),
    "holiday": Case(26, 0, "holiday", {"holidays": _DATES, "timezone": "UTC"}),
    "out of hours": Case(27, 0, "outside the line's hours", {"hours": f"{(_TODAY + 3 * _DAY):%a} 10:00-11:00".lower()}),
    "last talker": Case(28, 3, "last talker", {"order": "talker responsible"}, before=talked_to_the_third),
    "open deal": Case(29, 2, "deal 929, ext. {2}", {"order": "deal responsible"}, deal_of_the_second),
    "VIP": Case(30, 3, "VIP ({client}) → contact 5030 → named extension, ext. {3}", prepare=vip(3)),
    "VIP off duty": Case(31, 1, "rung off duty too", prepare=vip(off_duty=True)),
    "black list": Case(32, 0, "on the black list (contact:5032) → the normal route", prepare=black),
    "off": Case(33, 0, "routing is off", {"on": "off"}),
    "client preferred": Case(
        37, 2, "company 6037 (preferred) → responsible, ext. {2} → ring", {"prefer": "company"},
        also_a_company_of_the_second,
    ),
    "next client": Case(
        39, 2, "phone not reachable → company 6039 → responsible, ext. {2} → free → ring",
        {"clients": "all", "device": "free"}, also_a_company_of_the_second, phones=(2, 3),
    ),
    "line's default user": Case(
        40, 3, "workday ended → line's default user, ext. {3} → ring", {"order": "responsible line"},
        default_user_is_the_third,
    ),
    "rule changed meanwhile": Case(
        41, 2, "contact 5041 → user, ext. {2} → ring", {"order": "responsible"},
        before=the_rule_changes_while_a_call_runs,
    ),
    "fallback": Case(
        34, 3, "phone not reachable → user, ext. {2} → do not disturb → named extension, ext. {3} → free",
        {"device": "free", "order": "responsible user:2 ext:3"}, before=everybody_else_is_away, phones=(2, 3),
    ),
}  # fmt: skip


def words_of(case: Case, words: str) -> str:
    """user:2 and ext:3 are the case's own."""
    named = re.sub(r"user:(\d)", lambda m: f"user:{user(case.n, int(m[1]))}", words)
    return re.sub(r"ext:(\d)", lambda m: f"ext:{extension(case.n, int(m[1]))}", named)


def set_rules(where: Office, rules: Routing) -> None:
    for case in CASES.values():
        for name, words in ({"seconds": str(RING_S)} | case.rules).items():
            said = words_of(case, words)
            policy.parse(name, [said])
            rules.set(did(RESPONSIBLE, case.n), name, said)
        if case.prepare is not None:
            case.prepare(where, rules, case.n)


async def play(where: Office, case: Case) -> Played:
    phones = {which: await where.phone(extension(case.n, which), only_rings()) for which in case.phones}
    await asyncio.sleep(1)  # the manager hears of the registrations
    if case.before is not None:
        await case.before(where, case.n)
    seen = {which: len(phone.calls) for which, phone in phones.items()}
    began = time.time()
    call = await where.call_in(case.n, RESPONSIBLE)
    end = time.monotonic() + 30
    while not _seen_enough(case, rings := _rings(phones, seen)):
        assert time.monotonic() < end, f"only {sorted(rings)} rang"
        await asyncio.sleep(0.05)
    await call.hang_up()
    await ended(*(one for one in rings.values() if not one.ended.is_set()), within=20)
    return Played({w: (one.at["started"] - began, one.at["ended"] - began) for w, one in rings.items()}, began)


def _rings(phones: dict[int, Agent], seen: dict[int, int]) -> dict[int, Call]:
    new = {which: list(phone.calls.values())[seen[which] :] for which, phone in phones.items()}
    return {which: calls[0] for which, calls in new.items() if calls}


def _seen_enough(case: Case, rings: dict[int, Call]) -> bool:
    """The first phone has stopped ringing, or the normal route has begun."""
    return rings[case.rang].ended.is_set() if case.rang in rings else {2, 3} <= set(rings) and not case.rang


async def play_all(where: Office) -> dict[str, Played]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(case: Case) -> Played:
        async with places:
            return await play(where, case)

    async with where.people():
        found = await asyncio.gather(*(one(case) for case in CASES.values()))
    return dict(zip(CASES, found, strict=True))


@dataclass
class Day:
    office: Office
    played: dict[str, Played]
    shown: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    directory: Path = tmp_path_factory.mktemp("routing")
    with office(directory) as where:
        database = Database(f"sqlite:///{directory}/journal.db")
        set_rules(where, Routing(database))
        database.close()
        time.sleep(3)  # the service looks for what has changed five times a second
        played = asyncio.run(play_all(where))
        yield Day(where, played, {name: _show(where, case) for name, case in CASES.items()})


def _show(where: Office, case: Case) -> dict[str, Any]:
    (newest,) = _calls(where, "list", "--limit", "1", "--number", client(case.n))
    shown = _calls(where, "show", newest["id"])
    assert isinstance(shown, dict)
    return shown


def _calls(where: Office, *args: str) -> Any:
    language = ["--lang", "en"] if args[0] == "show" else []
    done = CliRunner().invoke(main, ["--config", str(where.program.config), "calls", *args, "--json", *language])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", list(CASES))
def test_who_rings_for_how_long_and_why(day: Day, name: str) -> None:
    case, played, shown = CASES[name], day.played[name], day.shown[name]
    first = min(played.rings, key=lambda which: played.rings[which][0])
    told = f"{played.rings} {shown['route']}"
    rang_at, stopped_at = played.rings[first]
    if case.rang:
        assert first == case.rang, told
        assert abs(stopped_at - rang_at - RING_S) < 1.0, told
        assert all(at >= stopped_at - 0.5 for which, (at, _) in played.rings.items() if which != first), told
        assert f"ring {RING_S} s, then the normal route" in shown["route"]
    else:
        assert set(played.rings) == {2, 3}, told
        assert "the normal route" in shown["route"]
    extensions = {str(which): extension(case.n, which) for which in (1, 2, 3)}
    says = case.says.replace("{client}", client(case.n))
    for which, number in extensions.items():
        says = says.replace(f"{{{which}}}", number)
    assert says in shown["route"], told
    if case.rang or case.rules:
        assert f" (line {did(RESPONSIBLE, case.n)}: " in shown["route"], told
    assert rang_at < _DEADLINE_S + _SPARE_S, told


def test_the_table(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    began = {name: _waited(day.office, case) for name, case in CASES.items()}
    with capsys.disabled():
        print(f"\n{'case':22} {'rang':6} {'for':>6} {'first ring':>10} {'hook':>7}  why")
        for name, case in CASES.items():
            rings = day.played[name].rings
            first = min(rings, key=lambda which: rings[which][0])
            who = extension(case.n, first) if case.rang else "normal"
            lasted = f"{rings[first][1] - rings[first][0]:.1f} s" if case.rang else "—"
            print(
                f"{name:22} {who:6} {lasted:>6} {rings[first][0] * 1000:7.0f} ms {began[name] * 1000:4.0f} ms  "
                f"{day.shown[name]['route']}"
            )
    assert max(began.values()) < _DEADLINE_S


def _waited(where: Office, case: Case) -> float:
    """Seconds from a call's first step in the dialplan to the one after the `inbound` hook, by Asterisk's log."""
    log = where.asterisk.log.read_text(errors="replace")
    number = did(RESPONSIBLE, case.n)
    step = rf"^\[([\d.]+)\].*Executing \[{number}@from-trunk:%d\]"
    return float(re.findall(step % 2, log, re.M)[-1]) - float(re.findall(step % 1, log, re.M)[-1])
