"""Boxes: the container of HEIC, AVIF and JPEG 2000, read as far as colour needs it.

Pillow tells neither the colour code points of an AVIF nor the ICC profile of a JPEG 2000.
Source: ISO/IEC 14496-12 (boxes), 23008-12 (images in them), 15444-1 annex I (JPEG 2000).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

RESTRICTED_ICC, ANY_ICC = 2, 3


@dataclass(frozen=True)
class CodePoints:
    """Colour as numbers of ITU-T H.273, where there is no ICC profile."""

    primaries: int
    transfer: int


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of each box; ends where the data do, or stop making sense."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if size == 0:
            size = len(data) - at
        if size < head:
            return
        yield kind, data[at + head : at + size]
        at += size


def first(data: bytes, *path: bytes) -> bytes:
    """The payload of the first box along a path of types; empty where there is none."""
    for wanted in path:
        data = next((payload for kind, payload in boxes(data) if kind == wanted), b"")
        if wanted == b"meta":
            data = data[4:]  # version and flags
    return data


def brands(head: bytes) -> frozenset[bytes]:
    """The brands that a file's first box names, the major one and those in `head`."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(len(head), struct.unpack_from(">I", head)[0])
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))})


def jpeg2000_profile(data: bytes) -> bytes | None:
    """The ICC profile of a JPEG 2000 file; None for one without, or a bare codestream."""
    if data[4:8] != b"jP  ":
        return None
    for kind, payload in boxes(first(data, b"jp2h")):
        if kind == b"colr" and payload[:1] in (bytes([RESTRICTED_ICC]), bytes([ANY_ICC])):
            return payload[3:]
    return None


def primary_code_points(data: bytes) -> CodePoints | None:
    """The colour code points of the primary image of a HEIC or AVIF file."""
    meta = first(data, b"meta")
    primary = _primary(first(meta, b"pitm"))
    properties = list(boxes(first(meta, b"iprp", b"ipco")))
    for index in _associated(first(meta, b"iprp", b"ipma"), primary):
        if 1 <= index <= len(properties):
            kind, payload = properties[index - 1]
            if kind == b"colr" and payload[:4] == b"nclx" and len(payload) >= 8:
                return CodePoints(*struct.unpack_from(">HH", payload, 4))
    return None


def _primary(pitm: bytes) -> int:
    if len(pitm) < 6:
        return -1
    wide = pitm[0] > 0
    number: int = struct.unpack_from(">I" if wide and len(pitm) >= 8 else ">H", pitm, 4)[0]
    return number


def _associated(ipma: bytes, item: int) -> list[int]:
    """The numbers, from 1, of an item's properties."""
    if len(ipma) < 8:
        return []
    wide_items, wide_indices = ipma[0] > 0, ipma[3] & 1
    at = 8
    for _ in range(struct.unpack_from(">I", ipma, 4)[0]):
        head = ">IB" if wide_items else ">HB"
        if at + struct.calcsize(head) > len(ipma):
            return []
        number, count = struct.unpack_from(head, ipma, at)
        at += struct.calcsize(head)
        width = 2 if wide_indices else 1
        if number == item:
            raw = ipma[at : at + count * width]
            if wide_indices:
                raw = raw[: len(raw) // 2 * 2]
                return [value & 0x7FFF for (value,) in struct.iter_unpack(">H", raw)]
            return [value & 0x7F for value in raw]
        at += count * width
    return []
