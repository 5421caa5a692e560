"""Puts a page of a TIFF together from its strips or tiles, where tifffile alone cannot.

Without the large package imagecodecs, tifffile knows few compressions, no floating-point predictor
and no samples of 10, 12 or 14 bits. libtiff, which comes with Pillow, knows the compressions: a
strip is handed to it as a gray image of its own.

Source: TIFF 6.0, sections 9 (PackBits), 13 (LZW), 14 (predictor); Adobe TIFF technical note 3.
"""

import lzma
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from tifffile import TiffPage

Values = NDArray[Any]

NONE, DEFLATE, LZMA = 1, (8, 32946, 50013), (34925, 34926)
# What libtiff decodes to plain bytes: LZW, PackBits, Zstandard.
BY_LIBTIFF = (5, 32773, 50000)
NO_PREDICTOR, HORIZONTAL, FLOATING_POINT = 1, 2, 3
YCBCR, LEFT_BIT_LAST = 6, 2
# Samples of odd bits are unpacked so many rows at a time.
ROWS = 64
REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def assembled(page: "TiffPage", data: bytes) -> tuple[Values, float]:
    """Return a page's values in the shape `page.shaped`, and which share of its bytes is missing.

    Raises:
        ValueError: It is of a kind that neither library decodes.
    """
    planes, depth, height, width, samples = page.shaped
    compression, predictor = int(page.compression), int(page.predictor)
    known = compression in (NONE, *DEFLATE, *LZMA, *BY_LIBTIFF)
    if not known or depth != 1 or page.dtype is None or predictor > FLOATING_POINT:
        raise ValueError("unknown compression or layout")
    if page.photometric == YCBCR and page.subsampling not in (None, (1, 1)):
        raise ValueError("colors that several pixels share")
    across = page.tilewidth if page.is_tiled else width
    down = page.tilelength if page.is_tiled else min(page.rowsperstrip, height)
    if across <= 0 or down <= 0:
        raise ValueError("no size of its parts")
    row = -(-across * samples * page.bitspersample // 8)
    found = np.zeros(page.shaped, page.dtype.newbyteorder("="))
    offsets, counts = iter(page.dataoffsets), iter(page.databytecounts)
    missing = whole = 0
    for plane in range(planes):
        for top in range(0, height, down):
            rows = down if page.is_tiled else min(down, height - top)
            for left in range(0, width, across):
                at, count = next(offsets, 0), next(counts, 0)
                packed = data[at : at + count] if at else b""
                if page.fillorder == LEFT_BIT_LAST:
                    packed = packed.translate(REVERSED)
                raw = _unpacked(packed, compression, row, rows)
                whole += rows * row
                missing += rows * row - len(raw)
                part = _samples(raw.ljust(rows * row, b"\0"), page, (rows, across, samples))
                target = found[plane, 0, top : top + rows, left : left + across]
                target[...] = part[: target.shape[0], : target.shape[1]]
    return found, missing / max(1, whole)


def _unpacked(packed: bytes, compression: int, row: int, rows: int) -> bytes:
    """Return the bytes of a strip or tile, or fewer where it is damaged or cut off."""
    size = row * rows
    if not packed:
        return b""
    try:
        if compression in DEFLATE:
            packed = zlib.decompressobj().decompress(packed, size)
        elif compression in LZMA:
            packed = lzma.LZMADecompressor().decompress(packed, size)
        elif compression in BY_LIBTIFF:
            return _by_libtiff(packed, compression, row, rows)
    except (zlib.error, lzma.LZMAError, OSError):
        return b""
    return packed[:size]


def _by_libtiff(packed: bytes, compression: int, row: int, rows: int) -> bytes:
    tags = {
        256: row, 257: rows, 258: 8, 259: compression, 262: 1,
        273: 0, 277: 1, 278: rows, 279: len(packed),
    }  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = struct.pack("<4sIH", b"II*\0", 8, len(tags)) + entries + b"\0" * 4 + packed
    with Image.open(BytesIO(file), formats=("TIFF",)) as image:
        image.load()
        return image.tobytes()


def _samples(raw: bytes, page: "TiffPage", shape: tuple[int, int, int]) -> Values:
    """Return the samples `(rows, columns, samples)` of a strip or tile."""
    rows, columns, samples = shape
    assert page.dtype is not None
    bits, kind, order = page.bitspersample, page.dtype, page.parent.byteorder
    if page.predictor == FLOATING_POINT:
        return _floats(raw, kind, shape)
    if bits != 8 * kind.itemsize:
        lines = np.frombuffer(raw, np.uint8).reshape(rows, -1)
        values = _odd_bits(lines, columns * samples, bits, order).reshape(shape).astype(kind)
    else:
        values = np.frombuffer(raw, kind.newbyteorder(order)).reshape(shape)
    if page.predictor == HORIZONTAL:
        native = values.astype(kind.newbyteorder("="))
        values = np.cumsum(native, axis=1, dtype=native.dtype)
        if bits != 8 * kind.itemsize:
            values &= kind.type(2**bits - 1)
    return values


def _floats(raw: bytes, kind: np.dtype[Any], shape: tuple[int, int, int]) -> Values:
    """Undo the floating-point predictor: bytes apart by significance, each less the one before."""
    rows, columns, samples = shape
    steps = np.frombuffer(raw, np.uint8).reshape(rows, columns * kind.itemsize, samples)
    apart = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, kind.itemsize, -1)
    together = np.ascontiguousarray(apart.transpose(0, 2, 1))
    return together.view(kind.newbyteorder(">")).reshape(shape)


def _odd_bits(lines: NDArray[np.uint8], count: int, bits: int, order: str) -> NDArray[np.uint64]:
    """Return `count` samples a row of `bits` each; whole bytes are in the file's order."""
    found = np.empty((len(lines), count), np.uint64)
    weights = np.uint64(1) << np.arange(bits - 1, -1, -1, dtype=np.uint64)
    for top in range(0, len(lines), ROWS):
        some = lines[top : top + ROWS]
        if bits % 8 == 0 and order == "<":
            some = some.reshape(len(some), count, bits // 8)[:, :, ::-1].reshape(len(some), -1)
        single = np.unpackbits(some, axis=1)[:, : count * bits].reshape(len(some), count, bits)
        found[top : top + ROWS] = single @ weights
    return found
