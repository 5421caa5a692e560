"""Tells how much memory this process may use."""

import os
from pathlib import Path

from .control_groups import MOUNTED, OWN, control_groups

# Where the system does not say (Windows, without a package for it): what a small machine has.
UNKNOWN = 8 * 2**30


def available_memory(mounted: Path = MOUNTED, own: Path = OWN) -> int:
    """Return the bytes of memory that this process may use, whatever others use now.

    It is the machine's, limited by the container's (`docker --memory`).

    Args:
        mounted: Where control groups are mounted.
        own: The file that names this process's groups.
    """
    limits = [_limit(group) for group in control_groups("memory", mounted, own)]
    return min([_machine(), *(limit for limit in limits if limit is not None)])


def _machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _limit(group: Path) -> int | None:
    """Return the limit of one group, as version 2 or version 1 of control groups writes it."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = int((group / name).read_text())
        except (OSError, ValueError):  # no such group here, or "max"
            continue
        if limit > 0:
            return limit
    return None
