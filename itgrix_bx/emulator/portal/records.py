"""`telephony.externalCall.attachRecord` and `upload`: three ways for a recording to reach a finished call."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from itgrix_bx.emulator.portal import php
from itgrix_bx.emulator.portal.answers import LINK_CHECK, RestError, auth_error
from itgrix_bx.emulator.portal.context import Caller, Context, Method
from itgrix_bx.emulator.portal.multipart import Part
from itgrix_bx.emulator.portal.php import Params
from itgrix_bx.emulator.portal.store import Store

ATTACH = "telephony.externalCall.attachRecord"
_UPLOADED = ("wav", "mp3")
_FETCHED = ("wav", "mp3", "flac")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_MAX_REDIRECTS = 5
_FETCH_TIMEOUT_S = (30.0, 60.0)
_LARGEST_FETCH = 512 << 20
_SIGNING_KEY = secrets.token_bytes(32)
# The portal speaks the language of its owner here; a client must not parse these.
_TEXTS = {
    "exists": {"ru": "Файл с таким именем уже есть", "en": "A file with this name already exists."},
    "type": {"ru": "Неверный тип файла", "en": "Invalid file type."},
}
_WRONG_EXTENSION = "Wrong file extension. Only wav and mp3 are allowed"


def attach(context: Context, params: Params) -> dict[str, Any]:
    """Mode B with RECORD_URL, mode A with FILE_CONTENT, else mode C: where to upload."""
    store = context.store
    with store.lock:
        row = _row(store, params.get("CALL_ID"))
    if params.get("RECORD_URL") is not None:
        context.work("attach_url")
        return _attach_url(store, row, php.text(params["RECORD_URL"]), php.text(params.get("FILENAME")))
    name = php.text(params.get("FILENAME"))
    if not name:
        raise RestError("Required parameters are not set. Request should contain or URL or FILENAME parameter")
    if params.get("FILE_CONTENT") is None:
        context.work("attach_first_step")
        return {"uploadUrl": _upload_url(context, row["CALL_ID"], name), "fieldName": "file"}
    context.work("attach_content")
    return _attach_content(store, row, name, params["FILE_CONTENT"])


def upload(context: Context, token: object, part: Part | None) -> dict[str, Any]:
    """Mode C's second step: the file itself, to the signed address, while it is valid."""
    claim = _claim(context.store, context.caller, token)
    context.work("upload")
    if part is None:
        raise RestError("Error: required parameter file is not found")
    with context.store.lock:
        row = _row(context.store, claim["CALL_ID"])
        if _extension(part.filename) not in _UPLOADED:
            raise RestError(_WRONG_EXTENSION)
        # The type is not sniffed on this way, and the record it replaces stays on the drive.
        return {"FILE_ID": _keep(context.store, row, part.filename, part.content, replace=False)}


