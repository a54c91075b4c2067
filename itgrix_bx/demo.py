"""The demonstration: the real program between two doubles, three calls, and their story for people."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from itgrix_bx.config import Settings, from_tables
from itgrix_bx.emulator.asterisk import AsteriskDouble, Moment, Played
from itgrix_bx.emulator.portal import PortalEmulator
from itgrix_bx.report import summary
from itgrix_bx.service import Service

_KNOWN, _STRANGER, _DID = "89161234567", "89031112233", "74950000001"
_ARRIVES_S = 30.0

_TEXTS = {
    "en": {
        "starting": "Starting the program, an emulated Bitrix24 and a played Asterisk …",
        "known": "1. A known client, led to their manager and recorded",
        "lead": "2. An unknown client, who becomes a lead",
        "missed": "3. A missed call",
        "pbx": "PBX", "portal": "Bitrix24", "we": "itgrix-bx answers",
        "card_show": "client's card shown to {who}", "card_hide": "card taken away from {who}",
        "registered": "call registered: {entity}", "statistics": "in the statistics: {who}, {talk} s, {code} {reason}",
        "record": "recording attached, {size} bytes, sha256 equal to the file's",
        "route": "try {route} first for {seconds} s", "normal": "the normal route", "client": "client: {name}",
        "ok": "as it must be", "page": "The portal's page: {url}   (Ctrl-C ends)", "delivered": "delivery …",
        "calls": "{who} calls", "rings": "{who} rings", "answers": "{who} answers",
        "hangs_up": "the client hangs up", "gives_up": "the client gives up",
    },
    "ru": {
        "starting": "Запускаем программу, эмулятор Битрикс24 и имитатор Asterisk …",
        "known": "1. Известный клиент: соединён со своим менеджером, разговор записан",
        "lead": "2. Неизвестный клиент: создан лид",
        "missed": "3. Пропущенный звонок",
        "pbx": "АТС", "portal": "Битрикс24", "we": "ответ itgrix-bx",
        "card_show": "карточка клиента показана: {who}", "card_hide": "карточка скрыта: {who}",
        "registered": "звонок зарегистрирован: {entity}",
        "statistics": "в статистике: {who}, {talk} с, {code} {reason}",
        "record": "запись прикреплена, {size} байт, sha256 совпадает с файлом",
        "route": "сначала {route}, {seconds} с", "normal": "обычный маршрут", "client": "клиент: {name}",
        "ok": "всё верно", "page": "Страница портала: {url}   (Ctrl-C — выход)", "delivered": "доставка …",
        "calls": "звонок {who}", "rings": "звонит {who}", "answers": "{who} снял трубку",
        "hangs_up": "клиент положил трубку", "gives_up": "клиент не дождался",
    },
}  # fmt: skip


@dataclass
class Result:
    """A played call, what the program says of it, what the portal has, and what is not as it must be."""

    played: Played
    call: dict[str, Any]
    row: dict[str, Any]
    known: dict[str, Any]
    faults: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For `--json`."""
        moments = [
            {"at": m.at, "what": m.what, "who": m.who, "told": m.told, "ms": round(m.took_ms, 1)}
            for m in self.played.moments
        ]
        return {
            "title": self.played.title, "call": self.call, "statistics": self.row, "hooks": moments,
            "faults": self.faults,
        }  # fmt: skip


