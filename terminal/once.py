"""Speeds up a process that answers one query and ends.

Of the 350 ms of a cold search, finalizing the interpreter took 50 ms, collecting garbage 10 ms, and
starting threads for matrix products that are too small for them 10 ms. All three are left out.
"""

import atexit
import gc
import os
import sys

_once = False


def answer_once() -> None:
    """Prepare the process for ending with its answer; call this before loading anything large."""
    global _once
    _once = True
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def leave(status: SystemExit) -> None:
    """End the process at once if `answer_once` was called; all output has been written by then."""
    if not _once or not (status.code is None or isinstance(status.code, int)):
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status.code or 0)
