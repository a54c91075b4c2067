"""The switches of the portal double: what real portals differ in, and what tests want to stretch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

AuthStatus = Literal["source", "docs"]
Billing = Literal["method", "batch"]
CrmMode = Literal["classic", "simple"]
Language = Literal["ru", "en"]


@dataclass
class Settings:
    """Times in seconds. Limits of 0 are off."""

    # Requests a second drained and the level refused above; 2 and 50 on ordinary plans, 5 and 250 on Enterprise.
    rate_per_s: float = 2.0
    rate_burst: float = 50.0
    # Seconds of one method's work in the window; the code's default is 420, the documents speak of 480.
    operating_limit_s: float = 0.0
    operating_window_s: float = 600.0
    operating_billing: Billing = "method"
    # Fixed cost of a method in place of the time it took, so that a test need not wait.
    operating_cost_s: dict[str, float] = field(default_factory=dict)
    # A cloud portal's front end gives up on a request after this; what was done stays done.
    request_cap_s: float = 60.0
    # Nor does the portal work on a request for ever: after this nothing comes of it any more. That it is 60 s and a
    # little is an assumption; clients wait for longer before they repeat what may still run.
    work_cap_s: float = 70.0
    doc_error_codes: bool = False
    auth_status: AuthStatus = "source"
    webhook_refused: bool = False
    telephony_absent: bool = False
    https_required: bool = False
    webhook_scopes: list[str] = field(default_factory=lambda: ["telephony", "user", "crm", "im"])
    # Between the look for a double and the insert of a registration.
    register_race_s: float = 0.0
    # Between the statistics row and the removal of the call; a second finish meanwhile succeeds too.
    finish_delete_delay_s: float = 0.0
    dedupe_window_s: float = 1800.0
    # Old builds find a call again whatever its EXTERNAL_CALL_ID: two calls of one client to one user become one.
    dedupe_ignores_external_id: bool = False
    # Lines are unique by application and number, and a webhook is no application: it may add the same number twice.
    lines_repeat: bool = False
    crm_mode: CrmMode = "classic"
    repeat_leads: bool = False
    excluded_numbers: list[str] = field(default_factory=list)
    upload_ttl_s: float = 3600.0
    utc_offset_min: int = 180
    language: Language = "ru"

    def change(self, values: Mapping[str, Any]) -> None:
        """Set switches by name. Raises ValueError with a sentence for an unknown one or a wrong value."""
        hints = get_type_hints(type(self))
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}; there are {', '.join(sorted(known))}")
            setattr(self, name, _checked(name, value, hints[name]))


def _checked(name: str, value: Any, wanted: Any) -> Any:
    choices = get_args(wanted)
    if choices and all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        return value
    if wanted in (float, int) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return wanted(value)
    plain = getattr(wanted, "__origin__", wanted)
    if not isinstance(value, plain) or wanted in (float, int):
        raise ValueError(f"{name} must be {plain.__name__}, not {type(value).__name__}")
    return value
