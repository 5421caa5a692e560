"""What is mounted on this machine: where other drives begin, and what only looks like files.

Source: proc_pid_mountinfo(5). Elsewhere than on Linux nothing is known, and device numbers alone
tell where a drive begins.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# The kernel's own: without files of anybody's, and without end where they link to each other.
PSEUDO = {
    *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"),
    *("efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore"),
    *("rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"),
}
ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class Mounts:
    """The mounts of a moment.

    Attributes:
        points: The folders that something is mounted at, as absolute paths.
        pseudo: The device numbers of pseudo file systems.
    """

    points: frozenset[bytes] = frozenset()
    pseudo: frozenset[int] = frozenset()

    @classmethod
    def now(cls, table: Path = Path("/proc/self/mountinfo")) -> Self:
        """Return what is mounted now."""
        try:
            lines = table.read_bytes().splitlines()
        except OSError:
            return cls()
        points, pseudo = set(), set()
        for line in lines:
            before, _, after = line.partition(b" - ")
            fields = before.split()
            if len(fields) < 5 or not after:
                continue
            points.add(ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), fields[4]))
            if after.split()[0].decode("ascii", "replace") in PSEUDO:
                major, minor = fields[2].split(b":")
                pseudo.add(os.makedev(int(major), int(minor)))
        return cls(frozenset(points), frozenset(pseudo))
