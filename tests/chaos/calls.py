"""The calls of a run: played against the hooks as the dialplan would, with what truly happened kept beside."""

from __future__ import annotations

import hashlib
import io
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from itgrix_bx.calls.lines import Leads, Line
from itgrix_bx.delivery.recording import convert, wav
from itgrix_bx.emulator.asterisk import AgiCall

EXTENSIONS = {"101": 11, "102": 12, "103": 13}
DISMISSED = "102"  # whose user is dismissed now and then
DISMISSED_USER = EXTENSIONS[DISMISSED]
DEFAULT_USER = 1
# A line with each policy for leads; of the first no rule says anything.
DIDS = {
    "74950000001": Line("74950000001"),
    "74950000002": Line("74950000002", "office", leads=Leads.NONE),
    "74950000003": Line("74950000003", "sales", source="WEB", default_user=13, leads=Leads.NOTHING_OPEN),
}
LINES = [line for line in DIDS.values() if line.number]
_RESPONSIBLES = (11, 13)
_HOOK_S = 10.0
# Of talks and pauses that are shorter than what the verdict forgives a loaded machine, any duration would do.
_LONG_S, _LONG_SHARE = (4.0, 8.0), 0.12
_KINDS = {"answered": 42, "missed": 20, "transferred": 8, "outbound": 16, "busy": 6, "twin": 8}  # in a hundred


@dataclass(frozen=True)
class Client:
    """Who talks to us, and the line he calls. `id`: of the contact and of the deal; `responsible` None: unknown to the
    CRM; `in_hand`: with an open deal."""

    id: int
    phone: str
    did: str
    responsible: int | None
    in_hand: bool

    @property
    def line(self) -> Line:
        return DIDS[self.did]

    @property
    def wants_lead(self) -> bool:
        """Whether his calls are to leave a lead behind, one of all of them."""
        if self.responsible is None:
            return self.line.leads is not Leads.NONE
        return self.line.leads is Leads.NOTHING_OPEN and not self.in_hand


@dataclass
class Truth:
    """What happened. `told`: hooks that were acknowledged; `untold`: those nobody took."""

    call_id: str
    kind: str
    who: Client
    inbound: bool = True
    users: set[int] = field(default_factory=set)
    code: str = "304"
    talked: float = 0.0
    recording: str = ""
    sha256: str = ""
    started_at: float = 0.0
    told: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)

    @property
    def client(self) -> str:
        return self.who.phone

    @property
    def is_even(self) -> bool:
        return int(self.call_id[-1]) % 2 == 0

    @property
    def end_told(self) -> bool:
        """A hangup alone is enough for a correct call."""
        return "hangup" in self.told


