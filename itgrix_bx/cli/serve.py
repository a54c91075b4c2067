"""`itgrix-bx serve`."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import logging
import os
import signal
import sys
import threading

import click

from bx24client import mask
from itgrix_bx.cli.common import Context, Problem
from itgrix_bx.config import ConfigError
from itgrix_bx.systemd import notify

_M_ARENA_MAX = -8  # malloc.h


@click.command()
@click.option(
    "--only", type=click.Choice(["agi", "worker", "web"]), multiple=True, help="Run this part alone; repeatable."
)
@click.option(
    "--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), show_default=True
)
@click.pass_obj
def serve(context: Context, only: tuple[str, ...], log_level: str) -> None:
    """Run the service until SIGTERM; SIGHUP reads the settings again."""
    _log_to_stderr(log_level)
    _share_heaps()
    os.umask(0o077)  # the journal and the spool tell who called whom
    from itgrix_bx.service import ALL, Service

    stop = threading.Event()
    # Before the ports open: who finds them open may send a signal at once, and its default action is to kill.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        service = Service(context.settings(), frozenset(only) or ALL)
        _keep_what_is_loaded(collect=True)
        service.start()
        _keep_what_is_loaded(collect=False)  # callers are served already
    except ConfigError as error:
        raise Problem(str(error)) from None
    except OSError as error:
        raise Problem(f"cannot start: {_what(error)}; {_cure(error)}") from None
    signal.signal(signal.SIGHUP, lambda *_: _reload(context, service))
    notify("READY=1")
    while not stop.wait(1):
        notify("WATCHDOG=1")
    notify("STOPPING=1")
    service.stop()


def _share_heaps() -> None:
    """Our threads mostly wait; glibc would give each a heap of its own, and a third more memory to the program."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _keep_what_is_loaded(*, collect: bool) -> None:
    """Python's whole collection looks at every object, and stops all threads: with the program's code among them that
    takes 70 ms, which a caller would wait. What is there now stays until the end and need not be looked at again."""
    if collect:
        gc.collect()
    gc.freeze()


def _reload(context: Context, service: object) -> None:
    from itgrix_bx.service import Service

    assert isinstance(service, Service)
    try:
        service.reload(context.settings())
    except Problem as problem:
        logging.getLogger("itgrix_bx").error("settings not taken: %s", problem.format_message())


def _what(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _cure(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "if itgrix-bx runs already (`itgrix-bx status`), use that one or stop it first; if another program has the "
            "address, choose another (FreePBX owns 4573)"
        )
    return "check the paths and addresses in the configuration"


class _Masked(logging.Formatter):
    """A portal may repeat in its errors what it was sent, and a library in its own: no secret gets into the log."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("urllib3", "waitress", "alembic", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
