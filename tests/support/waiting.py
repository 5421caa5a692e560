"""Waiting for what happens in other threads and processes, however loaded the machine is."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition holds.

    Args:
        condition: Called again and again until it returns something true.
        seconds: When to give up: far more than a loaded machine takes, since the time is spent
            only where the test fails.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} seconds"
        time.sleep(0.02)
