"""Who has which extensions, and who stands for whom: with good data and with bad."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.calls.directory import (
    ABSENCES,
    EMPLOYEES,
    HEADS,
    Absence,
    Department,
    Deputy,
    Directory,
    Employee,
    Period,
    Structure,
)
from itgrix_bx.employees import own_numbers

ANNA, BORIS, VERA, GONE, BOSS = 11, 12, 13, 14, 3


def directory(structure: Structure | None = None, **more: object) -> Directory:
    people = [
        Employee(BOSS, "Boss", True, "100", departments=(1,)),
        Employee(ANNA, "Анна", True, "101", departments=(5,)),
        Employee(BORIS, "Борис", True, "101", departments=(5, 1)),
        Employee(VERA, "Вера", True, "", departments=(9,)),
        Employee(GONE, "Gone", False, "104", departments=(5,)),
    ]
    return Directory.of(people, more.pop("mapped", {}), synced=True, structure=structure, **more)  # type: ignore[arg-type]


TREE = (Department(1, None, BOSS, "Office"), Department(5, 1, BORIS, "Sales"))


def test_a_person_has_several_extensions_and_mobiles_those_set_by_hand_first() -> None:
    known = directory(mapped={"2001": ANNA, "901": ANNA}, mobiles={"+79161112233": ANNA})
    assert known.extensions_of(ANNA) == ("901", "2001", "101")
    assert known.devices_of(ANNA) == ("901", "2001", "101", "+79161112233")
    assert known.extension_of(ANNA, "101") == "901"
    assert known.user_of("79161112233") == known.user_of("+79161112233") == ANNA


def test_two_people_with_one_extension_are_both_rung_on_it_and_what_is_done_on_it_is_the_firsts() -> None:
    known = directory()
    assert (known.user_of("101"), known.shared()) == (ANNA, {"101": (ANNA, BORIS)})
    for asked in ("", "101"):  # by the list alone, and as the search names the responsible
        assert (known.rung_on(ANNA, asked), known.rung_on(BORIS, asked)) == (("101",), ("101",))


def test_whoever_a_shared_extension_is_mapped_to_has_it_alone() -> None:
    known = directory(mapped={"101": BORIS})
    assert (known.user_of("101"), known.shared()) == (BORIS, {})
    for asked in ("", "101"):
        assert (known.rung_on(ANNA, asked), known.rung_on(BORIS, asked)) == ((), ("101",))


users = st.sampled_from([1, 2, 3, 4])
numbers = st.sampled_from(["", "101", "102"])


@given(
    st.dictionaries(users, st.tuples(st.booleans(), numbers)),
    st.dictionaries(numbers.filter(bool), users),
)
def test_whom_an_extension_is_rung_for_and_whose_it_is_go_by_one_rule(
    people: dict[int, tuple[bool, str]], mapped: dict[str, int]
) -> None:
    known = Directory.of([Employee(n, "", *told) for n, told in people.items()], mapped, synced=True)
    for user_id, (active, extension) in people.items():
        rung = known.rung_on(user_id, extension)
        assert rung == known.extensions_of(user_id)  # the search and the list agree, so does the answer
        for number in rung if active else ():
            assert known.user_of(number) == user_id or user_id in known.shared()[number]
    assert all(known.user_of(number) == sharing[0] for number, sharing in known.shared().items())


def test_an_extension_that_is_mapped_to_somebody_else_is_not_rung_whatever_the_portal_says() -> None:
    known = directory(mapped={"101": BORIS})
    assert (known.extension_of(ANNA, "101"), known.extension_of(BORIS, "101")) == ("", "101")


def test_an_extension_mapped_to_who_was_dismissed_is_its_next_owners() -> None:
    known = directory(mapped={"101": GONE, "905": GONE})
    assert (known.user_of("101"), known.extensions_of(ANNA), known.extension_of(ANNA, "101")) == (ANNA, ("101",), "101")
    assert (known.user_of("905"), known.is_extension("905")) == (None, True)


def test_a_dismissed_users_mobile_is_no_colleagues_any_more() -> None:
    known = directory(mobiles={"+79161112233": ANNA, "+79161112244": GONE})
    assert own_numbers(known, "RU") == {"+79161112233"}
    assert (known.user_of("+79161112233"), known.user_of("+79161112244")) == (ANNA, None)


def test_what_a_dismissed_user_wrote_into_his_profile_is_a_clients_number_again() -> None:
    people = [Employee(ANNA, phones=("8 916 111-22-33",)), Employee(GONE, active=False, phones=("+79161112244",))]
    assert own_numbers(Directory.of(people, {}, synced=True), "RU") == {"+79161112233"}


def test_somebody_without_an_extension_has_none() -> None:
    assert (directory().extension_of(VERA), directory().devices_of(VERA), directory().devices_of(999)) == ("", (), ())


def test_the_head_is_the_nearest_departments() -> None:
    known = directory(Structure(TREE))
    assert known.head_and_why(ANNA) == (BORIS, "department Sales")
    assert known.head_of(BORIS) == BOSS  # the head's own head is the next one up
    assert known.head_of(BOSS) is None
    assert known.head_of(VERA) is None  # of a department nobody told us of
    assert known.head_of(999) is None


def test_a_head_set_by_hand_beats_the_structure_unless_dismissed() -> None:
    assert directory(Structure(TREE, heads={ANNA: VERA})).head_and_why(ANNA) == (VERA, "set by hand")
    assert directory(Structure(TREE, heads={ANNA: GONE})).head_of(ANNA) == BORIS


def test_nobody_is_his_own_head_whoever_says_so() -> None:
    assert directory(Structure(TREE, heads={ANNA: ANNA})).head_of(ANNA) == BORIS


def test_an_extension_mapped_to_who_was_dismissed_is_nobodys_until_somebody_takes_it_over() -> None:
    assert directory(mapped={"600": GONE}).user_of("600") is None
    assert directory(mapped={"100": GONE}).user_of("100") == BOSS


def test_a_dismissed_head_gives_way_to_the_next_one_up() -> None:
    tree = (Department(1, None, BOSS), Department(5, 1, GONE))
    assert directory(Structure(tree)).head_of(ANNA) == BOSS


def test_a_structure_with_a_cycle_ends() -> None:
    tree = (Department(1, 5, None), Department(5, 1, None))
    assert directory(Structure(tree)).head_of(ANNA) is None
    assert directory(Structure((Department(5, 5, ANNA),))).head_of(ANNA) is None


def test_a_deputy_for_a_period_goes_before_the_usual_one() -> None:
    known = directory(Structure(deputies=(Deputy(ANNA, BORIS), Deputy(ANNA, VERA, Period(100.0, 200.0)))))
    assert [known.deputy_of(ANNA, at) for at in (99.0, 100.0, 199.9, 200.0)] == [BORIS, VERA, VERA, BORIS]
    assert known.deputy_of(ANNA) == BORIS
    assert directory(Structure(deputies=(Deputy(ANNA, VERA, Period(100.0, 200.0)),))).deputy_of(ANNA) is None


def test_nobody_who_was_dismissed_or_is_unknown_or_oneself_is_a_deputy() -> None:
    for wrong in (GONE, 999, ANNA):
        assert directory(Structure(deputies=(Deputy(ANNA, wrong),))).deputy_of(ANNA, 0.0) is None


def test_absence_lasts_from_its_first_moment_to_before_its_last() -> None:
    known = directory(Structure(absences=(Absence(ANNA, Period(100.0, 200.0)), Absence(VERA, Period(None, 50.0)))))
    assert [bool(known.absence(ANNA, at)) for at in (99.0, 100.0, 199.0, 200.0)] == [False, True, True, False]
    assert (bool(known.absence(VERA, 0.0)), bool(known.absence(VERA, 50.0)), bool(known.absence(BORIS, 150.0))) == (
        True,
        False,
        False,
    )


def test_of_several_absences_the_longest_counts() -> None:
    spans = (Period(0.0, 300.0), Period(0.0, 500.0), Period(0.0, 400.0))
    known = directory(Structure(absences=tuple(Absence(ANNA, span) for span in spans)))
    assert known.absence(ANNA, 100.0) == Absence(ANNA, spans[1])
    for_good = directory(Structure(absences=(Absence(ANNA, spans[0]), Absence(ANNA), Absence(ANNA, spans[1]))))
    assert for_good.absence(ANNA, 100.0) == Absence(ANNA)


def test_what_the_portal_did_not_tell_is_known() -> None:
    known = directory(Structure(untold=frozenset({HEADS})))
    assert [known.untold(what) for what in (EMPLOYEES, HEADS, ABSENCES)] == [False, True, False]
    assert Directory().untold(EMPLOYEES)


IDS = st.integers(1, 8)


@given(
    people=st.lists(st.builds(Employee, IDS, active=st.booleans(), departments=st.lists(IDS, max_size=3).map(tuple))),
    tree=st.lists(st.builds(Department, IDS, st.none() | IDS, st.none() | IDS)).map(tuple),
    heads=st.dictionaries(IDS, IDS),
    deputies=st.lists(st.builds(Deputy, IDS, IDS)).map(tuple),
    asked=IDS,
)
def test_whatever_the_structure_nobody_gets_himself_or_somebody_dismissed_or_unknown(
    people: list[Employee],
    tree: tuple[Department, ...],
    heads: dict[int, int],
    deputies: tuple[Deputy, ...],
    asked: int,
) -> None:
    known = Directory.of(people, {}, synced=True, structure=Structure(tree, heads, deputies))
    employed = {user_id for user_id, e in known.employees.items() if e.active} - {asked}
    assert {known.head_of(asked), known.deputy_of(asked, 0.0)} <= employed | {None}
