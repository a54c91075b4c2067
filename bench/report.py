"""What benches print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

_NARROWEST = 6


def command(module: str) -> str:
    """The command line that ran this bench."""
    return f"python -m {module} {shlex.join(sys.argv[1:])}".rstrip()


class Table:
    """Aligned columns whose lines are printed as they come, for trials that take minutes: the first column, `first`
    characters wide, and a last one marked `…` to the left, the others to the right."""

    def __init__(self, head: Sequence[str], first: int = 12) -> None:
        self._widths = [max(first, len(head[0])), *(max(_NARROWEST, len(title)) for title in head[1:])]
        self._open_end = head[-1].endswith("…")
        self.row([title.rstrip("…") for title in head])

    def row(self, cells: Sequence[str]) -> None:
        """Print a line."""
        first, *middle = zip(cells, self._widths, strict=True)
        last = [middle.pop()[0]] if self._open_end else []
        print(
            "  ".join(["", first[0].ljust(first[1]), *(text.rjust(width) for text, width in middle), *last]), flush=True
        )


def tally(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    """`a 3, b 1`, the most first; `none` for nothing."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ordered if count) or "none"


def seconds(value: float) -> str:
    """A time a person reads: milliseconds below a second."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
