"""What the modules generate for every scenario: its numbers, extensions, groups, queues, menus; and its AstDB rows."""

from __future__ import annotations

from collections.abc import Iterable

from tests.real import site
from tests.real.site import extension

Row = tuple[str, str]  # context, line


def queues() -> dict[str, list[str]]:
    """FreePBX's members: Local channels that stay to the end. 5NN waits long, 4NN does not."""
    every = range(site.SCENARIOS)
    members = {n: [_member(n, k) for k in (1, 2)] for n in every}
    return {f"{kind}{n:02}": members[n] for n in every for kind in "54"}


def _member(n: int, which: int) -> str:
    agent = extension(n, which)
    state = f",hint:{agent}@ext-local" if site.has_one_call_each(n) else ""
    return f"Local/{agent}@from-queue/n,0,Manager {which}{state}"


def database(always: str) -> dict[str, str]:
    """AMPUSER and DEVICE as FreePBX keeps them; `always`: how "record" is said."""
    rows: dict[str, str] = {}
    for e in site.phones():
        rows |= {f"DEVICE/{e}/dial": f"PJSIP/{e}", f"DEVICE/{e}/user": e, f"DEVICE/{e}/type": "fixed"}
        user = {"device": e, "cidname": f"Manager {e}", "cidnum": e, "ringtimer": str(site.RING_S)}
        user |= {"recording/out/external": always, "recording/in/external": always, "recording/in/internal": "no"}
        rows |= {f"AMPUSER/{e}/{key}": value for key, value in user.items()}
    for n in range(site.SCENARIOS):
        rows[f"CF/{extension(n, 3)}"] = site.mobile(n)
    return rows | {f"AMPUSER/{extension(n, 1)}/ringtimer": "2" for n in range(site.SCENARIOS) if site.has_voicemail(n)}


def generated() -> str:
    """The contexts of the modules, every scenario's rows in them."""
    contexts: dict[str, list[str]] = {"ext-did": ["include => ext-did-0001", "include => ext-did-0002"]}
    for n in range(site.SCENARIOS):
        for context, line in _scenario(n):
            contexts.setdefault(context, []).append(line)
    return "".join(_context(name, lines) for name, lines in contexts.items())


def _context(name: str, lines: Iterable[str]) -> str:
    # The generator's own include stands first and is dead wherever the extension below exists.
    return "\n".join([f"[{name}]", f"include => {name}-custom", *lines, "exten => h,1,Macro(hangupcall,)", ""])


def _scenario(n: int) -> list[Row]:
    one, two, three = (extension(n, k) for k in (1, 2, 3))
    targets = {
        site.ONE: f"from-did-direct,{one},1", site.VOICEMAIL: f"from-did-direct,{one},1",
        site.DEVICES: f"from-did-direct,{one},1",
        site.MOBILE: f"from-did-direct,{three},1", site.FOLLOW_ME: f"from-did-direct,{two},1",
        site.GROUP: f"ext-group,6{n:02},1", site.HUNT: f"ext-group,9{n:02},1",
        site.QUEUE: f"ext-queues,5{n:02},1", site.FREEPBX_QUEUE: f"ext-queues,4{n:02},1",
        site.MENU: f"ivr-{n},s,1", site.OPEN: f"timeconditions,{n},1", site.CLOSED: f"timeconditions,2{n:02},1",
        site.RESPONSIBLE: f"customdests,dest-{n},1", site.BY_TRUNK: "ext-trunk,1,1",
    }  # fmt: skip
    rows = [row for kind, target in targets.items() for row in _did(n, kind, target)]
    rows += _extension(one, one if site.has_voicemail(n) else "novm") + _extension(two) + _extension(three)
    rows += _follow_me(two, f"{site.mobile(n)}#" if site.is_followed_by_a_mobile(n) else three)
    rows += _group(f"6{n:02}", "ringall", one, two) + _group(f"9{n:02}", "hunt", one, two)
    rows += _group(f"8{n:02}", "ringall", two, three)
    rows += _queue(f"5{n:02}", 20) + _queue(f"4{n:02}", site.RING_S)
    return rows + _menu(n, one) + _times(n, one) + _custom_destination(n)


