"""Decodes the bytes of one image to an upright sRGB image, in this process.

`decode.py` is what others call: only formats whose decoders have been fuzzed for years are decoded
in the process that asks.

JPEGs are decoded at a reduced DCT scale, at least 2.5 times the model's input, which costs a third
of the time and leaves the resampling filter enough to work with. Pillow's own pixel limit is a
process-wide global that warns before it raises, so it is switched off here, and `Limits` are
checked, and memory is claimed, before any pixel of a file is decoded.
"""

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge

from .color import BACKGROUND, to_srgb
from .decoded import Claim, Decoded, Limits
from .formats import BMP, HEAD, JPEG, TIFF, looks_like_image, plugins_for, reader_of
from .isobmff import jpeg2000_profile
from .metadata.camera import camera_of
from .metadata.capture_time import capture_time_of
from .profiles import code_points_profile, set_png_profile, set_profile

Image.MAX_IMAGE_PIXELS = None
# Pillow's warnings about damaged tags name neither the file nor a remedy.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# Decode at least this many times the model's input size: measured by benchmarks/reduced_decode.py.
REDUCTION_MARGIN = 2.5
ORIENTATION_TAG = 0x0112
# What undoes each of EXIF's orientations, and those that swap width and height.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TRANSPOSED = (5, 6, 7, 8)
# Bytes of memory that each pixel takes until it is in a model's input. Pillow keeps 4 of any but
# gray, and each conversion as many again: an orientation, alpha on white, a profile. At least what
# benchmarks/isolated.py measures.
OPAQUE, TRANSPARENT, RECOVERED, DEVELOPED = 12, 20, 48, 16
PROFILED = {OPAQUE: 4, TRANSPARENT: 8}
OF_FORMAT = {"WEBP": 24, "HEIF": 24, "AVIF": 24, "JPEG2000": 40}
# A TIFF's numbers of 16 and more bits are computed with as 64.
DEEP_MODES, DEEP = ("I", "F", "I;16", "I;16B", "I;16L"), 48
# And for those of a progressive JPEG at its full size: libjpeg's coefficients of three channels.
COEFFICIENTS = 6
# libjpeg's reduced scales.
SCALES = (8, 4, 2, 1)


@dataclass(frozen=True)
class Bounds:
    """What one image may take: pixels by the limits, and memory that is claimed before."""

    limits: Limits
    claim: Claim

    def check(self, width: int, height: int, each: int, more: int = 0) -> None:
        """Check the size of an image, and claim the memory for it.

        Args:
            width: In pixels.
            height: In pixels.
            each: Bytes of memory a pixel.
            more: Bytes of memory beside those.
        """
        self.limits.check_pixels(width, height)
        self.claim(width, height, width * height * each + more)


def decode_here(
    data: bytes,
    limits: Limits,
    claim: Claim,
    *,
    at_least: tuple[int, int] | None = None,
    name: bytes = b"",
) -> Decoded:
    """Decode an image in this process.

    Args:
        data: The bytes of the file.
        limits: Their `max_pixels` applies.
        claim: Is called with the memory that decoding takes.
        at_least: (height, width) that the caller will resize to. The result may be smaller than
            the image in the file, but never less than 2.5 times this size.
        name: The file's name, since some RAW files are identified by that alone.

    Raises:
        ImageError: The bytes are not a readable image, or it is too large; the text is the reason.
    """
    if not data:
        raise ImageError("empty file")
    try:
        decoded = _decode_by_reader(data, Bounds(limits, claim), at_least, name)
    except ImageError:
        raise
    except UnidentifiedImageError as exc:
        if looks_like_image(data[:HEAD]):
            raise ImageError("damaged: its header cannot be read") from exc
        raise ImageFormatUnknown("not an image of a format that clipdex reads") from exc
    except MemoryError as exc:
        raise ImageError("too large for this machine's memory") from exc
    except Exception as exc:  # a damaged file surfaces as almost any error of a decoder
        raise ImageError(f"damaged: {exc or type(exc).__name__}") from exc
    if not (decoded.image.width and decoded.image.height):
        raise ImageError("damaged: it has no pixels")
    return decoded


def _decode_by_reader(
    data: bytes, bounds: Bounds, at_least: tuple[int, int] | None, name: bytes
) -> Decoded:
    reader = reader_of(data, name)
    if reader == "raw":
        return _decode_raw(data, bounds, at_least)
    if reader == "heif":
        with _open_heif(data) as image:
            return _decode(image, bounds, at_least)
    return _decode_pillow(data, bounds, at_least)


