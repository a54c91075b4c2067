"""Every recorded call comes out of the records as it came out of the hooks; what CDR alone cannot tell is named."""

from __future__ import annotations

from typing import Any

import pytest

from itgrix_bx.calls import outcome
from itgrix_bx.calls.call import Call, fold
from itgrix_bx.calls.directory import Directory, Employee
from itgrix_bx.pbx.reconcile import House, Told, calls_of
from itgrix_bx.pbx.records import groups
from tests.pbx import recorded
from tests.pbx.database import rows_of
from tests.real import site

PEOPLE = Directory.of(
    [Employee(user["id"], user["name"], True, user["extension"]) for user in site.seed()["users"]], {}, synced=True
)
ADMIN = 1
NOT_FOR_THE_CRM = ["internal"]
FOR_THE_CRM = [name for name in recorded.CALLS if name not in NOT_FOR_THE_CRM]

# The hooks took the consultation for a transfer; the records know that the first one talked on.
BETTER_THAN_THE_HOOKS = {"consultation_refused": {"talk_seconds": 8}}
# Two phones of a queue ring in the same moment: whose missed call it is, is chance.
BY_CHANCE = {"freepbx_queue_timed_out": ["user_id"], "queue_abandoned": ["user_id"]}

CDR_CANNOT_TELL: dict[str, dict[str, Any]] = {
    "declined": {"failed_reason": "no answer"},
    "outbound_declined": {"status_code": "480", "failed_reason": "no answer"},
    # Waiting in the queue, the menu, and ringing after a blind transfer count as talk.
    "queue_answered": {"talk_seconds": 5},
    "menu_then_answered": {"talk_seconds": 6},
    "blind_transfer": {"talk_seconds": 8},
    "outbound_blind_transfer": {"talk_seconds": 7},
    "consultation_refused": {"talk_seconds": 10},
    # So does the time a client was parked.
    "parked_and_retrieved": {"talk_seconds": 8},
    "parked_and_fetched_by_the_same": {"talk_seconds": 9},
    "parked_and_given_up": {"talk_seconds": 6},
}


def read(name: str, *, with_cel: bool = True) -> list[Told]:
    cdr, cel = rows_of([name], cel=with_cel)
    return [told for group in groups(cdr, cel) for told in calls_of(group, House(PEOPLE), now=0.0)]


def come_out(call: Call) -> dict[str, Any]:
    result = outcome.of(call, PEOPLE, finisher="last", default_user=ADMIN)
    return {
        "direction": call.direction,
        "client_number": call.client_number,
        "did": call.did or None,
        "user_id": result.user_id,
        "talk_seconds": call.talk_seconds,
        "status_code": result.status_code,
        "failed_reason": result.failed_reason or None,
        "id": call.call_id,
    }


def compare(name: str, told: Told, **unlike: Any) -> None:
    hooks, talkers = recorded.CALLS[name][2]
    expected = dict(zip(recorded.TOLD, hooks, strict=True)) | unlike
    call = fold(told.events)
    found = come_out(call)
    # The tables keep whole seconds: each leg may be one longer or shorter.
    legs = max(1, len(talkers), sum(leg.answered_at is not None for leg in call.legs))
    assert abs(found.pop("talk_seconds") - expected.pop("talk_seconds")) <= legs
    for field in BY_CHANCE.get(name, []):
        found.pop(field), expected.pop(field)
    assert found == expected
    assert call.over


@pytest.mark.parametrize("name", FOR_THE_CRM)
def test_with_cel_a_call_ends_as_the_hooks_had_it(name: str) -> None:
    (told,) = read(name)
    assert told.source == "cel"
    compare(name, told, **BETTER_THAN_THE_HOOKS.get(name, {}))


@pytest.mark.parametrize("name", FOR_THE_CRM)
def test_with_cdr_alone_a_call_ends_as_the_hooks_had_it_but_for_what_is_named(name: str) -> None:
    (told,) = read(name, with_cel=False)
    assert told.source == "cdr"
    compare(name, told, **CDR_CANNOT_TELL.get(name, {}))


@pytest.mark.parametrize("name", list(CDR_CANNOT_TELL))
def test_what_cdr_cannot_tell_it_really_cannot(name: str) -> None:
    (told,) = read(name, with_cel=False)
    found = come_out(fold(told.events))
    hooks = dict(zip(recorded.TOLD, recorded.CALLS[name][2][0], strict=True))
    assert any(found[field] != hooks[field] for field in CDR_CANNOT_TELL[name])


