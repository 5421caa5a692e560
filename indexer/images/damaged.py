"""Decodes what is there of a damaged image, as browsers do.

A file is tried as it is first; only what Pillow refuses comes here. Pillow's own switch for such
files holds for the whole process and would also change what its other users see, so each format is
helped in its own way: a PNG is completed in memory, a JPEG gets an end, and of all others the
pixels count that were decoded before the error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .formats import plugins_for
from .png import SIGNATURE, Png
from .profiles import set_png_profile

JPEG_START = b"\xff\xd8\xff"
# So many ends that a segment which was cut off cannot swallow them all.
JPEG_END = b"\xff\xd9" * 2**15
# Kinds of segments that hold no part of the image, the color transform's apart.
SIDE_SEGMENTS = frozenset({*range(0xE0, 0xF0), 0xFE}) - {0xEE}
# EXIF and XMP, and the profile, which are given up last.
KEPT = frozenset({0xE1, 0xE2})
START_OF_SCAN = 0xDA
PARTLY_READABLE = "partly readable"
# An image of which less is there is a failed file.
MIN_SHARE = 0.02
# What libjpeg fills missing blocks with.
JPEG_GRAY = 128
GIF, GIF_EXTENSION, GIF_IMAGE, GIF_END = b"GIF8", 0x21, 0x2C, b"\0;"
# Zeros at the end of a file that was not written to its end.
ZEROED = b"\0" * 16
WHITE = (255, 255, 255)

Check = Callable[[int, int], None]
Prepare = Callable[[Image.Image], None]


@dataclass(frozen=True)
class Recovered:
    """What could be read of a damaged image.

    Attributes:
        image: As Pillow opened it, decoded already.
        missing: `(h, w)`, true where pixels are missing, as stored; None where none are.
        rows: `(h,)`: which row stands in for each; None where each stands for itself.
        steps: Between the columns and rows that are known, of an interlaced image.
        size: (width, height) of the full image, as stored.
        note: What is missing.
    """

    image: Image.Image
    missing: NDArray[np.bool_] | None
    rows: NDArray[np.int64] | None
    steps: tuple[int, int]
    size: tuple[int, int]
    note: str | None

    def finish(self, rgb: Image.Image) -> Image.Image:
        """Return an sRGB image, as stored, with white where pixels are missing."""
        if self.steps != (1, 1):
            across, down = self.steps
            coarse = np.asarray(rgb)[::down, ::across]
            full = coarse.repeat(down, axis=0).repeat(across, axis=1)
            rgb = Image.fromarray(full[: rgb.height, : rgb.width])
        if self.rows is not None:
            rgb = Image.fromarray(np.asarray(rgb)[self.rows])
        if self.missing is not None:
            rgb = rgb.copy()
            rgb.paste(WHITE, mask=Image.fromarray(self.missing))
        return rgb


def recover(data: bytes, check: Check, prepare: Prepare) -> Recovered | None:
    """Decode what is there of an image that Pillow refused.

    Args:
        data: The bytes of the file.
        check: Is called with the (width, height) before pixels are decoded, and raises.
        prepare: Is called with an opened image before it is decoded.

    Returns:
        None where hardly anything is there.
    """
    if data.startswith(SIGNATURE):
        return _recover_png(data, check)
    if data.startswith(JPEG_START):
        return _recover_jpeg(data, check, prepare)
    return _recover_other(data, check, prepare)


def _recover_png(data: bytes, check: Check) -> Recovered | None:
    png = Png.of(data)
    if png is None:
        return None
    check(png.width, png.height)
    rows, steps = png.height, (1, 1)
    try:
        image = _open(png.plain())
        image.load()
    except (OSError, SyntaxError, ValueError):
        completed = png.completed()
        rows, steps = completed.rows, completed.steps
        if rows < MIN_SHARE * png.height:
            return None
        image = _open(completed.data)
        image.load()
    if png.profile:
        image.info["icc_profile"] = png.profile
    if png.xmp:
        image.info["xmp"] = png.xmp
    set_png_profile(image, data)
    missing, note = None, None
    if rows < png.height:
        missing = np.zeros((png.height, png.width), bool)
        missing[rows:] = True
        note = missing_note(float(missing.mean()))
    elif steps != (1, 1):
        note = f"{PARTLY_READABLE}: coarse, one pixel in {steps[0] * steps[1]}"
    return Recovered(image, missing, None, steps, image.size, note)


def _recover_jpeg(data: bytes, check: Check, prepare: Prepare) -> Recovered | None:
    found = _loaded_twice(_with_a_header(data) + JPEG_END, check, prepare)
    if found is None:
        return None
    image, missing, size, failed = found
    pixels = np.asarray(image).reshape(image.height, image.width, -1).astype(np.int16)
    known = np.any(np.abs(pixels - JPEG_GRAY) > 2, axis=2) & ~missing
    if known.mean() < MIN_SHARE:
        return None
    rows = np.flatnonzero(known.any(axis=1))
    missing[rows[-1] + 1 :] = True
    # The last row of blocks may be filled in part.
    corner = known[-1, -8:]
    progressive = "progressive" in image.info
    whole = not (
        progressive or missing.any() or not corner.any() or failed or data.endswith(ZEROED)
    )
    note = (
        f"{PARTLY_READABLE}: its end is missing"
        if progressive
        else missing_note(float(missing.mean()))
    )
    return Recovered(image, missing, None, (1, 1), size, None if whole else note)


def _with_a_header(data: bytes) -> bytes:
    """Return a JPEG whose header Pillow reads, if need be without what is said of the image."""
    candidates = (data, *(_without(data, kinds) for kinds in (SIDE_SEGMENTS - KEPT, SIDE_SEGMENTS)))
    for candidate in candidates:
        try:
            _open(candidate)
        except (OSError, SyntaxError, ValueError):
            continue
        return candidate
    return data


def _without(data: bytes, kinds: frozenset[int]) -> bytes:
    """Return a JPEG without the segments of these kinds before its pixels."""
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xFF:  # padding
            end = at + 1
        elif data[at + 1] not in kinds:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _ended_gif(data: bytes) -> bytes:
    """Return a cut GIF whose last block ends where it does, since Pillow drops a longer one."""
    if len(data) < 13:
        return data

    def after_colors(flags: int, at: int) -> int:
        return at + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)

    at = after_colors(data[10], 13)
    while at + 10 < len(data) and data[at] in (GIF_EXTENSION, GIF_IMAGE):
        at = after_colors(data[at + 9], at + 10) + 1 if data[at] == GIF_IMAGE else at + 2
        while at < len(data) and data[at]:
            if at + 1 + data[at] > len(data):
                return data[:at] + bytes([len(data) - at - 1]) + data[at + 1 :] + GIF_END
            at += 1 + data[at]
        at += 1
    return data


def _recover_other(data: bytes, check: Check, prepare: Prepare) -> Recovered | None:
    if data.startswith(GIF):
        data = _ended_gif(data)
    found = _loaded_twice(data, check, prepare)
    if found is None:
        return None
    image, missing, size, _ = found
    if missing.mean() > 1 - MIN_SHARE:
        return None
    note = missing_note(float(missing.mean()))
    rows = _nearest_known(missing)
    return Recovered(image, missing[rows], rows, (1, 1), size, note)


def _nearest_known(missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return which row stands in for each: missing ones between others are like those above.

    So are the rows of an interlaced GIF that come in its later passes.
    """
    known: NDArray[np.bool_] = ~np.all(missing, axis=1)
    rows = np.arange(len(known))
    nearest = np.maximum.accumulate(np.where(known, rows, -1))
    between = (nearest >= 0) & known[::-1].cumsum()[::-1].astype(bool)
    stand_ins: NDArray[np.int64] = np.where(between, nearest, rows)
    return stand_ins


