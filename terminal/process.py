"""The process of a command: how it is interrupted, and how it ends.

Ctrl-C, and being asked to end, are one line and exit code 130 or 143, whenever they come.
While the program loads, and while a command runs that has nothing to lose, the process ends at
once. Otherwise the first signal raises KeyboardInterrupt, so that what was done is committed, and
the second ends the process at once: collections survive that, as they survive `kill -9`.

A process that answers one query and ends is sped up. Of the 350 ms of a cold search, finalizing the
interpreter took 50 ms, collecting garbage 10 ms, and starting threads for matrix products that are
too small for them 10 ms. All three are left out.

Imports little, so that there is hardly a moment before the handlers are set.
"""

import atexit
import gc
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

_once = False
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


def answer_once() -> None:
    """Prepare the process for ending with its answer; call this before loading anything large."""
    global _once, _unwinding
    _once = True
    _unwinding = False  # it has nothing to lose
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def finish(code: object) -> None:
    """End the process at once if it has nothing left to do; all output has been written by then.

    That is so if `answer_once` was called. After an interrupt, threads of native libraries are
    still at work, and abort the process where Python takes down what they use.

    Args:
        code: As of SystemExit.
    """
    if not (_once or received()) or not (code is None or isinstance(code, int)):
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code or 0)


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
