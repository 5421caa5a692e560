"""Reads which camera and lens a photo was taken with from its EXIF block.

Source: CIPA DC-008 (Exif 2.32), sections 4.6.4 and 4.6.8.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .capture_time import EXIF_IFD
from .lines import MAX_LENGTH, line_of

if TYPE_CHECKING:
    from PIL import Image

MAKE, MODEL, LENS = 0x010F, 0x0110, 0xA434


@dataclass(frozen=True)
class Camera:
    """What a photo was taken with, as the file says; empty where it does not.

    Attributes:
        body: The maker and the model.
        lens: The lens.
    """

    body: str = ""
    lens: str = ""


UNKNOWN = Camera()


def camera_of(image: "Image.Image") -> Camera:
    """Return what an opened image was taken with."""
    try:
        return camera_of_exif(image.getexif())
    except Exception:  # an image with a broken EXIF block is still worth indexing
        return UNKNOWN


def camera_of_exif(exif: "Image.Exif") -> Camera:
    """Return what EXIF says a photo was taken with."""
    return Camera(body_of(exif) or "", lens_of(exif) or "")


def body_of(exif: "Image.Exif") -> str | None:
    """Return the maker and the model that EXIF names, such as "Canon EOS 80D"."""
    maker, model = line_of(exif.get(MAKE)), line_of(exif.get(MODEL))
    if maker is None or model is None:
        return model or maker
    # "Canon" makes the "Canon EOS 80D", and "NIKON CORPORATION" the "NIKON D90".
    named = model.casefold().startswith(maker.split()[0].casefold())
    return model if named else f"{maker} {model}"[:MAX_LENGTH]


def lens_of(exif: "Image.Exif") -> str | None:
    """Return the lens that EXIF names."""
    return line_of(exif.get_ifd(EXIF_IFD).get(LENS))
