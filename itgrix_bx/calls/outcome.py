"""What comes out of a call: who owns it, its STATUS_CODE and the reason in words.

Source: the project's contract, "What comes out of a call"; the variables' values: measured on Asterisk 16
and 22 (plain, FreePBX 16/17, Issabel).
"""

from __future__ import annotations

from dataclasses import dataclass

from itgrix_bx.calls.call import IN, Call, Leg
from itgrix_bx.calls.directory import Directory

# Q.850 hangup causes of the trunk leg -> the portal's codes.
_OUTBOUND_BY_CAUSE = {
    "17": "486", "18": "480", "19": "480", "20": "480", "21": "603", "1": "404", "28": "404",
    "34": "503", "38": "503", "42": "503",
}  # fmt: skip
_OUTBOUND_BY_DIALSTATUS = {"BUSY": "486", "NOANSWER": "480"}
_WORDS = {
    "486": "busy", "480": "no answer", "603": "declined", "603-S": "cancelled by us", "404": "wrong number",
    "503": "direction unavailable", "OTHER": "not connected",
}  # fmt: skip
_UNSEEN = "end not seen"
_ROOMS = ("ConfBridge", "MeetMe")
_DECLINED_CAUSES = ("21", "34")  # 34: how FreePBX 16 reports a declined call


@dataclass(frozen=True, slots=True)
class Outcome:
    status_code: str
    failed_reason: str
    talk_seconds: int
    extension: str  # the talker, or the calling extension; empty when nobody talked
    user_id: int


def of(call: Call, directory: Directory, *, finisher: str, default_user: int) -> Outcome:
    """The outcome of `call` as far as it is known now. `finisher`: first | last | longest.

    `default_user` gets what is nobody's, unless the call's line names another.
    """
    code, reason = _status(call)
    if call.direction != IN:
        extension = call.caller_extension
        owner = directory.user_of(extension)
    elif call.answered:
        extension = _talker(call, directory, finisher)
        owner = directory.user_of(extension) or _another_talker(call, directory)
    else:
        extension, owner = "", _missed_owner(call, directory)
    return Outcome(code, reason, call.talk_seconds, extension, owner or line_user(call, directory) or default_user)


# --- who -----------------------------------------------------------------------------------------


def _talker(call: Call, directory: Directory, finisher: str) -> str:
    talked = [leg for leg in call.legs if leg.answered_at is not None]
    if finisher == "first":
        return _by_answer(talked)[0].extension
    if finisher == "longest":
        return max(talked, key=lambda leg: leg.talk).extension
    return _connected_party(call, directory) or _by_answer(talked)[-1].extension


def _by_answer(legs: list[Leg]) -> list[Leg]:
    return sorted(legs, key=lambda leg: leg.answered_at or 0.0)


def _connected_party(call: Call, directory: Directory) -> str:
    """CONNECTEDLINE(num) names the last talker after an attended transfer, where no hook ran; but also a
    phone that only rang."""
    party = call.hangup.get("CONNECTEDLINE(num)", "")
    if not directory.knows(party) or call.hangup.get("DIALSTATUS", "") not in ("ANSWER", ""):
        return ""
    if call.hangup.get("CDR(lastapp)") in _ROOMS:
        return ""  # still the one the client came from, where the PBX did not hide it; who joined is not told
    legs = [leg for leg in call.legs if leg.extension == party]
    only_rang = bool(legs) and all(leg.answered_at is None for leg in legs)
    return "" if only_rang else party


def _another_talker(call: Call, directory: Directory) -> int | None:
    users = (directory.user_of(leg.extension) for leg in reversed(_by_answer(call.legs)) if leg.answered_at)
    return next((user for user in users if user is not None), None)


def line_user(call: Call, directory: Directory) -> int | None:
    """The default user of the line the call came in on, if there is one and he is active."""
    user_id = call.line_rules.get("user")
    return int(user_id) if user_id is not None and directory.is_active(user_id) else None


def _missed_owner(call: Call, directory: Directory) -> int | None:
    if call.clients:
        user_id = (call.clients[0].get("responsible") or {}).get("user_id")
        if user_id is not None and directory.is_active(user_id):
            return int(user_id)
    elif (successor := line_user(call, directory)) is not None:
        return successor  # a client nobody knows and nobody took: not whoever happened to be rung last
    users = (directory.user_of(extension) for extension in reversed(call.last_rung))
    return next((user for user in users if user is not None), None)


# --- how it ended --------------------------------------------------------------------------------


def _status(call: Call) -> tuple[str, str]:
    if call.answered:
        return "200", ""
    if call.direction != IN:
        code = _outbound_code(call.hangup)
        return code, _UNSEEN if call.end_unseen else _WORDS[code]
    return "304", _UNSEEN if call.end_unseen else _missed_reason(call)


def _outbound_code(variables: dict[str, str]) -> str:
    if variables.get("DIALSTATUS") == "CANCEL":
        return "603-S"
    by_trunk = _OUTBOUND_BY_CAUSE.get(variables.get("HANGUPCAUSE(trunk)", ""))
    by_cause = by_trunk or _OUTBOUND_BY_CAUSE.get(variables.get("HANGUPCAUSE", ""))
    return by_cause or _OUTBOUND_BY_DIALSTATUS.get(variables.get("DIALSTATUS", ""), "OTHER")


def _missed_reason(call: Call) -> str:
    variables = call.hangup
    if variables.get("VMSTATUS"):
        return "voicemail"
    status = variables.get("DIALSTATUS", "")
    if status in ("CHANUNAVAIL", "CONGESTION"):
        return "declined" if variables.get("HANGUPCAUSE") in _DECLINED_CAUSES else "no route"
    named = {"BUSY": "busy", "NOANSWER": "no answer", "CANCEL": "abandoned", "DONTCALL": "declined"}.get(status)
    return named or _missed_without_dial(call)


def _missed_without_dial(call: Call) -> str:
    """Dial() never ended: the caller was in a queue, in a menu, or the PBX itself ended the call."""
    variables = call.hangup
    if variables.get("QUEUESTATUS"):
        return "no answer"
    if variables.get("CDR(lastapp)") == "Queue" or call.last_rung:
        return "abandoned in queue"
    if variables.get("CHANNEL(hangupsource)") == "dialplan/builtin":
        return "no route"  # an announcement out of hours, too
    return "abandoned in menu" if variables.get("CDR(answer,u)") else "abandoned"
