"""Decodes the bytes of one image to an upright sRGB image.

JPEGs are decoded at a reduced DCT scale, at least 2.5 times the model's input, which costs a third
of the time and leaves the resampling filter enough to work with. Pillow's own pixel limit is a
process-wide global that warns before it raises, so it is switched off here, and `Limits` are
checked before any pixel of a file is decoded.
"""

import os
import stat
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge

from .capture_time import CaptureTime, capture_time_of
from .color import BACKGROUND, to_srgb
from .formats import BMP, HEAD, PILLOW, TIFF, looks_like_image, reader_of
from .isobmff import jpeg2000_profile
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
NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)  # not on Windows
BINARY = getattr(os, "O_BINARY", 0)  # only on Windows


@dataclass(frozen=True)
class Limits:
    """The largest file to read, in bytes, and the largest image to decode, in pixels."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 200_000_000

    def check_pixels(self, width: int, height: int) -> None:
        """Check the size of an image before it is decoded.

        Raises:
            ImageTooLarge: The image has too many pixels.
        """
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{width} x {height} pixels is above the limit of "
                f"{self.max_pixels / 1e6:,.0f} megapixels (--max-pixels raises it)"
            )


@dataclass(frozen=True)
class Decoded:
    """A decoded image and what its file says about it.

    Attributes:
        image: Of mode `RGB`, upright, perhaps reduced.
        width: Of the full image, upright, in pixels.
        height: Of the full image, upright, in pixels.
        format: As Pillow names it, or RAW.
        captured: When the photo was taken, if the file says so.
        notes: What is not as usual about the image, as `KIND` or `KIND: MORE`.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    captured: CaptureTime | None = None
    notes: tuple[str, ...] = ()


def read_file(location: bytes, limits: Limits) -> tuple[os.stat_result, bytes]:
    """Read a regular file.

    Args:
        location: The path.
        limits: Their `max_bytes` applies.

    Returns:
        The file's status as it was before reading, and its bytes.

    Raises:
        ImageError: The file cannot be read or is too large; the text is the reason.
    """
    try:
        # Non-blocking, since a FIFO may have replaced the file since the scan.
        handle = os.open(location, os.O_RDONLY | NON_BLOCKING | BINARY)
        with open(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise ImageError("not a regular file")
            if info.st_size > limits.max_bytes:
                raise ImageTooLarge(
                    f"{info.st_size / 2**20:,.0f} MiB is above the limit of "
                    f"{limits.max_bytes / 2**20:,.0f} MiB (--max-bytes raises it)"
                )
            return info, file.read()
    except OSError as exc:
        raise ImageError(f"cannot be read: {exc.strerror or exc}") from exc


def decode(
    data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None, name: bytes = b""
) -> Decoded:
    """Decode an image.

    Args:
        data: The bytes of the file.
        limits: Their `max_pixels` applies.
        at_least: (height, width) that the caller will resize to. The result may be smaller than
            the image in the file, but never less than 2.5 times this size.
        name: The file's name, since some RAW files are identified by that alone.

    Raises:
        ImageError: The bytes are not a readable image, or it is too large; the text is the reason.
    """
    if not data:
        raise ImageError("empty file")
    try:
        reader = reader_of(data, name)
        if reader == "raw":
            return _decode_raw(data, limits, at_least)
        if reader == "heif":
            with _open_heif(data) as image:
                return _decode(image, limits, at_least)
        return _decode_pillow(data, limits, at_least)
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


def _decode_pillow(data: bytes, limits: Limits, at_least: tuple[int, int] | None) -> Decoded:
    try:
        if data.startswith(TIFF):
            return _decode_tiff(data, limits)
        if data.startswith(BMP):
            bitmap = _bitmap(data, limits)
            if bitmap is not None:
                return _finished(bitmap, bitmap.size)
        with _open(data) as image:
            return _decode(image, limits, at_least)
    except (ImageError, MemoryError):
        raise
    except Exception:
        found = _recovered(data, limits, at_least)
        if found is None:
            raise
        return found


def _bitmap(data: bytes, limits: Limits) -> Image.Image | None:
    """Return a bitmap that Pillow cannot decode rightly; None for one that it can."""
    from . import bmp  # few folders hold any

    try:
        if not bmp.is_for_us(data):
            return None
        image = bmp.read(data, limits.check_pixels)
    except (ValueError, struct.error):
        return None  # Pillow knows more kinds, and what of a cut one is there
    image.format = "BMP"
    return image


def _decode_tiff(data: bytes, limits: Limits) -> Decoded:
    """Decode a TIFF with Pillow where it is right, otherwise with tifffile."""
    from . import tiff  # folders without TIFFs do not pay for it

    notes: tuple[str, ...] = ()
    decoded, refusal = None, None
    try:
        with _open(data) as image:
            limits.check_pixels(*image.size)
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
        page = tiff.read(data, limits.check_pixels, limits.max_pixels)
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


def _recovered(data: bytes, limits: Limits, at_least: tuple[int, int] | None) -> Decoded | None:
    """Return what is there of a damaged image; None where hardly anything is."""
    from .damaged import recover  # few images need it

    try:
        found = recover(data, limits.check_pixels, lambda image: _draft(image, at_least))
        if found is None:
            return None
        notes = (found.note,) if found.note else ()
        return _finished(found.image, found.size, finish=found.finish, notes=notes)
    except (ImageError, MemoryError):
        raise
    except Exception:  # so damaged that it is reported as it was found
        return None


def _open(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=PILLOW)
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
    limits: Limits,
    at_least: tuple[int, int] | None,
    *,
    fallback_orientation: int = 1,
) -> Decoded:
    """Decode an opened image.

    Args:
        image: As Pillow opened it.
        limits: Their `max_pixels` applies.
        at_least: As for `decode`.
        fallback_orientation: EXIF's number, for an image without an orientation of its own.
    """
    size = image.size
    limits.check_pixels(*size)
    _draft(image, at_least)
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
    return Decoded(upright, width, height, image.format or "", capture_time_of(image), notes)


def _decode_raw(data: bytes, limits: Limits, at_least: tuple[int, int] | None) -> Decoded:
    from .raw import open_raw

    with open_raw(data) as raw:
        limits.check_pixels(raw.width, raw.height)
        size = (raw.width, raw.height)
        if raw.orientation in TRANSPOSED:
            size = (raw.height, raw.width)
        preview = raw.preview()
        needed, developed = max(at_least or (1,)), min(size) // 2
        if preview is None or min(preview.size) < min(needed, developed):
            return Decoded(raw.develop(), *size, "RAW", raw.captured())
        decoded = _decode(preview, limits, at_least, fallback_orientation=raw.orientation)
        return Decoded(decoded.image, *size, "RAW", decoded.captured or raw.captured())


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
