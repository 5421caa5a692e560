"""What an image file says of how and where it was taken, as short texts for people.

Nothing in it is trusted: it is read for those formats whose decoders run in this process, without
decoding a pixel, and what comes out are numbers that make sense and single lines of text.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image

from indexer.images.formats import is_decoded_here, plugins_for
from indexer.images.metadata.camera import body_of, lens_of
from indexer.images.metadata.lines import MAX_LENGTH, line_of
from indexer.images.metadata.xmp import place_of

# The formats that say something and are decoded in this process, by Pillow's names.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP"})
IFD = ExifTags.IFD
TAG = ExifTags.Base
GPS = ExifTags.GPS
XMP = ("xmp", "XML:com.adobe.xmp")


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself; None where it does not.

    Attributes:
        camera: The camera's name, such as "Canon EOS 80D".
        lens: The lens's name.
        exposure: Time, aperture, sensitivity and focal length, such as "1/250 s, f/2.8".
        place: The names of the place, or else its coordinates.
    """

    camera: str | None = None
    lens: str | None = None
    exposure: str | None = None
    place: str | None = None


def facts_of(data: bytes, name: bytes = b"") -> FileFacts:
    """Return what a file's bytes say; nothing where they are of another format, or damaged.

    Args:
        data: The bytes.
        name: The file's name, since some RAW files are identified by that alone.
    """
    if not data or not is_decoded_here(data, name):
        return FileFacts()
    try:
        with Image.open(BytesIO(data), formats=plugins_for(data)) as image:
            info = dict(image.info)
        exif = Image.Exif()
        # Not `getexif`, which decodes a PNG to look behind its pixels.
        exif.load(info.get("exif") or b"")
    except Exception:  # Pillow's plugins raise whatever comes up
        return FileFacts()
    inner = _tried(lambda: exif.get_ifd(IFD.Exif)) or {}
    return FileFacts(
        camera=_tried(lambda: body_of(exif)),
        lens=_tried(lambda: lens_of(exif)),
        exposure=_tried(lambda: _exposure(inner)),
        place=_tried(lambda: _named(info)) or _tried(lambda: _found(exif)),
    )


def _tried(read: Callable[[], Any]) -> Any:
    """Return what is read; None where the block is too broken for that."""
    try:
        return read()
    except Exception:
        return None


def _exposure(inner: dict[int, Any]) -> str | None:
    parts = []
    seconds = _number(inner.get(TAG.ExposureTime))
    if seconds is not None and 0 < seconds < 1e5:
        fast = seconds < 0.3
        parts.append(f"1/{min(round(1 / seconds), 10**6)} s" if fast else f"{seconds:.3g} s")
    aperture = _number(inner.get(TAG.FNumber))
    if aperture is not None and 0 < aperture < 1000:
        parts.append(f"f/{aperture:.3g}")
    speed = _number(inner.get(TAG.ISOSpeedRatings))
    if speed is not None and 0 < speed < 1e8:
        parts.append(f"ISO {speed:.0f}")
    length = _number(inner.get(TAG.FocalLength))
    if length is not None and 0 < length < 1e5:
        parts.append(f"{length:.0f} mm" if length >= 10 else f"{length:.2g} mm")
    return ", ".join(parts) or None


def _number(value: Any) -> float | None:
    """Return a number of EXIF's, the first where there are several."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    if value is None or isinstance(value, str | bytes):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _named(info: dict[Any, Any]) -> str | None:
    for key in XMP:
        block = info.get(key)
        if isinstance(block, bytes | str):
            names = dict.fromkeys(line for text in place_of(block) if (line := line_of(text)))
            if names:
                return ", ".join(names)[: 2 * MAX_LENGTH]
    return None


def _found(exif: Image.Exif) -> str | None:
    gps = exif.get_ifd(IFD.GPSInfo)
    latitude = _degrees(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", 180)
    return None if latitude is None or longitude is None else f"{latitude}, {longitude}"


def _degrees(value: Any, side: object, sides: str, most: int) -> str | None:
    """Return degrees, minutes and seconds as degrees with their side of the world."""
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3:
        return None
    degrees = sum(float(part) / 60**place for place, part in enumerate(value))
    letter = line_of(side)
    if not math.isfinite(degrees) or not 0 <= degrees <= most or letter not in tuple(sides):
        return None
    return f"{degrees:.5f}° {letter}"
