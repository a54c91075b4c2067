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


def serve(connection: socket.socket) -> None:
    """One client: greets, says yes to everything; `Blast` sends Count events."""
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
