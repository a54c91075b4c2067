"""The test site: every scenario has its own number, extensions and client, so that ten run at once.

Scenario 7 has the extensions 1071, 1072, 1073, the client +79160000007 and, for each way to treat a call, a DID.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from tests.real.asterisk import Site

SCENARIOS = 57
ONE, GROUP, QUEUE, MENU, RESPONSIBLE, FREEPBX_QUEUE, MOBILE, VOICEMAIL = "1", "2", "3", "4", "5", "6", "7", "8"
HUNT, FOLLOW_ME, OPEN, CLOSED, BY_TRUNK, DEVICES = "9", "01", "02", "03", "04", "05"
RING_S = 6
HINTED = 38  # its first extension has two phones and a device for "do not disturb", as FreePBX's have
_WITH_VOICEMAIL = {25}
_TWO_DEVICES = {33}
_ONE_CALL_EACH = {55}
_FOLLOWED_BY_A_MOBILE = {56}


def extension(scenario: int, which: int) -> str:
    return f"1{scenario:02}{which}"


def user(scenario: int, which: int) -> int:
    return 1000 + scenario * 10 + which


def client(scenario: int) -> str:
    return f"+7916{scenario:07}"


def did(kind: str, scenario: int) -> str:
    return f"7495{kind}{scenario:02}0000"


def mobile(scenario: int) -> str:
    """Where the third extension's calls are forwarded to."""
    return f"89160009{scenario:02}0"


def phones() -> list[str]:
    return [extension(n, k) for n in range(SCENARIOS) for k in (1, 2, 3)]


def two_devices() -> list[str]:
    """Extensions a person has two phones for."""
    return [extension(n, 1) for n in _TWO_DEVICES]


def has_voicemail(scenario: int) -> bool:
    """Whether the first extension has a box. Who rings it any other way than for that would never hear a busy tone."""
    return scenario in _WITH_VOICEMAIL


def has_one_call_each(scenario: int) -> bool:
    """Whether its queue rings no agent who talks already."""
    return scenario in _ONE_CALL_EACH


def is_followed_by_a_mobile(scenario: int) -> bool:
    """Whether calls to the second extension ring at a mobile too, in the place of the third's phone."""
    return scenario in _FOLLOWED_BY_A_MOBILE


def one_call_each(*kinds: str) -> list[str]:
    """The queues of these kinds whose agents get one call at a time."""
    return [f"{kind}{n:02}" for kind in kinds for n in range(SCENARIOS) if has_one_call_each(n)]


def seed() -> dict[str, Any]:
    """The portal's users, and a contact whose manager is the first extension of scenarios 20 and later."""
    people = [
        {"id": user(n, k), "name": f"Manager {extension(n, k)}", "active": True, "extension": extension(n, k)}
        for n in range(SCENARIOS)
        for k in (1, 2, 3)
    ]
    known = [
        {"id": 5000 + n, "name": f"Client {n}", "phones": [client(n)], "responsible": user(n, 1)}
        for n in range(20, SCENARIOS)
    ]
    return {"users": [{"id": 1, "name": "Admin", "active": True, "extension": ""}, *people], "contacts": known}


def site(agi_port: int, records_port: int = 0) -> Site:
    return Site(
        phones=phones(),
        queues={f"q{n:02}": [f"PJSIP/{extension(n, k)}" for k in (1, 2)] for n in range(SCENARIOS)}
        | {f"f{n:02}": [_member(n, extension(n, k)) for k in (1, 2)] for n in range(SCENARIOS)},
        voicemail=[extension(n, 1) for n in range(SCENARIOS)],
        dialplan=_DIALPLAN.replace("RING_S", str(RING_S)) + _hints(HINTED),
        agi_port=agi_port,
        records_port=records_port,
        two_devices=two_devices(),
        one_call_each=one_call_each("f"),
    )


def _member(scenario: int, agent: str) -> str:
    """Whether an agent talks is known of the phone, not of a Local channel."""
    return f"Local/{agent}@from-queue/n" + (f",0,{agent},PJSIP/{agent}" if has_one_call_each(scenario) else "")


def bare(agi_port: int, records_port: int = 0) -> Site:
    """Of the hooks only inbound, outbound and hangup are in the dialplan, as on a plain Asterisk that the installer
    found; who rings and who answers is not in it."""
    full = site(agi_port, records_port)
    return replace(full, dialplan=_without_most_hooks(full.dialplan))


