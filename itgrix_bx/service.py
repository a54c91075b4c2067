"""Everything wired together: the only place that knows all the parts."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from agi.hooks import hooks
from bx24client import Bitrix24, Budget
from fastagi_server import FastAGIServer
from itgrix_bx.calls.call import Call
from itgrix_bx.calls.events import Event
from itgrix_bx.config import ConfigError, Settings, split_address
from itgrix_bx.delivery.cards import Cards
from itgrix_bx.delivery.fetching import Fetching
from itgrix_bx.delivery.schedule import due
from itgrix_bx.delivery.turns import Turns
from itgrix_bx.delivery.worker import Worker
from itgrix_bx.employees import Employees
from itgrix_bx.logbook import Logbook
from itgrix_bx.numbers import Numbers
from itgrix_bx.pbx import devices, feed
from itgrix_bx.pbx.ami import Ami, manager_of
from itgrix_bx.pbx.ami_user import READ
from itgrix_bx.pbx.closing import Closer
from itgrix_bx.pbx.own_lists import OwnLists
from itgrix_bx.pbx.reconcile import House
from itgrix_bx.pbx.watcher import Watcher
from itgrix_bx.reception import Reception
from itgrix_bx.retention import Retention
from itgrix_bx.router import Router
from itgrix_bx.rules import LiveRules
from itgrix_bx.shared_budget import SharedBudget
from itgrix_bx.spool import Spool
from itgrix_bx.switchboard import Switchboard
from itgrix_bx.talks import Talks
from itgrix_bx.times import iso
from itgrix_bx.web.app import WebServer, create_app
from itgrix_bx.web.metrics import Metrics, Parts
from itgrix_bx.web.portal_events import portal_events
from itgrix_bx.web.recordings import recordings
from sql.budgets import Budgets
from sql.database import Database, DatabaseAwayError
from sql.journal import Journal
from sql.lines import LineRules
from sql.marks import Marks
from sql.notes import Notes
from sql.numbers import Numbers as NumberStore
from sql.overview import Overview
from sql.prompt import PromptReader
from sql.routing import Routing
from sql.schema import upgrade
from sql.staff import Staff
from sql.talks import Ends

log = logging.getLogger("itgrix_bx.service")

ALL = frozenset({"agi", "worker", "web"})
_MIGRATE_AGAIN_S = 5.0
_COMES_UP_S = 5.0  # seconds a stop waits for a start under way


def portal_client(settings: Settings, database: Database | None = None) -> Bitrix24:
    """The client of the configured portal; a budget that is shared is shared through `database`.

    Raises ConfigError when no portal is configured.
    """
    webhook = settings.portal.webhook.get_secret_value()
    if not webhook:
        raise ConfigError("[portal] webhook is missing: create one in Bitrix24 and run `itgrix-bx setup`")
    return Bitrix24(webhook, budget=_budget(settings, database), working_time_s=settings.portal.working_time)


def _budget(settings: Settings, database: Database | None) -> Budget:
    rate, burst = settings.portal.requests_per_second, settings.portal.burst
    if database is None or not settings.portal.shared_budget:
        return Budget(rate, burst)
    host = urlsplit(settings.portal.webhook.get_secret_value()).hostname or ""
    return SharedBudget(Budgets(database), host[:80], rate, burst)


class Service:
    """The running program; `only` names the parts this process has (agi, worker, web)."""

    def __init__(self, settings: Settings, only: frozenset[str] = ALL) -> None:
        self._settings = settings
        self._only = only
        self._stopping = threading.Event()
        self._coming_up: threading.Thread | None = None
        self.database = Database(settings.database.url.get_secret_value())
        self.client = portal_client(settings, self.database)
        self.metrics = Metrics()
        self.overview = Overview(PromptReader(self.database))
        settings.journal.directory.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.database, due)
        self.logbook = Logbook(self.journal, Spool(settings.journal.directory))
        self.employees = Employees(
            Staff(self.database), LineRules(self.database), self.client, settings.numbers.country
        )
        number_store = NumberStore(self.database)
        self.numbers = Numbers(number_store, settings.numbers)
        self.cards = Cards(self.client, lambda: self.employees.directory)
        turns = Turns()
        self.reception = Reception(self.client, self.logbook, lambda: self._settings.inbound, turns)
        self.retention = Retention(self.journal, settings.journal.keep_days)
        self.fetching = Fetching(settings.recordings.public_url, Notes(self.database))
        marks = Marks(self.database)
        self.worker = Worker(
            settings, self.logbook, self.client, self.cards, self.employees, self.fetching, self.numbers, marks, turns
        )
        self.ami: Ami | None = None
        self.feed: feed.Feed | None = None
        self.closer: Closer | None = None
        self.own_lists: OwnLists | None = None
        if settings.ami.username and only & {"agi", "worker"}:
            self.ami = Ami(manager_of(settings.ami, mask=READ, events=(*devices.EVENTS, *feed.EVENTS)))
        self.devices = devices.Devices(self.ami)
        if self.ami is not None and "worker" in only:
            records = bool(settings.cdr.url.get_secret_value())
            self.feed = feed.Feed(self._house, self.logbook, self.ami, self.devices, records=records)
            self.closer = Closer(settings, self.logbook, self.ami)
            self.own_lists = OwnLists(self.ami, number_store)
        self.watcher = Watcher(settings, self.logbook, self.employees, self.numbers, marks)
        self.rules = LiveRules(Routing(self.database))
        self.talks = Talks(
            self.journal,
            Ends(self.database),
            lambda: self.employees.directory,
            settings.calls.finisher,
            lambda: self.rules.rules.talker_days,
        )
        router = Router(lambda: self.employees.directory, self.reception.clients, self.rules, self.talks, self.devices)
        switchboard = Switchboard(settings, self.logbook, self.reception, self.employees, self.numbers, router)
        self.agi = FastAGIServer(
            split_address(settings.fastagi.listen),
            self.metrics.timed(hooks(switchboard, lambda: self._settings.inbound.deadline)),
            allow=[ipaddress.ip_network(network) for network in settings.fastagi.allow],
        )
        self.metrics.watch(Parts(self.overview, self.logbook, self.client, self.agi if "agi" in only else None))
        self.web: WebServer | None = None
        self.logbook.on_change(self._changed)

    def _house(self) -> House:
        return House(self.employees.directory, self.numbers.current, self.employees.lines)

    @property
    def agi_address(self) -> tuple[str, int]:
        return self.agi.address

    def start(self) -> None:
        """Answer hooks first; the schema, the users and the rest come up behind.

        Raises OSError, its filename the setting and the address, when one is taken.
        """
        # Every address is taken before the first hook is answered: a second instance ends here and has touched nothing.
        if "web" in self._only:
            pages = recordings(self._settings.recordings, self.fetching, self.logbook)
            token = self._settings.portal.application.event_token.get_secret_value()
            events = portal_events(token, self.reception.clients.changed)
            app = create_app(self.health, self.metrics.registry, pages, events)
            with _naming("[web] listen", self._settings.web.listen):
                self.web = WebServer(split_address(self._settings.web.listen), app)
        if "agi" in self._only:
            with _naming("[fastagi] listen", self._settings.fastagi.listen):
                self.agi.start()
            log.info("FastAGI on %s:%d", *self.agi.address)
        self._coming_up = threading.Thread(target=self._come_up, name="start", daemon=True)
        self._coming_up.start()
        if self.web is not None:
            self.web.start()

    def _come_up(self) -> None:
        # Until the schema is there, hooks find the database away and write to the spool.
        while not self._stopping.is_set():
            try:
                upgrade(self.database)
                self.fetching.prepare()
                break
            except DatabaseAwayError as error:
                log.error("the database cannot be prepared yet: %s", error)
            except Exception:
                log.exception("the database cannot be prepared yet")
            self._stopping.wait(_MIGRATE_AGAIN_S)
        if self._stopping.is_set():
            return
        self.logbook.start()
        self.numbers.start()
        self.employees.start()
        self.cards.start()
        if "agi" in self._only:
            self.rules.start()
            self.talks.start()
        if "worker" in self._only:
            self.worker.start()
            self.retention.start()
        if self.feed is not None:
            self.feed.start()
        if self.ami is not None:
            self.ami.start()
        if self.closer is not None:
            self.closer.start()
        if self.own_lists is not None:
            self.own_lists.start()
        if "agi" in self._only:
            self.watcher.start()
        log.info("ready")

    def stop(self, drain_s: float = 10.0) -> None:
        """Finish the sessions and requests in hand, refuse new ones."""
        self._stopping.set()
        if self._coming_up is not None:
            self._coming_up.join(_COMES_UP_S)  # no part may begin after it was stopped
        self.agi.stop(drain_s)
        self.devices.stop()
        if self.ami is not None:
            self.ami.stop()
        if self.feed is not None:
            self.feed.stop()
        if self.closer is not None:
            self.closer.stop()
        if self.own_lists is not None:  # after the link it asks by: an answer that does not come is not waited for
            self.own_lists.stop()
        self.watcher.stop()
        self.retention.stop()
        self.worker.stop()
        if self.web is not None:  # after the worker: what it told the portal to fetch it still finds
            self.web.stop()
        self.cards.stop()
        self.talks.stop()
        self.rules.stop()
        self.employees.stop()
        self.numbers.stop()
        self.logbook.stop()
        self.database.close()
        self.client.close()

    def reload(self, settings: Settings) -> None:
        """Take what can change while calls run: who may connect, the deadline. The rest waits for a restart."""
        self.agi.allow = [ipaddress.ip_network(network) for network in settings.fastagi.allow]
        changed = {
            "fastagi": self._settings.fastagi.model_copy(update={"allow": settings.fastagi.allow}),
            "inbound": settings.inbound,
        }
        self._settings = self._settings.model_copy(update=changed)
        self.employees.reread()
        self.numbers.reread()
        log.info("settings read again: [fastagi] allow, [inbound]; others need a restart")

    def health(self) -> dict[str, dict[str, Any]]:
        """Each part by name: {"ok": bool, ...}; parts with "vital": False do not make the service unhealthy."""
        parts: dict[str, dict[str, Any]] = {"journal": self._journal_health()}
        if "agi" in self._only:
            stats = self.agi.stats()
            refused = {reason: count for reason, count in stats.refused_by_reason.items() if reason != "probe"}
            parts["fastagi"] = {
                "ok": stats.listening, "sessions": stats.sessions, "in_hand": stats.in_hand, "queued": stats.queued,
                "refused": sum(refused.values()), "errors": stats.errors,
            }  # fmt: skip
        if self.ami is not None:
            parts["ami"] = self.ami.health() | {"phones": self.devices.known()}
            if self.feed is not None:
                parts["ami"] |= {"told_the_journal": self.feed.stored, "waiting": self.feed.waiting()}
        if "agi" in self._only and self._settings.cdr.url.get_secret_value():
            parts["records"] = {"ok": not self.watcher.away, "vital": False, "error": self.watcher.away or None}
        parts["portal"] = self._portal_health()
        synced = self.employees.directory.synced
        parts["employees"] = {"ok": synced, "vital": False, "known": len(self.employees.directory.employees)}
        return parts

    def _portal_health(self) -> dict[str, Any]:
        health = self.client.health
        told = {} if health.well else {"error": health.last_error, "ill_for_s": round(health.ill_for_s)}
        return {"ok": health.well, "vital": False, "requests": sum(health.outcomes.values()), **told}

    def _journal_health(self) -> dict[str, Any]:
        logbook, away = self.logbook, self.logbook.away_since is not None
        found: dict[str, Any] = {"spool_bytes": logbook.spool.size(), "unsaved_events": logbook.unsaved}
        found["database_away_since"] = iso(logbook.away_since)
        try:
            backlog = self.overview.backlog(time.time())
        except DatabaseAwayError as error:
            found["database"], away = str(error), True
        else:
            oldest = min((owed.oldest for owed in backlog.values()), default=None)
            found["backlog"] = sum(owed.now + owed.later for owed in backlog.values())
            found["oldest_age_s"] = None if oldest is None else max(0, round(time.time() - oldest))
        # That the database can be read says nothing about writing; what cannot be written there the spool must take.
        trouble = logbook.spool.trouble() if away else None
        return found | {"ok": trouble is None, "error": trouble}

    def _changed(self, call: Call, events: Sequence[Event]) -> None:
        self.metrics.count(call, events)
        self.cards.follow(call)
        self.worker.notice(call)


@contextlib.contextmanager
def _naming(setting: str, address: str) -> Iterator[None]:
    """An OSError in here says which address it is about."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{setting} {address}") from None
