"""The request budget of machines behind one address: the portal counts them as one, so they do too."""

from __future__ import annotations

import logging

from bx24client import Budget
from sql.budgets import Budgets
from sql.database import DatabaseAwayError

log = logging.getLogger("itgrix_bx.budget")

_PATIENCE_S = 0.2  # a caller waits for it; without an answer our own count has to do


class SharedBudget(Budget):
    """A Budget whose places are claimed in the database. While that is away each machine counts for itself."""

    def __init__(self, budgets: Budgets, name: str, rate: float, burst: float) -> None:
        super().__init__(rate, burst)
        self._budgets = budgets
        self._name = name

    def claim(self) -> tuple[float | None, float]:
        try:
            return self._budgets.claim(self._name, rate=self.rate, room=self.room, timeout_s=_PATIENCE_S)
        except DatabaseAwayError as error:
            log.debug("the budget is not shared at the moment: %s", error)
            return None, 0.0

    def announce_refusal(self) -> None:
        try:
            self._budgets.fill(self._name, self.burst, timeout_s=_PATIENCE_S)
        except DatabaseAwayError as error:
            log.debug("the budget is not shared at the moment: %s", error)
