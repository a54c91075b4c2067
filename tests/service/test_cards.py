"""Cards follow the call, whatever the order in which threads tell of it."""

from __future__ import annotations

from bx24client import Bitrix24, Budget
from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.calls.events import Event, Kind
from itgrix_bx.delivery.cards import Cards, wanted
from itgrix_bx.emulator.portal import PortalEmulator
from tests.calls.conftest import Story, people
from tests.service.conftest import eventually

PEOPLE = Directory.of([Employee(11, "A", True, "101"), Employee(12, "B", True, "102")], {}, synced=True)


def story(client: Bitrix24, *steps: tuple[Kind, dict[str, object]]) -> list[Call]:
    """The call after each step, registered in the portal."""
    from bx24client import telephony

    params = {"USER_ID": 1, "PHONE_NUMBER": "+79161234567", "TYPE": 2, "SHOW": 0}
    registered = client.execute(telephony.register(params))
    events = [
        Event("1.1", Kind.INBOUND, 1.0, {"own_channel": True, "client_number": "+79161234567"}),
        Event("1.1", Kind.REGISTERED, 1.1, {"portal_call_id": registered.call_id}),
    ]
    pictures = []
    for n, (kind, data) in enumerate(steps):
        events.append(Event("1.1", kind, 2.0 + n, data))
        pictures.append(fold(events))
    return [fold(events[:2]), *pictures]


def test_an_older_picture_told_later_changes_nothing(portal: PortalEmulator) -> None:
    client = Bitrix24(portal.webhook_url, budget=Budget(1e6, 1e6))
    cards = Cards(client, lambda: PEOPLE)
    before, ringing = story(client, (Kind.RING, {"extensions": ["101"]}))
    cards.follow(ringing)
    cards.follow(before)
    cards.start()
    eventually(lambda: [c["user_id"] for c in portal.dump()["open_cards"]] == [11])
    cards.follow(before)
    assert [c["user_id"] for c in portal.dump()["open_cards"]] == [11]
    cards.stop()


def test_a_card_is_never_shown_for_a_call_that_has_ended(portal: PortalEmulator) -> None:
    client = Bitrix24(portal.webhook_url, budget=Budget(1e6, 1e6))
    cards = Cards(client, lambda: PEOPLE)
    ringing, again = story(client, (Kind.RING, {"extensions": ["101"]}), (Kind.RING, {"extensions": ["101", "102"]}))[
        1:
    ]
    cards.start()
    cards.follow(ringing)
    eventually(lambda: portal.dump()["open_cards"])
    assert cards.close(again, finisher=12) == [11]
    cards.follow(again)
    requests = len(portal.dump()["cards"])
    cards.stop()
    cards._thread.join(5)
    assert len(portal.dump()["cards"]) == requests


def test_who_lost_and_who_talks() -> None:
    from itgrix_bx.delivery.cards import wanted

    events = [
        Event("1.1", Kind.INBOUND, 1.0, {"own_channel": True, "client_number": "+79161234567"}),
        Event("1.1", Kind.RING, 2.0, {"extensions": ["101", "102"]}),
    ]
    assert wanted(fold(events), PEOPLE) == {11, 12}
    events.append(Event("1.1", Kind.ANSWER, 3.0, {"extension": "102"}))
    assert wanted(fold(events), PEOPLE) == {12}
    events.append(Event("1.1", Kind.RING, 4.0, {"extensions": ["101"]}))
    assert wanted(fold(events), PEOPLE) == {11, 12}
    events.append(Event("1.1", Kind.ANSWER, 5.0, {"extension": "101"}))
    assert wanted(fold(events), PEOPLE) == {11}
    events.append(Event("1.1", Kind.HANGUP, 6.0, {"own_channel": True, "variables": {}}))
    assert wanted(fold(events), PEOPLE) == frozenset()


def test_a_call_that_is_none_of_the_crms_has_no_card() -> None:
    ringing = Story().inbound().ring(1, "101")
    assert wanted(ringing.call(), people()) == {11}
    assert wanted(ringing.tell(2, Kind.SKIPPED, reason="a rule").call(), people()) == frozenset()
