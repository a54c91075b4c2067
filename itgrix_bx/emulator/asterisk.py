"""Asterisk's side of AGI, byte-true to res_agi.c, and whole calls played with it.

For the demo and for tests: the real Asterisk is what proves the product, this one shows it anywhere.
"""

from __future__ import annotations

import socket
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_COMMAND = 8192  # res_agi.c reads into this much; what is longer is cut and its tail is a command of its own
_DEAD_ALLOWED = ("get variable", "get full variable", "set variable", "verbose", "noop", "exec", "database")


def split(line: str) -> list[str]:
    """The words of a command by res_agi's rules: `"` toggles quoting, a backslash takes the next character as it
    is, inside quotes and outside, space and tab separate."""
    words: list[str] = []
    word: list[str] | None = None
    quoted = escaped = False
    for char in line:
        if escaped:
            word, escaped = [*(word or []), char], False
        elif char == "\\":
            word, escaped = word or [], True
        elif char == '"':
            quoted, word = not quoted, word or []
        elif char in " \t" and not quoted:
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = [*(word or []), char]
    return words if word is None else [*words, "".join(word)]


class AgiCall:
    """One AGI() of the dialplan: connects, tells the environment, answers commands until the server closes.

    `variables` are the channel's, functions by name (`CDR(start,u)`) included; `run` returns what was set, in order.
    `hangup_after` N sends Asterisk's in-band HANGUP before the answer to command N (from 0).
    """

    def __init__(
        self,
        address: tuple[str, int],
        hook: str,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        hangup_after: int | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._address, self._hook, self._args = address, hook, args
        self._env = dict(env or {})
        self.variables = dict(variables or {})
        self._hangup_after = hangup_after
        self._timeout_s = timeout_s
        self.set: dict[str, str] = {}
        self.commands: list[list[str]] = []
        self._hung_up = False

    def run(self) -> dict[str, str]:
        """The variables the server set. Raises OSError when it cannot be reached or hangs."""
        with socket.create_connection(self._address, self._timeout_s) as connection:
            for line in self._environment():
                connection.sendall(line)
            with connection.makefile("rb") as commands:
                for number, raw in enumerate(iter(lambda: commands.readline(LONGEST_COMMAND), b"")):
                    if number == self._hangup_after:
                        self._hung_up = True
                        connection.sendall(b"HANGUP\n")
                    connection.sendall(self._reply(raw.decode("utf-8", "replace").rstrip("\r\n")))
        return self.set

    def _environment(self) -> list[bytes]:
        script = f"{self._hook}"
        env = {
            "agi_network": "yes",
            "agi_network_script": script,
            "agi_request": f"agi://{self._address[0]}:{self._address[1]}/{script}",
            "agi_channel": "PJSIP/trunk-00000001",
            "agi_language": "en",
            "agi_type": "PJSIP",
            "agi_uniqueid": "",
            "agi_version": "22.10.1",
            "agi_callerid": "unknown",
            "agi_calleridname": "unknown",
            "agi_dnid": "unknown",
            "agi_rdnis": "unknown",
            "agi_context": "from-trunk",
            "agi_extension": "s",
            "agi_priority": "1",
            "agi_enhanced": "0.0",
            "agi_accountcode": "",
            "agi_threadid": "1",
        } | self._env
        named = env | {f"agi_arg_{n}": value for n, value in enumerate(self._args, 1)}
        lines = [f"{key}: {value}\n".encode("utf-8", "surrogateescape") for key, value in named.items()]
        return [*lines, b"\n"]

    # --- commands --------------------------------------------------------------------------------

    def _reply(self, line: str) -> bytes:
        words = split(line)
        self.commands.append(words)
        name = " ".join(words[:2]).lower()
        if self._hung_up and not " ".join(words).lower().startswith(_DEAD_ALLOWED):
            return b"511 Command Not Permitted on a dead channel or intercept routine\n"
        if name == "set variable":
            return self._set(words)
        if name == "get variable":
            return self._value(words[2] if len(words) == 3 else None)
        if " ".join(words[:3]).lower() == "get full variable":
            inner = words[3] if len(words) > 3 else ""
            return self._value(inner.removeprefix("${").removesuffix("}"))
        if words and words[0].lower() in ("verbose", "noop"):
            return b"200 result=1\n"
        if words and words[0].lower() in ("exec", "answer", "hangup"):
            return b"200 result=0\n"
        return b"510 Invalid or unknown command\n"

    def _set(self, words: list[str]) -> bytes:
        if len(words) != 4:
            usage = "520-Invalid command syntax.  Proper usage follows:\n Usage: SET VARIABLE <variablename> <value>\n"
            return usage.encode() + b"520 End of proper usage.\n"
        self.set[words[2]] = self.variables[words[2]] = words[3]
        return b"200 result=1\n"

    def _value(self, name: str | None) -> bytes:
        if name is None:
            return b"520 Invalid command syntax.  Proper usage not available.\n"
        value = self.variables.get(name, "")
        return f"200 result=1 ({value})\n".encode("utf-8", "surrogateescape") if value else b"200 result=0\n"


# --- whole calls ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """Something that happened in a played call: when (unix seconds), what and who, and what the server set.

    `what`: calls | rings | answers | hangs_up | gives_up.
    """

    at: float
    what: str
    who: str
    told: dict[str, str] = field(default_factory=dict)
    took_ms: float = 0.0


@dataclass
class Played:
    """A played call: its id, its story, its recording."""

    call_id: str
    title: str
    moments: list[Moment] = field(default_factory=list)
    recording: Path | None = None
    talked: float = 0.0
    route: str = ""


class AsteriskDouble:
    """Plays calls as the example dialplan would run them, in real time; `watch` hears each moment at once."""

    def __init__(
        self, address: tuple[str, int], monitor: Path, watch: Callable[[Played, Moment], None] | None = None
    ) -> None:
        self._address = address
        self._monitor = monitor
        self._watch = watch or (lambda _played, _moment: None)
        self._count = 0

    def inbound(
        self,
        title: str,
        caller: str,
        did: str,
        *,
        name: str = "",
        group: Sequence[str] = ("101", "102", "103"),
        answered_by: str | None = None,
        ring_s: float = 1.0,
        talk_s: float = 2.0,
    ) -> Played:
        """An external call: the hook, the responsible or the group rings, somebody answers or nobody, hangup.

        `answered_by` is an extension, `route` for the one the server named, or None for a missed call.
        """
        played = self._new(title)
        env = {"agi_callerid": caller, "agi_calleridname": name or "unknown", "agi_dnid": did}
        started = time.time()
        told = self._hook(played, "calls", f"{caller} → {did}", "inbound", [played.call_id, did], env)
        played.route = told.get("B24_ROUTE", "")
        ringing = [played.route] if played.route else list(group)
        self._hook(played, "rings", ", ".join(ringing), "ring", [played.call_id, "-".join(ringing)], env)
        time.sleep(ring_s)
        talker = played.route if answered_by == "route" else answered_by
        variables = {"CDR(start,u)": f"{started:.6f}", "CHANNEL(linkedid)": played.call_id}
        if talker:
            variables |= self._conversation(played, talker, talk_s)
        else:
            variables |= {"DIALSTATUS": "CANCEL", "HANGUPCAUSE": "127", "CONNECTEDLINE(num)": ringing[-1]}
        what = "hangs_up" if talker else "gives_up"
        self._hook(played, what, caller, "hangup", [played.call_id, "in"], env, variables)
        return played

    def _conversation(self, played: Played, talker: str, talk_s: float) -> dict[str, str]:
        leg = {"agi_uniqueid": f"{played.call_id}9", "agi_channel": f"PJSIP/{talker}-00000002"}
        self._hook(played, "answers", talker, "answer", [played.call_id, talker], leg)
        began = time.time()
        name = f"{time.strftime('%Y/%m/%d')}/in-{played.call_id}.wav"
        time.sleep(talk_s)
        played.talked = time.time() - began
        played.recording = _tone(self._monitor / name, played.talked)
        return {
            "DIALSTATUS": "ANSWER",
            "HANGUPCAUSE": "16",
            "ANSWEREDTIME": str(int(played.talked)),
            "CONNECTEDLINE(num)": talker,
            "MIXMONITOR_FILENAME": str(played.recording),
        }

    def _new(self, title: str) -> Played:
        self._count += 1
        return Played(f"{int(time.time())}.{self._count}", title)

    def _hook(
        self,
        played: Played,
        what: str,
        who: str,
        hook: str,
        args: list[str],
        env: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        began = time.monotonic()
        around = {"agi_uniqueid": played.call_id} | dict(env)
        told = AgiCall(self._address, hook, args, env=around, variables=variables).run()
        took = (time.monotonic() - began) * 1000
        moment = Moment(time.time(), what, who, told, took)
        played.moments.append(moment)
        self._watch(played, moment)
        return told


def _tone(path: Path, seconds: float) -> Path:
    """A telephone-quality WAV with something to hear."""
    path.parent.mkdir(parents=True, exist_ok=True)
    period = [(6000 * (1 if n % 20 < 10 else -1)) for n in range(20)]
    frames = b"".join(sample.to_bytes(2, "little", signed=True) for sample in period)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(frames * max(1, int(seconds * 400)))
    return path
