"""The gate: every request to one portal leaves through it, whatever thread wants it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bx24client.errors import BudgetExhausted
from bx24client.planner import Load, Parcel, Planner

log = logging.getLogger("bx24client")

# More requests than this are never on their way at once: two a second, none longer than 60 s, rarely that long.
CARRIERS = 96
_LONGEST_SLEEP_S = 1.0


class Gate:
    """Lets the planner's loads leave, each on a thread of its own. `carry` sends a load and settles its futures."""

    def __init__(self, planner: Planner, carry: Callable[[Load], None]) -> None:
        self.planner = planner
        self._carry = carry
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(CARRIERS, thread_name_prefix="bx24-carrier")
        self._clerk: threading.Thread | None = None
        self._closed = False

    @property
    def lock(self) -> threading.Condition:
        """Held while the planner, its budget or its work times are asked or told something."""
        return self._changed

    @property
    def plenty(self) -> bool:
        """Whether a command would leave at once on its own."""
        with self._changed:
            return self.planner.plenty

    @property
    def waiting(self) -> int:
        """Parcels that have not left yet."""
        return len(self.planner)

    def submit(self, parcels: Sequence[Parcel], *, own: bool = False) -> None:
        """Let parcels leave as soon as the planner allows; their futures tell what came of it.

        With `own` the calling thread carries the load that one of them leaves with: it would wait anyway.
        """
        with self._changed:
            self.planner.add(parcels)
            loads, refused = self._ready()
        mine = None
        for load in loads:
            if own and mine is None and any(parcel in parcels for parcel in load):
                mine = load
            else:
                self._dispatch(load)
        self._refuse(refused)
        if mine is not None:
            self._carry(mine)

    def put_back(self, parcels: Iterable[Parcel]) -> None:
        """Parcels that left and were not executed wait again."""
        with self._changed:
            self.planner.put_back(parcels)
            self._wake_clerk()

    def look_again(self) -> None:
        """Something came back: what stood behind it may leave."""
        with self._changed:
            if len(self.planner):
                self._wake_clerk()

    def wait_again(self, load: Load) -> None:
        """A load that found no place after all."""
        with self._changed:
            self.planner.came_back(load, counted=True)
        self.put_back(load)

    def close(self) -> None:
        """Give up what waits; what is on its way is answered."""
        with self._changed:
            self._closed = True
            left_behind = self.planner.clear()
            self._changed.notify_all()
        self._refuse(left_behind)
        if self._clerk is not None and self._clerk is not threading.current_thread():
            self._clerk.join(5)
        self._pool.shutdown(wait=False)

    # --- under the lock -------------------------------------------------------------------------

    def _ready(self) -> tuple[list[Load], Load]:
        loads: list[Load] = []
        refused = self.planner.given_up()
        while isinstance(found := self.planner.next(), list):
            loads.append(found)
        if found is not None:
            self._wake_clerk()
        return loads, refused

    def _wake_clerk(self) -> None:
        if self._clerk is None:
            self._clerk = threading.Thread(target=self._run, name="bx24-gate", daemon=True)
            self._clerk.start()
        self._changed.notify_all()

    # --- the clerk: lets go what had to wait ----------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:  # asked under the lock, or its closing could pass unheard before the wait
                    return
                loads, refused, sleep_s = self._look()
                if not loads and not refused:
                    self._changed.wait(sleep_s)
                    continue
            for load in loads:
                self._dispatch(load)
            self._refuse(refused)

    def _look(self) -> tuple[list[Load], Load, float | None]:
        refused = self.planner.given_up()
        found = self.planner.next()
        if isinstance(found, list):
            return [found], refused, 0.0
        return [], refused, None if found is None else max(0.001, min(found, _LONGEST_SLEEP_S))

    def _dispatch(self, load: Load) -> None:
        try:
            self._pool.submit(self._carry, load)
        except RuntimeError:  # closed meanwhile
            self._refuse(load)

    def _refuse(self, parcels: Load) -> None:
        for parcel in parcels:
            with self._changed:
                free_in_s = self.planner.earliest_in(parcel)
            parcel.future.set_exception(BudgetExhausted(parcel.lane, free_in_s))
