"""Images of each format as bytes, and what others make of them."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.images.cicp import profile_of
from support.dng import make_dng

# Linear Display P3 to linear sRGB, from the published primaries (W3C, CSS Color 4, section 18).
P3_TO_SRGB = np.array(
    [
        [1.2249401762805598, -0.22494017628055996, 0.0],
        [-0.04205695470968816, 1.0420569547096881, 0.0],
        [-0.019637554590334432, -0.07863604555063188, 1.0982736001409663],
    ]
)


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def heic(image: Image.Image, *, exif: bytes | None = None, **options: object) -> bytes:
    """exif: kept as it is; the orientation in it is written as HEIC's own rotation, too."""
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    file = pillow_heif.from_pillow(image)
    file[0].info["exif"] = exif
    file.save(buffer, **{"quality": 90, **options})
    return buffer.getvalue()


def heif_truth(data: bytes) -> Image.Image:
    pi_heif = pytest.importorskip("pi_heif")
    return pi_heif.open_heif(BytesIO(data)).to_pillow()


def from_p3(image: Image.Image) -> np.ndarray:
    """Display P3 code values as sRGB's, by arithmetic."""
    code = np.asarray(image) / 255.0
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ P3_TO_SRGB.T, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb).astype(np.int16)


def p3_profile() -> bytes:
    profile = profile_of(12, 13)
    assert profile is not None
    return profile


def with_code_points(data: bytes, primaries: int, transfer: int) -> bytes:
    at = data.index(b"nclx")
    return data[: at + 4] + struct.pack(">HH", primaries, transfer) + data[at + 8 :]


def jp2_with_profile(data: bytes, profile: bytes) -> bytes:
    """A JPEG 2000 whose `colr` box carries an ICC profile instead of a number."""
    box = data.index(b"colr") - 4
    size = struct.unpack_from(">I", data, box)[0]
    colour = b"colr\x02\0\0" + profile
    colour = struct.pack(">I", len(colour) + 4) + colour
    head = data.index(b"jp2h") - 4
    length = struct.unpack_from(">I", data, head)[0] + len(colour) - size
    changed = data[:box] + colour + data[box + size :]
    return changed[:head] + struct.pack(">I", length) + changed[head + 4 :]


def pgm16(values: np.ndarray) -> bytes:
    height, width = values.shape[:2]
    kind = b"P6" if values.ndim == 3 else b"P5"
    return b"%s\n%d %d\n65535\n" % (kind, width, height) + values.astype(">u2").tobytes()


def jpeg(image: Image.Image, **options: object) -> bytes:
    return saved(image, "JPEG", quality=95, **options)


def dng(image: Image.Image, **options: object) -> bytes:
    pytest.importorskip("rawpy")
    preview = image.resize((240, 160))
    return make_dng(
        image, **{"preview": jpeg(preview), "preview_size": preview.size, **options}  # type: ignore[arg-type]
    )  # fmt: skip


WRITERS = {
    "HEIF": heic,
    "AVIF": lambda image: saved(image, "AVIF"),
    "JPEG2000": lambda image: saved(image, "JPEG2000"),
    "PPM": lambda image: saved(image, "PPM"),
    "RAW": dng,
}
NAMES = {"RAW": b"x.dng"}


def make_photo(path: Path, seed: int, size: tuple[int, int] = (96, 72)) -> Path:
    """An image of colours and shapes that differs with the seed."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, size=(4, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC).save(path)
    return path
