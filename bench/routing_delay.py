"""What a policy adds before the first ring: `python -m bench.routing_delay`.

The `inbound` hook from connect to close, as Asterisk sees it, less one round trip of the portal: a bare client sends
the same commands just before each hook, to the same double. The policies take turns in one run, each on a line of its
own; every caller is a client the CRM knows and we have not met. Goal: at most 50 ms (median), whatever the policy.
There is no manager here: of a phone nothing is known, which is looked up like anything that is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import requests

from bench.office import DEFAULT_USER, Office
from bench.portal import Portal
from bench.product import UNLIMITED, Product
from bench.report import Table, command, seconds
from itgrix_bx.calls import policy
from itgrix_bx.calls.directory import Period
from itgrix_bx.calls.policy import BLACK, VIP, Entry
from itgrix_bx.emulator.asterisk import AgiCall
from itgrix_bx.emulator.portal.latency import MODELS
from sql import Database, Staff
from sql.routing import Routing

GOAL_S = 0.050
_EMPLOYEES = 5
_NOTICED_S = 3.0  # the product looks for new rules and deputies five times a second
_HEAD = ("policy", "calls", "round trip", "hook", "added p50", "p95", "rung…")
_EXTERNAL = "telephony.externalCall."
_DEALS = {
    "entityTypeId": "2", "filter[closed]": "N", "filter[0][logic]": "OR", "start": "-1", "order[id]": "DESC",
    "filter[0][0][contactId]": "$result[search][0][CRM_ENTITY_ID]",
    "filter[0][1][companyId]": "$result[search][0][CRM_ENTITY_ID]",
}  # fmt: skip

Prepare = Callable[[Routing, Staff, str], None]


def _nothing(_rules: Routing, _staff: Staff, _number: str) -> None:
    """No list, nobody away."""


def _away_with_a_deputy(rules: Routing, staff: Staff, number: str) -> None:
    del rules, number
    staff.add_absence(11, Period())
    staff.set_deputy(11, 12)


def _vip(rules: Routing, _staff: Staff, number: str) -> None:
    rules.put(VIP, Entry(number, ("ext:103",)))


def _black(rules: Routing, _staff: Staff, number: str) -> None:
    rules.put(BLACK, Entry(number))


@dataclass(frozen=True)
class Policy:
    """Rules in words, and what else is said of its callers (lists) or of everybody (absences)."""

    title: str
    rules: Mapping[str, str] = field(default_factory=dict)
    prepare: Prepare = _nothing

    @property
    def asks_deals(self) -> bool:
        return "deal" in self.rules.get("order", "")


_ALL: Final = {
    "order": "talker deal responsible deputy head line user:12 ext:103", "device": "free", "absence": "on",
    "hours": "mon-sun 00:00-24:00", "timezone": "Europe/Moscow", "holidays": "2001-01-01", "clients": "all",
    "prefer": "company contact",
}  # fmt: skip
POLICIES: Final = (
    Policy("no rule"),
    Policy("off", {"on": "off"}),
    Policy("phones that are free", {"device": "free"}),
    Policy("hours, in", {"hours": "mon-sun 00:00-24:00"}),
    Policy("holiday", {"holidays": "2000-01-01..2999-12-31"}),
    Policy("absent, deputy", {"absence": "on", "order": "responsible deputy head"}, _away_with_a_deputy),
    Policy("last talker", {"order": "talker responsible"}),
    Policy("open deal", {"order": "deal responsible"}),
    Policy("VIP", {}, _vip),
    Policy("black list", {}, _black),
    Policy("all rules", _ALL),
)


@dataclass(frozen=True)
class Measured:
    """One call: seconds of the bare round trip before it and of the hook, and who was to be rung."""

    trip_s: float
    hook_s: float
    extension: str


def did(n: int) -> str:
    """The line of policy n."""
    return f"7495000{n:04}"


def set_up(database: Database, office: Office) -> None:
    """Every policy on its line, its callers on its lists."""
    rules, staff = Routing(database), Staff(database)
    for n, each in enumerate(POLICIES):
        for name, words in each.rules.items():
            policy.parse(name, [words])
            rules.set(did(n), name, words)
        for client in _clients_of(n, office):
            each.prepare(rules, staff, client)


def _clients_of(n: int, office: Office) -> Iterator[str]:
    """The callers of policy n, of all employees'; as many again are the bare client's."""
    for index in range(n, office.clients, 2 * len(POLICIES)):
        yield office.client(index).number


def bare(http: requests.Session, webhook: str, number: str, mark: str, *, deals: bool) -> float:
    """Seconds of one request with the commands of the hook."""
    commands = {
        "search": f"{_EXTERNAL}searchCrmEntities?{urlencode({'PHONE_NUMBER': number})}",
        "register": f"{_EXTERNAL}register?" + urlencode({
            "USER_ID": DEFAULT_USER, "PHONE_NUMBER": number, "TYPE": 2, "CRM_CREATE": 1, "SHOW": 0,
            "EXTERNAL_CALL_ID": mark,
        }),
        "show": f"{_EXTERNAL}show?CALL_ID=$result[register][CALL_ID]&USER_ID[]=$result[search][0][ASSIGNED_BY_ID]",
    }  # fmt: skip
    if deals:
        commands["deals"] = f"crm.item.list?{urlencode(_DEALS)}"
    began = time.perf_counter()
    answer = http.post(f"{webhook}batch", json={"halt": 1, "cmd": commands}, timeout=30)
    took = time.perf_counter() - began
    answer.raise_for_status()
    refused = answer.json()["result"]["result_error"]
    if refused:
        raise RuntimeError(f"the double refused: {refused}")
    return took


def hook(product: Product, call_id: str, line: str, number: str) -> tuple[float, str]:
    """Seconds of the hook, and whom it wants rung. Raises RuntimeError when it was not answered whole."""
    env = {"agi_uniqueid": call_id, "agi_callerid": number, "agi_channel": "PJSIP/x-1"}
    call = AgiCall(product.address, "inbound", [call_id, line], env=env, variables={"CHANNEL(linkedid)": call_id})
    began = time.perf_counter()
    told = call.run()
    took = time.perf_counter() - began
    if (told.get("B24_RC"), told.get("B24_STATE")) != ("ok", "registered"):
        raise RuntimeError(f"call {call_id} was answered {told}")
    return took, told["B24_ROUTE"]


def play(product: Product, portal: Portal, office: Office, rounds: int) -> list[list[Measured]]:
    """By policy, its calls."""
    found: list[list[Measured]] = [[] for _ in POLICIES]
    with requests.Session() as http:
        http.trust_env = False
        for turn in range(rounds):
            for n, each in enumerate(POLICIES):
                mine = 2 * len(POLICIES) * turn + n
                other, number = office.client(mine + len(POLICIES)).number, office.client(mine).number
                trip_s = bare(http, portal.webhook, other, f"bare.{mine}", deals=each.asks_deals)
                found[n].append(Measured(trip_s, *hook(product, f"1800000000.{mine}", did(n), number)))
    return found


def _row(title: str, calls: Sequence[Measured]) -> tuple[list[str], float]:
    """The line of a policy, and the median of what it added."""
    trip_s, hook_s = (statistics.median(times) for times in zip(*((c.trip_s, c.hook_s) for c in calls), strict=True))
    added = sorted(call.hook_s - call.trip_s for call in calls)
    median, p95 = statistics.median(added), added[int(0.95 * (len(added) - 1))]
    rung = ", ".join(sorted({call.extension or "normal route" for call in calls}))
    times = [seconds(trip_s), seconds(hook_s), f"{median * 1000:.1f} ms", f"{p95 * 1000:.1f} ms"]
    return [title, str(len(calls)), *times, rung], median


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.routing_delay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, help="calls of each policy")
    parser.add_argument("--latency", choices=list(MODELS), default="quick", help="quick: 40 ms network, search 60 ms")
    given = parser.parse_args()
    print(command("bench.routing_delay") + "\n")
    office = Office(_EMPLOYEES, 2 * len(POLICIES) * given.rounds)
    with Portal(given.latency) as portal, tempfile.TemporaryDirectory(prefix="itgrix-bx-bench-") as directory:
        portal.reset(office.seed() | {"settings": {"rate_per_s": 0.0}})
        with Product(Path(directory), portal.webhook, {"portal": UNLIMITED}) as product:
            database = Database(f"sqlite:///{directory}/journal.db")
            set_up(database, office)
            database.close()
            time.sleep(_NOTICED_S)
            measured = play(product, portal, office, given.rounds)
    table = Table(_HEAD, first=22)
    worst_s = 0.0
    for each, calls in zip(POLICIES, measured, strict=True):
        row, median_s = _row(each.title, calls)
        table.row(row)
        worst_s = max(worst_s, median_s)
    verdict = "reached" if worst_s <= GOAL_S else "missed"
    print(f"\nthe goal of {GOAL_S * 1000:.0f} ms is {verdict}: {worst_s * 1000:.1f} ms (median) at most")


if __name__ == "__main__":
    main()
