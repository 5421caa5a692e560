"""What limits a decoder, and what comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from indexer.encoder import Pixels
from indexer.errors import ImageTooLarge

from .gray_thumbnail import gray_thumbnail
from .metadata.camera import UNKNOWN, Camera
from .metadata.capture_time import CaptureTime
from .preprocess import Preprocess

Claim = Callable[[int, int, int], None]
"""Called before pixels are decoded, with the width, the height and how many bytes of memory that
takes, all told; returns when there are so many, and raises ImageTooLarge if there never will be.
A later call replaces the one before."""


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
        camera: What it was taken with.
        notes: What is not as usual about the image, as `KIND` or `KIND: MORE`.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    captured: CaptureTime | None = None
    camera: Camera = UNKNOWN
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What a model needs of a decoded image, and what its file says about it.

    Attributes:
        pixels: `(3, h, w)`, resized and cropped for the model.
        thumbnail: The whole image in gray levels.
        width: Of the full image, upright, in pixels.
        height: Of the full image, upright, in pixels.
        format: As Pillow names it, or RAW.
        captured: When the photo was taken, if the file says so.
        camera: What it was taken with.
        notes: What is not as usual about the image, as `KIND` or `KIND: MORE`.
    """

    pixels: Pixels
    thumbnail: bytes
    width: int
    height: int
    format: str
    captured: CaptureTime | None = None
    camera: Camera = UNKNOWN
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, decoded: Decoded, preprocess: Preprocess) -> "Prepared":
        """Return what a model with these settings needs of an image."""
        return cls(
            preprocess.pixels(decoded.image),
            gray_thumbnail(decoded.image),
            decoded.width,
            decoded.height,
            decoded.format,
            decoded.captured,
            decoded.camera,
            decoded.notes,
        )
