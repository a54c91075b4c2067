"""The hooks on a plain Asterisk, whose dialplan stays as it is: endpoints come to contexts of ours that report the call
and go on in theirs at the same extension.

Whether an extension exists, could with more digits, or has a hint is asked before there is a channel; our context
answers that with theirs, which it includes. Only once there is a channel its switch leads to ours. So numbers that do
not exist are refused as before, digits may come one by one, and lamps go on working.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from itgrix_bx.pbx.installer.endpoints import Entry, Place
from itgrix_bx.pbx.installer.hooks import CHECK, shipped
from itgrix_bx.pbx.installer.steps import Step
from itgrix_bx.pbx.installer.tree import InstallError
from itgrix_bx.words import Phrase, as_is, listed

LIBRARY = "itgrix-bx.conf"
DIALPLAN = "extensions.conf"
_CONTEXT = re.compile(r"[A-Za-z0-9_.@-]{1,60}")  # Asterisk's longest has 79, and ours are longer than theirs
_OURS = re.compile(r"^\[b24-(in|out)-([^\]]+)\]$", re.M)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The contexts that trunks and phones come to."""

    inbound: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.inbound or self.outbound)

    def or_else(self, earlier: Chosen) -> Chosen:
        """`earlier` where nothing is chosen."""
        return Chosen(self.inbound or earlier.inbound, self.outbound or earlier.outbound)


def installed(block: str) -> Chosen:
    """What an earlier installation was told."""
    found = _OURS.findall(block)
    return Chosen(tuple(c for kind, c in found if kind == "in"), tuple(c for kind, c in found if kind == "out"))


def guessed(places: Sequence[Place]) -> Chosen:
    """Contexts of trunks only and of phones only; one that both use must be told."""
    inbound = tuple(p.context for p in places if p.trunks and not p.phones)
    return Chosen(inbound, tuple(p.context for p in places if p.phones and not p.trunks))


def described(places: Sequence[Place]) -> Phrase:
    """`from-trunk (trunks mtt), from-internal (phones 101, 102, 103, 104, …)`."""
    return listed(map(_described, places))


def _described(place: Place) -> Phrase:
    values = {"context": place.context, "trunks": _some(place.trunks), "phones": _some(place.phones)}
    if place.trunks and place.phones:
        return Phrase("{context} (trunks {trunks}, phones {phones})", values)
    if place.trunks:
        return Phrase("{context} (trunks {trunks})", values)
    return Phrase("{context} (phones {phones})", values) if place.phones else as_is(place.context)


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:4], *["…"] * (len(names) > 4)])


def gaps(chosen: Chosen) -> list[Step]:
    """The calls that nobody asked to be told of: it may be meant so."""
    inbound = Step(
        Phrase("inbound calls are not reported"), None, Phrase("say --inbound with the context= that trunks come to")
    )
    outbound = Step(
        Phrase("outbound calls are not reported"), None, Phrase("say --outbound with the context= that phones come to")
    )
    return [inbound] * (not chosen.inbound) + [outbound] * (not chosen.outbound)


def redirected(found: Sequence[Entry], chosen: Chosen) -> dict[str, dict[int, str]]:
    """file -> line index -> the line to add behind it. Raises InstallError."""
    _refuse_strange(found, chosen)
    lines: dict[str, dict[int, str]] = {}
    for entry in found:
        if ours := target(entry, chosen):
            key = entry.line.text.partition("=")[0].strip()
            lines.setdefault(entry.line.file, {})[entry.line.index] = f"{key}={ours}"
    return lines


def target(entry: Entry, chosen: Chosen) -> str:
    """The context of ours for the endpoints of a line, "" when they stay. Raises InstallError."""
    coming, going = entry.context in chosen.inbound, entry.context in chosen.outbound
    if coming and going and entry.trunks and entry.phones:
        shared = Phrase(
            "{where}: trunks and phones share this line; give the trunks a context= of their own, then run this again",
            {"where": entry.line.where},
        )
        raise InstallError(shared)
    if coming and (not going or entry.trunks):
        return f"b24-in-{entry.context}"
    return f"b24-out-{entry.context}" if going else ""


