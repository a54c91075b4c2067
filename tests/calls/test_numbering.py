"""Rules, extensions, the numbering plan and lists: what a number is, and whether its call is for the CRM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itgrix_bx.calls.call import Call
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.events import CHECK_ID
from itgrix_bx.calls.number_lists import KINDS, SUBJECTS, Entry, EntryError, Lists, entry
from itgrix_bx.calls.number_rules import MOST_RULES, Rule, RuleError, Where, check
from itgrix_bx.calls.numbering import Numbering
from itgrix_bx.calls.numbers import LONGEST, e164, trunk
from itgrix_bx.words import LANGUAGES

PEOPLE = Directory.of([Employee(11, "Анна", True, "101")], {"777001": 11}, synced=True, on_pbx=frozenset({"20012"}))
IN, OUT = Where("in"), Where("out")


def read(raw: str, *rules: Rule, where: Where = IN, anonymous: str = "") -> str:
    return Numbering("RU", anonymous, rules).read(raw, where, PEOPLE).number


# --- rules ---------------------------------------------------------------------------------------


def test_without_rules_a_number_is_read_by_the_countrys_plan() -> None:
    for raw in ("89161234567", "8 (916) 123-45-67", "+79161234567", "112", "810 49 30 123456"):
        assert read(raw) == e164(raw, "RU")


def test_rules_are_tried_in_their_order_on_what_the_one_before_left() -> None:
    dial_prefix = Rule("9", "", 8, direction="out")
    eight = Rule("8", "+7", 11, 11)
    assert read("989161234567", dial_prefix, eight, where=OUT) == "+79161234567"
    assert read("989161234567", eight, dial_prefix, where=OUT) == "+79161234567"  # by the plan, whatever is left
    assert read("9112", dial_prefix, where=OUT) == "9112"
    assert read("989161234567", dial_prefix, where=IN) == "+989161234567"  # a caller from Iran


def test_a_rule_is_for_its_trunk_did_and_direction_only() -> None:
    city = Rule("", "+7495", 7, 7, direction="in", trunk="mts", did="74950000001")
    assert read("1234567", city, where=Where("in", "MTS", "+74950000001")) == "+74951234567"
    assert read("1234567", city, where=Where("in", "mts", "74950000002")) != "+74951234567"
    assert read("1234567", city, where=Where("in", "beeline", "74950000001")) != "+74951234567"
    assert read("1234567", city, where=Where("in")) != "+74951234567"
    assert read("1234567", city, where=Where("out", "mts", "74950000001")) != "+74951234567"


def test_a_trunk_that_leaves_the_plus_out_or_puts_one_before_everything_can_be_cured() -> None:
    assert read("4930123456", Rule("", "+", 10, direction="in"), where=IN) == "+4930123456"
    # 84… is Vietnam: only a rule can know that this trunk means Moscow's 8 495.
    assert read("+84951234567") == "+84951234567"
    assert read("+84951234567", Rule("+8", "+7", 11, 11)) == "+74951234567"


def test_a_number_with_its_plus_is_left_alone_by_rules_without_one() -> None:
    assert read("+79161234567", Rule("7", "1"), Rule("", "+", 0, 0)) == "+79161234567"


def test_a_rule_that_would_leave_nothing_is_not_applied() -> None:
    assert read("9", Rule("9", "")) == "9"


def test_an_extension_is_known_from_the_lists_never_by_its_length() -> None:
    numbering = Numbering("RU")
    for raw in ("101", "777001", "20012", "+101"):
        assert numbering.read(raw, IN, PEOPLE).internal, raw
    for raw in ("102", "1011", "112", "0611"):
        assert not numbering.read(raw, IN, PEOPLE).internal, raw


def test_an_extension_longer_than_a_city_number_keeps_its_digits() -> None:
    people = Directory.of([], {}, synced=True, on_pbx=frozenset({"4951234567"}))
    reading = Numbering("RU").read("4951234567", IN, people)
    assert (reading.number, reading.internal) == ("4951234567", True)


def test_a_rule_may_say_what_is_an_extension_or_strip_the_prefix_of_another_office() -> None:
    other_office = Rule("2", "", 4, 4, extension=True, trunk="office2")
    numbering = Numbering("RU", rules=(other_office,))
    office = Where("in", "office2")
    assert numbering.read("2345", office, PEOPLE).internal
    assert not numbering.read("2345", IN, PEOPLE).internal
    assert numbering.skip(Call("1", "in", client_number="2345", trunk="office2"), PEOPLE)
    stripped = Numbering("RU", rules=(Rule("55", "", direction="in"),)).read("55101", IN, PEOPLE)
    assert (stripped.number, stripped.internal) == ("101", True)


def test_an_anonymous_caller_has_the_number_the_configuration_gives() -> None:
    assert read("anonymous", anonymous="+70000000000") == "+70000000000"
    assert read("anonymous") == ""
    assert read("", anonymous="+70000000000", where=OUT) == ""


def test_every_step_is_explained_in_every_language() -> None:
    numbering = Numbering("RU", rules=(Rule("9", "", 8, direction="out", rule_id=3),))
    reading = numbering.read("9 8 916 123-45-67", OUT, PEOPLE)
    assert [(step.name, step.number, step.rule_id) for step in reading.steps] == [
        ("digits", "989161234567", 0),
        ("rule", "89161234567", 3),
        ("plan", "+79161234567", 0),
    ]
    assert [step.said.said("en") for step in reading.steps] == [
        "only its digits count: 989161234567",
        "rule 3 (outbound calls: 8+-digit numbers that begin with 9: 9 is taken away) makes it 89161234567",
        "the numbering plan of RU makes it +79161234567",
    ]
    assert reading.steps[1].said.said("ru") == (
        "по правилу 3 (исходящие: 8+-значные номера, которые начинаются с 9: 9 отбрасывается) получается 89161234567"
    )


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (Rule("8a", "+7"), "a prefix is up to 20 digits"),
        (Rule("8", "seven"), "what stands for the prefix is up to 20 digits"),
        (Rule("8", "1+7"), "what stands for the prefix"),
        (Rule("8", "8"), "it changes nothing"),
        (Rule("", "7"), "it is for every number, give a --prefix or a --length"),
        (Rule("", "", extension=True), "it would make an extension of every number"),
        (Rule("8", "+7", 12, 11), "give the length as 11, 7-10 or 5+"),
        (Rule("8", "+7", 100, 0), "no number has so many digits"),
        (Rule("8", "+7", 0, 65), "no number has so many digits"),
        (Rule("8", "+7", -1, 0), "give the length as 11, 7-10 or 5+"),
        (Rule("8", "+7", 0, -1), "give the length as 11, 7-10 or 5+"),
        (Rule("8", "+7", direction="out", did="1"), "only inbound calls have a DID"),
        (Rule("8", "+7", extension=True), "give either --to or --extension"),
        (Rule("8", "+7", trunk="x" * 81), "a trunk or DID has at most 80 characters"),
        (Rule("8", "+7", trunk="a\nb"), "without control characters"),
        (Rule("8", "+7", direction="up"), "the direction is in or out"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_name_and_the_cure(rule: Rule, complaint: str) -> None:
    with pytest.raises(RuleError) as refused:
        check(rule)
    assert complaint in str(refused.value)
    assert str(rule.sentence) in str(refused.value)


def test_a_plus_for_every_number_and_a_did_without_a_direction_are_rules_that_can_be() -> None:
    check(Rule("", "+"))
    check(Rule("8", "+7", did="74950000001"))
    check(Rule("8", "+7", 0, 64))


def test_there_are_only_so_many_rules() -> None:
    listed = [Rule(str(n), "+7", rule_id=n) for n in range(1000, 1000 + MOST_RULES)]
    check(Rule("8", "+7"), listed[1:])
    with pytest.raises(RuleError, match=f"remove one of the {MOST_RULES} there are"):
        check(Rule("8", "+7"), listed)


def test_a_rule_that_is_there_already_is_refused() -> None:
    with pytest.raises(RuleError, match="it is rule 4"):
        check(Rule("8", "+7"), [Rule("8", "+7", rule_id=4)])


digits = st.text("0123456789", max_size=6)
prefixes = st.builds(lambda plus, text: plus + text, st.sampled_from(["", "", "+"]), digits)
lengths = st.tuples(st.integers(0, 15), st.integers(0, 15))
directions = st.sampled_from(["", "in", "out"])
trunks = st.sampled_from(["", "mts"])


def _possible(rule: Rule) -> bool:
    try:
        check(rule)
    except RuleError:
        return False
    return True


rules = st.builds(
    lambda prefix, to, length, extension, direction, trunk: Rule(prefix, to, *length, extension, direction, trunk),
    prefixes, prefixes, lengths, st.booleans(), directions, trunks,
).filter(_possible)  # fmt: skip
ways = st.builds(Where, st.sampled_from(["in", "out"]), trunks)
raws = st.one_of(st.text(max_size=80), st.from_regex(r"\+?[0-9]{1,25}", fullmatch=True))


@given(st.lists(rules, max_size=5), raws, ways)
def test_whatever_the_rules_the_result_is_e164_or_bare_digits(listed: list[Rule], raw: str, where: Where) -> None:
    reading = Numbering("RU", "+70000000000", tuple(listed)).read(raw, where, PEOPLE)
    number = reading.number
    assert number == "" or number.removeprefix("+").isdecimal()
    assert number.isascii()
    assert len(number) <= LONGEST or reading.internal
    if not reading.internal:
        assert number == e164(number, "RU")  # reading it again by the plan changes nothing
    assert len(reading.steps) <= len(listed) + 3
    for step in reading.steps:
        assert {lang: bool(step.said.said(lang)) for lang in LANGUAGES} == dict.fromkeys(LANGUAGES, True)


@given(st.lists(rules.filter(lambda rule: not rule.prefix.startswith("+")), max_size=5), raws, ways)
def test_what_is_e164_already_comes_out_as_it_went_in(listed: list[Rule], raw: str, where: Where) -> None:
    numbering = Numbering("RU", rules=tuple(listed))
    once = numbering.read(raw, where, PEOPLE)
    if once.number.startswith("+") and not once.internal:
        assert numbering.read(once.number, where, PEOPLE).number == once.number


# --- lists ---------------------------------------------------------------------------------------


def why(call: Call, *entries: Entry, numbering: Numbering | None = None) -> str:
    skip = (numbering or Numbering("RU", lists=Lists(frozenset(entries)))).skip(call, PEOPLE)
    return str(skip.reason) if skip else ""


def caller(number: str = "+79161234567", **more: str) -> Call:
    return Call("1", "in", client_number=number, **more)  # type: ignore[arg-type]


def test_who_is_on_the_black_list_does_not_go_to_the_crm() -> None:
    assert why(caller(), Entry("black", "number", "+79161234567")) == "the number +79161234567 is on the black list"
    assert why(caller(), Entry("black", "number", "+7916*")).endswith("on the black list as +7916*")
    assert why(caller(), Entry("black", "number", "+7916???4567"))
    assert not why(caller(), Entry("black", "number", "+7916"), Entry("black", "number", "+7495*"))
    assert why(caller(did="74950000001"), Entry("black", "did", "+74950000001"))
    assert why(caller(trunk="MTS-2"), Entry("black", "trunk", "mts*"))


def test_where_a_white_list_is_only_what_it_names_goes_to_the_crm() -> None:
    dids = Entry("white", "did", "74950000001")
    assert why(caller(did="74950000002"), dids) == "the DID 74950000002 is not on the white list"
    assert not why(caller(did="74950000001"), dids)
    assert why(caller(did="74950000001"), dids, Entry("white", "number", "+7495*"))
    assert not why(caller(did="74950000001", trunk="mts"), dids, Entry("white", "number", "+79*"))


@pytest.mark.parametrize("pattern", ["7495*", "+7495*"])
def test_a_pattern_names_a_did_with_and_without_its_plus(pattern: str) -> None:
    for did in ("+74950000001", "74950000001"):
        assert not why(caller(did=did), Entry("white", "did", pattern))
    assert why(caller(did="+78120000001"), Entry("white", "did", pattern))


def test_the_black_list_beats_the_white_one() -> None:
    both = Entry("white", "number", "+79161234567"), Entry("black", "number", "+7916*")
    assert "black" in why(caller(), *both)


def test_an_extension_is_asked_of_who_dials_and_nothing_is_asked_that_is_not_known() -> None:
    sales = Entry("white", "extension", "10?"), Entry("white", "trunk", "mts"), Entry("white", "did", "74950000001")
    dialled = Call("1", "out", client_number="+79161234567", caller_extension="201")
    assert why(dialled, *sales) == "the extension 201 is not on the white list"
    dialled.caller_extension = "101"
    assert not why(dialled, *sales)
    assert not why(caller(), *sales)
    assert not why(caller(caller_extension="201"), *sales)  # who is called says nothing of the caller
    assert not why(Call("1", "out", client_number="+79161234567", caller_extension="101", did="74950000002"), *sales)


def test_calls_among_our_own_phones_are_for_the_crm_where_that_is_wanted() -> None:
    wanted = Numbering("RU", internal=True)
    assert [wanted.direction_to(number, "", PEOPLE) for number in ("101", "+79161234567")] == ["internal", "out"]
    assert Numbering("RU").direction_to("101", "", PEOPLE) == "out"
    inside = Call("1", "internal", client_number="101", caller_extension="20012")
    assert wanted.skip(inside, PEOPLE) is None
    assert wanted.skip(Call("1", "in", client_number="101"), PEOPLE) is not None  # from another office of ours
    black = Numbering("RU", lists=Lists(frozenset({Entry("black", "extension", "20012")})), internal=True)
    assert black.skip(inside, PEOPLE) is not None


def test_the_pbxs_own_black_list_is_about_callers_however_it_was_typed_there() -> None:
    typed = frozenset({"89161234567", "", "112"})
    numbering = Numbering("RU", "+70000000000").with_blocked(typed, no_anonymous=True)
    assert why(caller(), numbering=numbering) == "the number +79161234567 is on the black list of the PBX"
    assert why(caller("112"), numbering=numbering)
    assert why(caller("+70000000000"), numbering=numbering) == "the PBX turns away callers without a number"
    assert not why(caller("+74951234567"), numbering=numbering)
    assert not why(Call("1", "out", client_number="+79161234567"), numbering=numbering)
    let_in = Numbering("RU", "+70000000000").with_blocked(typed, no_anonymous=False)
    assert not why(caller("+70000000000"), numbering=let_in)


def test_a_test_call_of_the_dialplan_is_not_for_the_crm() -> None:
    assert why(Call(f"{CHECK_ID}1", "in", client_number="+79161234567")) == "a test call of `dialplan check`"


def test_what_one_trunk_calls_an_extension_is_a_client_on_another() -> None:
    numbering = Numbering("RU", rules=(Rule("2", "", 4, 4, extension=True, trunk="office2"),))
    assert why(Call("1", "in", client_number="2345", trunk="office2"), numbering=numbering) == "an internal call"
    assert not why(Call("1", "in", client_number="2345", trunk="mts"), numbering=numbering)


def test_in_a_pattern_a_point_is_a_point_and_a_plus_a_country() -> None:
    assert why(caller(trunk="sip.example.com"), Entry("black", "trunk", "sip.example*"))
    assert not why(caller(trunk="sipxexample.com"), Entry("black", "trunk", "sip.example*"))
    assert not why(caller("707"), Entry("black", "number", "+7*"))


def test_a_number_is_listed_in_the_spelling_numbers_are_compared_in() -> None:
    assert entry("black", "number", "8 (916) 123-45-67", "RU").value == "+79161234567"
    assert entry("black", "number", "+7 495*", "RU").value == "+7495*"
    assert entry("black", "number", "9??", "RU").value == "9??"
    assert entry("white", "trunk", " mts ", "RU").value == "mts"


@pytest.mark.parametrize(
    ("what", "value", "complaint"),
    [
        ("number", "495123?", "would name nobody"),
        ("number", "8495*", "would name nobody: numbers are compared in E.164, so write a pattern as"),
        ("number", "nobody", "is no telephone number"),
        ("number", "+7(a)*", "is no telephone number"),
        ("number", "*1*2*", "has more than 2 stars"),
        ("did", " ", "is no DID: give 1 to 80 characters"),
        ("trunk", "a\x1b[31m", "is no trunk"),
        ("trunk", "x" * 81, "is no trunk"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_the_cure(what: str, value: str, complaint: str) -> None:
    with pytest.raises(EntryError, match=complaint.replace("(", r"\(")):
        entry("black", what, value, "RU")


@given(st.text(max_size=80), st.lists(st.text("*?+0123456789abА", min_size=1, max_size=12), max_size=5))
def test_lists_take_whatever_callers_send(value: str, patterns: list[str]) -> None:
    entries = frozenset(Entry(kind, what, p) for kind in KINDS for what in SUBJECTS for p in patterns)
    reason = Lists(entries).against(dict.fromkeys(SUBJECTS, value))
    assert reason is None or str(reason)


# --- trunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("PJSIP/mts-0000001a", "mts"),
        ("PJSIP/mts-office-2-0000001a", "mts-office-2"),
        ("SIP/sip.example.com-00000001", "sip.example.com"),
        ("IAX2/office2-123", "office2"),
        ("DAHDI/i1/74951234567-2", "i1"),
        ("DAHDI/4-1", "4"),
        ("Local/101@from-internal-00000001;1", ""),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_a_trunk_is_known_by_its_channels_name(channel: str, name: str) -> None:
    assert trunk(channel) == name
