"""Reads the TIFFs that Pillow refuses or gets wrong, and brings deep ones to 8 bits.

Microscopes, scanners and satellites write gray of 16, 32 or 64 bits, floats, white as zero, planes
apart, and channels that are not colors. Pillow decodes what it decodes rightly, with libtiff's
compressions; tifffile reads the other layouts.

Source: TIFF 6.0; Adobe TIFF technical notes (extra samples, predictor 3); BigTIFF.
"""

import logging
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge

from .damaged import MIN_SHARE, missing_note
from .tiff_segments import DEFLATE, LZMA, assembled

if TYPE_CHECKING:
    from tifffile import TiffPage

Values = NDArray[Any]

SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION = 254, 258, 259, 262, 274
SAMPLES, PLANAR, XMP, SAMPLE_FORMAT, SUBSAMPLING, PROFILE = 277, 284, 700, 339, 530, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
UNSIGNED, SIGNED = 1, 2
SEPARATE = 2
RAW = 1
# Compressions in which Pillow's error says more than tifffile's: fax, LZW, JPEG, Deflate.
BY_PILLOW = (2, 3, 4, 5, 6, 7, 8, 32773, 32946)
REDUCED = 1  # a smaller copy of another page
ASSOCIATED = 1  # colors that are multiplied by their alpha
ALPHA = (1, 2)

# Deep values are spread between these percentiles, which a few hot pixels do not move.
PERCENTILES = (0.1, 99.9)
# Colors, and gray with a profile, keep their scale unless they would come out nearly black.
NEARLY_BLACK = 1 / 8
# Percentiles are taken of about this many pixels.
SAMPLED = 2**20
# Bytes for each pixel of the limit that all channels of an image may take together.
BYTES_PER_PIXEL = 16
PIECE = 2**20

STRETCHED = "brightness stretched"
FIRST_PAGE = "first page of several"
FIRST_CHANNEL = "first channel of several"


@dataclass(frozen=True)
class TiffImage:
    """The first page of a TIFF.

    Attributes:
        image: As stored, in 8 bits, with the profile and XMP of the page.
        orientation: EXIF's number.
        alpha: Of mode `L`, as stored.
        notes: What is not as usual about it.
    """

    image: Image.Image
    orientation: int
    alpha: Image.Image | None
    notes: tuple[str, ...]

    def finish(self, rgb: Image.Image) -> Image.Image:
        """Return an sRGB image, as stored, on white where it is transparent."""
        if self.alpha is None:
            return rgb
        return Image.composite(rgb, Image.new("RGB", rgb.size, (255, 255, 255)), self.alpha)


def prepare(image: Image.Image) -> bool:
    """Return whether Pillow decodes this opened TIFF rightly, and help it where it can be helped.

    What it decodes goes through `in_eight_bits`.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(BITS, (1,))
    separate = tags.get(PLANAR) == SEPARATE and len(image.getbands()) > 1
    if tags.get(PHOTOMETRIC) == YCBCR and tags.get(COMPRESSION, RAW) == RAW:
        if separate:
            return False
        # Pillow takes the samples as they lie, though several pixels share a color; libtiff knows.
        opened: Any = image
        whole = (0, 0, *opened._tile_size)
        opened.tile = [ImageFile._Tile("libtiff", whole, 0, ("RGBX", False, tags.offset))]
        opened._mode, opened.use_load_libtiff = "RGB", True
        return True
    if separate and set(bits) != {8}:
        return False
    return not (set(bits) == {8} and SIGNED in tags.get(SAMPLE_FORMAT, (UNSIGNED,)))


def has_more_pages(image: Image.Image, data: bytes) -> bool:
    """Return whether an opened TIFF has pages that are not smaller copies of the first one."""
    if not getattr(image, "is_animated", False):
        return False
    try:
        with Image.open(BytesIO(data), formats=("TIFF",)) as second:
            second.seek(1)
            return not int(second.tag_v2.get(SUBFILE_TYPE, 0)) & REDUCED  # type: ignore[attr-defined]
    except Exception:  # a page that cannot be read does not count
        return False


def in_eight_bits(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a TIFF that Pillow decoded with its gray brought to 8 bits, and what to say of it."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image, ()
    tags = image.tag_v2  # type: ignore[attr-defined]
    values = np.asarray(image)
    bits = tags.get(BITS, (16,))[0]
    if image.mode == "I" and bits == 32 and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED:
        values = values.view(np.uint32)  # Pillow has no unsigned mode
    profile = image.info.get("icc_profile")
    gray, note = _scaled(values, 12 if bits == 12 else 0, bool(profile))
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        gray = 255 - gray
    shallow = Image.fromarray(gray)
    shallow.info = image.info
    return shallow, (note,) if note else ()


def is_nearly_black(image: Image.Image) -> bool:
    """Return whether colors that Pillow cut to their upper 8 bits hold hardly more than black."""
    deep = max(image.tag_v2.get(BITS, (1,))) > 8  # type: ignore[attr-defined]
    return deep and max(high for _, high in _extrema(image)) < 255 * NEARLY_BLACK


def read(data: bytes, check: Callable[[int, int, int], None], max_pixels: int) -> TiffImage:
    """Decode the first page with tifffile.

    Args:
        data: The bytes of the file.
        check: Is called with the width, the height, and how many bytes all channels take, before
            pixels are decoded, and raises.
        max_pixels: The limit behind it.

    Raises:
        ImageFormatUnknown: Nothing here knows its compression.
        ImageError: It cannot for another reason; the text says it.
    """
    import tifffile

    # Its warnings about damaged tags name neither the file nor a remedy.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        check(page.imagewidth, page.imagelength, 0)
        check(page.imagewidth, page.imagelength, _checked_bytes(page, data, max_pixels))
        values, missing = _values(page, data)
        # (planes, depth, height, width, samples), one of planes and samples being 1.
        flat = values[:, 0]
        channels = np.moveaxis(flat, 0, -1)[:, :, 0] if page.shaped[0] > 1 else flat[0]
        return _image_of(page, channels, _notes_of(file, missing))


def _values(page: "TiffPage", data: bytes) -> tuple[Values, float]:
    """Return a page's values in the shape `page.shaped`, and which share of them is missing."""
    try:
        return np.asarray(page.asarray()).reshape(page.shaped), 0.0
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as exc:
        refusal = exc
    try:
        values, missing = assembled(page, data)
    except ValueError:
        compression = getattr(page.compression, "name", page.compression)
        reason = (
            f"a TIFF of {_layout(page)} with {compression} compression is more than clipdex reads "
            f"({refusal}): convert it to one without compression"
        )
        kind = ImageError if int(page.compression) in BY_PILLOW else ImageFormatUnknown
        raise kind(reason) from refusal
    if missing > 1 - MIN_SHARE:
        raise ImageError(f"damaged: {refusal}") from refusal
    return values, missing


