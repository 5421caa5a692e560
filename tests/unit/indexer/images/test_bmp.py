import struct

import numpy as np
import pytest

from indexer.errors import ImageError
from indexer.images.decode import Limits, decode
from support.images import array

WIDTH, HEIGHT = 30, 20
DOWN, ACROSS = np.mgrid[0:HEIGHT, 0:WIDTH]
COLORS = np.stack([DOWN / 19, ACROSS / 29, 1 - DOWN / 19], axis=-1)


def bitmap(
    pixels: np.ndarray, depth: int, masks: tuple[int, ...] = (), *, top_down: bool = False
) -> bytes:
    """A bitmap of packed lines `(h, stride)`, with masks of red, green, blue and alpha."""
    lines = pixels if top_down else pixels[::-1]
    length = 40 if len(masks) < 4 else 108
    compression = 3 if masks else 0
    stored = struct.pack(f"<{len(masks)}I", *masks)
    rest = stored.ljust(length - 40, b"\0") if length > 40 else stored
    start = 14 + 40 + len(rest)
    header = struct.pack(
        "<IiiHHIIiiII", length, WIDTH, -HEIGHT if top_down else HEIGHT, 1, depth, compression,
        lines.nbytes, 0, 0, 0, 0,
    )  # fmt: skip
    file = struct.pack("<2sIHHI", b"BM", start + lines.nbytes, 0, 0, start)
    return file + header + rest + lines.tobytes()


def packed(colors: np.ndarray, masks: tuple[int, ...], kind: str) -> np.ndarray:
    whole = np.zeros(colors.shape[:2], np.uint64)
    for band, mask in enumerate(masks):
        low = (mask & -mask).bit_length() - 1
        whole |= np.round(colors[..., band] * (mask >> low)).astype(np.uint64) << np.uint64(low)
    return whole.astype(kind)


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize(
    ("depth", "masks", "within"),
    [
        (16, (0xF00, 0xF0, 0xF), 9),
        (16, (0x7, 0x38, 0x1C0), 19),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), 1),
        (32, (0xFF, 0xFF00, 0xFF0000), 1),
        (32, (0xFF000000, 0xFF0000, 0xFF00), 1),
    ],
)
def test_bit_fields_of_any_width(
    depth: int, masks: tuple[int, ...], within: int, top_down: bool
) -> None:
    lines = packed(COLORS, masks, f"<u{depth // 8}")
    found = array(decode(bitmap(lines, depth, masks, top_down=top_down), Limits()).image)
    assert np.abs(found - 255 * COLORS).max() <= within


def test_alpha_is_laid_on_white_unless_it_was_never_set() -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    half = (ACROSS < 15).astype(float)[..., np.newaxis]
    lines = packed(np.concatenate([COLORS, half], axis=-1), masks, "<u4")
    found = array(decode(bitmap(lines, 32, masks), Limits()).image)
    assert np.abs(found - 255 * (COLORS * half + 1 - half)).max() <= 1
    lines = packed(np.concatenate([COLORS, 0 * half], axis=-1), masks, "<u4")
    found = array(decode(bitmap(lines, 32, masks), Limits()).image)
    assert np.abs(found - 255 * COLORS).max() <= 1


def test_the_limit_comes_before_pixels() -> None:
    masks = (0xF00, 0xF0, 0xF)
    data = bytearray(bitmap(packed(COLORS, masks, "<u2"), 16, masks))
    data[18:26] = struct.pack("<ii", 50_000, 50_000)
    with pytest.raises(ImageError, match="--max-pixels"):
        decode(bytes(data), Limits())
