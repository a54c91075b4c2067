"""Telephony methods as commands. Parameters and answers: Bitrix24 REST, `telephony.*`, `voximplant.*`."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from bx24client import php
from bx24client.commands import Command, Ref
from bx24client.errors import BadPhoneNumber, FileRefused
from bx24client.upload import check_filename

EntityType = Literal["CONTACT", "LEAD", "COMPANY"]
ENTITY_TYPES: Final[frozenset[str]] = frozenset({"CONTACT", "LEAD", "COMPANY"})

# Widths of the portal's columns. A finish whose call does not fit fails *after* the CRM activity was
# made, and every repetition makes another one.
MAX_PHONE = 20
MAX_EXTERNAL_ID = 64
MAX_LINE = 50
MAX_REASON = 255
MAX_STATUS = 255
MAX_CURRENCY = 50
MAX_URL = 2000
_WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_NOT_IN_PHONE = re.compile(r"[^0-9#*+,;]")

_STATISTIC_FIELDS = (
    "ID PORTAL_USER_ID PORTAL_NUMBER PHONE_NUMBER CALL_ID EXTERNAL_CALL_ID CALL_CATEGORY CALL_LOG "
    "CALL_DURATION CALL_START_DATE CALL_RECORD_URL CALL_VOTE COST COST_CURRENCY CALL_FAILED_CODE "
    "CALL_FAILED_REASON CRM_ENTITY_TYPE CRM_ENTITY_ID CRM_ACTIVITY_ID REST_APP_ID REST_APP_NAME "
    "TRANSCRIPT_ID TRANSCRIPT_PENDING SESSION_ID REDIAL_ATTEMPT COMMENT RECORD_DURATION RECORD_FILE_ID "
    "CALL_TYPE"
)
STATISTIC_FIELDS: Final[frozenset[str]] = frozenset(_STATISTIC_FIELDS.split())
_OPERATORS = re.compile(r"(?:!><|><|>=|<=|!=|!%|[!<>?=%])?(?P<field>[A-Z_]+)")


@dataclass(frozen=True)
class Responsible:
    """The employee a CRM entity belongs to. `extension` and `workday` may be empty; workday is one of
    OPENED, CLOSED, PAUSED, EXPIRED, UNAVAILABLE, NOT_INSTALLED. The employee may be dismissed."""

    user_id: int
    extension: str
    workday: str


@dataclass(frozen=True)
class CrmEntity:
    """A client the portal knows by a phone number."""

    type: EntityType
    id: int
    name: str
    responsible: Responsible | None


@dataclass(frozen=True)
class Registered:
    """A call the portal knows from now on. `created`: CRM entities it made for it, (type, id)."""

    call_id: str
    entity_type: str | None = None
    entity_id: int | None = None
    created: list[tuple[str, int]] = field(default_factory=list)
    lead_error: str | None = None


@dataclass(frozen=True)
class Finished:
    """A call in the portal's statistics. `errors`: parts that did not succeed, such as
    ACTIVITY_CREATION; the call is finished all the same."""

    call_id: str
    activity_id: int | None
    entity_type: str | None
    entity_id: int | None
    statistic_id: int | None
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UploadUrl:
    """Where a recording may be sent, within the hour. The address holds a secret."""

    url: str = field(repr=False)
    field: str

    def __str__(self) -> str:
        return repr(self)


@dataclass(frozen=True)
class StatRow:
    """A row of the call statistics. `duration_s` talk seconds, `started_at` ISO 8601 as the portal
    wrote it, `status` the STATUS_CODE of the finish, `record_file_id` None without a recording."""

    id: int
    call_id: str
    external_call_id: str
    user_id: int | None
    phone_number: str
    line: str
    call_type: int | None
    duration_s: int
    started_at: str
    status: str
    failed_reason: str
    entity_type: str | None
    entity_id: int | None
    activity_id: int | None
    record_file_id: int | None


def search_crm_entities(phone: str) -> Command[list[CrmEntity]]:
    """Clients with this number: contacts, then leads, then companies, at most one of each."""
    params = {"PHONE_NUMBER": phone_number(phone)}
    return Command("telephony.externalCall.searchCrmEntities", params, _entities, idempotent=True)


def register(params: Mapping[str, Any]) -> Command[Registered]:
    """Make a call known. Keys as the portal names them, in upper case; the lengths are clamped.

    Not idempotent for a quick retry: the portal looks for a double without a lock, so a second request
    beside a running first one makes a second call. Raises BadPhoneNumber, ValueError.
    """
    prepared = _upper_case(params)
    prepared["PHONE_NUMBER"] = phone_number(prepared.get("PHONE_NUMBER"))
    _clamp(prepared, "LINE_NUMBER", MAX_LINE)
    if prepared.get("EXTERNAL_CALL_ID"):
        prepared["EXTERNAL_CALL_ID"] = external_id(str(prepared["EXTERNAL_CALL_ID"]))
    if not (prepared.get("CRM_ENTITY_TYPE") and prepared.get("CRM_ENTITY_ID")):
        # Empty ones count as given: the portal would bind a bogus entity and search no further.
        prepared.pop("CRM_ENTITY_TYPE", None)
        prepared.pop("CRM_ENTITY_ID", None)
    return Command("telephony.externalCall.register", prepared, _registered)


def show(call_id: str | Ref, user_ids: Sequence[int | Ref]) -> Command[bool]:
    """Show the call's card to employees. False when the call is unknown or over."""
    return _card("show", call_id, user_ids)


