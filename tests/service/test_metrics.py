"""`GET /metrics` and `/healthz` of the running service, and what they must not tell."""

from __future__ import annotations

import errno
import json
import signal
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from itgrix_bx.spool import Spool
from tests.mariadb_server import server
from tests.service.conftest import CLIENT, DID, Office, eventually

ID = "1700000000.1"
REGISTER = "telephony.externalCall.register"


def get(office: Office, path: str, **headers: str) -> tuple[int, str, str]:
    assert office.service.web is not None
    host, port = office.service.web.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def scrape(office: Office) -> dict[tuple[str, ...], float]:
    """(name, label values…) -> value."""
    status, _, text = get(office, "/metrics")
    assert status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(office: Office) -> dict[str, Any]:
    return dict(json.loads(get(office, "/healthz")[2])["parts"])


def test_a_database_that_hangs_hangs_no_page(make_office: Callable[..., Office]) -> None:
    with server() as mariadb:
        office = make_office(database={"url": mariadb.url})
        assert mariadb.process is not None
        mariadb.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(5):  # more than the web server has threads
                threading.Thread(target=get, args=(office, "/healthz"), daemon=True).start()
            assert health(office)["journal"]["database"] == "the database did not answer within 2 s"
            assert scrape(office)["itgrix_bx_database_up",] == 0
        finally:
            mariadb.process.send_signal(signal.SIGCONT)
        eventually(lambda: "database" not in health(office)["journal"])
        assert scrape(office)["itgrix_bx_database_up",] == 1


def missed(office: Office, call_id: str = ID) -> None:
    office.hook("inbound", call_id, DID)
    office.hook("hangup", call_id, "in", DIALSTATUS="NOANSWER")


def test_a_delivered_call_is_counted_at_every_step(office: Office) -> None:
    missed(office)
    office.until(ID, "complete")
    office.hook("inbond", ID)
    found = eventually(lambda: (s := scrape(office))["itgrix_bx_delivery_results_total", "done", "finish"] and s)
    assert found["itgrix_bx_hook_seconds_count", "inbound"] == 1
    assert found["itgrix_bx_hook_seconds_count", "hangup"] == 1
    assert 0 < found["itgrix_bx_hook_seconds_sum", "inbound"] < 10
    assert found["itgrix_bx_delivery_results_total", "done", "register"] == 1
    assert found["itgrix_bx_finish_lag_seconds_count",] == 1
    assert found["itgrix_bx_portal_requests_total", "worked"] >= 3
    assert found["itgrix_bx_fastagi_sessions_total",] == 3
    assert found["itgrix_bx_fastagi_unknown_hooks_total",] == 1
    assert found["itgrix_bx_database_up",] == found["itgrix_bx_portal_well",] == 1
    assert found["itgrix_bx_backlog_calls", "finish", "now"] == found["itgrix_bx_spool_bytes",] == 0


def test_what_is_owed_and_what_goes_wrong_can_be_seen(office: Office) -> None:
    office.portal.faults([{"method": "*", "kind": "auth", "times": -1}])
    for n in range(4):
        missed(office, f"17.{n}")
    eventually(lambda: not office.service.client.health.well)
    found = eventually(lambda: (s := scrape(office)).get(("itgrix_bx_backlog_calls", "register", "later")) and s)
    assert found["itgrix_bx_calls", "ended"] == 4
    assert found["itgrix_bx_backlog_oldest_seconds", "register"] > 0
    assert found["itgrix_bx_portal_requests_total", "AuthFailed"] >= 1
    assert found["itgrix_bx_delivery_results_total", "failed", "register"] >= 1
    portal = health(office)["portal"]
    assert (portal["ok"], portal["vital"]) == (False, False)
    assert "webhook" in portal["error"]


def test_a_scrape_tells_of_no_caller(office: Office) -> None:
    for n in range(3):
        missed(office, f"17.{n}")
        office.until(f"17.{n}", "complete")
    text = get(office, "/metrics")[2]
    labels = {v for f in text_string_to_metric_families(text) for s in f.samples for v in s.labels.values()}
    assert not [v for v in labels if CLIENT.strip("+") in v or "17." in v or "externalCall." in v or "Иван" in v]


