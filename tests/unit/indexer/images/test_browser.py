"""Where browsers and Pillow differ on sound files, clipdex goes with the browsers."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from indexer.images.decode import Limits, decode
from support.images import array, from_p3, saved

SIGNATURE_AND_HEADER = 8 + 25
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def with_chunk(data: bytes, kind: bytes, payload: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind)))
    added = struct.pack(">I", len(payload)) + kind + payload + checksum
    return data[:SIGNATURE_AND_HEADER] + added + data[SIGNATURE_AND_HEADER:]


def gamma(data: bytes, exponent: float) -> bytes:
    return with_chunk(data, b"gAMA", struct.pack(">I", round(100_000 * exponent)))


def srgb_of_linear(light: np.ndarray) -> np.ndarray:
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb)


@pytest.fixture(scope="module")
def ramp() -> Image.Image:
    across = np.linspace(0, 255, 256).astype(np.uint8)
    return Image.fromarray(
        np.stack([across, across[::-1], across], axis=-1)[np.newaxis].repeat(8, 0)
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P"])
def test_the_gamma_of_a_png_is_applied(ramp: Image.Image, mode: str) -> None:
    image = ramp.convert("L").convert(mode) if mode in ("L", "LA") else ramp.convert(mode)
    plain = array(image.convert("RGB"))
    found = array(decode(gamma(saved(image, "PNG"), 1.0), Limits()).image)
    assert np.abs(found - srgb_of_linear(plain / 255)).max() <= 3
    for usual in (0.45455, 0.0):
        assert np.array_equal(
            array(decode(gamma(saved(image, "PNG"), usual), Limits()).image), plain
        )


def test_the_chromaticities_of_a_png_are_applied(ramp: Image.Image) -> None:
    points = struct.pack(">8I", *(round(100_000 * point) for point in P3))
    found = array(decode(with_chunk(saved(ramp, "PNG"), b"cHRM", points), Limits()).image)
    assert np.abs(found - from_p3(ramp)).max() <= 3
    for nonsense in (b"\0" * 32, b"\xff" * 32, struct.pack(">8I", *[31_270, 0] * 4)):
        data = with_chunk(saved(ramp, "PNG"), b"cHRM", nonsense)
        assert np.array_equal(array(decode(data, Limits()).image), array(ramp))


def test_code_points_of_a_png_are_applied(ramp: Image.Image) -> None:
    data = with_chunk(saved(ramp, "PNG"), b"cICP", bytes([12, 13, 0, 1]))
    assert np.abs(array(decode(data, Limits()).image) - from_p3(ramp)).max() <= 3


def test_what_stands_in_for_an_animation_is_not_shown() -> None:
    hidden, first, second = (Image.new("RGB", (20, 20), color) for color in ("red", "lime", "blue"))
    data = saved(hidden, "PNG", save_all=True, default_image=True, append_images=[first, second])
    assert decode(data, Limits()).image.getpixel((3, 3)) == (0, 255, 0)


def test_around_a_small_first_frame_a_gif_is_white() -> None:
    data = saved(Image.new("P", (10, 10), 1), "GIF", interlace=0)
    larger = data[:6] + struct.pack("<HH", 40, 30) + data[10:]
    assert Image.open(BytesIO(larger)).size == (40, 30)
    decoded = decode(larger, Limits())
    assert decoded.image.getpixel((20, 20)) == (255, 255, 255)
    assert decoded.image.getpixel((5, 5)) == decode(data, Limits()).image.getpixel((5, 5))


def test_sixteen_bit_gray_has_its_transparent_value() -> None:
    values = np.full((10, 10), 300, np.uint16)
    values[5:] = 40_000
    data = with_chunk(saved(Image.fromarray(values), "PNG"), b"tRNS", struct.pack(">H", 300))
    found = array(decode(data, Limits()).image)
    assert (found[:5] == 255).all()
    assert (found[5:] == 40_000 >> 8).all()
