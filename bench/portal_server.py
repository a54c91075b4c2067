"""The portal's double without latency or limits in a process of its own."""

from __future__ import annotations

from bench.server import serve_until_told
from itgrix_bx.emulator.portal import PortalEmulator


def main() -> None:
    """Serve on a free port."""
    with PortalEmulator(rate=0) as portal:
        serve_until_told(int(portal.url.rstrip("/").rsplit(":", 1)[1]))


if __name__ == "__main__":
    main()
