"""bx24client: a Bitrix24 telephony client that does not lose or double calls.

    from bx24client import Bitrix24, BitrixError, Ref, telephony

    with Bitrix24("https://example.bitrix24.com/rest/1/secret/") as portal:
        clients = portal.execute(telephony.search_crm_entities("+79161234567"), timeout_s=1.5, lane="caller")

        chain = portal.batch(                       # one request, one place in the portal's limit
            {
                "search": telephony.search_crm_entities("+79161234567"),
                "register": telephony.register({"USER_ID": 1, "PHONE_NUMBER": "+79161234567", "TYPE": 2,
                                                "SHOW": 0, "CRM_CREATE": 1, "EXTERNAL_CALL_ID": "170.1"}),
                "show": telephony.show(Ref("register", "CALL_ID"), [11, 12]),
            },
            halt=True, timeout_s=1.5, lane="caller",
        )
        call_id = chain["register"].call_id         # or raises that command's own error

        portal.execute(telephony.finish({"CALL_ID": call_id, "USER_ID": 11, "DURATION": 95}))
        target = portal.execute(telephony.upload_url(call_id, "170.1-1.mp3"))
        portal.upload(target, "/var/spool/asterisk/monitor/170.1.mp3", "170.1-1.mp3", timeout_s=300)

What it takes care of

- *Times.* Connect, write, read and total are explicit, and the total holds even for a portal that drips
  a byte a second. `timeout_s` of a call covers waiting for the budget, retries and the answer.
- *Once.* A request that surely was not executed is repeated; one whose answer was lost is repeated only
  if the command is idempotent. Otherwise it raises an error whose `maybe_done` is true: ask
  `telephony.statistics` before trying again, after a while where `maybe_running` is true too.
- *The limits.* All requests pass one gate that mirrors the portal's leaky bucket and the working time of each
  method. While places are plenty a command leaves at once; when they are scarce, what waits is combined into
  batches by lane (caller, card, outcome, recording, background) and by how long each can wait, and the results
  are handed back one by one. Who cannot be served in time gets BudgetExhausted at once. `submit` does not wait.
- *Errors.* One tree (errors.py) decided by code, never by HTTP status: `retryable`, `retry_after_s`,
  `maybe_done`, and a sentence for the administrator.
- *A renamed portal* is followed without losing the body, and never to plain http.
- *Secrets* appear in no repr, exception or log record; urllib3's debug log is masked as well. `mask(text)` hides them
  in any text, also where the portal repeated them; `keep_secret()` adds others to hide.
- `durations.typical(method)` tells how long the portal takes for a method.

Logging: logger `bx24client`, level DEBUG only: method names, seconds and kinds of errors.
"""

from bx24client import crm, deals, durations, errors, lines, structure, telephony, users
from bx24client.auth import Auth, Webhook, keep_secret, mask
from bx24client.client import Bitrix24
from bx24client.commands import Answer, BatchResult, Command, Ref
from bx24client.crm import Source
from bx24client.deals import Deal
from bx24client.durations import Durations, Operating
from bx24client.errors import (
    AccessDenied,
    AnswerLost,
    AuthFailed,
    BadPhoneNumber,
    BitrixError,
    BudgetExhausted,
    CallNotFound,
    CallNotInStatistics,
    FileRefused,
    InvalidFinish,
    InvalidRequest,
    LineProblem,
    MethodBlocked,
    MethodNotFound,
    MovedTooFar,
    NotRun,
    NotSent,
    PortalError,
    RateLimited,
    ScopeMissing,
    TransportError,
    Unavailable,
    UnreadableAnswer,
    UserNotActive,
    WebServerRefused,
    WrongAuthType,
)
from bx24client.health import Health
from bx24client.limits import LANES, Budget
from bx24client.lines import Line
from bx24client.planner import Parcel
from bx24client.structure import Away, Department
from bx24client.telephony import CrmEntity, Finished, Registered, Responsible, StatRow, UploadUrl
from bx24client.transport import Timeouts
from bx24client.users import PortalUser

__all__ = [
    "LANES",
    "AccessDenied",
    "Answer",
    "AnswerLost",
    "Auth",
    "AuthFailed",
    "Away",
    "BadPhoneNumber",
    "BatchResult",
    "Bitrix24",
    "BitrixError",
    "Budget",
    "BudgetExhausted",
    "CallNotFound",
    "CallNotInStatistics",
    "Command",
    "CrmEntity",
    "Deal",
    "Department",
    "Durations",
    "FileRefused",
    "Finished",
    "Health",
    "InvalidFinish",
    "InvalidRequest",
    "Line",
    "LineProblem",
    "MethodBlocked",
    "MethodNotFound",
    "MovedTooFar",
    "NotRun",
    "NotSent",
    "Operating",
    "Parcel",
    "PortalError",
    "PortalUser",
    "RateLimited",
    "Ref",
    "Registered",
    "Responsible",
    "ScopeMissing",
    "Source",
    "StatRow",
    "Timeouts",
    "TransportError",
    "Unavailable",
    "UnreadableAnswer",
    "UploadUrl",
    "UserNotActive",
    "WebServerRefused",
    "Webhook",
    "WrongAuthType",
    "crm",
    "deals",
    "durations",
    "errors",
    "keep_secret",
    "lines",
    "mask",
    "structure",
    "telephony",
    "users",
]
