"""Free ports for servers that are started, killed and started again on the same one."""

from __future__ import annotations

import random
import socket

_given: set[int] = set()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """Below the range from which the kernel gives ports to whoever connects: such a one would be taken while its server
    is down. None is given twice: two servers of one test may both not listen yet."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        _given.add(port)
        return port
