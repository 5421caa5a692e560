"""Ctrl-C, and being asked to end: one line and exit code 130 or 143, whenever it comes.

While the program loads, and while a command runs that has nothing to lose, the process ends at
once. Otherwise the first signal raises KeyboardInterrupt, so that what was done is committed, and
the second ends the process at once: collections survive that, as they survive `kill -9`.

Imports little, so that there is hardly a moment before the handlers are set.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):
    _WORDS[signal.SIGHUP] = "terminated"
# How long after a lost interrupt it is raised again.
_AGAIN_SECONDS = 0.05

_unwinding = False
_received: int | None = None


def prepare() -> None:
    """Set the handlers of all these signals, unless the parent process ignores one."""
    for one in _WORDS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _handle)
    sys.unraisablehook = _unraisable


@contextmanager
def unwinding() -> Iterator[None]:
    """Let the first signal raise KeyboardInterrupt inside."""
    global _unwinding
    _unwinding = True
    try:
        yield
    finally:
        _unwinding = False


def end_at_once() -> None:
    """Let the first signal end the process: the command has nothing to lose."""
    global _unwinding
    _unwinding = False


def received() -> bool:
    """Return whether a signal has come."""
    return _received is not None


def exit_code() -> int:
    """Return the exit code of an interrupted command."""
    return 128 + (_received or signal.SIGINT)


def word() -> str:
    """Return what an interrupted command says."""
    return _WORDS[signal.Signals(_received or signal.SIGINT)]


def leave(number: int) -> None:
    """End the process at once, with one line."""
    with suppress(OSError):
        os.write(2, _WORDS[signal.Signals(number)].encode() + b"\n")
    os._exit(128 + number)


def _handle(number: int, _: FrameType | None) -> None:
    global _received
    if not _unwinding or _received is not None:
        leave(number)
    _received = number
    raise KeyboardInterrupt


def _unraisable(lost: Any) -> None:
    """Raise an interrupt again that came where exceptions are dropped, such as in `__del__`."""
    global _received
    if lost.exc_type is KeyboardInterrupt and _received is not None:
        number, _received = _received, None
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()
        return
    sys.__unraisablehook__(lost)
