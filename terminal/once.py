"""A process that answers one question: what only a longer life would repay is left out.

Of a cold search's 350 ms, taking the interpreter apart at the end was 50, collecting garbage 10,
and starting threads for matrix products that are too small for them 10.
"""

import atexit
import gc
import os
import sys

_once = False


def answer_once() -> None:
    """Called by a command before it loads anything large: the process ends with its answer."""
    global _once
    _once = True
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def leave(status: SystemExit) -> None:
    """End the process here and now if it was to answer once; all is written and closed by then."""
    if not _once or not (status.code is None or isinstance(status.code, int)):
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status.code or 0)
