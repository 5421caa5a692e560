"""Counts the cores that this process may use."""

import math
import os
from pathlib import Path

from .control_groups import MOUNTED, OWN, control_groups


def available_cores() -> int:
    """Return how many cores this process may use.

    They are those that the system lets it run on, limited by its container's quota of processor
    time (`docker --cpus 2` on a machine with 64 cores).
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = processor_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def processor_quota(mounted: Path = MOUNTED, own: Path = OWN) -> float | None:
    """Return the processor seconds per second that this process's control groups allow.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (`cpu.max`), scheduler/sched-bwc.rst.

    Args:
        mounted: Where control groups are mounted.
        own: The file that names this process's groups.

    Returns:
        None if there is no limit.
    """
    quotas = [_quota(group) for group in control_groups("cpu", mounted, own)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    """Return the limit of one group, as version 2 or version 1 of control groups writes it."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such group here, or "max"
        return None