def _decode_pillow(data: bytes, bounds: Bounds, at_least: tuple[int, int] | None) -> Decoded:
    try:
        if data.startswith(TIFF):
            return _decode_tiff(data, bounds)
        if data.startswith(BMP):
            bitmap = _bitmap(data, bounds)
            if bitmap is not None:
                return _finished(bitmap, bitmap.size)
        with _open(data) as image:
            return _decode(image, bounds, at_least)
    except (ImageError, MemoryError):
        raise
    except Exception:
        found = _recovered(data, bounds, at_least)
        if found is None:
            raise
        return found


def _bitmap(data: bytes, bounds: Bounds) -> Image.Image | None:
    """Return a bitmap that Pillow cannot decode rightly; None for one that it can."""
    from . import bmp  # few folders hold any

    try:
        if not bmp.is_for_us(data):
            return None
        image = bmp.read(data, lambda width, height: bounds.check(width, height, RECOVERED))
    except (ValueError, struct.error):
        return None  # Pillow knows more kinds, and what of a cut one is there
    image.format = "BMP"
    return image


def _decode_tiff(data: bytes, bounds: Bounds) -> Decoded:
    """Decode a TIFF with Pillow where it is right, otherwise with tifffile."""
    from . import tiff  # folders without TIFFs do not pay for it

    notes: tuple[str, ...] = ()
    decoded, refusal = None, None
    try:
        with _open(data) as image:
            bounds.check(*image.size, _bytes_per_pixel(image))
            notes = (tiff.FIRST_PAGE,) if tiff.has_more_pages(image, data) else ()
            if tiff.prepare(image):
                size = image.size
                image.load()
                decoded = _finished(image, size, notes=notes)
                if not tiff.is_nearly_black(image):
                    return decoded
    except (ImageError, MemoryError):
        raise
    except Exception as exc:
        refusal = exc
    try:
        page = tiff.read(
            data,
            lambda width, height, all_of: bounds.check(width, height, DEEP, 2 * all_of),
            bounds.limits.max_pixels,
        )
    except (ImageTooLarge, ImageFormatUnknown, MemoryError):
        raise
    except Exception:  # tifffile fails in as many ways as there are damaged files
        if decoded is not None:
            return decoded
        # Where the layout is not the reason, Pillow's error says more.
        if refusal is not None and not isinstance(refusal, UnidentifiedImageError):
            raise refusal from None
        raise
    page.image.format = "TIFF"
    page.image.info["exif"] = data  # a TIFF is laid out like EXIF
    return _finished(
        page.image,
        page.image.size,
        fallback_orientation=page.orientation,
        finish=page.finish,
        notes=page.notes,
    )


