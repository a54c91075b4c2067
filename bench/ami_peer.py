"""A manager in a process of its own that lets everybody in and sends events as fast as they are taken."""

from __future__ import annotations

import contextlib
import socket
import threading

from bench.server import serve_until_told

# What a dialplan step looks like on Asterisk 22, 430 bytes.
EVENT = (
    "Event: Newexten\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/trunk-00000001\r\nChannelState: 4\r\n"
    "ChannelStateDesc: Ring\r\nCallerIDNum: 79161234567\r\nCallerIDName: OOO Romashka\r\n"
    "ConnectedLineNum: <unknown>\r\nConnectedLineName: <unknown>\r\nLanguage: en\r\nAccountCode: \r\n"
    "Context: from-trunk\r\nExten: 74950000001\r\nPriority: 3\r\nUniqueid: 1795647007.0\r\n"
    "Linkedid: 1795647007.0\r\nExtension: 74950000001\r\nApplication: NoOp\r\nAppData: number {n:08}\r\n\r\n"
)

_CHANNEL = (
    "Privilege: call,all\r\nChannel: {name}\r\nChannelState: {state}\r\nChannelStateDesc: Ring\r\n"
    "CallerIDNum: 79161234567\r\nCallerIDName: OOO Romashka\r\nConnectedLineNum: <unknown>\r\n"
    "ConnectedLineName: <unknown>\r\nLanguage: en\r\nAccountCode: \r\nContext: from-trunk\r\n"
    "Exten: 74950000001\r\nPriority: 3\r\nUniqueid: {id}\r\nLinkedid: {linked}\r\n"
)


def call_id(n: int) -> str:
    """The id of the storm's call number `n`."""
    return f"1795647007.{2 * n}"


def storm(n: int) -> str:
    """An answered call as the classes call and agent tell it: 20 events, of which the feed wants 12."""
    client = {"name": f"PJSIP/trunk-{n:08x}", "id": call_id(n), "linked": call_id(n)}
    phone = {"name": f"PJSIP/101-{n:08x}", "id": f"1795647007.{2 * n + 1}", "linked": call_id(n)}

    def told(event: str, channel: dict[str, str], state: str = "4", **more: str) -> str:
        added = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        return f"Event: {event}\r\n{_CHANNEL.format(state=state, **channel)}{added}\r\n"

    dest = {"DestChannel": phone["name"], "DestUniqueid": phone["id"], "DestLinkedid": call_id(n)}
    bridge = {"BridgeUniqueid": f"b{n}", "BridgeType": "basic", "BridgeTechnology": "simple_bridge"}
    return "".join([
        told("Newchannel", client), told("Newstate", client), told("Newchannel", phone), told("NewCallerid", phone),
        told("NewConnectedLine", phone), told("DialBegin", client, **dest, DialString="101"),
        told("Newstate", phone, "5"), told("DialState", client, **dest, DialStatus="RINGING"),
        told("Newstate", phone, "6"), told("DialEnd", client, **dest, DialStatus="ANSWER"),
        told("Newstate", client, "6"),
        told("BridgeCreate", client, **bridge), told("BridgeEnter", phone, "6", **bridge),
        told("BridgeEnter", client, "6", **bridge), told("HangupRequest", client),
        told("BridgeLeave", client, "6", **bridge), told("BridgeLeave", phone, "6", **bridge),
        told("BridgeDestroy", client, **bridge), told("Hangup", phone, "6", Cause="16"),
        told("Hangup", client, "6", Cause="16"),
    ])  # fmt: skip


STORM_EVENTS = storm(1).count("Event: ")


def serve(connection: socket.socket) -> None:
    """One client: greets, says yes to everything; `Blast` sends Count events, `Storm` Count calls."""
    buffer = b""
    connection.sendall(b"Asterisk Call Manager/11.0.0\r\n")
    while data := connection.recv(65536):
        buffer += data
        while b"\r\n\r\n" in buffer:
            block, _, buffer = buffer.partition(b"\r\n\r\n")
            asked = dict(line.split(": ", 1) for line in block.decode().split("\r\n"))
            answer = f"Response: Success\r\nActionID: {asked.get('ActionID', '')}\r\nChallenge: 1\r\n\r\n"
            connection.sendall(answer.encode())
            if asked["Action"] == "Blast":
                connection.sendall("".join(EVENT.format(n=n) for n in range(int(asked["Count"]))).encode())
            elif asked["Action"] == "Storm":
                connection.sendall("".join(map(storm, range(int(asked["Count"])))).encode())


def accept(listener: socket.socket) -> None:
    """Serve whoever comes, one thread each."""
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def main() -> None:
    """Serve on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    serve_until_told(listener.getsockname()[1])


if __name__ == "__main__":
    main()