def _did(n: int, kind: str, target: str) -> list[Row]:
    mobile = [f"Set(MOBILE={site.mobile(n)})"] if kind == site.BY_TRUNK else []
    return _lines("ext-did-0002", site.did(kind, n), [
        "Set(__FROM_DID=${EXTEN})", "Set(CDR(did)=${FROM_DID})",
        # the setting "callers may not transfer": takes each T out of the options and adds I, which hides CONNECTEDLINE
        "@16 Set(__DIRECTION=INBOUND)",
        'ExecIf($[ "${CALLERID(name)}" = "" ] ?Set(CALLERID(name)=${CALLERID(num)}))',
        "Set(CHANNEL(musicclass)=default)", "Set(__MOHCLASS=)", "Set(__REVERSAL_REJECT=FALSE)",
        "@freepbx Gosub(sub-record-check,s,1(in,${FROM_DID},yes))",
        "Set(__CALLINGNAMEPRES_SV=${CALLERID(name-pres)})", *mobile, f"(dest-ext)Goto({target})",
    ])  # fmt: skip


def _extension(number: str, box: str = "novm") -> list[Row]:
    local = _lines("ext-local", number, [
        "Set(__RINGTIMER=${IF($[\"${DB(AMPUSER/" + number + "/ringtimer)}\" > \"0\"]?${DB(AMPUSER/" + number
        + "/ringtimer)}:${RINGTIMER_DEFAULT})})",
        f"Macro(exten-vm,{box},{number},0,0,0)", "(dest)Set(__PICKUPMARK=)", "GotoIf($[\"${IVR_CONTEXT}\"=\"\"]?end)",
        "(end)Hangup",
    ])  # fmt: skip
    agent = _lines("from-queue-exten-only", number, [
        "Set(RingGroupMethod=none)", f"(checkrecord)Gosub(sub-record-check,s,1(exten,{number},dontcare))",
        f"Macro(dial-one,,${{DIAL_OPTIONS}},{number})", "Hangup",
    ])  # fmt: skip
    return [*local, ("ext-local", f"exten => {number},hint,PJSIP/{number}&Custom:DND{number}"), *agent]


def _follow_me(number: str, members: str) -> list[Row]:
    """Only where a number leads to it: inside, and in groups, the extension itself rings."""
    return _lines("ext-findmefollow", number, [
        f'GotoIf($["${{FROM_DID:4:{len(site.FOLLOW_ME)}}}"!="{site.FOLLOW_ME}" | "${{LEN(${{FROM_DID}})}}"'
        f'!="{len(site.did(site.FOLLOW_ME, 0))}"]?ext-local,{number},1)',
        "Macro(user-callerid,)", "Set(__EXTTOCALL=${EXTEN})", "Set(__PICKUPMARK=${EXTEN})",
        "Macro(blkvm-setifempty,)", 'GotoIf($["${GOSUB_RETVAL}" = "TRUE"]?skipov)', "Macro(blkvm-set,reset)",
        "Set(__NODEST=)", "(skipov)Set(RRNODEST=${NODEST})", "(skipvmset)Set(__NODEST=${EXTEN})",
        "Gosub(sub-record-check,s,1(exten,${EXTEN},dontcare))", "Set(RingGroupMethod=ringallv2)",
        f"Set(_FMGRP={number})", f"(DIALGRP)Macro(dial,{site.RING_S},${{DIAL_OPTIONS}},{members})",
        "Set(RingGroupMethod=)", "Set(__NODEST=)", "Macro(blkvm-clr,)", "(nodest)Noop(DIALSTATUS ${DIALSTATUS})",
        "Hangup",
    ])  # fmt: skip


def _group(number: str, method: str, *members: str) -> list[Row]:
    seconds = 3 if method == "hunt" else site.RING_S
    return _lines("ext-group", number, [
        "Macro(user-callerid,)", "Macro(blkvm-setifempty,)", 'GotoIf($["${GOSUB_RETVAL}" = "TRUE"]?skipov)',
        "Macro(blkvm-set,reset)", "Set(__NODEST=)", "(skipov)Set(RRNODEST=${NODEST})",
        "(skipvmset)Set(__NODEST=${EXTEN})",
        "@freepbx Gosub(sub-record-check,s,1(rg,${EXTEN},dontcare))",
        "@issabel Gosub(sub-record-check,s,1(rg,${EXTEN},always))",
        f"Set(RingGroupMethod={method})",
        f"(DIALGRP)Macro(dial,{seconds},${{DIAL_OPTIONS}},{'-'.join(members)})",
        "Set(RingGroupMethod=)", 'GotoIf($["foo${RRNODEST}" != "foo"]?nodest)', "Set(__NODEST=)", "Macro(blkvm-clr,)",
        "Hangup", "(nodest)Noop(SKIPPING DEST, CALL CAME FROM Q/RG: ${RRNODEST})",
    ])  # fmt: skip


