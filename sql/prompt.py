"""Reads for pages that somebody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Connection

from sql.database import Database, DatabaseAwayError

T = TypeVar("T")


class PromptReader:
    """Reads one after the other, and lets nobody wait longer than `patience_s` for a database that hangs.

    A health check comes every few seconds: a database that neither answers nor refuses would soon hold every thread
    of the web server, and the page that tells of it would be away too.
    """

    def __init__(self, database: Database, patience_s: float = 2.0) -> None:
        self._database, self._patience_s = database, patience_s
        self._turn = threading.Lock()

    def read(self, query: Callable[[Connection], T]) -> T:
        """Like Database.read. Raises DatabaseAwayError."""
        end = time.monotonic() + self._patience_s
        if not self._turn.acquire(timeout=self._patience_s):
            raise self._hangs()
        answer: Future[T] = Future()
        threading.Thread(target=self._ask, args=(query, answer), name="page-read", daemon=True).start()
        try:
            return answer.result(max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise self._hangs() from None

    def _ask(self, query: Callable[[Connection], T], answer: Future[T]) -> None:
        try:
            answer.set_result(self._database.read(query))
        except Exception as error:  # raised where it is waited for
            answer.set_exception(error)
        finally:
            self._turn.release()

    def _hangs(self) -> DatabaseAwayError:
        return DatabaseAwayError(f"the database did not answer within {self._patience_s:g} s")