def _loaded_twice(
    data: bytes, check: Check, prepare: Prepare
) -> tuple[Image.Image, NDArray[np.bool_], tuple[int, int], bool] | None:
    """Return (image, where pixels are missing, full size, whether decoding failed), or None.

    Pixels that differ between two decodings over different backgrounds were never written.
    """
    images = []
    for fill in (0, 255):
        image = _open(data)
        size = image.size
        check(*size)
        prepare(image)
        failed = not _load_over(image, fill)
        if image._im is None:
            return None
        images.append(image)
    first, second = (np.asarray(image) for image in images)
    missing = first != second
    if missing.ndim == 3:
        missing = missing.any(axis=2)
    return images[0], missing, size, failed


def _open(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data), formats=plugins_for(data))


def _load_over(image: Image.Image, fill: int) -> bool:
    """Decode as far as possible over a background; return whether all went well."""
    prepare = image.load_prepare  # type: ignore[attr-defined]

    def filled() -> None:
        prepare()
        bands = len(image.getbands())
        image.im.paste(fill if bands == 1 else (fill,) * bands, (0, 0, *image.im.size))

    image.load_prepare = filled  # type: ignore[attr-defined]
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, IndexError, EOFError):
        image.tile = []  # type: ignore[attr-defined]
        return False
    return True


def missing_note(share: float) -> str:
    """Return the note of an image of which a share between 0 and 1 is missing."""
    return f"{PARTLY_READABLE}: {max(1, round(100 * share))} % is missing"
