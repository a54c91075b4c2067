"""The floor: the least a blocking Python server can do for the same five commands.

As many threads as the real server, all in accept(); the environment is read to its blank line, five fixed commands
are sent one after another, and what comes back is not looked at.
"""

from __future__ import annotations

import socket
import threading

from bench.server import serve_until_told

THREADS = 128
COMMANDS = (
    b'GET VARIABLE "FROM_DID"\n',
    b'GET VARIABLE "CHANNEL(linkedid)"\n',
    b'SET VARIABLE "B24_STATE" "registered"\n',
    b'SET VARIABLE "B24_RC" "ok"\n',
    b'VERBOSE "known client" 3\n',
)


def serve(listener: socket.socket) -> None:
    """One thread's life."""
    while True:
        connection, _ = listener.accept()
        environment = b""
        while not environment.endswith(b"\n\n"):
            environment += connection.recv(8192)
        for command in COMMANDS:
            connection.send(command)
            connection.recv(8192)
        connection.close()


def main() -> None:
    """Serve on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    for _ in range(THREADS):
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
    serve_until_told(listener.getsockname()[1])


if __name__ == "__main__":
    main()
