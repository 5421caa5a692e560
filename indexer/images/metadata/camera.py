"""Reads which camera and lens a photo was taken with from its EXIF block.

Source: CIPA DC-008 (Exif 2.32), sections 4.6.4 and 4.6.8.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .capture_time import EXIF_IFD

if TYPE_CHECKING:
    from PIL import Image

MAKE, MODEL, LENS = 0x010F, 0x0110, 0xA434
# Longer names are cut.
MAX_NAME = 100
# What a name is free of: control characters, which files may hold, and runs of white space.
BETWEEN_WORDS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


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
    make, model = _name(exif.get(MAKE)), _name(exif.get(MODEL))
    # "Canon", "Canon EOS R6", but "NIKON CORPORATION", "NIKON Z 6" and "SONY", "ILCE-7M3".
    named = make and make.split()[0].lower() in model.lower().split()
    body = model if named else f"{make} {model}".strip()
    return Camera(body[:MAX_NAME], _name(exif.get_ifd(EXIF_IFD).get(LENS)))


def _name(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    text = value.encode("utf-8", "replace").decode()  # no lone surrogates
    return BETWEEN_WORDS.sub(" ", text).strip()[:MAX_NAME]
