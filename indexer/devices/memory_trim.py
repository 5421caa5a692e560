"""Gives memory that was freed back to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def trim_memory() -> None:
    """Return freed memory to the system, where its C library keeps some (glibc)."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    return trim