def sniff(content: bytes) -> str:
    """The type of a recording by its first bytes, as libmagic tells it."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/x-wav"
    if content[:3] == b"ID3" or _is_mpeg_frame(content[:4]):
        return "audio/mpeg"
    if content[:4] == b"fLaC":
        return "audio/flac"
    if content[:4] == b"OggS":
        return "audio/ogg"
    return "application/octet-stream"


def _is_mpeg_frame(head: bytes) -> bool:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in (0, 15) and rate != 3


def _row(store: Store, call_id: object) -> dict[str, Any]:
    rows = store.statistics_of(call_id)
    if not rows:
        raise RestError("Call is not found in the statistic table. Looks like it is not finished yet.")
    return rows[0]


def _attach_content(store: Store, row: dict[str, Any], name: str, encoded: object) -> dict[str, Any]:
    if _extension(name) not in _UPLOADED:
        raise RestError(_WRONG_EXTENSION)
    content = _decoded(encoded)
    with store.lock:
        _require_audio(store, content)
        return {"FILE_ID": _keep(store, row, name, content, replace=True)}


def _attach_url(store: Store, row: dict[str, Any], url: str, name: str) -> dict[str, Any]:
    name = name or urlsplit(url).path.rpartition("/")[2]
    content = _fetched(url)
    with store.lock:
        if _extension(name).lower() not in _FETCHED:
            raise RestError(_TEXTS["type"][store.settings.language])
        _require_audio(store, content)
        return {"FILE_ID": _keep(store, row, name, content, replace=True)}


def _decoded(encoded: object) -> bytes:
    if encoded == "":
        raise RestError("File content is empty.")
    # PHP's decoder is lenient: what is not in its alphabet is skipped, so a `+` that a form turned into
    # a space corrupts the file instead of being refused.
    letters = _NOT_BASE64.sub(b"", encoded.encode() if isinstance(encoded, str) else b"")
    letters = letters[: len(letters) - 1] if len(letters) % 4 == 1 else letters
    try:
        content = base64.b64decode(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        content = b""
    if not content:
        raise RestError("File content is not properly encoded. Base64 encoding is expected.")
    return content


def _fetched(url: str) -> bytes:
    with requests.Session() as session:
        # As the portal does: proxies and ~/.netrc of this machine play no part, TLS is not verified.
        session.trust_env, session.verify, session.max_redirects = False, False, _MAX_REDIRECTS
        try:
            with session.get(url, timeout=_FETCH_TIMEOUT_S, stream=True) as answer:
                if answer.status_code != 200:
                    raise RestError(f"Server returns HTTP error code {answer.status_code}")
                return answer.raw.read(_LARGEST_FETCH, decode_content=True) or b""
        except (requests.RequestException, OSError, ValueError) as error:
            raise RestError(f"NETWORK: {type(error).__name__}") from None


def _require_audio(store: Store, content: bytes) -> None:
    if not sniff(content).startswith("audio/"):
        raise RestError(_TEXTS["type"][store.settings.language])


def _keep(store: Store, row: dict[str, Any], name: str, content: bytes, *, replace: bool) -> int:
    month = row["CALL_START_DATE"][:7]
    if (month, name.casefold()) in store.file_names:
        raise RestError(_TEXTS["exists"][store.settings.language])
    if replace and row["RECORD_FILE_ID"]:
        _remove(store, row["RECORD_FILE_ID"])
    number = store.next_id("files")
    store.file_names.add((month, name.casefold()))
    store.files.append(
        {
            "id": number,
            "name": name,
            "month": month,
            "call_id": row["CALL_ID"],
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "type": sniff(content),
            "deleted": False,
            "at": store.clock.now(),
        }
    )
    store.keep_content(number, content)
    row["RECORD_FILE_ID"] = number
    if row["CRM_ACTIVITY_ID"]:
        # Ids count from 1 without gaps: no scan, the table may be long. A reset may have emptied it meanwhile.
        at = int(row["CRM_ACTIVITY_ID"]) - 1
        for activity in store.activities[at : at + 1]:
            activity["files"] = [number]
    return number


def _remove(store: Store, file_id: int) -> None:
    file = store.files[file_id - 1]
    file["deleted"] = True
    store.file_names.discard((file["month"], file["name"].casefold()))


def _extension(name: str) -> str:
    return name.rpartition(".")[2] if "." in name else ""


def _upload_url(context: Context, call_id: str, name: str) -> str:
    expires = context.store.clock.now() + context.store.settings.upload_ttl_s
    claim = json.dumps({"CALL_ID": call_id, "FILENAME": name, "until": expires})
    body = base64.urlsafe_b64encode(claim.encode()).decode()
    token = f"telephony|{body}|{_signature(context.caller, body)}"
    caller = context.caller
    return f"{context.base_url}/rest/{caller.user_id}/{caller.secret}/upload/?token={quote(token, safe='')}"


def _signature(caller: Caller, body: str) -> str:
    # Bound to who asked: the address is worth nothing with another webhook.
    message = f"{caller.user_id}|{caller.secret}|{body}".encode()
    return hmac.new(_SIGNING_KEY, message, hashlib.sha256).hexdigest()


def _claim(store: Store, caller: Caller, token: object) -> dict[str, Any]:
    scope, _, rest = php.text(token).partition("|")
    body, _, signature = rest.partition("|")
    good = _signature(caller, body)
    if scope != "telephony" or not hmac.compare_digest(good.encode(), signature.encode("utf-8", "replace")):
        raise RestError(*LINK_CHECK)
    claim: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
    if store.clock.now() > claim["until"]:
        documented = store.settings.auth_status == "docs"
        raise auth_error("expired_token", "The access token provided has expired", documented=documented)
    return claim


METHODS = (Method(ATTACH, attach, "telephony", own_pace=True),)
