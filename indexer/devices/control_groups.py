"""Finds the Linux control groups of this process: what a container may use is written there."""

from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def control_groups(controller: str, mounted: Path = MOUNTED, own: Path = OWN) -> Iterator[Path]:
    """Yield the folders of the groups that limit this process, those above its own included.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst.

    Args:
        controller: Such as `cpu`; counts for version 1, where each has its own groups.
        mounted: Where control groups are mounted.
        own: The file that names this process's groups.
    """
    try:
        entries = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in entries:
        if controllers and controller not in controllers.split(","):
            continue
        folder = mounted / controllers / path.lstrip("/")
        for group in (folder, *folder.parents):
            yield group
            if group == mounted:
                break