class Demo:
    """Everything up inside a `with`; `play` shows the calls."""

    def __init__(self, lang: str, *, quiet: bool = False) -> None:
        self._texts = _TEXTS[lang]
        self._console = Console(quiet=quiet, highlight=False)
        self._directory = tempfile.TemporaryDirectory(prefix="itgrix-bx-demo-")
        self._portal = PortalEmulator()
        self._settings = Settings()

    def _tables(self, directory: Path) -> dict[str, Any]:
        (directory / "monitor").mkdir()
        return {
            "portal": {"webhook": self._portal.webhook_url},
            "database": {"url": f"sqlite:///{directory}/journal.db"},
            "journal": {"directory": str(directory)},
            "fastagi": {"listen": "127.0.0.1:0"},
            "web": {"listen": "127.0.0.1:0"},
            "recordings": {"directory": str(directory / "monitor")},
        }

    def __enter__(self) -> Demo:
        self._console.print(f"[dim]{self._texts['starting']}[/dim]")
        self._portal.start()
        self._settings = from_tables(self._tables(Path(self._directory.name)))
        self._service = Service(self._settings)
        self._service.start()
        _until(lambda: self._service.employees.directory.synced)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._service.stop(1.0)
        self._portal.stop()
        self._directory.cleanup()

    def play(self) -> list[Result]:
        """The three calls, one after the other."""
        asterisk = AsteriskDouble(self._service.agi_address, self._settings.recordings.directory)
        played = [
            lambda: asterisk.inbound(self._texts["known"], _KNOWN, _DID, answered_by="route"),
            lambda: asterisk.inbound(self._texts["lead"], _STRANGER, _DID, answered_by="102"),
            lambda: asterisk.inbound(self._texts["missed"], _KNOWN, _DID, ring_s=2.0),
        ]
        return [self._show(play) for play in played]

    def wait(self) -> None:
        """Until Ctrl-C."""
        self._console.print(self._texts["page"].format(url=self._portal.url))
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return

    # --- one call --------------------------------------------------------------------------------

    def _show(self, play: Any) -> Result:
        with self._console.status(self._texts["delivered"]):
            played: Played = play()
            _until(lambda: self._state(played) == "complete")
        result = self._result(played)
        result.faults = _faults(result, self._settings.recordings.directory)
        self._console.print(f"\n[bold]{played.title}[/bold]")
        self._console.print(self._timeline(result))
        verdict = "; ".join(result.faults)
        self._console.print(
            f"  [red]✗ {escape(verdict)}[/red]" if verdict else f"  [green]✓ {self._texts['ok']}[/green]"
        )
        return result

    def _state(self, played: Played) -> str:
        call = self._service.journal.call(played.call_id)
        return call.state if call is not None else ""

    def _result(self, played: Played) -> Result:
        call = self._service.journal.call(played.call_id)
        assert call is not None
        known = self._portal.dump()
        row: dict[str, Any] = next((row for row in known["statistics"] if row["CALL_ID"] == call.portal_call_id), {})
        return Result(played, summary(call, self._service.employees.directory, self._settings), row, known)

    # --- the story -------------------------------------------------------------------------------

    def _timeline(self, result: Result) -> Table:
        table = Table(box=None, padding=(0, 1), show_header=False)
        for style in ("dim", "cyan", ""):
            table.add_column(style=style)
        for at, who, what in sorted(self._told(result), key=lambda line: line[0]):
            clock = datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
            table.add_row(clock, who, escape(what))
        return table

    def _told(self, result: Result) -> list[tuple[float, str, str]]:
        texts = self._texts
        lines: list[tuple[float, str, str]] = []
        for moment in result.played.moments:
            began = moment.at - moment.took_ms / 1000
            lines.append((began, texts["pbx"], texts[moment.what].format(who=moment.who)))
            lines.append((moment.at, texts["we"], self._answer(moment)))
        for card in result.known["cards"]:
            if card["call_id"] == result.call["portal_call_id"]:
                who = self._name(result, card["user_id"])
                lines.append((_unix(card["at"]), texts["portal"], texts[f"card_{card['action']}"].format(who=who)))
        return [*lines, *self._portal_lines(result, max(line[0] for line in lines))]

    def _portal_lines(self, result: Result, last: float) -> list[tuple[float, str, str]]:
        texts, row = self._texts, result.row
        entity: dict[str, Any] = result.call["entity"] or {}
        lines = [
            (result.played.moments[0].at - 0.0001, texts["portal"],
             texts["registered"].format(entity=f"{entity.get('type')} {entity.get('id')}")),
            (last + 0.001, texts["portal"],
             texts["statistics"].format(who=self._name(result, int(row.get("PORTAL_USER_ID", 0))),
                                        talk=row.get("CALL_DURATION"), code=row.get("CALL_FAILED_CODE"),
                                        reason=row.get("CALL_FAILED_REASON", ""))),
        ]  # fmt: skip
        if file := _file(result):
            lines.append((last + 0.002, texts["portal"], texts["record"].format(size=file["size"])))
        return lines

    def _answer(self, moment: Moment) -> str:
        texts, told = self._texts, moment.told
        parts = [f"{moment.took_ms:.0f} ms"]
        if "B24_STATE" in told:
            parts.append(told["B24_STATE"])
        if "B24_ROUTE" in told:
            route, seconds = told["B24_ROUTE"], told["B24_ROUTE_SECONDS"]
            parts.append(texts["route"].format(route=route, seconds=seconds) if route else texts["normal"])
        if told.get("B24_CLIENT"):
            parts.append(texts["client"].format(name=told["B24_CLIENT"]))
        return ", ".join(parts)

    def _name(self, result: Result, user_id: int) -> str:
        return next((str(user["name"]) for user in result.known["users"] if user["id"] == user_id), str(user_id))


def _faults(result: Result, monitor: Path) -> list[str]:
    """What is not as the contract promises; empty when all is well."""
    played, row, call = result.played, result.row, result.call
    if not row:
        return [f"{call['id']}: the portal has no such call"]
    talked = played.talked > 0
    code = "200" if talked else "304"
    checks = {
        f"STATUS_CODE is {row['CALL_FAILED_CODE']}, not {code}": row["CALL_FAILED_CODE"] == code,
        f"duration is {row['CALL_DURATION']}, not {played.talked:.1f}": abs(int(row["CALL_DURATION"]) - played.talked)
        <= 1,
        "a card stays open": not [c for c in result.known["open_cards"] if c["call_id"] == row["CALL_ID"]],
        "the recording is not the file": not talked or _same_sound(result, monitor),
        "more than one row": len([r for r in result.known["statistics"] if r["CALL_ID"] == row["CALL_ID"]]) == 1,
        "no entity": call["entity"] is not None,
    }
    return [f"{call['id']}: {what}" for what, right in checks.items() if not right]


def _same_sound(result: Result, monitor: Path) -> bool:
    file, path = _file(result), result.played.recording
    if file is None or path is None or not path.is_relative_to(monitor):
        return False
    return bool(file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest())


def _file(result: Result) -> dict[str, Any] | None:
    return next((f for f in result.known["files"] if f["call_id"] == result.row.get("CALL_ID")), None)


def _unix(at: float | str) -> float:
    return at if isinstance(at, int | float) else datetime.fromisoformat(at).timestamp()


def _until(done: Any) -> None:
    end = time.monotonic() + _ARRIVES_S
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
