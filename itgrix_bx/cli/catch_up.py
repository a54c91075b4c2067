"""`itgrix-bx catch-up`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from itgrix_bx.cli.common import Context, Problem, echo_json, parse_time
from itgrix_bx.config import Settings
from itgrix_bx.delivery.schedule import due
from itgrix_bx.numbers import numbering
from itgrix_bx.pbx.catch_up import KNOWN, NEW, TURN, TURN_S, CatchUp, Finding
from itgrix_bx.pbx.cdr import Records, RecordsAwayError
from itgrix_bx.pbx.reconcile import House
from itgrix_bx.report import summary
from itgrix_bx.times import iso
from sql.database import Database
from sql.journal import Journal
from sql.lines import LineRules
from sql.marks import Marks
from sql.numbers import Numbers
from sql.staff import Staff

_PATIENCE_S = 5.0


@click.command("catch-up")
@click.option("--from", "since", metavar="TIME", required=True, help="Calls that began at or after, ISO 8601.")
@click.option("--to", "until", metavar="TIME", help="Calls that began before, ISO 8601; left out: now.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; without --yes a dry run.")
@click.pass_obj
def catch_up(context: Context, since: str, until: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take calls the hooks never told us of from the PBX's own records ([cdr] url).

    Shows what would be added or completed, then asks. Calls the portal has been told the end of are never changed and
    none is sent twice, so it may be stopped and repeated. `serve` does the same by itself after each start.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes exclude each other")
    settings = context.settings()
    span = _span(settings, since, until)
    with context.database() as database, _records(settings) as records:
        job = _Job(settings, database, records, span)
        found = job.run(put_in=yes)
        if as_json:
            echo_json(
                {"from": iso(span[0]), "to": iso(span[1]), "done": yes, "known": found.known, "calls": found.changes}
            )
            return
        for change in found.changes:
            click.echo(_line(change))
        click.echo(found.total(done=yes))
        if yes or dry_run or not found.changes:
            return
        click.confirm("Put them into the journal and send them to Bitrix24?", abort=True)
        click.echo(job.run(put_in=True).total(done=True))


def _span(settings: Settings, since: str, until: str | None) -> tuple[float, float]:
    now = time.time()
    begin, end = parse_time(since) or 0.0, min(parse_time(until) or now, now)
    if begin >= end:
        raise Problem("--from must lie before --to, and in the past")
    if begin < now - settings.journal.keep_days * 86400:
        raise Problem(
            f"the journal keeps {settings.journal.keep_days} days; whether the portal has older calls nobody can tell: "
            "choose a later --from"
        )
    return begin, end


@contextlib.contextmanager
def _records(settings: Settings) -> Iterator[Records]:
    url = settings.cdr.url.get_secret_value()
    if not url:
        raise Problem("[cdr] url is not set: name the PBX's database of calls there (docs/catch-up.md)")
    try:
        with contextlib.closing(Records(url)) as records:
            yield records
    except RecordsAwayError as error:
        raise Problem(str(error)) from None


@dataclass
class _Found:
    """`changes`: {change: new | completed, source, and the call's fields} each; `known`: how many calls more."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    known: int = 0

    def total(self, *, done: bool) -> str:
        new = sum(one["change"] == NEW for one in self.changes)
        added, completed = ("added", "completed") if done else ("to add (+)", "to complete (~)")
        return f"{new} {added}, {len(self.changes) - new} {completed}, {self.known} known already."


class _Job:
    """One look through the records, as often as it is run."""

    def __init__(self, settings: Settings, database: Database, records: Records, span: tuple[float, float]) -> None:
        staff = Staff(database)
        self._settings, self._directory = settings, staff.directory()
        if not self._directory.synced:
            raise Problem("nobody's extension is known yet: run `itgrix-bx users sync`")
        self._house = House(
            self._directory, numbering(Numbers(database), settings.numbers), LineRules(database).lines()
        )
        self._catch_up = CatchUp(Journal(database, due), records)
        self._marks = Marks(database)
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._since, self._until = span

    def run(self, *, put_in: bool) -> _Found:
        """What there is, put into the journal or not."""
        found = _Found()
        try:
            self._have_the_turn()
            self._go_through(found, put_in)
        finally:
            self._marks.give_back(TURN, self._owner)
        return found

    def _go_through(self, found: _Found, put_in: bool) -> None:
        linkedids = self._catch_up.linkedids(self._since, self._until)
        times = {"since": self._since, "until": self._until, "now": time.time()}
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task("putting in" if put_in else "looking", total=len(linkedids))
            for done, findings in self._catch_up.look(linkedids, self._house, **times):
                self._have_the_turn()
                for finding in findings:
                    self._take(finding, found, put_in)
                progress.update(task, completed=done)

    def _take(self, finding: Finding, found: _Found, put_in: bool) -> None:
        if finding.change == KNOWN:
            found.known += 1
            return
        if put_in:
            self._catch_up.put_in(finding)
        fields = summary(finding.call, self._directory, self._settings)
        found.changes.append({"change": finding.change, "source": finding.told.source, **fields})

    def _have_the_turn(self) -> None:
        """The service has it for a moment twice a minute, and for long only after a start."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while not self._marks.take(TURN, self._owner, now=time.time(), for_s=TURN_S):
            if time.monotonic() > give_up_at:
                raise Problem(
                    "a catch-up is under way in the service or on another machine, or one was killed less than two "
                    "minutes ago: try again in two minutes"
                )
            time.sleep(0.2)


def _line(one: dict[str, Any]) -> str:
    mark = "+" if one["change"] == NEW else "~"
    arrow = "←" if one["direction"] == "in" else "→"
    started = one["started_at"][:19].replace("T", " ")
    number, extension = one["client_number"] or "no number", one["extension"] or ""
    talk, code, source = f"{one['talk_seconds']} s", one["status_code"], one["source"].upper()
    return f"{mark} {started} {arrow} {number:<16} {extension:<6} {talk:>7}  {code:<5} {source}  {one['id']}"