def _refuse_strange(found: Sequence[Entry], chosen: Chosen) -> None:
    known = {entry.context for entry in found}
    there = Phrase("known are {contexts}", {"contexts": ", ".join(sorted(known))})
    values = {"known": there if known else Phrase("no endpoint names one")}
    for context in (*chosen.inbound, *chosen.outbound):
        if not _CONTEXT.fullmatch(context):
            strange = Phrase(
                "{context!r} cannot be used as a context: up to 60 of A-Z a-z 0-9 _ . @ - ({known})",
                values | {"context": context[:80]},
            )
            raise InstallError(strange)
        if context not in known:
            missing = Phrase(
                "no endpoint has context={context} ({known}); name one of them with --inbound (of trunks) and "
                "--outbound (of phones), or set it in pjsip.conf or sip.conf",
                values | {"context": context},
            )
            raise InstallError(missing)


def render(address: str, chosen: Chosen, *, internal: bool = False) -> str:
    """The file itgrix-bx.conf; `internal`: calls to colleagues are reported too."""
    parts = [shipped(LIBRARY, address), CHECK]
    parts += [_inbound(context) for context in chosen.inbound]
    parts += [_outbound(context, internal) for context in chosen.outbound]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _gate(ours: str, theirs: str) -> str:
    enter = ours.replace("b24-", "b24-enter-", 1)
    return (
        f"[{ours}]\n"
        f'eswitch => Loopback/@${{IF($["${{CHANNEL}}"=""]?b24-nobody:{enter})}}\n'
        f"include => {theirs}\n\n"
        f"[{enter}]\n"
    )


# What the network says passes FILTER() before it is an argument; \x2D is the minus.
_SAME = r"${FILTER(0-9A-Za-z+*#_.\x2D,${EXTEN})},1"


def _inbound(context: str) -> str:
    ours = f"b24-in-{context}"
    return (
        f"; ---- trunks with context={context} come here and go on in [{context}] --------\n"
        + _gate(ours, context)
        + "exten => _[+0-9]!,1,Gosub(b24-in,s,1(${FILTER(0-9+,${EXTEN})}))\n"
        f" same => n,Goto({context},{_SAME})\n"
        "exten => s,1,Gosub(b24-in,s,1())\n"
        f" same => n,Goto({context},s,1)\n"
    )


_TO = "Set(B24_TO=${FILTER(0-9+,${EXTEN})})"
_COLLEAGUE = "b24-colleague-"
_DIALS = "${CUT(CUT(CHANNEL,/,2),-,1)}"
# There is a device of that name.
_PHONE = " | ".join(
    f'("${{DEVICE_STATE({kind}/${{B24_TO}})}}"!="INVALID" & "${{DEVICE_STATE({kind}/${{B24_TO}})}}"!="")'
    for kind in ("PJSIP", "SIP")
)


def _outbound(context: str, internal: bool) -> str:
    """Five digits and more that no phone here has: what is shorter is a service or a colleague."""
    ours = f"b24-out-{context}"
    hint = f'"${{HINT(${{B24_TO}}@{context})}}"!=""'
    return (
        f"; ---- phones with context={context} come here and go on in [{context}] --------\n"
        + _gate(ours, context)
        + f"exten => _[+0-9]XXXX!,1,{_TO}\n"
        f" same => n,GotoIf($[{hint} | {_PHONE}]?{'inside' if internal else 'on'})      ; a colleague\n"
        f' same => n,Gosub(b24-out,s,1(${{B24_TO}},${{IF($["${{B24_DIR}}"="in"]?:{_DIALS})}}))\n'
        f" same => n(on),Goto({context},{_SAME})\n"
        + (_to_colleagues(context) if internal else "")
        + f"exten => _[+0-9*#]!,1,Goto({context},{_SAME})\n"
        + (_colleague(context) if internal else "")
    )


def _to_colleagues(context: str) -> str:
    report = f"Gosub({_COLLEAGUE}{context},s,1)\n same => n,Goto({context},{_SAME})\n"
    return f" same => n(inside),{report}exten => _[+0-9]!,1,{_TO}\n same => n,{report}"


def _colleague(context: str) -> str:
    """Has a phone: parking places, conferences and lamps have hints too."""
    kinds = "(PJSIP|SIP|IAX2|SCCP|DAHDI|Skinny|MGCP|Motif)/"
    return (
        f"\n[{_COLLEAGUE}{context}]\n"
        f'exten => s,1,GotoIf($[${{REGEX("{kinds}" ${{HINT(${{B24_TO}}@{context})}})}}=1 | {_PHONE}]?:end)\n'
        f" same => n,Gosub(b24-internal,s,1(${{B24_TO}},{_DIALS}))\n"
        " same => n(end),Return()\n"
    )
