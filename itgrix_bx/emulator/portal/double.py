"""The portal double as one object: start it, seed it, hurt it, look into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itgrix_bx.emulator.portal import control, faults, latency
from itgrix_bx.emulator.portal import seed as seeds
from itgrix_bx.emulator.portal.clock import Clock
from itgrix_bx.emulator.portal.http import HttpServer, Request, Response
from itgrix_bx.emulator.portal.portal import Portal
from itgrix_bx.emulator.portal.settings import Settings
from itgrix_bx.emulator.portal.store import Store


class PortalEmulator:
    """A Bitrix24 portal on a local port, as strict as the real one.

    `seed` replaces the tables it names of the default portal. `latency`: none, quick, documented, or
    `{"network_ms": …, "<method>": ms}`. `rate` requests a second and `burst` as on an ordinary plan; rate 0
    is a self-hosted portal without the limit. Everything is thread-safe.
    """

    def __init__(
        self,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        seed: seeds.Seed | None = None,
        *,
        latency: str | latency.Latency | Mapping[str, Any] = "none",
        rate: float = 2.0,
        burst: float = 50.0,
        operating_limit_s: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self._seed: seeds.Seed = seed or {}
        self._limits = {"rate_per_s": rate, "rate_burst": burst, "operating_limit_s": operating_limit_s}
        self._latency = _latency(latency)
        self.clock = clock or Clock()
        self.state = Store(Settings(), self.clock)
        self.portal = Portal(self.state, self.clock, self._latency)
        self._server = HttpServer(listen, self._handle)
        self.reset()

    @property
    def url(self) -> str:
        """The address of the page, with a slash at the end."""
        host, port = self._server.address
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    @property
    def webhook_url(self) -> str:
        """The address a client is configured with. Contains the secret."""
        return f"{self.url}rest/{self.state.webhook_user_id}/{self.state.secret}/"

    def start(self) -> PortalEmulator:
        """Listen. After a stop it comes back on the same port with what it knew. Raises OSError."""
        self.clock.restart()
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection; what is known stays."""
        self.clock.stop()
        self._server.stop()

    def __enter__(self) -> PortalEmulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self, seed: seeds.Seed | None = None) -> None:
        """Forget all, limits and faults too, and begin with the seed. Raises ValueError."""
        planted = dict(seeds.DEFAULT) | dict(self._seed if seed is None else seed)
        planted["settings"] = self._limits | dict(planted["settings"])
        trial = Store(Settings(), self.clock)
        seeds.plant(trial, planted)
        with self.state.lock:
            self.state.clear()
            self.state.settings.__dict__.update(Settings().__dict__)
            seeds.plant(self.state, planted)
        self.portal.faults.replace([])
        self.portal.requests.clear()
        self.portal.operating.clear()

    def seed(self, seed: seeds.Seed) -> None:
        """Tell it more: things with a known id are replaced, `settings` are changed. Raises ValueError."""
        seeds.plant(self.state, seed)

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """New fault rules instead of the earlier ones. Raises ValueError."""
        self.portal.faults.replace(faults.parse(rules))

    def advance(self, seconds: float) -> None:
        """Set the portal's clock ahead."""
        self.clock.advance(seconds)

    def dump(self) -> dict[str, Any]:
        """What it knows, as JSON values."""
        return self.state.dump()

    def _handle(self, request: Request) -> Response:
        if request.target.startswith("/rest/"):
            return self.portal.handle(request)
        return control.handle(self, request)


_latency = latency.find