def internal(agi_port: int, records_port: int = 0) -> Site:
    """Calls between extensions are reported too, and recorded."""
    full = site(agi_port, records_port)
    before, inside, after = full.dialplan.partition("\n[from-internal]\n")
    ring = "exten => _1XXX,1,Gosub(b24-ring,s,1(${EXTEN}))\n"
    assert after.count(ring) == 1
    reported = (
        "exten => _1XXX,1,Gosub(b24-internal,s,1(${EXTEN},${CALLERID(num)}))\n"
        " same => n,Gosub(record,s,1(internal-${EXTEN}-${FILTER(0-9+,${CALLERID(num)})}))\n"
        " same => n,Gosub(b24-ring,s,1(${EXTEN}))\n"
    )
    return replace(full, dialplan=before + inside + after.replace(ring, reported))


def _without_most_hooks(dialplan: str) -> str:
    for hook, nothing in {
        r"Gosub\(b24-ring,s,1\(.*\)\)\n": "NoOp()\n",
        r"U\(b24-[a-z-]+\)": "",
        r"b\(b24-agent\^s\^1\)": "",
        r",b24-answer\)": ")",
    }.items():
        dialplan = re.sub(hook, nothing, dialplan)
    assert set(re.findall(r"b24-[a-z]+", dialplan)) == {"b24-in", "b24-out", "b24-responsible"}
    return dialplan


def _hints(scenario: int) -> str:
    one, two = extension(scenario, 1), extension(scenario, 2)
    return f"\n[hints]\nexten => {one},hint,PJSIP/{one}&PJSIP/{two}&Custom:DND{one},CustomPresence:{one}\n"


