"""The peak of this process's resident memory, where Linux tells it."""

from contextlib import suppress
from pathlib import Path

PROCESS = Path("/proc/self")


def reset_peak() -> None:
    """Start a new peak; does nothing where that is not possible.

    Source: proc(5), /proc/pid/clear_refs.
    """
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")


def peak_mib() -> float | None:
    """Return the peak in MiB; None where it cannot be told."""
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return kib[0] / 1024 if kib else None
