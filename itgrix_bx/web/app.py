"""The Flask application and the thread that serves it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from waitress.server import create_server

Health = Callable[[], dict[str, dict[str, Any]]]


def create_app(health: Health, metrics: CollectorRegistry, *pages: Blueprint) -> Flask:
    """The application; `health` returns each part as {"ok": bool, ...} by name."""
    app = Flask("itgrix_bx")
    for page in pages:
        app.register_blueprint(page)

    @app.get("/healthz")
    def healthz() -> tuple[Response, int]:
        parts = health()
        well = all(part["ok"] for part in parts.values() if part.get("vital", True))
        return jsonify(status="ok" if well else "error", parts=parts), 200 if well else 503

    @app.get("/metrics")
    def scrape() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(metrics), content_type=content_type)

    return app


class WebServer:
    """Serves the application on its own thread."""

    def __init__(self, listen: tuple[str, int], app: Flask) -> None:
        self._server = create_server(app, host=listen[0], port=listen[1], threads=4, ident="itgrix-bx")
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        return self._server.effective_host, int(self._server.effective_port)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._server.close()
        if self._thread.ident is not None:
            self._thread.join(5)

    def _serve(self) -> None:
        try:
            self._server.run()
        except OSError:  # its sockets were closed under it, which is how waitress is stopped from outside
            if not self._stopping:
                raise
