import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from indexer.errors import ImageError
from indexer.images.decode import Limits, decode, read_file
from indexer.images.decode_here import decode_here
from support.images import dng


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.fixture
def photo(sample_photos: Path) -> Image.Image:
    return Image.open(sample_photos / "coffee.png").convert("RGB")


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG"])
def test_each_format_is_what_pillow_makes_of_it(photo: Image.Image, format_name: str) -> None:
    data = encoded(photo, format_name)
    decoded = decode(data, Limits())
    assert decoded.format == format_name
    assert (decoded.width, decoded.height) == photo.size
    assert np.array_equal(array(decoded.image), array(Image.open(BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(photo: Image.Image, orientation: int, format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo, format_name, exif=exif)
    truth = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    decoded = decode(data, Limits())
    assert (decoded.width, decoded.height) == truth.size
    assert np.array_equal(array(decoded.image), array(truth.convert("RGB")))


def test_grey_palette_and_one_bit_images_become_rgb(photo: Image.Image) -> None:
    for mode in ("L", "P", "1"):
        image = photo.convert(mode)
        decoded = decode(encoded(image, "PNG"), Limits()).image
        assert decoded.mode == "RGB"
        assert np.array_equal(array(decoded), array(image.convert("RGB")))


def test_alpha_is_laid_on_white() -> None:
    image = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 20, 40))
    decoded = decode(encoded(image, "PNG"), Limits()).image
    assert decoded.getpixel((5, 5)) == (0, 0, 200)
    assert decoded.getpixel((35, 5)) == (255, 255, 255)
    palette = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    transparent = palette.getpixel((35, 5))
    decoded = decode(encoded(palette, "PNG", transparency=transparent), Limits()).image
    assert decoded.getpixel((35, 5)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_scale() -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)[np.newaxis].repeat(8, axis=0)
    decoded = array(decode(encoded(Image.fromarray(ramp), "PNG"), Limits()).image)
    assert np.array_equal(decoded[0, :, 0], ramp[0] >> 8)


def test_float_images_are_stretched_between_their_extremes() -> None:
    values = np.linspace(-3.0, 5.0, 64, dtype=np.float32).reshape(8, 8)
    decoded = array(decode(encoded(Image.fromarray(values), "TIFF"), Limits()).image)
    assert decoded.min() == 0
    assert decoded.max() == 255


def test_cmyk_is_converted_as_pillow_does(photo: Image.Image) -> None:
    data = encoded(photo.convert("CMYK"), "JPEG", quality=95)
    truth = array(Image.open(BytesIO(data)).convert("RGB"))
    assert np.array_equal(array(decode(data, Limits()).image), truth)


def test_embedded_profiles_are_applied(photo: Image.Image) -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    in_lab = ImageCms.profileToProfile(photo, srgb, lab, outputMode="LAB")
    profile = ImageCms.ImageCmsProfile(lab).tobytes()
    decoded = array(decode(encoded(in_lab, "TIFF", icc_profile=profile), Limits()).image)
    assert np.abs(decoded - array(photo)).mean() < 2
    broken = encoded(photo, "PNG", icc_profile=b"no profile at all")
    assert np.array_equal(array(decode(broken, Limits()).image), array(photo))


def test_large_jpegs_are_decoded_at_reduced_scale(
    photo: Image.Image,
) -> None:
    for size, reduced in (((3000, 2240), (750, 560)), ((3000, 2200), (1500, 1100))):
        decoded = decode(encoded(photo.resize(size), "JPEG"), Limits(), at_least=(224, 224))
        assert (decoded.width, decoded.height) == size
        assert decoded.image.size == reduced


def test_the_first_frame_stands_for_an_animation() -> None:
    frames = [Image.new("RGB", (30, 30), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, Limits()).image.getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is text\n" * 9, "not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "damaged|not an image"),
    ],
)
def test_undecodable_files_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(data, Limits())


def test_the_limits_name_themselves_and_their_flags(photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"600 x 400 pixels .*--max-pixels"):
        decode(encoded(photo, "PNG"), Limits(max_pixels=1000))
    file = tmp_path / "big.jpg"
    file.write_bytes(b"x" * 3_000_000)
    with pytest.raises(ImageError, match=r"3 MiB .*--max-bytes"):
        read_file(str(file).encode(), Limits(max_bytes=2_000_000))


def test_without_rawpy_a_raw_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dng(Image.new("RGB", (300, 200), "orange"))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(ImageError, match=r"pip install 'clipdex\[raw\]'"):
        decode_here(data, Limits(), lambda *_: None, name=b"a.dng")
