"""Every channel variable of the contract with the dialplan, and every one the hooks read."""

from __future__ import annotations

# Set by the hooks (design: "Hooks"). B24_RC comes last: a dialplan that finds it empty knows the server is down.
RC = "B24_RC"
STATE = "B24_STATE"
PORTAL_CALL_ID = "B24_CALL_ID"
ROUTE = "B24_ROUTE"
ROUTE_SECONDS = "B24_ROUTE_SECONDS"
CLIENT = "B24_CLIENT"
CALLER_NAME = "CALLERID(name)"  # by `inbound`, where the line's rules say so

ROUTING = (ROUTE, ROUTE_SECONDS, CLIENT)
# What each hook sets besides B24_RC, empty where there is nothing to say: whatever happens, nothing of before remains.
SETS = {"inbound": (STATE, PORTAL_CALL_ID, *ROUTING), "route": ROUTING, "outbound": (STATE, PORTAL_CALL_ID)}

OK = "ok"
ERROR = "error"

# Read by every hook that may have to create the call.
LINKEDID = "CHANNEL(linkedid)"
FROM_DID = "FROM_DID"
CHANNEL_START = "CDR(start,u)"

# Read by `outbound`: the trunk about to be dialled. FreePBX and Issabel number theirs: OUT_3=PJSIP, OUT_3_SUFFIX=@mts,
# or OUT_3=SIP/mts; where nothing says so, the dialplan may.
TRUNK = "B24_TRUNK"
DIAL_TRUNK = "DIAL_TRUNK"
TRUNK_OF = "OUT_{}"
TRUNK_SUFFIX_OF = "OUT_{}_SUFFIX"

# Read by `hangup`: how it ended, who was connected, where the recording is. The meanings, measured on
# Asterisk 16 and 22, are in itgrix_bx/calls/outcome.py, which decides by them.
AT_HANGUP = (
    "DIALSTATUS",
    "HANGUPCAUSE",
    "ANSWEREDTIME",
    "CONNECTEDLINE(num)",
    "BLINDTRANSFER",
    "ATTENDEDTRANSFER",
    "MEMBERINTERFACE",
    "DIALEDPEERNUMBER",
    "QUEUESTATUS",
    "VMSTATUS",
    "CHANNEL(hangupsource)",
    "CDR(lastapp)",
    "CDR(answer,u)",
    "CDR(billsec)",
)
# What the trunk said last, in Asterisk's words (HANGUPCAUSE(…,ast)): FreePBX goes on after a refusal, and HANGUPCAUSE
# is then what its own busy or congestion tone left. The words are those of main/channel.c, the numbers Q.850's.
TRUNK_CAUSE = "B24_CAUSE"
CAUSES = {
    "Unallocated (unassigned) number": "1",
    "User busy": "17",
    "No user responding": "18",
    "User alerting, no answer": "19",
    "Subscriber absent": "20",
    "Call Rejected": "21",
    "Invalid number format": "28",
    "Circuit/channel congestion": "34",
    "Network out of order": "38",
    "Switching equipment congestion": "42",
}
MIXMONITOR_FILENAME = "MIXMONITOR_FILENAME"
VM_MESSAGEFILE = "VM_MESSAGEFILE"  # by VoiceMail(), without an ending, once a message is in the box
CDR_RECORDINGFILE = "CDR(recordingfile)"
DIALLED = ("OUTNUM", "DIALEDPEERNUMBER", "CDR(dst)")  # the client's number, when only an outbound hangup came
