"""What torch tells of a device and does to it: precision, memory, errors."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.errors import DeviceUnavailable, ModelError, OutOfMemory

Precision = Literal["bf16", "fp16", "fp32"]

# What autocast computes matrix products and convolutions in; float32 needs no autocast.
AUTOCAST: dict[Precision, torch.dtype | None] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": None,
}
# How full memory surfaces where it is no OutOfMemoryError: on MPS, in the libraries below torch,
# and on the CPU. Source: accelerate `utils/memory.py` (`should_reduce_batch_size`).
FULL = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)


def find_device(name: str) -> torch.device:
    """The device "cpu", "cuda", "cuda:1" or "mps"; raises DeviceUnavailable."""
    device = torch.device(name)
    if device.type == "cuda":
        there = torch.cuda.device_count() > (device.index or 0)
    else:
        there = device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())
    if not there:
        raise DeviceUnavailable(
            f"torch {torch.__version__} finds no device {name}: install the build of torch for it "
            "(https://pytorch.org/get-started), or use --device cpu"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def default_precision(device: torch.device) -> Precision:
    """The fastest that a device computes itself: bf16 from NVIDIA's Ampere on, fp16 on older
    ones and on MPS; a CPU's own is fp32.
    """
    if device.type == "cpu" or not torch.amp.is_autocast_available(device.type):
        return "fp32"
    if device.type == "cuda":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bf16"
    return "fp16"


def selected(device: torch.device) -> AbstractContextManager[object]:
    """In it CUDA's current device, which new streams and events belong to, is this one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def memory_in_use(device: torch.device) -> float:
    """The share of a device's memory that is taken, by anyone, 0 to 1; 0 for the CPU.

    Caching allocators keep what they once took, so after a batch this is what the batch needed.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return 1 - free / total
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / torch.mps.recommended_max_memory()
    return 0.0


def release_cache(device: torch.device) -> None:
    """Give back what a caching allocator holds and no tensor uses."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def page_lock(device: torch.device, buffer: NDArray[np.uint8]) -> bool:
    """Register memory that exists, such as memory shared between processes, with the CUDA driver,
    so that it is copied from without a detour; whether that was done. It stays registered as long
    as the process lives.
    """
    if device.type != "cuda" or not buffer.nbytes:
        return False
    with torch.cuda.device(device):
        # As torch's own `torch/cuda/_pin_memory_utils.py` does: 1 is cudaHostRegisterPortable.
        if int(torch.cuda.cudart().cudaHostRegister(buffer.ctypes.data, buffer.nbytes, 1)) == 0:
            return True
        # CUDA tells a later call of this one's failure: let that be one that does not count.
        with suppress(RuntimeError):
            torch.zeros(1, device=device).add_(1).item()
        return False


@contextmanager
def translated(device: torch.device, count: int) -> Iterator[None]:
    """Torch's errors while a batch of `count` is encoded, as OutOfMemory or ModelError."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise OutOfMemory(_full(device, count)) from exc
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as exc:
        if any(sign in str(exc) for sign in FULL):
            raise OutOfMemory(_full(device, count)) from exc
        reason = " ".join(str(exc).split())[:200]
        raise ModelError(
            f"the model failed on {device} with a batch of {count}: {reason}. --device cpu does "
            "without torch"
        ) from exc


def _full(device: torch.device, count: int) -> str:
    return f"the memory of {device} does not hold a batch of {count}"
