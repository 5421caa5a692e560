"""Image files without their metadata: place, camera, names, edits, thumbnails.

JPEG, PNG and WebP are taken apart and put together without their metadata; the pixels' bytes stay
as they are. What a viewer needs is kept: colour profile, transparency, animation, orientation.
"""

import struct
from collections.abc import Iterator

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What PNG viewers need; everything else may hold text, dates or EXIF.
PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD pHYs acTL fcTL fdAT".split()
)
WEBP_DROPPED = (b"EXIF", b"XMP ")
# JFIF, colour profile, and Adobe's colour transform; other application segments and comments go.
JPEG_KEPT = {0xE0: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
EXIF_FLAG, XMP_FLAG = 0x08, 0x04
ORIENTATION = 0x0112


class Unstrippable(Exception):
    """The file does not follow its format."""


def strip_metadata(data: bytes, format_name: str) -> tuple[bytes, str] | None:
    """Remove the metadata of an image file.

    Args:
        data: The file's bytes.
        format_name: Its format, by Pillow's name.

    Returns:
        The bytes without metadata and their media type, or None for other formats than JPEG, PNG
        and WebP.

    Raises:
        Unstrippable: The file does not follow its format.
    """
    try:
        match format_name:
            case "JPEG" | "MPO":
                return b"".join(_jpeg(data)), "image/jpeg"
            case "PNG":
                return b"".join(_png(data)), "image/png"
            case "WEBP":
                return _webp(data), "image/webp"
    except (struct.error, IndexError, ValueError) as exc:
        raise Unstrippable(str(exc)) from exc
    return None


def _jpeg(data: bytes) -> Iterator[bytes]:
    if data[:2] != b"\xff\xd8":
        raise Unstrippable("no start of image")
    yield data[:2]
    yield _orientation(data)
    at = 2
    while True:
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if data[at] != 0xFF:
            raise Unstrippable("a marker is missing")
        marker = data[at + 1]
        if marker == 0xD9:  # what follows may be anything, such as a film
            yield b"\xff\xd9"
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if _is_kept(marker, data[at + 4 : at + 18]):
            yield data[at:end]
        at = end
        if marker == 0xDA:
            at = _end_of_scan(data, at)
            yield data[end:at]


def _is_kept(marker: int, start: bytes) -> bool:
    if 0xE0 <= marker <= 0xEF:
        return marker in JPEG_KEPT and start.startswith(JPEG_KEPT[marker])
    return marker != 0xFE


def _end_of_scan(data: bytes, at: int) -> int:
    """Return where the next marker begins that is neither a restart nor an escaped byte."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise Unstrippable("the image is cut short")
        following = data[at + 1]
        if following == 0 or 0xD0 <= following <= 0xD7:
            at += 2
        elif following == 0xFF:
            at += 1
        else:
            return at


def _orientation(data: bytes) -> bytes:
    """Return an EXIF segment with the orientation only; empty for an upright image."""
    from io import BytesIO

    try:
        with Image.open(BytesIO(data), formats=("JPEG",)) as image:
            value = image.getexif().get(ORIENTATION)
    except Exception:  # a broken EXIF block has no orientation
        return b""
    if value not in range(2, 9):
        return b""
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(
        ">HHIHHI", ORIENTATION, 3, 1, value, 0, 0
    )
    return b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif


def _png(data: bytes) -> Iterator[bytes]:
    if not data.startswith(PNG_SIGNATURE):
        raise Unstrippable("no signature")
    yield PNG_SIGNATURE
    at = len(PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise Unstrippable("the image is cut short")
        if kind in PNG_KEPT:
            yield data[at:end]
        if kind == b"IEND":
            return
        at = end


def _webp(data: bytes) -> bytes:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise Unstrippable("no RIFF header")
    end = min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    chunks, at = [], 12
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        behind = at + 8 + length + length % 2
        chunk = bytearray(data[at:behind])
        if kind == b"VP8X":
            chunk[8] &= ~(EXIF_FLAG | XMP_FLAG)
        if kind not in WEBP_DROPPED:
            chunks.append(bytes(chunk))
        at = behind
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
