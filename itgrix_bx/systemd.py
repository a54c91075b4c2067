"""Running under systemd: readiness, the watchdog, and the unit itself."""

from __future__ import annotations

import os
import socket

WATCHDOG_S = 10

# A frozen server would hold calls in AGI(), which has no read timeout: the watchdog ends it, and they go on.
UNIT = f"""[Unit]
Description=itgrix-bx: Asterisk and Bitrix24
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart={{program}} --config {{config}} serve
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
Restart=always
RestartSec=1
WatchdogSec={WATCHDOG_S}
TimeoutStopSec=40
User={{user}}
Group={{user}}
SupplementaryGroups={{groups}}
StateDirectory=itgrix-bx
UMask=0077
LimitNOFILE=65536
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


def notify(state: str) -> None:
    """Tell systemd (READY=1, WATCHDOG=1, STOPPING=1); nothing happens elsewhere. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), target)
        except OSError:
            return  # systemd that does not listen will notice by its own timeout


def unit(program: str, config: str, user: str, groups: str) -> str:
    """The unit file."""
    return UNIT.format(program=program, config=config, user=user, groups=groups)
