"""Whom to try first."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from itgrix_bx.calls.directory import Absence, Directory, Employee, Period
from itgrix_bx.calls.policy import Entry, Policy, Rules, WrongRuleError, parse, text, with_rules
from itgrix_bx.calls.routing import Known, Route, Talk, decide
from itgrix_bx.words.routing import say
from tests.calls.conftest import ADMIN, ANNA, BORIS, GONE, VERA, contact, people

NUMBER, DID = "+79161234567", "74950000001"
THURSDAY = datetime(2026, 11, 26, 12, 0, tzinfo=UTC).timestamp()
DAY = 86400.0


@dataclass
class Firm:
    """Who stands for whom, and who is away: what the directory tells beside extensions."""

    directory: Directory = field(default_factory=people)
    heads: dict[int, int] = field(default_factory=dict)
    deputies: dict[int, int] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)
    until: float | None = None
    lacks: set[str] = field(default_factory=set)  # what the portal did not tell

    @property
    def employees(self) -> Mapping[int, Any]:
        return self.directory.employees

    @property
    def mapped(self) -> Mapping[str, int]:
        return self.directory.mapped

    def user_of(self, extension: str) -> int | None:
        return self.directory.user_of(extension)

    def holder_of(self, extension: str) -> int | None:
        return self.directory.holder_of(extension)

    def is_active(self, user_id: int) -> bool:
        return self.directory.is_active(user_id)

    def rung_on(self, user_id: int, said_by_portal: str = "") -> tuple[str, ...]:
        return self.directory.rung_on(user_id, said_by_portal)

    def head_of(self, user_id: int) -> int | None:
        return self.heads.get(user_id)

    def deputy_of(self, user_id: int, at: float | None = None) -> int | None:
        assert at is not None
        return self.deputies.get(user_id)

    def untold(self, what: str) -> bool:
        return self.directory.untold(what) or what in self.lacks

    def absence(self, user_id: int, at: float) -> Absence | None:
        assert at > 0
        return Absence(user_id, Period(until=self.until)) if user_id in self.away else None


class Phones(dict[str, str]):
    def state(self, extension: str) -> str:
        return self.get(extension, "unknown")


def set_rules(**words: str) -> Rules:
    return Rules(with_rules(Policy(), words))


def known(*entities: dict[str, Any], **more: Any) -> Known:
    return Known(**({"number": NUMBER, "did": DID, "at": THURSDAY, "entities": list(entities)} | more))


def codes(route: Route) -> list[str]:
    return [str(step["code"]) for step in route.steps]


# --- without any rule: the contract ----------------------------------------------------------------


def test_the_responsible_of_a_known_client_is_rung() -> None:
    route = decide(known(contact()), people())
    assert (route.extension, route.client_name, route.seconds) == ("101", "Иван Клиентов", 15)


@pytest.mark.parametrize("workday", ["CLOSED", "PAUSED", "EXPIRED"])
def test_who_is_off_duty_is_not_tried_but_the_client_is_named(workday: str) -> None:
    route = decide(known(contact(workday=workday), contact(BORIS, "102")), people())
    assert (route.extension, route.client_name) == ("", "Иван Клиентов")
    assert codes(route) == ["client", "try", "workday", "normal"]
    assert route.steps[2]["workday"] == workday


@pytest.mark.parametrize("workday", ["OPENED", "UNAVAILABLE", "NOT_INSTALLED", ""])
def test_a_portal_without_time_tracking_says_nothing_against_ringing(workday: str) -> None:
    assert decide(known(contact(workday=workday)), people()).extension == "101"


def test_a_dismissed_responsible_is_passed_over_for_the_next_entity() -> None:
    route = decide(
        known(contact(GONE, "104"), contact(BORIS, "102", name="ООО Ромашка", type="COMPANY", id=3)), people()
    )
    assert (route.extension, route.client_name) == ("102", "ООО Ромашка")
    assert say(route.steps, "en") == (
        "contact 7 → responsible, ext. 104 → dismissed → company 3 → responsible, ext. 102 "
        "→ ring 15 s, then the normal route"
    )


def test_a_responsible_without_an_extension_is_passed_over() -> None:
    assert decide(known(contact(1, ""), contact(BORIS, "102")), people()).extension == "102"


def test_a_responsible_whose_extension_was_mapped_to_another_is_not_rung_on_it() -> None:
    two = Directory.of([Employee(ANNA, "", True, "101"), Employee(BORIS, "", True, "102")], {"102": ANNA}, synced=True)
    route = decide(known(contact(BORIS, "102")), two)
    assert say(route.steps, "en") == (
        f"contact 7 → responsible (user {BORIS}) → has no extension: 102 is user {ANNA}'s → the normal route"
    )


def test_without_any_usable_responsible_the_first_entity_names_the_call() -> None:
    route = decide(known(contact(GONE, "104", name="First"), contact(None, name="Second")), people())
    assert (route.extension, route.client_name) == ("", "First")


def test_a_responsible_the_portals_list_does_not_have_is_not_tried() -> None:
    route = decide(known(contact(77, "777")), people())
    assert route.extension == ""
    assert "unknown" in codes(route)


def test_before_the_first_list_of_users_the_portals_word_is_taken() -> None:
    assert decide(known(contact(77, "777")), Directory()).extension == "777"


def test_the_administrators_map_beats_the_portals_inner_number() -> None:
    directory = Directory.of([Employee(BORIS, "Борис", True, "102")], {"2020": BORIS}, synced=True)
    assert decide(known(contact(BORIS, "102")), directory).extension == "2020"


def test_nothing_found_and_nothing_heard_are_told_apart() -> None:
    nothing, silence = decide(known(), people()), decide(known(entities=None), people())
    assert (codes(nothing), codes(silence)) == (["stranger", "normal"], ["not_heard", "normal"])
    assert nothing.extension == silence.extension == ""


def test_phones_and_absences_say_nothing_as_long_as_no_rule_asks() -> None:
    firm = Firm(away={ANNA}, deputies={ANNA: BORIS})
    assert decide(known(contact()), firm, devices=Phones({"101": "busy"})).extension == "101"


# --- whose rules had a say ----------------------------------------------------------------------------


def lines_rules(line: str, general: dict[str, str] | None = None, **words: str) -> Rules:
    """`words` were set for one line, `general` for all."""
    default = with_rules(Policy(), general or {})
    return Rules(default, {line: with_rules(default, words)}, own={"": set(general or {}), line: set(words)})


@pytest.mark.parametrize(
    ("line", "en", "ru"),
    [
        (DID, f"(line {DID}: order, device; all lines: seconds)", f"(линия {DID}: order, device; все линии: seconds)"),
        (
            "trunk/mts",
            "(trunk mts: order, device; all lines: seconds)",
            "(транк mts: order, device; все линии: seconds)",
        ),
    ],
)
def test_it_says_whose_rules_had_a_say_the_lines_the_trunks_or_the_general_ones(line: str, en: str, ru: str) -> None:
    rules = lines_rules(line, {"seconds": "20", "talker_days": "7"}, order="responsible deputy", device="free")
    firm = Firm(deputies={ANNA: BORIS})
    route = decide(known(contact(), trunk="mts"), firm, rules, Phones({"101": "busy", "102": "free"}))
    assert say(route.steps, "en") == (
        f"contact 7 → responsible, ext. 101 → busy → deputy, ext. 102 → free → ring 20 s, then the normal route {en}"
    )
    assert say(route.steps, "ru").endswith(ru)
    assert route.steps[-1]["rules"] == {"order": line, "device": line, "seconds": ""}


_OFF_DUTY, _TWO = contact(workday="CLOSED"), (contact(), contact(BORIS, "102", type="COMPANY", id=8))
_BUSY = Phones({"101": "busy", "102": "free"})


@pytest.mark.parametrize(
    ("words", "entities", "rung"),
    [
        ({"on": "off"}, (contact(),), ""),
        ({"prefer": "company"}, _TWO, "102"),
        ({"clients": "all", "device": "free"}, _TWO, "102"),
        ({"absence": "on"}, (contact(),), ""),
        ({"workday": "off"}, (_OFF_DUTY,), "101"),
    ],
)
def test_the_rule_that_made_the_difference_is_named(words: dict[str, str], entities: Any, rung: str) -> None:
    firm = Firm(away={ANNA})
    route = decide(known(*entities), firm, lines_rules(DID, **words), _BUSY)
    assert route.extension == rung
    assert (
        route.extension
        != decide(known(*entities), firm, lines_rules(DID, device=words.get("device", "any")), _BUSY).extension
    )
    assert route.steps[-1]["rules"].items() >= dict.fromkeys(words, DID).items()


def test_usual_rules_are_nobodys_and_are_not_named() -> None:
    route = decide(known(contact()), people(), lines_rules("7495", order="deal"))
    assert say(route.steps, "en") == "contact 7 → responsible, ext. 101 → ring 15 s, then the normal route"
    assert "rules" not in route.steps[-1]


@pytest.mark.parametrize(
    ("at", "en", "ru"),
    [
        ("2026-11-26 19:05", "Thu 19:05 (ended 18:00)", "чт 19:05 (закончились в 18:00)"),
        ("2026-11-26 18:00", "Thu 18:00 (ended 18:00)", "чт 18:00 (закончились в 18:00)"),
        ("2026-11-26 12:30", "Thu 12:30 (ended 12:00)", "чт 12:30 (закончились в 12:00)"),
        ("2026-11-26 08:00", "Thu 08:00 (from 09:00)", "чт 08:00 (с 09:00)"),
        ("2026-11-29 12:00", "Sun 12:00 (from Mon 09:00)", "вс 12:00 (с пн 09:00)"),
        ("2026-11-28 07:00", "Sat 07:00 (ended 02:00)", "сб 07:00 (закончились в 02:00)"),
    ],
)
def test_outside_the_hours_it_says_when_they_ended_or_begin(at: str, en: str, ru: str) -> None:
    rules = set_rules(hours="mon-thu 09:00-12:00 13:00-18:00 fri 20:00-02:00", timezone="UTC")
    route = decide(known(contact(), at=datetime.fromisoformat(f"{at}+00:00").timestamp()), people(), rules)
    assert say(route.steps, "en") == f"outside the line's hours: {en} → the normal route"
    assert say(route.steps, "ru") == f"вне часов работы линии: {ru} → обычный маршрут"


def test_an_absence_says_until_when() -> None:
    until = datetime(2026, 12, 1, 9, 30).timestamp()
    for firm, said in (
        (Firm(away={ANNA}, until=until), "absent until 01.12.2026 09:30"),
        (Firm(away={ANNA}), "absent"),
    ):
        route = decide(known(contact()), firm, set_rules(absence="on"))
        assert say(route.steps, "en") == f"contact 7 → responsible, ext. 101 → {said} → the normal route"


# --- whether to try anybody --------------------------------------------------------------------------


def test_a_line_may_have_routing_off_and_others_not() -> None:
    rules = Rules(by_did={DID: Policy(on=False)})
    assert codes(decide(known(contact()), people(), rules)) == ["off", "normal"]
    assert decide(known(contact(), did="7495"), people(), rules).extension == "101"


def test_the_seconds_are_the_lines() -> None:
    assert decide(known(contact()), people(), set_rules(seconds="25")).seconds == 25


@pytest.mark.parametrize(
    ("at", "is_open"),
    [("2026-11-26 17:59", True), ("2026-11-26 18:00", False), ("2026-11-28 12:00", False), ("2026-11-26 08:59", False)],
)
def test_outside_the_lines_hours_nobody_is_rung_by_the_lines_own_clock(at: str, is_open: bool) -> None:
    rules = set_rules(hours="mon-fri 09:00-18:00", timezone="Asia/Yekaterinburg")
    moment = datetime.fromisoformat(f"{at}+05:00").timestamp()
    route = decide(known(contact(), at=moment), people(), rules)
    assert route.extension == ("101" if is_open else "")
    assert ("closed" in codes(route)) is not is_open


@pytest.mark.parametrize(
    ("hours", "at", "is_open"),
    [
        ("fri 22:00-06:00", "2026-11-28 05:59", True),  # the night that began on Friday
        ("fri 22:00-06:00", "2026-11-27 05:59", False),
        ("sat-mon 00:00-24:00", "2026-11-29 23:59", True),
        ("mon wed 09:00-12:00 13:00-18:00", "2026-11-25 12:30", False),
        ("mon wed 09:00-12:00 13:00-18:00", "2026-11-25 13:00", True),
        ("mon wed 09:00-12:00 13:00-18:00", "2026-11-23 13:00", True),
        ("fri 22:00-06:00", "2026-11-28 06:00", False),
        ("fri 22:00-06:00", "2026-11-27 22:00", True),
        ("fri 22:00-06:00", "2026-11-27 21:59", False),
        ("sun 22:00-06:00", "2026-11-23 05:59", True),  # on Monday
    ],
)
def test_hours_go_past_midnight_and_over_the_end_of_the_week(hours: str, at: str, is_open: bool) -> None:
    moment = datetime.fromisoformat(f"{at}+00:00").timestamp()
    rules = set_rules(hours=hours, timezone="UTC")
    assert bool(decide(known(contact(), at=moment), people(), rules).extension) is is_open


@pytest.mark.parametrize(
    ("holidays", "day", "is_holiday"),
    [
        ("2026-11-26", "2026-11-26", True),
        ("2026-11-24..2026-11-25", "2026-11-26", False),
        ("05-09 02-29", "2031-05-09", True),
        ("12-30..01-08", "2027-01-08", True),
        ("12-30..01-08", "2027-01-09", False),
        ("none", "2027-01-01", False),
    ],
)
def test_a_holiday_is_a_holiday(holidays: str, day: str, is_holiday: bool) -> None:
    rules = set_rules(holidays=holidays, timezone="UTC")
    route = decide(known(contact(), at=datetime.fromisoformat(f"{day}T12:00+00:00").timestamp()), people(), rules)
    assert ("holiday" in codes(route)) is is_holiday


def test_the_next_hours_may_be_those_of_the_same_day_a_week_later() -> None:
    policy = with_rules(Policy(), {"hours": "thu 10:00-11:00"})
    assert policy.begins(datetime(2026, 11, 26, 11, 30)) == ("thu", "10:00")
    assert Policy().begins(datetime(2026, 11, 26, 11, 30)) == ("", "")


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-07-01T07:00+00:00", True),  # 09:00 in summer
        ("2026-07-01T06:59+00:00", False),
        ("2026-12-01T07:00+00:00", False),  # 08:00 in winter
        ("2026-12-01T08:00+00:00", True),
        ("2026-10-25T00:59+00:00", True),  # 02:59, an hour before it is 02:59 again
        ("2026-10-25T01:59+00:00", True),
        ("2026-10-25T02:00+00:00", False),
        ("2026-03-29T00:59+00:00", False),  # 01:59; there is no 02:30 that day
        ("2026-03-29T01:00+00:00", False),
    ],
)
def test_hours_go_by_the_lines_clock_in_summer_and_in_winter(moment: str, is_open: bool) -> None:
    rules = set_rules(hours="mon-fri 09:00-18:00 sun 02:00-03:00", timezone="Europe/Berlin")
    route = decide(known(contact(), at=datetime.fromisoformat(moment).timestamp()), people(), rules)
    assert bool(route.extension) is is_open


def test_a_holiday_begins_at_the_lines_own_midnight() -> None:
    rules = set_rules(holidays="01-01", timezone="Asia/Vladivostok")
    for moment, is_holiday in (("2026-12-31T14:00+00:00", True), ("2026-12-31T13:59+00:00", False),
                               ("2027-01-01T14:00+00:00", False)):  # fmt: skip
        route = decide(known(contact(), at=datetime.fromisoformat(moment).timestamp()), people(), rules)
        assert ("holiday" in codes(route)) is is_holiday


def test_without_a_zone_the_hours_go_by_this_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = set_rules(hours="thu 23:00-24:00")
    with monkeypatch.context() as at_the_machine:
        at_the_machine.setenv("TZ", "Asia/Vladivostok")  # 12:00 UTC is 22:00 there
        time.tzset()
        routes = [decide(known(contact(), at=THURSDAY + later), people(), rules).extension for later in (0, 3600, 7200)]
    time.tzset()
    assert routes == ["", "101", ""]


@pytest.mark.parametrize("place", [0, 1])
def test_a_client_on_a_list_counts_whichever_of_the_clients_found_he_is(place: int) -> None:
    told = [contact(), contact(BORIS, "102", type="COMPANY", id=8)]
    whom = ("contact:7", "company:8")[place]
    assert codes(decide(known(*told), people(), Rules(black={whom: Entry(whom)}))) == ["black", "normal"]
    assert decide(known(*told), people(), Rules(vip={whom: Entry(whom, ("ext:103",))})).extension == "103"


def test_an_order_of_his_own_does_not_ring_for_a_vip_off_duty() -> None:
    rules = Rules(with_rules(Policy(), {"holidays": "11-26"}), vip={NUMBER: Entry(NUMBER, ("ext:103",))})
    assert codes(decide(known(contact()), people(), rules)) == ["vip", "holiday", "normal"]


def test_a_step_of_his_own_and_of_the_line_is_taken_once() -> None:
    rules = Rules(with_rules(Policy(), {"device": "free"}), vip={NUMBER: Entry(NUMBER, ("responsible",))})
    route = decide(known(contact()), people(), rules, Phones({"101": "busy"}))
    assert codes(route) == ["vip", "client", "try", "device", "normal"]


@pytest.mark.parametrize(
    ("vip", "told", "wants", "days"),
    [
        ((), {}, False, 0),
        ((), {"order": "deal talker"}, True, 30),
        ((), {"order": "deal", "on": "off"}, False, 0),
        (("deal",), {}, True, 0),
        (("deal",), {"on": "off"}, False, 0),
        (("talker",), {"talker_days": "9"}, False, 9),
    ],
)
def test_what_must_be_known_is_what_some_rule_asks_for(
    vip: tuple[str, ...], told: dict[str, str], wants: bool, days: int
) -> None:
    entries = {NUMBER: Entry(NUMBER, vip)} if vip else {}
    rules = Rules(with_rules(Policy(), told), vip=entries)
    assert (rules.wants_deals(DID), rules.talker_days) == (wants, days)
    lines_own = Rules(by_did={DID: with_rules(Policy(), told)}, vip=entries)
    assert (lines_own.wants_deals(DID), lines_own.wants_deals("7495")) == (wants, bool(vip) and "deal" in vip)
    assert lines_own.talker_days == (max(days, 30) if "talker" in vip else days)


@pytest.mark.parametrize(("kept", "came"), [(DID, "+" + DID), ("+" + DID, DID), ("+" + DID, "+" + DID)])
def test_a_number_is_the_same_line_with_plus_and_without(kept: str, came: str) -> None:
    assert Rules(by_did={kept: Policy(seconds=33)}).policy(came).seconds == 33


@pytest.mark.parametrize("whom", [NUMBER, "contact:7"])
def test_the_black_list_never_reaches_the_manager(whom: str) -> None:
    route = decide(known(contact()), people(), Rules(black={whom: Entry(whom)}))
    assert codes(route) == ["black", "normal"]


def test_a_vip_is_led_by_an_order_of_their_own_then_by_the_lines() -> None:
    rules = Rules(vip={"contact:7": Entry("contact:7", ("ext:103",))})
    assert decide(known(contact()), people(), rules).extension == "103"
    firm = Firm()
    route = decide(
        known(contact()), firm, dataclasses.replace(rules, default=Policy(device=("busy",))), Phones({"103": "busy"})
    )
    assert (route.extension, codes(route)[:2]) == ("101", ["vip", "client"])


def test_a_vip_may_ring_although_it_is_late_a_holiday_and_the_workday_over() -> None:
    told = {"hours": "mon-fri 09:00-10:00", "holidays": "11-26", "absence": "on", "timezone": "UTC"}
    rules = Rules(with_rules(Policy(), told), vip={NUMBER: Entry(NUMBER, off_duty=True)})
    firm = Firm(away={ANNA})
    assert decide(known(contact(workday="CLOSED")), firm, rules).extension == "101"
    assert decide(known(contact(workday="CLOSED")), firm, dataclasses.replace(rules, vip={})).extension == ""


def test_a_vip_nobody_knows_is_led_by_their_number_even_when_the_portal_is_silent() -> None:
    rules = Rules(vip={NUMBER: Entry(NUMBER, ("ext:102",))})
    assert decide(known(entities=None), people(), rules).extension == "102"


# --- who can take the call ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["busy", "dnd", "ringing", "unreachable"])
def test_a_phone_that_cannot_take_the_call_is_not_rung(state: str) -> None:
    route = decide(known(contact()), people(), set_rules(device="free"), Phones({"101": state}))
    assert (route.extension, codes(route)[-2]) == ("", "device")
    other = decide(known(contact()), people(), set_rules(device="unreachable"), Phones({"101": state}))
    assert bool(other.extension) is (state != "unreachable")


@pytest.mark.parametrize("state", ["free", "unknown"])
def test_a_phone_of_which_nothing_is_known_counts_as_free(state: str) -> None:
    route = decide(known(contact()), people(), set_rules(device="free"), Phones({"101": state}))
    assert (route.extension, codes(route)[-2:]) == ("101", ["device", "ring"])


def test_the_words_of_the_issue() -> None:
    firm = Firm(deputies={ANNA: VERA})
    rules = set_rules(order="responsible deputy head", device="free")
    route = decide(known(contact(workday="CLOSED")), firm, rules, Phones({"103": "free"}))
    assert say(route.steps, "en") == (
        "contact 7 → responsible, ext. 101 → workday ended → deputy, ext. 103 → free → ring 15 s, then the normal route"
    )
    assert say(route.steps, "ru") == (
        "контакт 7 → ответственный, вн. 101 → рабочий день закончен → заместитель, вн. 103 → свободен "
        "→ звонить 15 с, затем обычный маршрут"
    )


def test_an_absent_managers_deputy_then_the_deputys_then_the_head() -> None:
    firm = Firm(away={ANNA, BORIS}, deputies={ANNA: BORIS, BORIS: VERA}, heads={ANNA: ADMIN})
    rules = set_rules(order="responsible deputy head", absence="on")
    assert decide(known(contact()), firm, rules).extension == "103"
    firm.away.add(VERA)
    route = decide(known(contact()), firm, rules)
    assert (route.extension, codes(route)[-2:]) == ("", ["no_extension", "normal"])  # the admin has none


def test_deputies_who_stand_in_for_each_other_are_each_tried_once() -> None:
    firm = Firm(away={ANNA, BORIS}, deputies={ANNA: BORIS, BORIS: ANNA}, heads={ANNA: ANNA})
    route = decide(known(contact()), firm, set_rules(order="responsible deputy head", absence="on"))
    assert codes(route) == ["client", "try", "absent", "try", "absent", "circle", "circle", "normal"]


def test_the_head_of_a_dismissed_responsible_is_found() -> None:
    route = decide(known(contact(GONE, "104")), Firm(heads={GONE: VERA}), set_rules(order="responsible head"))
    assert route.extension == "103"


def test_the_last_talker_goes_first_where_the_order_says_so_and_only_for_so_many_days() -> None:
    rules = set_rules(order="talker responsible", talker_days="7")
    lately, long_ago = Talk(VERA, THURSDAY - 6 * DAY), Talk(VERA, THURSDAY - 8 * DAY)
    assert decide(known(contact(), talk=lately), people(), rules).extension == "103"
    assert decide(known(contact(), talk=long_ago), people(), rules).extension == "101"
    assert decide(known(entities=None, talk=lately), people(), rules).extension == "103"


def test_the_open_deals_responsible_goes_before_the_contacts() -> None:
    rules = set_rules(order="deal responsible")
    assert decide(known(contact(), deals=[{"id": 55, "user_id": VERA}]), people(), rules).extension == "103"
    assert codes(decide(known(contact(), deals=[]), people(), rules))[:2] == ["client", "nobody"]
    route = decide(known(contact(), deals=None), people(), rules)
    assert (route.extension, route.steps[1]["unheard"]) == ("101", True)
    assert say(route.steps, "en").startswith("contact 7 → open deals are not known → responsible")


def test_of_several_clients_with_one_number_all_may_be_tried_in_the_order_preferred() -> None:
    company = contact(BORIS, "102", type="COMPANY", id=3, name="ООО")
    told = (contact(workday="CLOSED"), company)
    assert decide(known(*told), people()).extension == ""
    assert decide(known(*told), people(), set_rules(clients="all")).extension == "102"
    route = decide(known(*told), people(), set_rules(prefer="company"))
    assert (route.extension, route.client_name) == ("102", "ООО")
    assert say(route.steps, "en").startswith("company 3 (preferred) → ")
    assert say(decide(known(company), people(), set_rules(prefer="company")).steps, "en").startswith("company 3 → ")


def test_the_fallback_chain_goes_on_to_the_lines_user_and_to_named_ones() -> None:
    rules = set_rules(order="responsible deputy line user:12 ext:600")
    closed = contact(workday="CLOSED")
    assert decide(known(closed, line_user=VERA), people(), rules).extension == "103"
    assert decide(known(closed), people(), rules).extension == "102"
    busy = dataclasses.replace(rules, default=dataclasses.replace(rules.default, device=("busy",)))
    assert decide(known(closed), people(), busy, Phones({"102": "busy"})).extension == "600"  # a group


def test_what_the_portal_said_of_a_deputys_workday_counts_too() -> None:
    rules = set_rules(order="responsible deputy")
    route = decide(known(contact(workday="CLOSED"), workday={BORIS: "CLOSED"}.get), Firm(deputies={ANNA: BORIS}), rules)
    assert route.extension == ""


def test_of_several_clients_it_is_said_whose_deals_were_asked_for() -> None:
    route = decide(known(*_TWO, deals=[]), people(), set_rules(order="deal responsible", prefer="company"))
    assert say(route.steps, "en").startswith(
        "company 8 (preferred) → no open deal of contact 7 → responsible, ext. 102"
    )
    assert say(route.steps, "ru").startswith("компания 8 (предпочтение) → нет открытой сделки (контакт 7) → ответст")


@pytest.mark.parametrize("entities", [[], None])
def test_whom_nobody_knows_is_the_phone_systems_to_distribute(entities: list[Any] | None) -> None:
    rules = set_rules(order="deal responsible deputy head line user:12 ext:103")
    route = decide(Known(NUMBER, DID, THURSDAY, entities, line_user=VERA), people(), rules)
    assert (route.extension, codes(route)[-1]) == ("", "normal")


@pytest.mark.parametrize("first", ["talker", "deal", "line", "user:11", "ext:101"])
def test_the_deputy_is_that_of_whoever_was_tried_before_in_whatever_role(first: str) -> None:
    firm = Firm(away={ANNA}, deputies={ANNA: VERA, BORIS: ADMIN})
    route = decide(
        known(
            contact(BORIS, "102"), talk=Talk(ANNA, THURSDAY - DAY), deals=[{"id": 1, "user_id": ANNA}], line_user=ANNA
        ),
        firm,
        set_rules(order=f"{first} deputy", absence="on"),
    )
    assert route.extension == "103"


def test_the_next_deals_responsible_is_tried_when_the_newest_ones_cannot_take_the_call() -> None:
    deals = [{"id": 2, "user_id": GONE}, {"id": 1, "user_id": VERA}]
    route = decide(known(contact(), deals=deals), people(), set_rules(order="deal"))
    assert (route.extension, codes(route)) == ("103", ["client", "try", "dismissed", "try", "ring"])


def test_a_named_extension_is_rung_as_it_is_named_whatever_else_its_owner_has() -> None:
    directory = Directory.of([Employee(ANNA, "A", True, "101")], {"901": ANNA}, synced=True)
    assert decide(known(contact(None)), directory, set_rules(order="ext:101")).extension == "101"
    closed = decide(known(contact(ANNA, "101", workday="CLOSED")), directory, set_rules(order="ext:101"))
    assert codes(closed) == ["client", "try", "workday", "normal"]


def test_what_is_not_known_of_absences_is_said_once() -> None:
    firm = Firm(lacks={"absences"})
    rules = set_rules(order="responsible user:12", absence="on", device="free")
    route = decide(known(contact()), firm, rules, Phones({"101": "busy", "102": "free"}))
    assert (route.extension, codes(route).count("untold")) == ("102", 1)


def test_a_workday_counts_however_the_portal_writes_it() -> None:
    assert decide(known(contact(workday="closed")), people()).extension == ""
    assert decide(known(contact(workday="Opened")), people()).extension == "101"
    rules = set_rules(order="user:12")
    assert decide(known(contact(), workday={BORIS: "paused"}.get), people(), rules).extension == ""


# --- bad data ----------------------------------------------------------------------------------------


def test_a_client_without_a_responsible_gives_way_to_the_next() -> None:
    route = decide(known(contact(None), contact(BORIS, "102", type="COMPANY", id=8)), people())
    assert (route.extension, codes(route)[:3]) == ("102", ["client", "nobody", "client"])


def test_who_has_the_extension_of_somebody_unknown_is_rung_on_it() -> None:
    route = decide(known(contact(77, "103"), line_user=VERA), people(), set_rules(order="responsible line"))
    assert (route.extension, codes(route)) == ("103", ["client", "try", "unknown", "try", "ring"])


def test_an_extension_that_was_mapped_to_nobody_who_is_there_is_not_rung_by_its_name() -> None:
    directory = Directory.of([Employee(ANNA, "A", True, "101")], {"600": 77}, synced=True)
    route = decide(known(contact(None)), directory, set_rules(order="ext:600"))
    assert (route.extension, codes(route)[-2:]) == ("", ["dismissed", "normal"])


@pytest.mark.parametrize("name", ["order", "device", "prefer", "hours", "workday"])
def test_words_may_be_written_large_or_small(name: str) -> None:
    words = {"order": "RESPONSIBLE Deputy", "device": "BUSY", "prefer": "Company", "hours": "MON-Fri 09:00-18:00",
             "workday": "OFF"}[name]  # fmt: skip
    assert text(name, parse(name, [words])) == words.lower()


@pytest.mark.parametrize("hours", ["mon 24:00-06:00", "mon 09:00-24:01", "mon 10:00-10:00", "mon 9:5-10:00"])
def test_what_is_no_interval_of_the_day_is_refused(hours: str) -> None:
    with pytest.raises(WrongRuleError, match=r"^hours: .* is no interval of the day"):
        parse("hours", [hours])


def test_of_two_users_with_one_extension_each_is_rung_on_it_in_whatever_role() -> None:
    directory = Directory.of([Employee(11, "A", True, "101"), Employee(12, "B", True, "101")], {}, synced=True)
    assert decide(known(contact(12, "101")), directory).extension == "101"
    for order in ("line", "user:12", "talker"):
        made = decide(known(contact(1, ""), line_user=12, talk=Talk(12, THURSDAY)), directory, set_rules(order=order))
        assert made.extension == "101"


def test_an_extension_a_dismissed_user_had_is_not_rung_by_its_name() -> None:
    route = decide(known(contact(workday="CLOSED")), people(), set_rules(order="responsible ext:104"))
    assert (route.extension, codes(route)[-2:]) == ("", ["dismissed", "normal"])


def test_who_was_looked_at_is_not_looked_at_again() -> None:
    rules = set_rules(order="deal responsible", device="free")
    route = decide(known(contact(), deals=[{"id": 1, "user_id": ANNA}]), people(), rules, Phones({"101": "busy"}))
    assert codes(route) == ["client", "try", "device", "try", "again", "normal"]


def test_who_took_over_the_extension_of_a_dismissed_user_is_rung_on_it() -> None:
    heir = Directory.of([Employee(GONE, "Gone", False, "101"), Employee(ANNA, "Anna", True, "101")], {}, synced=True)
    rules = set_rules(order="responsible line")
    route = decide(known(contact(GONE, "101"), line_user=ANNA), heir, rules)
    assert (route.extension, codes(route)) == ("101", ["client", "try", "dismissed", "try", "ring"])


@pytest.mark.parametrize("inner", ["105 & 106", "10 1", "101\r\nHANGUP", "*101", "101,102", "1" * 41, "١٠١"])
def test_an_inner_number_that_no_dialplan_dials_as_it_stands_is_none(inner: str) -> None:
    directory = Directory.of([Employee(ANNA, "A", True, inner), Employee(BORIS, "B", True, "102")], {}, synced=True)
    route = decide(known(contact(ANNA, inner), contact(BORIS, "102", name="Second")), directory)
    assert (route.extension, route.client_name) == ("102", "Second")
    assert "no_extension" in codes(route)


def test_whose_first_phone_is_not_reachable_is_rung_on_the_next() -> None:
    directory = Directory.of([Employee(ANNA, "A", True, "101")], {"901": ANNA}, synced=True)
    phones = Phones({"901": "unreachable", "101": "free"})
    route = decide(known(contact()), directory, set_rules(device="free"), phones)
    assert route.extension == "101"
    assert say(route.steps, "en") == (
        "contact 7 → responsible, ext. 901 → phone not reachable → their ext. 101 → free "
        "→ ring 15 s, then the normal route"
    )


@pytest.mark.parametrize("state", ["busy", "dnd", "ringing"])
def test_who_is_busy_on_one_phone_is_not_rung_on_another(state: str) -> None:
    directory = Directory.of([Employee(ANNA, "A", True, "101")], {"901": ANNA}, synced=True)
    route = decide(known(contact()), directory, set_rules(device="free"), Phones({"901": state, "101": "free"}))
    assert (route.extension, codes(route)[-2:]) == ("", ["device", "normal"])