def hide(call_id: str | Ref, user_ids: Sequence[int]) -> Command[bool]:
    """Take the call's card away again. False when the call is unknown or over."""
    return _card("hide", call_id, user_ids)


def finish(params: Mapping[str, Any]) -> Command[Finished]:
    """End a call: statistics and CRM activity. Keys in upper case; the lengths are clamped.

    ADD_TO_CHAT is sent always (0 unless given): documents and code disagree about the default.
    Raises ValueError for RECORD_URL, which fails silently here; attach the recording afterwards.
    """
    prepared = _upper_case(params)
    if "RECORD_URL" in prepared:
        raise ValueError("RECORD_URL in finish loses recordings silently: attach it afterwards")
    _clamp(prepared, "FAILED_REASON", MAX_REASON)
    _clamp(prepared, "STATUS_CODE", MAX_STATUS)
    _clamp(prepared, "COST_CURRENCY", MAX_CURRENCY)
    prepared.setdefault("ADD_TO_CHAT", 0)
    return Command("telephony.externalCall.finish", prepared, _finished)


def attach_record(call_id: str | Ref, filename: str, content: bytes) -> Command[int]:
    """Attach a recording to a finished call, inside the request; returns the id of the file.

    For files up to some 10 MB. The name must be new for the whole portal and month. Raises FileRefused.
    """
    if not content:
        raise FileRefused(description="the recording is empty")
    params = {
        "CALL_ID": call_id,
        "FILENAME": check_filename(filename),
        "FILE_CONTENT": base64.b64encode(content).decode("ascii"),
    }
    return Command("telephony.externalCall.attachRecord", params, read_file_id)


def attach_record_url(call_id: str | Ref, filename: str, url: str) -> Command[int]:
    """Let the portal fetch the recording of a finished call from `url` while it answers; returns the id of the file.

    The address must answer 200 with the audio itself, its path end in .wav or .mp3. Where the portal cannot fetch it
    the answer is FileRefused. Raises ValueError for what is no http(s) address, FileRefused for a name.
    """
    if not _WEB_ADDRESS.fullmatch(url) or not urlsplit(url).hostname or len(url) > MAX_URL:
        raise ValueError("the portal fetches recordings from http:// and https:// addresses only")
    if not urlsplit(url).path.endswith((".wav", ".mp3")):
        raise FileRefused(description="the path of the address must end in .wav or .mp3")
    params = {"CALL_ID": call_id, "RECORD_URL": url, "FILENAME": check_filename(filename)}
    return Command("telephony.externalCall.attachRecord", params, read_file_id)