def _queue(number: str, seconds: int) -> list[Row]:
    return _lines("ext-queues", number, [
        "Macro(user-callerid,)", "Answer", "Macro(blkvm-set,reset)",
        f"@17 {_queue_options('U[(]macro-auto-blkvm[)]', 'U(macro-auto-blkvm)')}",
        f"@16 {_queue_options('M[(]auto-blkvm[)]', 'M(auto-blkvm)')}",
        f"@issabel {_queue_options('M[(]auto-blkvm[)]', 'M(auto-blkvm)')}",
        "Set(__NODEST=${EXTEN})", "Set(__FROMQUEUEEXTEN=${CALLERID(number)})",
        "@freepbx Gosub(sub-record-check,s,1(q,${EXTEN},dontcare))",
        "@issabel Gosub(sub-record-check,s,1(q,${EXTEN},always))",
        "Set(__CWIGNORE=TRUE)", "Set(QUEUENUM=${EXTEN})",
        # up to 20 the seventh argument is a macro, from 21 on a gosub: FreePBX prints both empty
        f"(qcall)Queue({number},t,,,{seconds},,,,,)",
        "Macro(blkvm-clr,)", "Set(__NODEST=)", "Hangup",
    ])  # fmt: skip


def _queue_options(pattern: str, option: str) -> str:
    there = f'${{REGEX("({pattern})" ${{DIAL_OPTIONS}})}}'
    return f"ExecIf($[{there}=0]?Set(_DIAL_OPTIONS=${{DIAL_OPTIONS}}{option}))"


def _menu(n: int, one: str) -> list[Row]:
    greeting = _lines(f"ivr-{n}", "s", [
        "Set(TIMEOUT_LOOPCOUNT=0)", "Set(_IVR_CONTEXT_${CONTEXT}=${IVR_CONTEXT})", "Set(_IVR_CONTEXT=${CONTEXT})",
        "Set(__IVR_RETVM=)", 'GotoIf($["${CHANNEL(state)}" = "Up"]?skip)', "Answer", "Wait(1)", "(skip)Set(IVR_MSG=)",
        "(start)Set(TIMEOUT(digit)=3)", "WaitExten(10,)",
    ])  # fmt: skip
    chosen = ["Noop(Deleting: ${BLKVM_OVERRIDE})", "Set(__NODEST=)", f"Goto(from-did-direct,{one},1)"]
    return greeting + _lines(f"ivr-{n}", "1", chosen)


def _times(n: int, one: str) -> list[Row]:
    open_now = _lines("timeconditions", str(n), [
        "GotoIfTime(00:00-23:59,*,*,*?truestate)", "Goto(app-blackhole,hangup,1)",
        f"(truestate)Goto(from-did-direct,{one},1)",
    ])  # fmt: skip
    closed = _lines("timeconditions", f"2{n:02}", [
        "GotoIfTime(00:00-00:00,sat,31,feb?truestate)", "(falsestate)Goto(app-announcement-1,s,1)",
        f"(truestate)Goto(from-did-direct,{one},1)",
    ])  # fmt: skip
    return open_now + closed


def _custom_destination(n: int) -> list[Row]:
    """Issabel's do not return: there the fallback is a part of the destination."""
    return _lines("customdests", f"dest-{n}", [
        "Noop(Entering Custom Destination Bitrix24)", "@freepbx Gosub(b24-customdest,s,1())",
        "@freepbx Noop(Returned from Custom Destination Bitrix24)", f"@freepbx Goto(ext-group,8{n:02},1)",
        f"@issabel Goto(b24-then,8{n:02},1)",
    ])  # fmt: skip


def _lines(context: str, exten: str, steps: Iterable[str]) -> list[Row]:
    """`exten => EXTEN,1,STEP` and so on; a step may begin with its (label), before that with a generation's @tag."""
    rows = []
    for number, step in enumerate(steps):
        tag, _, step = step.rpartition("@")[2].partition(" ") if step.startswith("@") else ("", "", step)
        label, _, step = step[1:].partition(")") if step.startswith("(") else ("", "", step)
        priority = f"{'n' if number else '1'}{f'({label})' if label else ''}"
        rows.append((context, f"{f'@{tag} ' if tag else ''}exten => {exten},{priority},{step}"))
    return rows
