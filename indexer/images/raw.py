"""Reads RAW files by the preview that the camera embedded; develops them only if it is missing.

rawpy (LibRaw) is an extra that nothing else in clipdex needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from indexer.errors import ImageError

from .metadata.camera import UNKNOWN, Camera, camera_of_exif
from .metadata.capture_time import CaptureTime, capture_time_of_exif, checked

if TYPE_CHECKING:
    from rawpy import RawPy

# EXIF's numbers of LibRaw's eight orientations.
ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
# TIFF under another name: Olympus and Panasonic change the two bytes that mean "TIFF".
TIFF_RELATIVES = (b"IIRO", b"IIRS", b"IIU\0")


class RawFile:
    """An opened RAW file.

    Attributes:
        width: Of the sensor's image as stored, in pixels.
        height: Of the sensor's image as stored, in pixels.
        orientation: EXIF's number, for that image and for a preview without one of its own.
    """

    def __init__(self, opened: "RawPy", data: bytes) -> None:
        self._raw = opened
        self._data = data
        sizes = opened.sizes
        self.width, self.height = int(sizes.width), int(sizes.height)
        self.orientation = ORIENTATIONS[sizes.flip] if sizes.flip in range(8) else 1

    def preview(self) -> Image.Image | None:
        """Return the largest preview, a JPEG not yet decoded; None if there is no preview."""
        import rawpy

        try:
            found = self._raw.extract_thumb()
        except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
            return None
        if isinstance(found.data, bytes):
            return Image.open(BytesIO(found.data), formats=("JPEG",))
        return Image.fromarray(found.data)

    def develop(self) -> Image.Image:
        """Return the sensor's image at half its size, upright, in sRGB."""
        return Image.fromarray(self._raw.postprocess(half_size=True, use_camera_wb=True))

    def captured(self) -> CaptureTime | None:
        """Return when the photo was taken; None if the file does not say."""
        try:
            found = capture_time_of_exif(self._exif())
        except Exception:  # not a TIFF inside, or a broken one
            found = None
        if found is None:
            # LibRaw reads the camera's wall clock as this machine's time, and rawpy converts it
            # back; without a date it is the beginning of 1970.
            try:
                moment = self._raw.other.timestamp
                found = checked(moment) if moment.timestamp() > 0 else None
            except (ValueError, OverflowError, OSError):  # beyond what a datetime can hold
                return None
        return found

    def camera(self) -> Camera:
        """Return what the photo was taken with."""
        try:
            return camera_of_exif(self._exif())
        except Exception:  # as above
            return UNKNOWN

    def _exif(self) -> Image.Exif:
        data = self._data
        if data.startswith(TIFF_RELATIVES):
            data = b"II*\0" + data[4:]
        exif = Image.Exif()
        exif.load(data)
        return exif


@contextmanager
def open_raw(data: bytes) -> Iterator[RawFile]:
    """Open a RAW file.

    Args:
        data: The bytes of the file.

    Yields:
        The opened file, closed on exit.

    Raises:
        ImageError: rawpy is missing or cannot read the file; the text is the reason.
    """
    try:
        import rawpy
    except ImportError as exc:
        raise ImageError("RAW files need one more package: pip install 'clipdex[raw]'") from exc
    try:
        with rawpy.imread(BytesIO(data)) as opened:
            yield RawFile(opened, data)
    except rawpy.LibRawFileUnsupportedError as exc:
        raise ImageError("a damaged RAW file, or one of a kind that LibRaw does not read") from exc
    except rawpy.LibRawError as exc:
        text = exc.args[0] if exc.args else exc
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise ImageError(f"damaged: {text}") from exc