def upload_url(call_id: str | Ref, filename: str) -> Command[UploadUrl]:
    """Ask where a large recording may be sent; Bitrix24.upload() sends it there. Raises FileRefused."""
    params = {"CALL_ID": call_id, "FILENAME": check_filename(filename)}
    return Command("telephony.externalCall.attachRecord", params, _upload_url, idempotent=True)


def statistics(filter: Mapping[str, Any]) -> Command[list[StatRow]]:
    """Rows of the call statistics (50 a page), such as `{"CALL_ID": "externalCall.…"}`.

    The portal drops a field or operator it does not know and answers with everything, so unknown ones
    raise ValueError here, and rows of another CALL_ID or EXTERNAL_CALL_ID are left out.
    """
    for key in filter:
        match = _OPERATORS.fullmatch(key)
        if match is None or match["field"] not in STATISTIC_FIELDS:
            raise ValueError(f"the call statistics have no field {key!r}")

    def parse(result: Any) -> list[StatRow]:
        return [_stat_row(php.mapping(row)) for row in php.rows(result) if _asked_for(row, filter)]

    params = {"FILTER": dict(filter), "SORT": "ID", "ORDER": "ASC"}
    return Command("voximplant.statistic.get", params, parse, idempotent=True)


def phone_number(number: object) -> str:
    """A number as the portal stores it: digits and `+ # * , ;`, at most 20. Raises BadPhoneNumber."""
    stripped = _NOT_IN_PHONE.sub("", str(number or ""))[:MAX_PHONE]
    if not any(character.isdigit() for character in stripped):
        raise BadPhoneNumber(description="Unsupported phone number format")
    return stripped


def external_id(value: str) -> str:
    """An EXTERNAL_CALL_ID that fits its column. A cut one keeps its beginning and stays unique."""
    if len(value) <= MAX_EXTERNAL_ID:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:32]
    return f"{value[: MAX_EXTERNAL_ID - 33]}-{digest}"


def read_file_id(result: Any) -> int:
    """The FILE_ID of an attach or an upload. Raises ValueError."""
    return php.required_integer(php.mapping(result).get("FILE_ID"), "FILE_ID")


def _card(verb: str, call_id: str | Ref, user_ids: Sequence[int | Ref]) -> Command[bool]:
    params: dict[str, Any] = {"CALL_ID": call_id}
    if user_ids:
        params["USER_ID"] = [user if isinstance(user, Ref) else int(user) for user in user_ids]
    # The portal turns whatever comes as CALL_ID into a string, and knows no such call.
    return Command(f"telephony.externalCall.{verb}", params, php.yes, idempotent=True, harmless=True)


def _upper_case(params: Mapping[str, Any]) -> dict[str, Any]:
    for name in params:
        if name != name.upper():
            # The portal would not complain, it would not see the parameter.
            raise ValueError(f"telephony parameters are written in upper case, not {name!r}")
    return {name: value for name, value in params.items() if value is not None}


def _clamp(params: dict[str, Any], name: str, width: int) -> None:
    if name in params and not isinstance(params[name], Ref):
        params[name] = str(params[name]).strip()[:width]


def _entities(result: Any) -> list[CrmEntity]:
    found = (_entity(row) for row in php.maps(result))
    return [entity for entity in found if entity is not None]


def _entity(row: dict[str, Any]) -> CrmEntity | None:
    kind, number = php.text(row.get("CRM_ENTITY_TYPE")).upper(), php.integer(row.get("CRM_ENTITY_ID"))
    if kind not in ENTITY_TYPES or not number:
        return None
    return CrmEntity(cast(EntityType, kind), number, php.text(row.get("NAME")), _responsible(row))


