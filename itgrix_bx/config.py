"""How to reach things: the TOML file, environment overrides, secrets in files.

Business rules live in the database. A wrong key or value is one sentence that names file, key and cure.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import ipaddress
import os
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bx24client import Webhook, keep_secret

DEFAULT_PATH = Path("/etc/itgrix-bx/config.toml")
_ENV_PREFIX = "ITGRIX_BX__"
_WEBHOOK_SECRET = re.compile(r"/rest/\d+/([^/?#]+)")


class ConfigError(Exception):
    """One sentence for the administrator: file, key, what is wrong, how to put it right."""


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65536:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:4575")
    return value


def _networks(value: list[str]) -> list[str]:
    if not value:
        raise ValueError("must name who may connect, at least Asterisk's own 127.0.0.0/8")
    for network in value:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ValueError(f"{network!r} is no network; write it as 10.0.0.0/8 or 192.168.1.5/32") from None
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("sqlite:///", "mysql+pymysql://")):
        raise ValueError("must begin with sqlite:/// or mysql+pymysql://")
    return _named(value)


def _cdr_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and not value.get_secret_value().startswith(("sqlite:///", "mysql+pymysql://")):
        raise ValueError("must begin with mysql+pymysql:// or sqlite:///")
    return _named(value)


def _named(value: SecretStr) -> SecretStr:
    """A URL of a server is one, and names a database."""
    url = value.get_secret_value()
    with contextlib.suppress(sa.exc.ArgumentError, ValueError):
        if not url.startswith("mysql+pymysql://") or sa.make_url(url).database:
            return value
    raise ValueError("must look like mysql+pymysql://USER:PASSWORD@HOST/DATABASE (an @ in the password as %40)")


def _portal_url(value: SecretStr) -> SecretStr:
    url = urlsplit(value.get_secret_value())
    if not value.get_secret_value():
        return value
    if url.scheme not in ("https", "http") or not url.hostname or "/rest/" not in url.path:
        raise ValueError("must look like https://PORTAL/rest/USER/SECRET/ (Bitrix24: Developer resources, webhook)")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ValueError("must be https: plain http would show the secret to everybody on the way")
    try:
        Webhook(value.get_secret_value())
    except ValueError:
        raise ValueError("must be https://PORTAL/rest/USER/SECRET/ and nothing behind it") from None
    return value


def _certificates(value: str) -> str:
    try:
        if value:
            ssl.create_default_context(cadata=value)
    except (ssl.SSLError, ValueError):
        raise ValueError("holds no certificate; name the PEM file of who signed Asterisk's") from None
    return value


def _public_url(value: str) -> str:
    url = urlsplit(value)
    if not value:
        return value
    beyond = url.query or url.fragment or url.username or not re.fullmatch("[!-~]{1,200}", value)
    if url.scheme not in ("https", "http") or not url.hostname or beyond:
        raise ValueError("must be an address others reach our /recordings/ by: https://pbx.example.com/recordings/")
    return value if value.endswith("/") else f"{value}/"


def _country(value: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS  # half a megabyte of tables, for whoever writes a country

    if value not in SUPPORTED_REGIONS:
        raise ValueError("must be a country's two capital letters, for example RU")
    return value


def _pbx_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,24}", value):
        raise ValueError(
            "must be at most 24 latin letters, digits, points, dashes and underscores, for example office-"
        )
    return value


def _anonymous(value: str) -> str:
    if not re.fullmatch(r"(\+?[0-9]{1,19})?", value):
        raise ValueError("must be a telephone number of digits alone, for example +70000000000, or empty")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(_address)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Application(_Section):
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    event_token: SecretStr = SecretStr("")


class Portal(_Section):
    webhook: Annotated[SecretStr, AfterValidator(_portal_url)] = SecretStr("")
    application: Application = Application()
    default_user: int = Field(default=1, ge=1)
    requests_per_second: float = Field(default=2.0, gt=0, le=100)
    burst: int = Field(default=50, ge=1, le=1000)
    working_time: float = Field(default=420.0, ge=1)  # seconds of one method's work in ten minutes
    shared_budget: bool = False


class DatabaseSection(_Section):
    url: Annotated[SecretStr, AfterValidator(_database_url)] = SecretStr("sqlite:////var/lib/itgrix-bx/itgrix-bx.db")


class JournalSection(_Section):
    directory: Path = Path("/var/lib/itgrix-bx")
    keep_days: int = Field(default=365, ge=1)


class Pbx(_Section):
    name: Annotated[str, AfterValidator(_pbx_name)] = ""


class FastAgi(_Section):
    listen: Address = "127.0.0.1:4575"
    allow: Annotated[list[str], AfterValidator(_networks)] = ["127.0.0.0/8"]


class Inbound(_Section):
    deadline: float = Field(default=1.5, gt=0, le=10)
    answer: Literal["portal", "cache"] = "portal"
    card_at_once: bool = True


class Calls(_Section):
    finisher: Literal["first", "last", "longest"] = "last"


class Recordings(_Section):
    directory: Path = Path("/var/spool/asterisk/monitor")
    asterisk_directory: str = ""
    voicemail_directory: str = ""
    wait: float = Field(default=3600, ge=0)
    mp3: bool = False
    public_url: Annotated[str, AfterValidator(_public_url)] = ""


class Ami(_Section):
    address: Address = "127.0.0.1:5038"
    username: str = ""
    secret: SecretStr = SecretStr("")
    tls: bool = False
    ca: Annotated[str, AfterValidator(_certificates)] = ""  # PEM, by `ca_file`; empty: whom the system trusts


class Cdr(_Section):
    url: Annotated[SecretStr, AfterValidator(_cdr_url)] = SecretStr("")


class Web(_Section):
    listen: Address = "127.0.0.1:8077"


class Numbers(_Section):
    country: Annotated[str, AfterValidator(_country)] = "RU"
    anonymous: Annotated[str, AfterValidator(_anonymous)] = ""


class Settings(_Section):
    """The whole configuration; every section has defaults, only `[portal]` must be given."""

    portal: Portal = Portal()
    database: DatabaseSection = DatabaseSection()
    journal: JournalSection = JournalSection()
    pbx: Pbx = Pbx()
    fastagi: FastAgi = FastAgi()
    inbound: Inbound = Inbound()
    calls: Calls = Calls()
    recordings: Recordings = Recordings()
    ami: Ami = Ami()
    cdr: Cdr = Cdr()
    web: Web = Web()
    numbers: Numbers = Numbers()


def split_address(address: str) -> tuple[str, int]:
    """("127.0.0.1", 4575) for "127.0.0.1:4575"; brackets of IPv6 dropped."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def locate(path: str | os.PathLike[str] | None) -> Path | None:
    """The file to read: `--config`, $ITGRIX_BX_CONFIG, the default place; None for built-in defaults.

    Raises ConfigError when a file was named but is not there.
    """
    named = path or os.environ.get("ITGRIX_BX_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"{named}: there is no such file; run `itgrix-bx setup` or name another with --config")
        return Path(named)
    return DEFAULT_PATH if DEFAULT_PATH.is_file() else None


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from file and environment. Raises ConfigError."""
    found = locate(path)
    return with_environment(read(found) if found else {}, environ, source=str(found or "the environment"))


def with_environment(
    tables: Mapping[str, Any], environ: Mapping[str, str] | None = None, *, source: str = "settings"
) -> Settings:
    """Settings from parsed tables, what the environment says above them. Raises ConfigError."""
    overlaid = copy.deepcopy(dict(tables))
    variables = _overlay(overlaid, os.environ if environ is None else environ)
    return from_tables(overlaid, source=source, variables=variables)


def from_tables(
    tables: dict[str, Any], *, source: str = "settings", variables: Mapping[tuple[str, ...], str] | None = None
) -> Settings:
    """Settings from already parsed tables; `variables` are those whose values come from the environment.

    Raises ConfigError.
    """
    try:
        settings = Settings.model_validate(_with_secrets(tables, source))
    except ValidationError as error:
        raise ConfigError(_sentence(error, source, variables or {})) from None
    keep_secret(*_secrets_of(settings))
    return settings


def _secrets_of(section: BaseModel) -> Iterator[str]:
    """Every secret; of a URL the password, of a webhook's the part that is one."""
    for _, value in section:
        if isinstance(value, BaseModel):
            yield from _secrets_of(value)
        elif isinstance(value, SecretStr):
            text = value.get_secret_value()
            if "://" not in text:
                yield text
                continue
            yield unquote(urlsplit(text).password or "")
            yield from _WEBHOOK_SECRET.findall(text)


def read(path: Path) -> dict[str, Any]:
    """The tables of a file. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows puts a mark before the text
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is no valid TOML ({error}); correct that line") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the file is not in UTF-8; save it in that encoding") from None
    except PermissionError:
        raise ConfigError(f"{path}: no permission to read it; run as root or as the service's user") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def _overlay(tables: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """The variables by the path of the key they give."""
    found: dict[tuple[str, ...], str] = {}
    for name, text in environ.items():
        if not name.startswith(_ENV_PREFIX):
            continue
        *sections, key = name[len(_ENV_PREFIX) :].lower().split("__")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name}: {section} is not a section; the form is {_ENV_PREFIX}SECTION__KEY")
        if not sections:
            raise ConfigError(f"{name}: names no section; the form is {_ENV_PREFIX}SECTION__KEY")
        table[key] = _value(text)
        found[*sections, key] = name
    return found


def _value(text: str) -> Any:
    """A list, or text in quotes, as in TOML; else the text itself: what is a number the key knows, "1e5" may be a
    password."""
    if not text.startswith(("[", '"', "'")):
        return text
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _with_secrets(tables: dict[str, Any], source: str) -> dict[str, Any]:
    """Replace each `key_file` by `key` with the file's content."""
    filled: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            filled[key] = _with_secrets(value, source)
        elif key.endswith("_file") and isinstance(value, str):
            filled[key.removesuffix("_file")] = _secret(value, key, source)
        else:
            filled[key] = value
    return filled


def _secret(path: str, key: str, source: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{source}: {key} names {path}, which cannot be read; correct it or its rights") from None


def _sentence(error: ValidationError, source: str, variables: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    source = variables.get(tuple(path), source)
    key = f"[{'.'.join(path[:-1])}] {path[-1]}" if len(path) > 1 else f"[{path[0]}]"
    if first["type"] == "extra_forbidden":
        return f"{source}: {key} is not a known {'key' if len(path) > 1 else 'section'}{_did_you_mean(path)}"
    reason = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace(
        "Input should be", "must be"
    )
    return f"{source}: {key}: {reason[0].lower()}{reason[1:]}; correct this value"


# How pydantic names what a value is not.
_WORDS = {
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list in square brackets",
    "model_type": "must be a section with keys of its own",
}


def _did_you_mean(path: list[str]) -> str:
    fields: Mapping[str, Any] = Settings.model_fields
    for part in path[:-1]:
        annotation = fields[part].annotation
        fields = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
    close = difflib.get_close_matches(path[-1], fields, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(fields)}"
