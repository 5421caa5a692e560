"""Parses boxes, the container of HEIC, AVIF and JPEG 2000, where Pillow and pi-heif do not.

Pillow does not return the ICC profile of a JPEG 2000 file, and the brands decide which decoder
opens a file.

Source: ISO/IEC 14496-12 (boxes, brands), 15444-1 annex I (JPEG 2000).
"""

import struct
from collections.abc import Iterator

RESTRICTED_ICC, ANY_ICC = 2, 3


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, payload) of each box, up to the end of the data or the first damaged box."""
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


def brands(head: bytes) -> frozenset[bytes]:
    """Return the brands that a file's first box names: the major one and those in `head`."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(len(head), struct.unpack_from(">I", head)[0])
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))})


def jpeg2000_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of a JPEG 2000 file; None for one without, or a bare codestream."""
    if data[4:8] != b"jP  ":
        return None
    header = next((payload for kind, payload in boxes(data) if kind == b"jp2h"), b"")
    for kind, payload in boxes(header):
        if kind == b"colr" and payload[:1] in (bytes([RESTRICTED_ICC]), bytes([ANY_ICC])):
            return payload[3:]
    return None