def _responsible(row: dict[str, Any]) -> Responsible | None:
    person = row.get("ASSIGNED_BY")
    details = php.mapping(person) if isinstance(person, dict) else {}
    user_id = php.integer(details.get("ID")) or php.integer(row.get("ASSIGNED_BY_ID"))
    if not user_id:
        return None
    extension, workday = php.text(details.get("USER_PHONE_INNER")), php.text(details.get("TIMEMAN_STATUS"))
    return Responsible(user_id, extension, workday.upper())


def _registered(result: Any) -> Registered:
    row = php.mapping(result)
    made = (php.mapping(item) for item in php.rows(row.get("CRM_CREATED_ENTITIES") or []))
    pairs = ((php.text(item.get("ENTITY_TYPE")).upper(), php.integer(item.get("ENTITY_ID"))) for item in made)
    return Registered(
        call_id=php.required_text(row.get("CALL_ID"), "CALL_ID"),
        entity_type=php.text(row.get("CRM_ENTITY_TYPE")).upper() or None,
        entity_id=php.integer(row.get("CRM_ENTITY_ID")) or None,
        created=[(kind, number) for kind, number in pairs if kind and number],
        lead_error=php.text(row.get("LEAD_CREATION_ERROR")) or None,
    )


def _finished(result: Any) -> Finished:
    row = php.mapping(result)
    return Finished(
        call_id=php.required_text(row.get("CALL_ID"), "CALL_ID"),
        activity_id=php.integer(row.get("CRM_ACTIVITY_ID")) or None,
        entity_type=php.text(row.get("CRM_ENTITY_TYPE")).upper() or None,
        entity_id=php.integer(row.get("CRM_ENTITY_ID")) or None,
        statistic_id=php.integer(row.get("ID")) or None,
        errors={key: php.text(value) for key, value in php.mapping(row.get("ERRORS") or {}).items()},
    )


def _upload_url(result: Any) -> UploadUrl:
    row = php.mapping(result)
    url = php.required_text(row.get("uploadUrl"), "uploadUrl")
    if not re.fullmatch(r"https?://[^/\s]+/rest/\S+", url):
        raise php.ShapeError("uploadUrl is not an address of the portal")
    return UploadUrl(url, php.text(row.get("fieldName")) or "file")


def _asked_for(row: Any, filter: Mapping[str, Any]) -> bool:
    if not isinstance(row, dict):
        return False
    asked = {key.lstrip("="): value for key, value in filter.items()}
    exact = (key for key in ("CALL_ID", "EXTERNAL_CALL_ID") if isinstance(asked.get(key), str))
    return all(php.text(row.get(key)) == asked[key] for key in exact)


def _stat_row(row: dict[str, Any]) -> StatRow:
    return StatRow(
        id=php.required_integer(row.get("ID"), "ID"),
        call_id=php.text(row.get("CALL_ID")),
        external_call_id=php.text(row.get("EXTERNAL_CALL_ID")),
        user_id=php.integer(row.get("PORTAL_USER_ID")),
        phone_number=php.text(row.get("PHONE_NUMBER")),
        line=php.text(row.get("PORTAL_NUMBER")),
        call_type=php.integer(row.get("CALL_TYPE")),
        duration_s=php.integer(row.get("CALL_DURATION")) or 0,
        started_at=php.text(row.get("CALL_START_DATE")),
        status=php.text(row.get("CALL_FAILED_CODE")),
        failed_reason=php.text(row.get("CALL_FAILED_REASON")),
        entity_type=php.text(row.get("CRM_ENTITY_TYPE")).upper() or None,
        entity_id=php.integer(row.get("CRM_ENTITY_ID")) or None,
        activity_id=php.integer(row.get("CRM_ACTIVITY_ID")) or None,
        record_file_id=php.integer(row.get("RECORD_FILE_ID")) or None,
    )
