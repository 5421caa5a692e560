"""Torch devices: finding them, their precision, memory and errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from indexer.errors import DeviceUnavailable, ModelError, OutOfMemory

Precision = Literal["bf16", "fp16", "fp32"]

# What autocast computes matrix products and convolutions in; float32 needs no autocast.
AUTOCAST: dict[Precision, torch.dtype | None] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": None,
}
# What errors say when memory is full but torch raises no OutOfMemoryError: on MPS, in the libraries
# below torch, and on the CPU. Source: accelerate `utils/memory.py` (`should_reduce_batch_size`).
FULL = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)


def find_device(name: str) -> torch.device:
    """Return the device "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        DeviceUnavailable: torch does not find the device.
    """
    device = torch.device(name)
    if device.type == "cuda":
        there = torch.cuda.device_count() > (device.index or 0)
    else:
        there = device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())
    if not there:
        raise DeviceUnavailable(
            f"torch {torch.__version__} finds no device {name}: install a build of torch that "
            "supports it (https://pytorch.org/get-started), or use --device cpu"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def default_precision(device: torch.device) -> Precision:
    """Return the fastest precision that a device supports natively.

    That is bf16 from NVIDIA's Ampere on, fp16 on older GPUs and on MPS, and fp32 on a CPU.
    """
    if device.type == "cpu" or not torch.amp.is_autocast_available(device.type):
        return "fp32"
    if device.type == "cuda":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bf16"
    return "fp16"


def release_cache(device: torch.device) -> None:
    """Release the memory that a caching allocator holds and no tensor uses."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def translated(device: torch.device, count: int) -> Iterator[None]:
    """Translate torch's errors inside.

    Args:
        device: Where the batch is encoded.
        count: How many images it has, for the message.

    Raises:
        OutOfMemory: The device's memory is full.
        ModelError: The model failed otherwise.
    """
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise OutOfMemory(_full(device, count)) from exc
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as exc:
        if any(sign in str(exc) for sign in FULL):
            raise OutOfMemory(_full(device, count)) from exc
        reason = " ".join(str(exc).split())[:200]
        raise ModelError(
            f"the model failed on {device} with a batch of {count}: {reason}. --device cpu works "
            "without torch"
        ) from exc


def _full(device: torch.device, count: int) -> str:
    return f"a batch of {count} does not fit into the memory of {device}"
