"""What is left to do by hand, in the words of the system's own screens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from itgrix_bx.pbx.installer.system import FREEPBX, System
from itgrix_bx.words import Phrase, as_is


def advice(system: System, address: str) -> Iterator[Phrase]:
    """What to print after an installation, line by line."""
    if system.generated:
        yield _responsible(system)
    if not is_here(address):
        yield from _remote(address)
    yield Phrase("Then call a number of yours from outside: `itgrix-bx calls list` shows the call.")


def _responsible(system: System) -> Phrase:
    if system.kind == FREEPBX:
        return Phrase(
            "To ring the client's responsible first: Admin, Custom Destinations, Add: Target `b24-customdest,s,1`, "
            "Description `CRM responsible`, Return `Yes`, Destination: where these calls went until now. "
            "Then choose it as the destination of the inbound route."
        )
    return Phrase(
        "To ring the client's responsible first: PBX Configuration, Custom Destinations, Add: Custom Destination "
        "`b24-then,600,1`, Description `CRM responsible`; 600 is where the call goes otherwise, an extension, "
        "group or queue. Then choose it as the destination of the inbound route."
    )


def _remote(address: str) -> Iterator[Phrase]:
    host, _, port = address.rpartition(":")
    here = {"host": host}
    yield Phrase("The service is on another machine ({host}); docs/dialplan.md shows this set-up whole.", here)
    yield Phrase("There, in config.toml (PBX is the address of the PBX):")
    yield as_is(f'  [fastagi] listen = "{address}", allow = ["PBX/32"]; [ami] address = "PBX:5038"')
    yield as_is(f"  iptables -I INPUT -p tcp -s PBX --dport {port} -j ACCEPT")
    yield Phrase("On the PBX, so that the manager is reached: bindaddr = 0.0.0.0 in manager.conf, and")
    yield as_is(f"  iptables -I INPUT -p tcp -s {host} --dport 5038 -j ACCEPT")


def is_here(address: str) -> bool:
    """Whether HOST:PORT is this very machine's loopback."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