def test_every_metric_is_documented(office: Office) -> None:
    missed(office)
    office.until(ID, "complete")
    text = (Path(__file__).parents[2] / "docs" / "operation.md").read_text(encoding="utf-8")
    families = list(text_string_to_metric_families(get(office, "/metrics")[2]))
    names = {f.name + ("_total" if f.type == "counter" else "") for f in families if f.name.startswith("itgrix_bx")}
    assert len(names) > 15
    assert [name for name in names if f"`{name}" not in text and not name.endswith("_created")] == []


def test_an_openmetrics_scraper_gets_its_own_format(office: Office) -> None:
    _, kind, text = get(office, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_a_database_that_is_away_is_told_by_both(office: Office, tmp_path: Path) -> None:
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    office.hook("ring", ID, "101")
    found = scrape(office)
    assert found["itgrix_bx_database_up",] == 0
    assert found["itgrix_bx_spool_bytes",] > 0
    assert health(office)["journal"]["database_away_since"] is not None
    blocker.execute("ROLLBACK")
    eventually(lambda: scrape(office)["itgrix_bx_database_up",] == 1)
    assert health(office)["journal"]["database_away_since"] is None


def test_where_neither_database_nor_disk_takes_calls_the_service_is_not_well(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    office.hook("inbound", ID, DID)
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "_write", full)
        assert office.hook("ring", ID, "101")["B24_RC"] == "error"
    status, _, text = get(office, "/healthz")
    journal = json.loads(text)["parts"]["journal"]
    assert (status, journal["ok"], journal["unsaved_events"]) == (503, False, 1)
    assert "No space left on device: free space on its disk" in journal["error"]
    blocker.execute("ROLLBACK")
    eventually(lambda: get(office, "/healthz")[0] == 200)
    assert (health(office)["journal"]["unsaved_events"], health(office)["journal"]["error"]) == (0, None)
    eventually(lambda: office.call(ID).last_rung)


SECRETS = ("s3cretOfTheDatabase", "s3cretOfTheManager")


@pytest.mark.parametrize("kind", ["error", "auth"])
def test_a_portal_that_repeats_our_secrets_makes_nobody_tell_them(
    make_office: Callable[..., Office], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level("DEBUG")
    office = make_office(
        ami={"secret": SECRETS[1]}, cdr={"url": f"mysql+pymysql://cdr:{SECRETS[0]}@127.0.0.1:9/asteriskcdrdb"}
    )
    webhook = office.settings.portal.webhook.get_secret_value()
    own = webhook.rstrip("/").rsplit("/", 1)[1]
    said = f"{webhook} {own} {' '.join(SECRETS)}"
    office.portal.faults([{"method": "*", "kind": kind, "code": own, "description": said, "times": -1}])
    missed(office)
    eventually(lambda: office.call(ID).last_error)
    journal = office.service.journal
    told = [
        get(office, "/healthz")[2], get(office, "/metrics")[2], office.call(ID).last_error, office.summary(ID),
        journal.events(ID), office.service.client.health.last_error, caplog.text,
    ]  # fmt: skip
    for secret in (own, *SECRETS):
        assert secret not in str(told)


def test_an_ill_portal_does_not_make_the_service_unhealthy(office: Office) -> None:
    office.portal.faults([{"method": "*", "kind": "html503", "times": -1}])
    missed(office)
    eventually(lambda: not health(office)["portal"]["ok"])
    assert get(office, "/healthz")[0] == 200


def test_without_a_port_for_the_hooks_the_service_is_unhealthy(office: Office) -> None:
    assert get(office, "/healthz")[0] == 200
    office.service.agi.stop(0.0)
    status, kind, body = get(office, "/healthz")
    assert (status, kind, json.loads(body)["status"]) == (503, "application/json", "error")
    assert (health(office)["fastagi"]["ok"], health(office)["journal"]["ok"]) == (False, True)


def test_while_nothing_takes_what_the_hooks_tell_the_service_is_unhealthy(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with sqlite3.connect(tmp_path / "journal.db", isolation_level=None) as other, monkeypatch.context() as full:
        full.setattr(office.service.logbook.spool, "_write", is_full)
        other.execute("BEGIN IMMEDIATE")  # what stands there can still be read
        assert office.hook("inbound", ID, DID)["B24_RC"] == "error"
        assert get(office, "/healthz")[0] == 503
        assert (health(office)["journal"]["ok"], health(office)["fastagi"]["ok"]) == (False, True)
        other.execute("ROLLBACK")
    other.close()
    eventually(lambda: get(office, "/healthz")[0] == 200)
    assert office.call(ID).client_number == CLIENT
