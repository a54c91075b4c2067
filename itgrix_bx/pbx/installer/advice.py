"""What is left to do by hand, in the words of the system's own screens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from itgrix_bx.pbx.installer.system import FREEPBX, System


def advice(system: System, address: str) -> Iterator[str]:
    """Paragraphs to print after an installation."""
    if system.generated:
        yield _responsible(system)
    if not is_here(address):
        yield _remote(address)


def _responsible(system: System) -> str:
    if system.kind == FREEPBX:
        return (
            "To ring the client's responsible first: Admin, Custom Destinations, Add: Target `b24-customdest,s,1`, "
            "Description `CRM responsible`, Return `Yes`, Destination: where these calls went until now. "
            "Then choose it as the destination of the inbound route."
        )
    return (
        "To ring the client's responsible first: PBX Configuration, Custom Destinations, Add: Custom Destination "
        "`b24-then,600,1`, Description `CRM responsible`; 600 is where the call goes otherwise, an extension, "
        "group or queue. Then choose it as the destination of the inbound route."
    )


def _remote(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"""\
The service is on another machine ({host}); docs/dialplan.md shows this set-up whole. There:
  config.toml   [fastagi] listen = "{address}", allow = ["PBX-ADDRESS/32"]; [ami] address = "PBX-ADDRESS:5038"
  firewall      iptables -I INPUT -p tcp -s PBX-ADDRESS --dport {port} -j ACCEPT
On the PBX, for the manager: bindaddr in manager.conf, and
  firewall      iptables -I INPUT -p tcp -s {host} --dport 5038 -j ACCEPT"""


def is_here(address: str) -> bool:
    """Whether HOST:PORT is this very machine's loopback."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