def _recovered(data: bytes, bounds: Bounds, at_least: tuple[int, int] | None) -> Decoded | None:
    """Return what is there of a damaged image; None where hardly anything is."""
    from .damaged import recover  # few images need it

    try:

        def check(width: int, height: int) -> None:
            scale = _scale((width, height), at_least) if data.startswith(JPEG) else 1
            bounds.check(width, height, RECOVERED // scale**2 + COEFFICIENTS)

        found = recover(data, check, lambda image: _draft(image, at_least))
        if found is None:
            return None
        notes = (found.note,) if found.note else ()
        return _finished(found.image, found.size, finish=found.finish, notes=notes)
    except (ImageError, MemoryError):
        raise
    except Exception:  # so damaged that it is reported as it was found
        return None


def _open(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=plugins_for(data))
    if image.format == "JPEG2000":
        set_profile(image, jpeg2000_profile(data))
    elif image.format == "AVIF":
        set_profile(image, _avif_profile(data))
    elif image.format == "PNG":
        set_png_profile(image, data)
        if getattr(image, "default_image", False):
            image.seek(1)  # what stands for an animation where it cannot be played comes first
    return image


def _open_heif(data: bytes) -> Image.Image:
    image = _heif(data)
    set_profile(image, code_points_profile(image))
    return image


def _heif(data: bytes) -> Image.Image:
    """Open a HEIC or AVIF by its container; nothing is decoded yet."""
    try:  # imported here, so that folders without HEIC do not pay for it
        from pi_heif import HeifImageFile
    except ImportError as exc:
        raise ImageError("HEIC and AVIF need one more package: pip install pi-heif") from exc
    # Opened directly: registering would change Pillow for the whole process.
    image: Image.Image = HeifImageFile(BytesIO(data))
    return image


def _avif_profile(data: bytes) -> bytes | None:
    """Return the profile for an AVIF's code points, which Pillow does not return.

    pi-heif reads them from the container, though it cannot decode the image.
    """
    try:
        return code_points_profile(_heif(data))
    except ImageError:
        raise
    except Exception:  # libavif may accept a file that libheif does not
        return None


def _decode(
    image: Image.Image,
    bounds: Bounds,
    at_least: tuple[int, int] | None,
    *,
    fallback_orientation: int = 1,
) -> Decoded:
    """Decode an opened image.

    Args:
        image: As Pillow opened it.
        bounds: What the image may take.
        at_least: As for `decode`.
        fallback_orientation: EXIF's number, for an image without an orientation of its own.
    """
    size = image.size
    bounds.limits.check_pixels(*size)
    progressive = "progressive" in image.info
    _draft(image, at_least)
    more = size[0] * size[1] * COEFFICIENTS if progressive else 0
    bounds.check(*image.size, _bytes_per_pixel(image), more)
    finish = _in_frame(image) if image.format == "GIF" else None
    image.load()
    return _finished(image, size, fallback_orientation=fallback_orientation, finish=finish)


def _in_frame(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """Return what leaves white around a GIF's first frame, if that is smaller than the image."""
    tiles = getattr(image, "tile", None)
    frame = tiles[0].extents if tiles else None
    if frame is None or frame == (0, 0, *image.size):
        return None

    def finish(rgb: Image.Image) -> Image.Image:
        canvas = Image.new("RGB", rgb.size, BACKGROUND[:3])
        canvas.paste(rgb.crop(frame), frame[:2])
        return canvas

    return finish


def _bytes_per_pixel(image: Image.Image) -> int:
    """Return how much memory an opened image will take, in bytes for each of its pixels."""
    clear = image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info
    usual = TRANSPARENT if clear else OPAQUE
    if image.info.get("icc_profile"):
        usual += PROFILED[usual]
    if image.mode in DEEP_MODES:
        usual = DEEP
    return max(usual, OF_FORMAT.get(image.format or "", 0))


def _scale(size: tuple[int, int], at_least: tuple[int, int] | None) -> int:
    """Return by what `_draft` divides the sides of a JPEG."""
    if at_least is None:
        return 1
    side = round(REDUCTION_MARGIN * max(at_least))
    return next((scale for scale in SCALES if min(size) // scale >= side), 1)


def _draft(image: Image.Image, at_least: tuple[int, int] | None) -> None:
    """Have a JPEG decoded at a reduced scale, if the caller will reduce it anyway."""
    if at_least is not None and image.format in ("JPEG", "MPO"):
        side = round(REDUCTION_MARGIN * max(at_least))
        # Only the size changes: another mode would convert CMYK or gray before its profile applies.
        image.draft(image.mode, (side, side))


def _finished(
    image: Image.Image,
    size: tuple[int, int],
    *,
    fallback_orientation: int = 1,
    finish: Callable[[Image.Image], Image.Image] | None = None,
    notes: tuple[str, ...] = (),
) -> Decoded:
    """Return a loaded image upright and in sRGB.

    Args:
        image: The image.
        size: (width, height) of the full image, as stored.
        fallback_orientation: EXIF's number, for an image without an orientation of its own.
        finish: Changes the image in sRGB, still as stored.
        notes: What is not as usual about the image.
    """
    orientation = _orientation(image) or fallback_orientation
    shallow = image
    if image.format == "TIFF":
        from .tiff import in_eight_bits

        shallow, said = in_eight_bits(image)
        notes = (*notes, *said)
    width, height = size[::-1] if orientation in TRANSPOSED else size
    rgb = to_srgb(shallow)
    if finish is not None:
        rgb = finish(rgb)
    upright = _upright(rgb, orientation)
    return Decoded(
        upright,
        width,
        height,
        image.format or "",
        capture_time_of(image),
        camera_of(image),
        notes,
    )


def _decode_raw(data: bytes, bounds: Bounds, at_least: tuple[int, int] | None) -> Decoded:
    from .raw import open_raw

    with open_raw(data) as raw:
        bounds.limits.check_pixels(raw.width, raw.height)
        size = (raw.width, raw.height)
        if raw.orientation in TRANSPOSED:
            size = (raw.height, raw.width)
        preview = raw.preview()
        needed, developed = max(at_least or (1,)), min(size) // 2
        if preview is None or min(preview.size) < min(needed, developed):
            bounds.check(raw.width, raw.height, DEVELOPED)
            return Decoded(raw.develop(), *size, "RAW", raw.captured(), raw.camera())
        decoded = _decode(preview, bounds, at_least, fallback_orientation=raw.orientation)
        captured = decoded.captured or raw.captured()
        camera = decoded.camera if decoded.camera.body else raw.camera()
        return Decoded(decoded.image, *size, "RAW", captured, camera)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation that is still to be applied, 1 to 8; None if there is none.

    Pillow applies that of a TIFF while loading it, pi-heif that of a HEIC.
    """
    try:
        value = image.getexif().get(ORIENTATION_TAG)
    except Exception:  # an image with a broken EXIF block is still worth indexing
        return None
    return value if value in range(1, 9) else None
