"""The portal's double in a process of its own: `python -m bench.portal_server [LATENCY]`.

Without limits until its settings say otherwise (`bench.portal.Portal.settings`).
"""

from __future__ import annotations

import sys

from bench.server import serve_until_told
from itgrix_bx.emulator.portal import PortalEmulator


def main() -> None:
    """Serve on a free port."""
    latency = sys.argv[1] if len(sys.argv) > 1 else "none"
    with PortalEmulator(rate=0, latency=latency) as portal:
        serve_until_told(int(portal.url.rstrip("/").rsplit(":", 1)[1]))


if __name__ == "__main__":
    main()