# The site's part; the subroutines b24-* are the shipped file. ${EXTEN:5:2} is the scenario.
_DIALPLAN = """
[general]
static=yes
#include "itgrix-bx.conf"
[globals]
TRANSFER_CONTEXT=from-internal

[record]                        ; file and CDR column as FreePBX names them
exten => s,1,Set(CDR(recordingfile)=${ARG1}-${STRFTIME(${EPOCH},,%Y%m%d-%H%M%S)}-${UNIQUEID}.wav)
 same => n,MixMonitor(${STRFTIME(${EPOCH},,%Y/%m/%d)}/${CDR(recordingfile)},b)
 same => n,Return()

[from-trunk]
exten => _[+0-9]!,1,Gosub(b24-in,s,1(${FILTER(0-9+,${EXTEN})}))
 same => n,NoOp(AFTER inbound rc=${B24_RC} state=${B24_STATE} route=${B24_ROUTE})
 same => n,Set(CDR(did)=${B24_DID})
 same => n,Gosub(record,s,1(in-${B24_DID}-${FILTER(0-9+,${CALLERID(num)})}))
 same => n,GotoIf($["${B24_DID:4:1}"!="5"]?normal)
 same => n,Gosub(b24-responsible,s,1(PJSIP/))
 same => n(normal),Goto(did,${B24_DID},1)

[did]
exten => _74951XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:5:2}1))
 same => n,Dial(PJSIP/1${EXTEN:5:2}1,RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => _74952XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:5:2}1-1${EXTEN:5:2}2))
 same => n,Dial(PJSIP/1${EXTEN:5:2}1&PJSIP/1${EXTEN:5:2}2,RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => _74953XX0000,1,Answer()
 same => n,GotoIf($[${VERSION(ASTERISK_VERSION_NUM)} >= 210000]?new)
 same => n,Queue(q${EXTEN:5:2},tTb(b24-agent^s^1),,,20,,,b24-answer)
 same => n,Hangup()
 same => n(new),Queue(q${EXTEN:5:2},tTb(b24-agent^s^1),,,20,,b24-answer)
 same => n,Hangup()
exten => _74954XX0000,1,Answer()
 same => n,Set(MENU=${EXTEN:5:2})
 same => n,Goto(menu,s,1)
exten => _74955XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:5:2}2-1${EXTEN:5:2}3))
 same => n,Dial(PJSIP/1${EXTEN:5:2}2&PJSIP/1${EXTEN:5:2}3,RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => _74956XX0000,1,Answer()
 same => n,Queue(f${EXTEN:5:2},tT,,,RING_S)
 same => n,Hangup()
exten => _74957XX0000,1,Gosub(b24-out,s,1(89160009${EXTEN:5:2}0,1${EXTEN:5:2}3))
 same => n,Dial(PJSIP/89160009${EXTEN:5:2}0@trunk,RING_S,TU(b24-client-answered))
 same => n,Hangup(${HANGUPCAUSE})
exten => _74958XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:5:2}1))
 same => n,Dial(PJSIP/1${EXTEN:5:2}1,2,tTU(b24-answer))
 same => n,VoiceMail(1${EXTEN:5:2}1,s)
 same => n,Hangup()

exten => _74959XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:5:2}1))
 same => n,Dial(PJSIP/1${EXTEN:5:2}1,3,tTU(b24-answer))
 same => n,Gosub(b24-ring,s,1(1${EXTEN:5:2}2))
 same => n,Dial(PJSIP/1${EXTEN:5:2}2,RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => _749501XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:6:2}2))
 same => n,Dial(PJSIP/1${EXTEN:6:2}2,2,tTU(b24-answer))
 same => n,Gosub(b24-ring,s,1(1${EXTEN:6:2}2-1${EXTEN:6:2}3))
 same => n,Dial(PJSIP/1${EXTEN:6:2}2&PJSIP/1${EXTEN:6:2}3,RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => 749501560000,1,Gosub(b24-ring,s,1(1562))
 same => n,Dial(PJSIP/1562,2,tTU(b24-answer))
 same => n,Gosub(b24-out,s,1(89160009560,1562))
 same => n,Dial(PJSIP/1562&PJSIP/89160009560@trunk,RING_S,tT)
 same => n,Hangup(${HANGUPCAUSE})
exten => _749502XX0000,1,GotoIfTime(00:00-23:59,*,*,*?did,74951${EXTEN:6:2}0000,1)
exten => _749503XX0000,1,Answer()
 same => n,Wait(1)
 same => n,Hangup()
exten => _749504XX0000,1,Dial(PJSIP/89160009${EXTEN:6:2}0@trunk,RING_S,T)      ; a trunk as destination: no hook
 same => n,Hangup(${HANGUPCAUSE})
exten => _749505XX0000,1,Gosub(b24-ring,s,1(1${EXTEN:6:2}1))
 same => n,Dial(${PJSIP_DIAL_CONTACTS(1${EXTEN:6:2}1)},RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})

[from-queue]                    ; FreePBX's members are Local channels that stay to the end
exten => _1XXX,1,Gosub(b24-ring,s,1(${EXTEN}))
 same => n,Dial(PJSIP/${EXTEN},RING_S,tTU(b24-answer))
 same => n,Hangup()

[menu]
exten => s,1,WaitExten(10)
exten => 1,1,Goto(did,74951${MENU}0000,1)

[from-internal]
include => parkedcalls
exten => *8,1,Pickup()
exten => _3XX,1,Answer()
 same => n,ConfBridge(${EXTEN})
 same => n,Hangup()
exten => _1XXX,1,Gosub(b24-ring,s,1(${EXTEN}))
 same => n,Dial(PJSIP/${EXTEN},RING_S,tTU(b24-answer))
 same => n,Hangup(${HANGUPCAUSE})
exten => _8XXXXXXXXXX,1,Gosub(b24-out,s,1(${EXTEN},${CALLERID(num)}))
 same => n,NoOp(AFTER outbound rc=${B24_RC} state=${B24_STATE})
 same => n,Gosub(record,s,1(out-${EXTEN}-${FILTER(0-9+,${CALLERID(num)})}))
 same => n,Dial(PJSIP/${EXTEN}@trunk,20,TU(b24-client-answered))
 same => n,Hangup(${HANGUPCAUSE})
exten => _98XXXXXXXXXX,1,Gosub(b24-out,s,1(${EXTEN:1},${CALLERID(num)}))  ; as on FreePBX: nothing on the trunk's leg
 same => n,Gosub(record,s,1(out-${EXTEN:1}-${FILTER(0-9+,${CALLERID(num)})}))
 same => n,Dial(PJSIP/${EXTEN:1}@trunk,20,T)
 same => n,Hangup(${HANGUPCAUSE})
exten => _08XXXXXXXXXX,1,Gosub(b24-out,s,1(${EXTEN:1},${CALLERID(num)}))
 same => n,Gosub(record,s,1(out-${EXTEN:1}-${FILTER(0-9+,${CALLERID(num)})}))
 same => n,Dial(PJSIP/${EXTEN:1}@down,20,TU(b24-client-answered))
 same => n,GotoIf($["${EXTEN:-4}"="0000"]?end)
 same => n,Gosub(b24-out,s,1(${EXTEN:1},${CALLERID(num)}))
 same => n,Dial(PJSIP/${EXTEN:1}@trunk,20,TU(b24-client-answered))
 same => n(end),Hangup(${HANGUPCAUSE})
"""