class Player:
    """Plays one call at a time in its thread; the shape of a call comes from its number and the seed."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        monitor: Path,
        seed: int,
        *,
        recorded: float = 0.8,
        mp3: bool = False,
    ) -> None:
        """`servers`: a call's hooks go to one, and to the other while that one is down. `recorded`: the share of
        answered calls; `mp3`: what the portal should get of it."""
        self._mp3 = mp3
        self._servers = servers
        self._monitor = monitor
        self._seed = seed
        self._recorded = recorded
        self._base = int(time.time()) - 5

    def kind(self, number: int) -> str:
        """The kind of call `number`."""
        return Random(f"{self._seed}/{number}").choices(list(_KINDS), weights=list(_KINDS.values()))[0]

    def client(self, number: int) -> Client:
        """Whose call that is. Twins share one, and call at about the same time."""
        prefix, own = ("+7917", number // 20) if self.kind(number) == "twin" else ("+7916", number)
        phone = f"{prefix}{own:07d}"
        chance = Random(f"{self._seed}/{phone}")
        did, known, in_hand = chance.choice(list(DIDS)), chance.random() < 0.5, chance.random() < 0.3
        responsible = chance.choice(_RESPONSIBLES) if known else None
        return Client(int(phone[4:]), phone, did, responsible, known and in_hand)

    def crm(self, calls: int) -> dict[str, list[dict[str, Any]]]:
        """What the portal knows of the clients of so many calls, as a seed of the double."""
        clients = {client.id: client for client in map(self.client, range(1, calls + 1)) if client.responsible}
        contacts = [
            {"id": c.id, "name": "Клиент", "phones": [c.phone], "responsible": c.responsible} for c in clients.values()
        ]
        deals = [{"id": c.id, "name": "Сделка", "contact": c.id} for c in clients.values() if c.in_hand]
        return {"contacts": contacts, "deals": deals}

    def play(self, number: int) -> Truth:
        kind = self.kind(number)
        truth = Truth(f"{self._base}.{number}", kind, self.client(number), started_at=time.time())
        getattr(self, f"_{kind}")(truth, Random(f"{self._seed}/{number}/course"))
        return truth

    # --- kinds of calls --------------------------------------------------------------------------

    def _answered(self, truth: Truth, chance: Random) -> None:
        extension = chance.choice(list(EXTENSIONS))
        self._hook(truth, "inbound", truth.who.did)
        self._hook(truth, "ring", extension)
        time.sleep(chance.uniform(0.05, 0.6))
        answered = self._hook(truth, "answer", extension)
        _last(chance, 0.3, 2.5)
        self._end(truth, extension, answered, chance)

    _twin = _answered  # the same client again, while the first may still be talking

    def _missed(self, truth: Truth, chance: Random) -> None:
        extension = chance.choice(list(EXTENSIONS))
        self._hook(truth, "inbound", truth.who.did)
        self._hook(truth, "ring", extension)
        time.sleep(chance.uniform(0.1, 1.0))
        truth.users = {truth.who.responsible or truth.who.line.default_user or EXTENSIONS[extension]}
        if "ring" in truth.untold and truth.users == {EXTENSIONS[extension]}:
            truth.users.add(DEFAULT_USER)
        self._hook(truth, "hangup", "in", {"DIALSTATUS": "NOANSWER"})

    def _transferred(self, truth: Truth, chance: Random) -> None:
        first, second = chance.sample(list(EXTENSIONS), 2)
        self._hook(truth, "inbound", truth.who.did)
        self._hook(truth, "ring", first)
        answered = self._hook(truth, "answer", first)
        time.sleep(chance.uniform(0.5, 1.2))
        rang = time.monotonic()  # a hook that is acknowledged late came no later
        self._hook(truth, "ring", second)
        _last(chance, 0.3, 0.8)
        pause = time.monotonic() - rang
        self._hook(truth, "answer", second)
        time.sleep(chance.uniform(0.5, 1.5))
        self._end(truth, second, answered, chance)
        truth.talked -= pause
        if truth.untold or second == DISMISSED:
            # Without its answer nobody can tell the second from a phone that only rang; who is dismissed is succeeded.
            truth.users = {EXTENSIONS[first], EXTENSIONS[second]}

    def _outbound(self, truth: Truth, chance: Random) -> None:
        extension = chance.choice(list(EXTENSIONS))
        truth.inbound = False
        self._hook(truth, "outbound", truth.client, {}, extension)
        time.sleep(chance.uniform(0.05, 0.6))
        answered = self._hook(truth, "answer", "")
        _last(chance, 0.3, 2.0)
        self._end(truth, extension, answered, chance)

    def _busy(self, truth: Truth, chance: Random) -> None:
        extension = chance.choice(list(EXTENSIONS))
        truth.inbound, truth.code, truth.users = False, "486", {EXTENSIONS[extension]}
        self._hook(truth, "outbound", truth.client, {}, extension)
        time.sleep(chance.uniform(0.1, 0.5))
        variables = {"DIALSTATUS": "BUSY", "HANGUPCAUSE": "17", "DIALEDPEERNUMBER": truth.client}
        self._hook(truth, "hangup", "out", variables, extension=extension)

    # --- parts of a call -------------------------------------------------------------------------

    def _end(self, truth: Truth, extension: str, answered: float, chance: Random) -> None:
        truth.code, truth.users = "200", {EXTENSIONS[extension]}
        variables = {"DIALSTATUS": "ANSWER"}
        if truth.inbound:
            variables["CONNECTEDLINE(num)"] = extension
        else:
            variables["DIALEDPEERNUMBER"] = truth.client
        if chance.random() < self._recorded:
            self._record(truth, chance)
            variables["MIXMONITOR_FILENAME"] = truth.recording
        truth.talked = time.time() - answered
        variables["ANSWEREDTIME"] = str(round(truth.talked))
        self._hook(truth, "hangup", "in" if truth.inbound else "out", variables, extension=extension)

    def _record(self, truth: Truth, chance: Random) -> None:
        truth.recording = f"{truth.call_id}.wav"
        path = self._monitor / truth.recording
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(chance.randbytes(2 * chance.randrange(200, 2000)))
        content = _as_mp3(path) if self._mp3 else path.read_bytes()
        truth.sha256 = hashlib.sha256(content).hexdigest()

    def _hook(
        self,
        truth: Truth,
        name: str,
        argument: str,
        variables: dict[str, str] | None = None,
        *more: str,
        extension: str = "",
    ) -> float:
        """Call a hook; when that was."""
        around = {
            "agi_uniqueid": truth.call_id,
            "agi_callerid": truth.client if truth.inbound else extension or (more[0] if more else ""),
            "agi_channel": f"PJSIP/x-{truth.call_id}",
        }
        named = {
            "CHANNEL(linkedid)": truth.call_id,
            "FROM_DID": truth.who.did if truth.inbound else "",
            "CDR(start,u)": str(int(truth.started_at)),
        }
        at = time.time()
        servers = self._servers if truth.is_even else self._servers[::-1]
        answer = _ask(servers, name, [truth.call_id, argument, *more], around, named | (variables or {}))
        (truth.told if answer.get("B24_RC") == "ok" else truth.untold).add(name)
        return at


def _last(chance: Random, least_s: float, most_s: float) -> None:
    """A talk or a pause: mostly so short that thousands fit into a storm, now and then long enough to be measured."""
    time.sleep(chance.uniform(*(_LONG_S if chance.random() < _LONG_SHARE else (least_s, most_s))))


def _as_mp3(path: Path) -> bytes:
    made = io.BytesIO()
    with path.open("rb") as file:
        sound = wav.read(file)
        assert sound is not None
        convert.to_mp3([sound], made)
    return made.getvalue()


def _ask(
    servers: Sequence[tuple[str, int]], name: str, args: list[str], around: dict[str, str], named: dict[str, str]
) -> dict[str, str]:
    """The variables that were set; the next server is tried only where one refuses to be connected."""
    for server in servers:
        try:
            return AgiCall(server, name, args, env=around, variables=named, timeout_s=_HOOK_S).run()
        except ConnectionRefusedError:
            continue
        except OSError:
            break
    return {}
