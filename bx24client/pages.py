"""Lists that come page by page: a whole list or none, since a missing page would look like what was deleted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bx24client.commands import MAX_COMMANDS, Answer, Command
from bx24client.errors import UnreadableAnswer

T = TypeVar("T")

PAGE = 50
# A page takes a portal some 0.2 s, a request may take 60 s.
PAGES_IN_A_BATCH = min(20, MAX_COMMANDS)
# No portal has so many of anything we list whole; a portal that says so is broken.
MAX_ROWS = 100_000


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list method: the command for the page that starts at a row, what tells two rows apart, their name in words."""

    page: Callable[[int], Command[list[T]]]
    key: Callable[[T], Hashable]
    what: str

    def further(self, first: Answer[list[T]]) -> Iterator[Mapping[str, Command[list[T]]]]:
        """Batches for all pages after the first. Raises UnreadableAnswer if their number is unknown."""
        if first.next is None:
            return
        if first.total is None or first.total > MAX_ROWS or first.next < 1:
            raise UnreadableAnswer(f"the portal does not say how many {self.what} it has")
        starts = range(first.next, first.total, PAGE)
        for begin in range(0, len(starts), PAGES_IN_A_BATCH):
            yield {f"from_{start}": self.page(start) for start in starts[begin : begin + PAGES_IN_A_BATCH]}

    def join(self, pages: list[list[T]], total: int | None) -> list[T]:
        """All pages as one list. Raises UnreadableAnswer if something is missing."""
        unique = {self.key(row): row for rows in pages for row in rows}
        if total is not None and len(unique) < total:
            raise UnreadableAnswer(f"the portal has {total} {self.what} and gave only {len(unique)}")
        return list(unique.values())
