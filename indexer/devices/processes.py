"""Starts and ends the worker processes of clipdex.

They are spawned, never forked, since threads and native libraries do not survive a fork. Ctrl-C,
which a terminal sends to all processes of a command, is left to the parent. However the parent
ends, its workers end too.
"""

import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

SPAWN = multiprocessing.get_context("spawn")

_starting = threading.RLock()


@contextmanager
def sheltered() -> Iterator[None]:
    """Start processes inside that leave Ctrl-C to the parent and do not run its script.

    A spawned process imports the parent's `__main__` first. A user's script that calls `build`
    without `if __name__ == "__main__"` would run again from the start, and the command would load
    its terminal code. Nothing that clipdex sends to a process is defined there.
    """
    block = getattr(signal, "pthread_sigmask", None)  # not on Windows
    if block:
        # Otherwise it would be started below, which unblocks the signal.
        resource_tracker.ensure_running()
    with _starting:
        main = sys.modules.get("__main__")
        stand_in = types.ModuleType("__main__")
        before = block(signal.SIG_BLOCK, {signal.SIGINT}) if block else None  # inherited
        sys.modules["__main__"] = stand_in
        try:
            yield
        finally:
            if main is not None:
                sys.modules["__main__"] = main
            if block:
                block(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process when its parent ends, however that happens; call it in a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