def _notes_of(file: Any, missing: float) -> list[str]:
    notes = [missing_note(missing)] if missing else []
    try:
        second = file.pages.get(1)
    except Exception:  # none, or one that cannot be read
        return notes
    return notes if second.is_reduced else [*notes, FIRST_PAGE]


def _layout(page: "TiffPage") -> str:
    name = getattr(page.photometric, "name", "unknown")
    planes = ", planes apart" if page.planarconfig == SEPARATE and page.samplesperpixel > 1 else ""
    return f"{page.bitspersample}-bit {name} in {page.samplesperpixel} channels{planes}"


def _checked_bytes(page: "TiffPage", data: bytes, max_pixels: int) -> int:
    """Return what all channels take, and check that and what compressed data says it holds."""
    if page.dtype is None:
        raise ImageError(f"a TIFF of {_layout(page)} is more than clipdex reads: convert it")
    size = int(np.prod(page.shaped, dtype=object)) * page.dtype.itemsize
    if size > BYTES_PER_PIXEL * max_pixels:
        raise ImageTooLarge(
            f"{page.samplesperpixel} channels of {page.imagewidth} x {page.imagelength} pixels are "
            f"above the limit of {max_pixels / 1e6:,.0f} megapixels (--max-pixels raises it)"
        )
    inflater: Callable[[], Any]
    if page.compression in DEFLATE:
        inflater = zlib.decompressobj
    elif page.compression in LZMA:
        inflater = lzma.LZMADecompressor
    else:
        return size
    chunk = int(np.prod(page.chunks, dtype=object)) * page.dtype.itemsize
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        _check_inflated(inflater(), data[offset : offset + count], 2 * chunk + PIECE)
    return size


def _check_inflated(inflater: Any, packed: bytes, most: int) -> None:
    """Check that a strip or tile does not hold more than its size allows, by inflating it once."""
    found = 0
    try:
        while not inflater.eof and found <= most:
            piece = inflater.decompress(packed, PIECE)
            packed = getattr(inflater, "unconsumed_tail", b"")
            if not piece:
                return
            found += len(piece)
    except (zlib.error, lzma.LZMAError, EOFError):
        return  # tifffile will say so
    if found > most:
        raise ImageError("damaged: a strip holds more than its pixels")


