"""Our user of Asterisk's manager: the least rights with which everything works, a secret nobody has to type."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable

from itgrix_bx.pbx.ami_user import READ, WRITE
from itgrix_bx.pbx.installer.reading import Line
from itgrix_bx.pbx.installer.tree import InstallError
from itgrix_bx.words import Phrase

USERNAME = "itgrix-bx"
MAIN, CUSTOM = "manager.conf", "manager_custom.conf"
# outbound_auth/password=…, md5secret=…, and what has a name before it: register => 101:…@host, auth=101:…@realm.
_SECRET = re.compile(
    r"^([^=\n]*(?:secret|passw|md5)[^=\n]*=>?[ \t]*|[ \t;]*(?:register[ \t]*=|auth[ \t]*=(?=.*:.*@))>?[ \t]*)[^\r\n]+",
    re.I | re.M,
)


def new_secret() -> str:
    return secrets.token_urlsafe(24)


def block(name: str, secret: str, service: str) -> str:
    """The user for manager.conf or a file it includes; from the host of `service` (HOST:PORT) it may log in.

    Raises InstallError.
    """
    host = service.rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        name_given = Phrase(
            "{host} is a name, and the manager's permit= takes only addresses; "
            "give --fastagi the service's IP address, or --no-ami",
            {"host": host},
        )
        raise InstallError(name_given) from None
    mask = "255.255.255.255" if address.version == 4 else "128"
    escaped = secret.replace(";", "\\;")
    return (
        f"[{name}]\nsecret = {escaped}\ndeny = 0.0.0.0/0.0.0.0\ndeny = ::/0\npermit = {address}/{mask}\n"
        f"read = {READ}\nwrite = {WRITE}\n"
    )


def of_user(found: Iterable[Line], name: str) -> Line | None:
    """The line where somebody else defines that user."""
    return next((line for line in found if line.header and line.section == name), None)


def is_on(found: Iterable[Line]) -> bool:
    """Whether the manager is switched on."""
    pairs = [line.pair() for line in found if line.section == "general"]
    return any(key == "enabled" and value.lower() in ("yes", "true", "1", "on") for key, value in pairs)


def hidden(text: str) -> str:
    """`text` for people: what follows `secret =` and its like is not shown, commented out or not."""
    return _SECRET.sub(r"\1********", text)
