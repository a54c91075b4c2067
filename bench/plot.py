"""The picture of a sweep: `python -m bench.plot RESULTS.jsonl PICTURE.png`, from `bench.capacity sweep --json`.

Calls offered a minute against calls delivered a minute and against the wait that 95 % of the callers do not exceed,
a column for each latency model, a line for each client. Needs the `bench` extra (matplotlib).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

# Line and marker differ as well as colour, for who prints it or sees no colours.
_LOOKS = {"product": ("#1a6faf", "o", "-"), "php-like": ("#c26a12", "s", "--"), "go-like": ("#5b5b5b", "^", ":")}
_TICKS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_NAMES = {
    "product": "itgrix-bx",
    "php-like": "a batch a call step (PHP module)",
    "go-like": "a request a method (Go connector)",
}


class Point(NamedTuple):
    """A trial: calls a minute that came and that were delivered, and the wait of callers in seconds."""

    came: float
    delivered: float
    p95_s: float


Series = dict[str, dict[str, list[Point]]]


def series(lines: Iterable[str], cold: float) -> Series:
    """By latency model and client, in the order of the rates; of trials that were repeated the last one counts."""
    found: dict[str, dict[str, dict[float, Point]]] = {}
    for trial in map(json.loads, lines):
        if trial["cold"] == cold and trial["billing"] == "off":
            point = Point(trial["arrived_per_min"], trial["delivered_per_min"], trial["p95_s"])
            clients = found.setdefault(trial["latency"], {client: {} for client in _LOOKS})
            clients[trial["client"]][trial["offered_per_min"]] = point
    return {
        latency: {client: sorted(points.values()) for client, points in clients.items() if points}
        for latency, clients in found.items()
    }


def draw(found: Series, deadline_s: float, picture: Path) -> None:
    """Draw the series into a file, whose kind its name tells."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(found), 7.2), layout="constrained")
    axes = figure.subplots(2, len(found), sharex="col", sharey="row", squeeze=False)
    for column, (latency, clients) in enumerate(found.items()):
        _draw_delivered(axes[0][column], latency, clients)
        _draw_waits(axes[1][column], clients, deadline_s)
    axes[0][0].set_ylabel("calls delivered a minute")
    axes[1][0].set_ylabel("caller's wait, 95 %, seconds")
    axes[0][0].legend(frameon=False)
    figure.savefig(picture, dpi=150)


def _draw_delivered(axis: Any, latency: str, clients: dict[str, list[Point]]) -> None:
    for client, points in clients.items():
        axis.plot([point.came for point in points], [point.delivered for point in points], **_look(client))
    most = max(point.came for points in clients.values() for point in points)
    axis.plot([0, most], [0, most], color="#bbbbbb", linewidth=1, zorder=0)
    axis.set_title(f"portal: {latency}")


def _draw_waits(axis: Any, clients: dict[str, list[Point]], deadline_s: float) -> None:
    for client, points in clients.items():
        axis.plot([point.came for point in points], [point.p95_s for point in points], **_look(client))
    axis.axhline(deadline_s, color="#b03030", linewidth=1, zorder=0)
    axis.annotate("deadline", (0, deadline_s), color="#b03030", fontsize="small", va="bottom")
    axis.set_yscale("log")
    axis.set_yticks(_TICKS_S, labels=[f"{tick:g}" for tick in _TICKS_S])
    axis.minorticks_off()
    axis.set_xlabel("calls offered a minute")


def _look(client: str) -> dict[str, Any]:
    color, marker, line = _LOOKS[client]
    return {"label": _NAMES[client], "color": color, "marker": marker, "linestyle": line}


def main() -> None:
    """Read the results, write the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS.jsonl")
    parser.add_argument("picture", type=Path, metavar="PICTURE.png")
    parser.add_argument("--cold", type=float, default=1.0, help="share of cold callers to show")
    parser.add_argument("--deadline", type=float, default=1.5, help="where the red line is, in seconds")
    given = parser.parse_args()
    found = series(given.results.read_text("utf-8").splitlines(), given.cold)
    if not found:
        parser.error(f"{given.results} has no trial with {given.cold:.0%} cold callers and no resource limit")
    draw(found, given.deadline, given.picture)


if __name__ == "__main__":
    main()
