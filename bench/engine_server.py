"""The product's FastAGI server with one hook of five commands, the same as the bare loop's."""

from __future__ import annotations

from agi.session import Session
from bench.bare_loop import THREADS
from bench.server import serve_until_told
from fastagi_server import FastAGIServer, Hook


def five_commands(session: Session) -> None:
    """What `inbound` says to Asterisk, without its reasons."""
    session.get_variable("FROM_DID")
    session.get_variable("CHANNEL(linkedid)")
    session.set_variable("B24_STATE", "registered")
    session.set_variable("B24_RC", "ok")
    session.verbose("known client", 3)


def main() -> None:
    """Serve on a free port."""
    server = FastAGIServer(("127.0.0.1", 0), {"inbound": Hook(five_commands, waits=True)}, threads=THREADS)
    server.start()
    serve_until_told(server.address[1])
    server.stop()


if __name__ == "__main__":
    main()