def _image_of(page: "TiffPage", channels: Values, notes: list[str]) -> TiffImage:
    """Return the image of `channels` `(h, w, n)`."""
    photometric = int(page.photometric)
    profile = page.tags.valueof(PROFILE)
    colors = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3, ICC_LAB: 3}.get(photometric, 1)
    count = channels.shape[2]
    if photometric == BLACK_IS_ZERO and count == 3 and not page.extrasamples:
        photometric, colors = RGB, 3  # channels that writers such as ImageJ show as colors
    if count < colors:
        photometric, colors = BLACK_IS_ZERO, 1
    extra = tuple(int(kind) for kind in page.extrasamples)
    has_alpha = count > colors and bool(extra) and extra[0] in ALPHA
    if colors == 1 and count > 1 + has_alpha:
        notes.append(FIRST_CHANNEL)
    if np.iscomplexobj(channels):
        channels = np.abs(channels)
    bits = page.bitspersample
    if photometric == PALETTE and page.colormap is not None:
        colormap = np.asarray(page.colormap)
        table = (colormap >> 8 if colormap.max() > 255 else colormap).astype(np.uint8)
        shallow = table[:, np.clip(channels[..., 0], 0, table.shape[1] - 1)].transpose(1, 2, 0)
    elif photometric in (LAB, ICC_LAB):
        shallow = _lab(channels[..., :3], photometric)
    else:
        keep = colors > 1 or bool(profile)
        shallow, note = _scaled(channels[..., :colors], bits, keep)
        notes += [note] if note else []
    if photometric == WHITE_IS_ZERO:
        shallow = 255 - shallow
    alpha = None
    if has_alpha:
        opaque, _ = _scaled(channels[..., colors], bits, True)
        if extra[0] == ASSOCIATED and photometric in (RGB, BLACK_IS_ZERO):
            shallow = _divided(shallow, opaque)
        alpha = Image.fromarray(opaque)
    mode = {CMYK: "CMYK", YCBCR: "YCbCr", LAB: "LAB", ICC_LAB: "LAB"}.get(photometric)
    image = _from_array(np.ascontiguousarray(shallow), mode)
    for key, tag in (("icc_profile", PROFILE), ("xmp", XMP)):
        value = page.tags.valueof(tag)
        if isinstance(value, bytes):
            image.info[key] = value
    orientation = page.tags.valueof(ORIENTATION)
    return TiffImage(
        image, int(orientation) if orientation in range(1, 9) else 1, alpha, tuple(notes)
    )


def _from_array(values: Values, mode: str | None) -> Image.Image:
    if mode is None:
        return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    height, width = values.shape[:2]
    return Image.frombytes(mode, (width, height), values.tobytes())


def _divided(colors: Values, alpha: Values) -> Values:
    """Return colors `(h, w, n)` as they were before they were multiplied by alpha `(h, w)`."""
    whole = colors.astype(np.uint32) * 255 // np.maximum(alpha, 1)[..., np.newaxis]
    return np.minimum(whole, 255).astype(np.uint8)


def _lab(values: Values, photometric: int) -> Values:
    """Return CIELAB in 8 bits as Pillow keeps it, a and b from -128."""
    if values.dtype.itemsize == 2:
        values = values.view(np.uint16) >> 8
    shallow = values.astype(np.uint8)
    if photometric == LAB:
        shallow[..., 1:] ^= 128
    return shallow


def _scaled(values: Values, bits: int, keep: bool) -> tuple[Values, str | None]:
    """Return values of any type in 8 bits, and what to say if their brightness was changed.

    Args:
        values: `(h, w)` or `(h, w, n)`.
        bits: Of a sample where they are fewer than the type has; 0 for those of the type.
        keep: Whether the scale of the type is kept, unless all would come out nearly black.
    """
    integer = np.issubdtype(values.dtype, np.integer)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255, None
    if values.dtype == np.uint8 and bits in (0, 8):
        return values, None
    low, high = _spread(values)
    if integer:
        info = np.iinfo(values.dtype)
        top = float(2**bits - 1) if 0 < bits < info.bits else float(info.max)
        bottom = float(info.min) if top == info.max else 0.0
    else:
        bottom, top = 0.0, 1.0
    shallow_type = integer and (bits or np.iinfo(values.dtype).bits) <= 8
    enough = bottom + NEARLY_BLACK * (top - bottom)
    if shallow_type or (keep and low >= bottom and enough <= high <= top):
        low, high = bottom, top
        note = None
    elif high <= low:  # one value all over
        low, high, note = bottom, max(top, high), None
    else:
        width = bits or 8 * values.dtype.itemsize
        note = f"{STRETCHED}: {width}-bit {'' if integer else 'float '}values"
    scaled = np.empty(values.shape, np.uint8)
    for row, line in enumerate(values):  # row by row, since in doubles an image takes much memory
        known = np.nan_to_num(line.astype(np.float64), nan=low, posinf=high, neginf=low)
        scaled[row] = np.clip(np.round((known - low) * (255.0 / (high - low))), 0, 255)
    return scaled, note


def _spread(values: Values) -> tuple[float, float]:
    """Return the percentiles between which values are spread."""
    step = max(1, int((values.shape[0] * values.shape[1] / SAMPLED) ** 0.5))
    some = values[::step, ::step].astype(np.float64)
    finite = some[np.isfinite(some)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    return float(low), float(high)


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found: Any = image.convert("RGB").getextrema()
    return list(found)
