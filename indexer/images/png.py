"""Puts damaged or unusual PNGs into a form that Pillow reads, in memory.

Pillow refuses a whole PNG for a side chunk that it cannot use: text of more than 1 MiB, as image
generators write, a wrong checksum, an unknown compression. It also gives up where pixels are
missing. Its switches for both hold for the process; here only the file at hand is changed.

Source: W3C, Portable Network Graphics (third edition), sections 5, 8 (interlacing) and 11.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER, PALETTE, PIXELS, END = b"IHDR", b"PLTE", b"IDAT", b"IEND"
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
# The side chunks that matter here beside tRNS, with their lengths; 0 for any.
SIDE_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"eXIf": 0}
# The longest profile or XMP that a chunk may hold uncompressed.
MAX_INFLATED = 16 * 2**20
# Bytes of compressed pixels that are lost at most where they are damaged.
PIECE = 256
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = (1, 2, 4, 8, 16)
# First column, first row, and steps to the next, of each of the passes of an interlaced image.
PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip
# Steps between the columns and rows that are known after each pass.
KNOWN_AFTER = ((8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2), (1, 1))


@dataclass(frozen=True)
class Png:
    """The parts of a PNG that matter.

    Attributes:
        chunks: The critical and the useful ones, without the pixels.
        pixels: The compressed pixels, joined.
        width: In pixels.
        height: In pixels.
        depth: Bits of a sample.
        color: The color type.
        interlaced: Whether the pixels come in seven passes.
        profile: The ICC profile.
        xmp: The block of XMP.
    """

    chunks: list[bytes]
    pixels: bytes
    width: int
    height: int
    depth: int
    color: int
    interlaced: bool
    profile: bytes | None = None
    xmp: bytes | None = None

    @classmethod
    def of(cls, data: bytes) -> "Png | None":
        """Return the parts of a file; None for one without a sensible header or any pixels."""
        kept: list[bytes] = []
        pixels: list[bytes] = []
        texts: dict[str, bytes | None] = {}
        shape: tuple[int, ...] = ()
        for kind, payload, stored, sound in _chunks(data):
            if kind == HEADER and not shape:
                if len(payload) != 13 or not sound:
                    return None
                shape = struct.unpack(">IIBBBBB", payload)
                kept.append(stored)
            elif kind == PIXELS:
                pixels.append(payload)
            elif kind == PALETTE:
                kept.append(_chunk(kind, payload[: len(payload) // 3 * 3]))
            elif not sound:
                continue
            elif kind == b"iCCP":
                texts["profile"] = _profile(payload)
            elif kind == b"iTXt" and payload.startswith(XMP_KEYWORD):
                texts["xmp"] = _text(payload[len(XMP_KEYWORD) :])
            elif not pixels and _is_useful(kind, payload, shape):
                kept.append(stored)
        if not shape or not pixels:
            return None
        width, height, depth, color, _, _, interlace = shape
        if not (width and height and color in SAMPLES and depth in DEPTHS and interlace < 2):
            return None
        return cls(kept, b"".join(pixels), width, height, depth, color, bool(interlace), **texts)

    def plain(self) -> bytes:
        """Return a file of these parts alone."""
        return self._file(self.pixels)

    def completed(self) -> "CompletedPng":
        """Return a file in which pixels that are missing are zero, and how far they go."""
        parts = [(0, 0, 1, 1)] if not self.interlaced else list(PASSES)
        raw = _inflated(self.pixels, sum(self._size(part) for part in parts))
        done, at, rows = 0, 0, 0
        for part in parts:
            row = self._row(part)
            count = self._rows(part) if row else 0
            block = np.frombuffer(raw, np.uint8)[at : at + count * row]
            rows = len(block) // row if row else 0
            if rows:
                filters = block[: rows * row].reshape(rows, row)[:, 0]
                wrong = np.flatnonzero(filters > 4)
                rows = int(wrong[0]) if len(wrong) else rows
            at += rows * row
            if rows < count:
                break
            done += 1
        total = sum(self._size(part) for part in parts)
        pixels = zlib.compress(raw[:at] + b"\0" * (total - at), 1)
        steps = KNOWN_AFTER[max(0, done - 1)] if self.interlaced and done < len(parts) else (1, 1)
        if done == 0:
            rows *= KNOWN_AFTER[0][1] if self.interlaced else 1
        return CompletedPng(
            self._file(pixels), min(rows, self.height) if done == 0 else self.height, steps
        )

    def _file(self, pixels: bytes) -> bytes:
        return b"".join([SIGNATURE, *self.chunks, _chunk(PIXELS, pixels), _chunk(END, b"")])

    def _row(self, part: tuple[int, int, int, int]) -> int:
        """Return the bytes of a row of a pass, filter included; 0 where it has no pixels."""
        left, _, step, _ = part
        columns = -(-(self.width - left) // step)
        return 1 + -(-columns * self.depth * SAMPLES[self.color] // 8) if columns > 0 else 0

    def _rows(self, part: tuple[int, int, int, int]) -> int:
        _, top, _, step = part
        return max(0, -(-(self.height - top) // step))

    def _size(self, part: tuple[int, int, int, int]) -> int:
        return self._row(part) * self._rows(part)


@dataclass(frozen=True)
class CompletedPng:
    """A PNG whose missing pixels were filled in.

    Attributes:
        data: The file.
        rows: How many rows are known, from the top, be it coarsely.
        steps: Between the columns and rows that are known, of an interlaced image.
    """

    data: bytes
    rows: int
    steps: tuple[int, int]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Yield (kind, payload, chunk as stored, whether its checksum is right) up to the end."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha() or kind == END:
            return
        payload = data[at + 8 : at + 8 + length]
        end = at + 12 + length
        sound = data[end - 4 : end] == struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind)))
        yield kind, payload, data[at:end], sound
        at = end


def _chunk(kind: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def _is_useful(kind: bytes, payload: bytes, shape: tuple[int, ...]) -> bool:
    """Return whether a side chunk matters here, and has the length that it must have."""
    if kind != b"tRNS":
        return SIDE_CHUNKS.get(kind, -1) in (0, len(payload))
    lengths = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
    return bool(shape) and len(payload) in lengths.get(shape[3], ())


def _profile(payload: bytes) -> bytes | None:
    _, _, rest = payload.partition(b"\0")
    return _inflate(rest[1:]) if rest[:1] == b"\0" else None


def _text(rest: bytes) -> bytes | None:
    """Return the text of an `iTXt` chunk; `rest` is what follows its keyword."""
    parts = rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    return _inflate(parts[2]) if rest[:1] == b"\1" else parts[2]


def _inflate(data: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, MAX_INFLATED)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else found


def _inflated(data: bytes, size: int) -> bytes:
    """Return the first `size` bytes of compressed pixels, or fewer where they are damaged."""
    if len(data) < 2 or data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31:
        return b""
    # Without zlib's wrapper, whose checksum says only that something was wrong.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    try:
        for at in range(2, len(data), PIECE):
            found += inflater.decompress(data[at : at + PIECE], max(1, size - len(found)))
            if len(found) >= size or inflater.eof:
                break
    except zlib.error:
        pass
    return bytes(found[:size])