@pytest.mark.parametrize("name", NOT_FOR_THE_CRM)
@pytest.mark.parametrize("with_cel", [True, False])
def test_a_call_among_ourselves_is_none_of_the_crms_business(name: str, with_cel: bool) -> None:
    assert read(name, with_cel=with_cel) == []


@pytest.mark.parametrize(
    ("name", "talkers"),
    [
        ("blind_transfer", [1, 2]),
        ("attended_transfer", [1, 2]),
        ("attended_by_feature_code", [1, 2]),
        ("attended_to_an_older_call", [1, 2]),
        ("outbound_attended_transfer", [1, 2]),
        ("consultation_refused", [1, 1]),
        ("blind_transfer_unanswered", [1]),
        ("freepbx_queue_answered", [2]),
        ("parked_and_retrieved", [1, 2]),
        ("parked_and_fetched_by_the_same", [1, 1]),
        ("parked_and_given_up", [1]),
    ],
)
def test_cel_knows_who_talked_in_which_order(name: str, talkers: list[int]) -> None:
    (told,) = read(name)
    call = fold(told.events)
    talked = sorted((leg for leg in call.legs if leg.answered_at), key=lambda leg: leg.answered_at or 0.0)
    assert [int(leg.extension[-1]) for leg in talked] == talkers


@pytest.mark.parametrize("with_cel", [True, False])
@pytest.mark.parametrize("name", FOR_THE_CRM)
def test_the_recording_is_named_with_the_directory_freepbx_files_it_in(name: str, with_cel: bool) -> None:
    (told,) = read(name, with_cel=with_cel)
    path = fold(told.events).recording.path
    day = "/".join(path.split("/")[:3])
    assert path.startswith(f"{day}/{'out' if 'outbound' in name else 'in'}-")
    assert f"-{day.replace('/', '')}-" in path


@pytest.mark.parametrize("with_cel", [True, False])
@pytest.mark.parametrize("name", FOR_THE_CRM)
def test_reading_again_gives_the_same_events(name: str, with_cel: bool) -> None:
    assert read(name, with_cel=with_cel) == read(name, with_cel=with_cel)
    (told,) = read(name, with_cel=with_cel)
    ids = [event.event_id for event in told.events]
    assert len(set(ids)) == len(ids)
    assert all(len(event_id) == 32 for event_id in ids)
    assert [event.at for event in told.events] == sorted({event.at for event in told.events})
    assert {event.data["source"] for event in told.events} == {"cel" if with_cel else "cdr"}


@pytest.mark.parametrize("name", ["outbound_blind_transfer", "outbound_attended_transfer"])
def test_a_client_who_was_transferred_away_and_talks_on_is_waited_for(name: str) -> None:
    """The extension's row is there, and by CEL it has gone; the trunk's channel has not."""
    cdr, cel = rows_of([name])
    mine = [row for row in cdr if "trunk" in row["dstchannel"]]
    gone = next(e["id"] for e in cel if e["eventtype"] == "HANGUP" and e["channame"] == mine[0]["channel"])
    (group,) = groups(
        mine, [event for event in cel if event["id"] <= gone and event["linkedid"] == mine[0]["linkedid"]]
    )
    assert calls_of(group, House(PEOPLE), now=group.last_at + 3600) == []
    # Asterisk died meanwhile: the best that is known.
    (told,) = calls_of(group, House(PEOPLE), now=group.last_at + 12 * 3600)
    assert told.source == "cdr"


def test_a_call_by_cel_that_has_no_bridges_in_it_is_told_by_cdr() -> None:
    cdr, cel = rows_of(["answered_caller_ends"])
    (group,) = groups(cdr, [event for event in cel if not event["eventtype"].startswith("BRIDGE")])
    (told,) = calls_of(group, House(PEOPLE), now=0.0)
    assert told.source == "cdr"


def test_text_in_extra_that_is_no_json_is_survived() -> None:
    cdr, cel = rows_of(["blind_transfer"])
    (group,) = groups(cdr, [event | {"extra": event["extra"][:-1] + "[1,"} for event in cel])
    assert len(calls_of(group, House(PEOPLE), now=0.0)) == 1
