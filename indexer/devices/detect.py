"""Finds the GPUs of this machine without torch, whose import takes 5 to 14 s."""

import ctypes
import platform
import sys
from importlib.util import find_spec

# NVIDIA's driver, by platform. It counts the devices that $CUDA_VISIBLE_DEVICES leaves visible, as
# torch does. Source: CUDA driver API, `cuInit`, `cuDeviceGetCount`.
DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}


def devices(kind: str = "auto") -> list[str]:
    """Return torch's names of the GPUs of this machine: "cuda:0", "cuda:1", …, or "mps".

    Args:
        kind: "cuda", "mps", or "auto" for either.
    """
    found: list[str] = []
    if kind in ("auto", "cuda"):
        found += [f"cuda:{number}" for number in range(cuda_devices())]
    if kind in ("auto", "mps") and not found and has_mps():
        found.append("mps")
    return found


def cuda_devices() -> int:
    """Return how many NVIDIA GPUs the driver reports; 0 without a driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL(DRIVERS[sys.platform])
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
    except (KeyError, OSError, AttributeError):
        return 0
    return count.value


def has_mps() -> bool:
    """Return whether this is a Mac with Apple's own GPU."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def has_torch() -> bool:
    """Return whether torch and open_clip are installed, importing neither."""
    return all(find_spec(name) is not None for name in ("torch", "open_clip"))
