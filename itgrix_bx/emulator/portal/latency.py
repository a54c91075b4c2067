"""How long the portal takes. A batch takes the sum of its commands: they run one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Latency:
    """Seconds by method name (lower case) or step of attachRecord; `network_s` once a request."""

    network_s: float = 0.0
    other_s: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)

    def of(self, step: str) -> float:
        """Working time of a method or step, in seconds."""
        return self.steps.get(step.lower(), self.other_s)


def _model(network_ms: float, other_ms: float, **steps_ms: float) -> Latency:
    call = "telephony.externalcall."
    names = {"search": f"{call}searchcrmentities", "register": f"{call}register", "finish": f"{call}finish"}
    steps = {names.get(name, name): value / 1000 for name, value in steps_ms.items()}
    return Latency(network_ms / 1000, other_ms / 1000, steps)


# `quick` is a good day; `documented` takes the times printed in the samples of the documentation.
MODELS: Final = {
    "none": Latency(),
    "quick": _model(
        40,
        20,
        search=60,
        register=180,
        finish=350,
        attach_content=250,
        attach_url=250,
        attach_first_step=60,
        upload=250,
    ),
    "documented": _model(
        40,
        100,
        search=200,
        register=1100,
        finish=1500,
        attach_content=2400,
        attach_url=2400,
        attach_first_step=380,
        upload=400,
    ),
}


def find(model: str | Latency | Mapping[str, Any]) -> Latency:
    """A model by name, or made of `{"network_ms": …, "other_ms": …, "<method or step>": ms}`. Raises ValueError."""
    if isinstance(model, Latency):
        return model
    if isinstance(model, str):
        if model not in MODELS:
            raise ValueError(f"there is no latency model {model!r}; there are {', '.join(MODELS)}")
        return MODELS[model]
    times = {name.lower(): value / 1000 for name, value in model.items()}
    return Latency(times.pop("network_ms", 0.0), times.pop("other_ms", 0.0), times)
