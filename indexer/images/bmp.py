"""Reads the bitmaps that Pillow refuses or gets wrong: bit fields of any width, and their alpha.

Source: Microsoft, BITMAPV5HEADER and the older headers; OS/2 2.x bitmaps; Jason Summers' bmpsuite.
"""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PLAIN, BIT_FIELDS, ALPHA_BIT_FIELDS = 0, 3, 6
CORE = 12  # the length of the oldest header, which Pillow reads
# The length of the oldest header in which masks stand, and of that with one for alpha.
WITH_MASKS, WITH_ALPHA = 52, 56
# Red, green and blue where there are no masks.
DEFAULT_MASKS = {16: (0x7C00, 0x03E0, 0x001F), 32: (0xFF0000, 0xFF00, 0xFF)}


def is_for_us(data: bytes) -> bool:
    """Return whether Pillow is not to be trusted with this bitmap."""
    header, _, depth, compression = _fields(data)
    if header <= CORE or compression not in (PLAIN, BIT_FIELDS, ALPHA_BIT_FIELDS):
        return False
    colors = struct.unpack_from("<I", data, 46)[0] if header >= 40 else 0
    odd = header not in (40, 52, 56, 64, 108, 124) or depth == 2 or (depth == 8 and colors > 256)
    return odd or (depth in DEFAULT_MASKS and (compression != PLAIN or header >= WITH_ALPHA))


def read(data: bytes, check: Callable[[int, int], None]) -> Image.Image:
    """Decode a bitmap.

    Args:
        data: The bytes of the file.
        check: Is called with the (width, height) before pixels are decoded, and raises.

    Raises:
        ValueError: It is cut off, or of another kind.
    """
    header, (width, rows), depth, compression = _fields(data)
    height = abs(rows)
    if width <= 0 or height == 0 or depth not in (1, 2, 4, 8, 16, 24, 32):
        raise ValueError("a bitmap of no known kind")
    check(width, height)
    start = struct.unpack_from("<I", data, 10)[0]
    stride = (width * depth + 31) // 32 * 4
    if start + stride * height > len(data):
        raise ValueError("image file is truncated")
    lines = np.frombuffer(data, np.uint8, stride * height, start).reshape(height, stride)
    lines = lines[::-1] if rows > 0 else lines
    if depth <= 8:
        pixels = _palette(data, header, start)[_indices(lines, width, depth)]
    elif depth == 24:
        pixels = lines[:, : 3 * width].reshape(height, width, 3)[..., ::-1]
    else:
        whole = np.ascontiguousarray(lines).view(f"<u{depth // 8}")[:, :width]
        masks = _masks(data, header, depth, compression)
        pixels = np.stack([_channel(whole, mask) for mask in masks], axis=-1)
        if len(masks) < 4 or not masks[3] or not pixels[..., 3].any():
            pixels = pixels[..., :3]  # alpha that is zero all over was never set
    return Image.fromarray(np.ascontiguousarray(pixels))


def _fields(data: bytes) -> tuple[int, tuple[int, int], int, int]:
    """Return (length of the header, (width, height), bits of a pixel, compression)."""
    header, width, height, _, depth = struct.unpack_from("<IiiHH", data, 14)
    compression = struct.unpack_from("<I", data, 30)[0] if header >= 20 else PLAIN
    return header, (width, height), depth, compression


def _palette(data: bytes, header: int, start: int) -> NDArray[np.uint8]:
    """Return the colors `(256, 3)`; those that are missing are black."""
    stored = data[14 + header : start][: 4 * 256]
    colors = np.frombuffer(stored[: len(stored) // 4 * 4], np.uint8).reshape(-1, 4)
    whole = np.zeros((256, 3), np.uint8)
    whole[: len(colors)] = colors[:, 2::-1]
    return whole


def _indices(lines: NDArray[np.uint8], width: int, depth: int) -> NDArray[np.uint8]:
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    parts = (lines[..., np.newaxis] >> shifts) & np.uint8(2**depth - 1)
    return parts.reshape(len(lines), -1)[:, :width]


def _masks(data: bytes, header: int, depth: int, compression: int) -> tuple[int, ...]:
    """Return the masks of red, green, blue and, where there is one, alpha."""
    count = 4 if header >= WITH_ALPHA or compression == ALPHA_BIT_FIELDS else 3
    if header < WITH_MASKS and compression == PLAIN:
        return DEFAULT_MASKS[depth]
    masks: tuple[int, ...] = struct.unpack_from(f"<{count}I", data, 14 + 40)
    if compression == PLAIN:
        return (*DEFAULT_MASKS[depth], *masks[3:])
    return masks


def _channel(whole: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return the bits of a mask, which are next to each other, stretched to 8 bits."""
    if not mask:
        return np.zeros(whole.shape, np.uint8)
    low = (mask & -mask).bit_length() - 1
    most = mask >> low
    bits = (whole.astype(np.uint64) & np.uint64(mask)) >> np.uint64(low)
    return ((bits * np.uint64(255) + np.uint64(most // 2)) // np.uint64(most)).astype(np.uint8)
