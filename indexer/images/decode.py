"""Decodes images: the one entrance for whoever has the bytes of a file.

JPEG, PNG, WebP, GIF and BMP are decoded in the process that asks, since their decoders have been
fuzzed for years; every other format in a child process that may crash (`isolated/`). All of them
share one budget of memory.
"""

import os
import stat

from indexer.errors import ImageError, ImageTooLarge, ImageUnreadable

from .decode_here import decode_here
from .decoded import Decoded, Limits, Prepared
from .formats import is_decoded_here
from .memory_budget import BUDGET
from .preprocess import Preprocess

__all__ = ["Decoded", "Limits", "Prepared", "check_size", "decode", "prepare", "read_file"]

NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)  # not on Windows
BINARY = getattr(os, "O_BINARY", 0)  # only on Windows


def read_file(location: bytes, limits: Limits) -> tuple[os.stat_result, bytes]:
    """Read a regular file.

    Args:
        location: The path.
        limits: Their `max_bytes` applies.

    Returns:
        The file's status as it was before reading, and its bytes.

    Raises:
        ImageError: The file is too large or not a regular one; the text is the reason.
        ImageUnreadable: The system does not give its bytes.
    """
    try:
        # Non-blocking, since a FIFO may have replaced the file since the scan.
        handle = os.open(location, os.O_RDONLY | NON_BLOCKING | BINARY)
        with open(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise ImageError("not a regular file")
            check_size(info.st_size, limits)
            return info, file.read()
    except OSError as exc:
        raise ImageUnreadable(f"cannot be read: {exc.strerror or exc}") from exc


def check_size(size: int, limits: Limits) -> None:
    """Check how many bytes a file has.

    Raises:
        ImageTooLarge: Too many; the text is the reason.
    """
    if size > limits.max_bytes:
        raise ImageTooLarge(
            f"{size / 2**20:,.0f} MiB is above the limit of "
            f"{limits.max_bytes / 2**20:,.0f} MiB (--max-bytes raises it)"
        )


def decode(
    data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None, name: bytes = b""
) -> Decoded:
    """Decode an image.

    Args:
        data: The bytes of the file.
        limits: Their `max_pixels` applies.
        at_least: (height, width) that the caller will resize to. The result may be smaller than
            the image in the file, but never less than 2.5 times this size.
        name: The file's name, since some RAW files are identified by that alone.

    Raises:
        ImageError: The bytes are not a readable image, or it is too large; the text is the reason.
    """
    with BUDGET.claim() as claim:
        if not data or is_decoded_here(data, name):
            return decode_here(data, limits, claim, at_least=at_least, name=name)
        from .isolated.pool import POOL  # a library of JPEGs has no use for it

        return POOL.decode(data, limits, claim, at_least=at_least, name=name)


def prepare(data: bytes, limits: Limits, preprocess: Preprocess, *, name: bytes = b"") -> Prepared:
    """Decode an image to what a model needs of it.

    Args:
        data: The bytes of the file.
        limits: Their `max_pixels` applies.
        preprocess: The model's settings.
        name: The file's name, since some RAW files are identified by that alone.

    Raises:
        ImageError: The bytes are not a readable image, or it is too large; the text is the reason.
    """
    with BUDGET.claim() as claim:
        if not data or is_decoded_here(data, name):
            decoded = decode_here(data, limits, claim, at_least=preprocess.size, name=name)
            return Prepared.of(decoded, preprocess)
        from .isolated.pool import POOL

        return POOL.prepare(data, limits, claim, preprocess, name=name)
