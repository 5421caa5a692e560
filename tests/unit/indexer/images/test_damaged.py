"""Damaged and unusual files of which a browser shows something."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from indexer.errors import ImageError
from indexer.images.decode import Limits, decode
from support.images import array, p3_profile, saved

WIDTH, HEIGHT = 160, 120
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Smooth enough for a JPEG, and different in each row."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    grain = np.random.default_rng(0).integers(0, 20, (HEIGHT, WIDTH))
    colors = np.stack([2 * down, across, 40 + down + grain], axis=-1)
    return Image.fromarray(colors.astype(np.uint8))


def truth(data: bytes) -> np.ndarray:
    return array(Image.open(BytesIO(data)).convert("RGB"))


def chunk(kind: bytes, payload: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(kind)) ^ wrong
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def with_chunk(data: bytes, added: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    end = len(SIGNATURE) + 25
    return data[:end] + added + data[end:]


def interlaced(image: Image.Image) -> bytes:
    """An interlaced PNG, which Pillow does not write."""
    pixels = np.asarray(image.convert("RGB"))
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2))  # fmt: skip
    raw = b"".join(
        b"\0" + line.tobytes()
        for left, top, across, down in passes
        for line in pixels[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 0)) + chunk(b"IEND", b"")
    return SIGNATURE + body


# -- PNG: side chunks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "added",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 2_000_000)),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(b"y" * 2_000_000)),
        chunk(b"zTXt", b"method\0\x84" + zlib.compress(b"x")),
        chunk(b"tEXt", b"Comment\0hello", wrong=True),
        chunk(b"pHYs", b"\0" * 9, wrong=True),
        chunk(b"gAMA", b"\0\0"),
        chunk(b"iCCP", b"odd\0\1" + zlib.compress(b"profile")),
        chunk(b"iCCP", b"huge\0\0" + zlib.compress(b"z" * 2_000_000)),
        chunk(b"iCCP", b"cut\0\0" + zlib.compress(b"z" * 2000)[:20], wrong=True),
    ],
)
def test_side_chunks_do_not_cost_the_image(photo: Image.Image, added: bytes) -> None:
    data = saved(photo, "PNG")
    decoded = decode(with_chunk(data, added), Limits())
    assert np.array_equal(array(decoded.image), array(photo))
    assert decoded.notes == ()


def test_what_matters_beside_a_bad_chunk_is_kept(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<a xmp:CreateDate="2024-07-14"/>', zip=True)
    good = saved(photo, "PNG", icc_profile=p3_profile(), exif=exif, pnginfo=text)
    expected = decode(good, Limits())
    bad = with_chunk(good, chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 2_000_000)))
    found = decode(bad, Limits())
    assert (found.width, found.height) == (HEIGHT, WIDTH)
    assert np.array_equal(array(found.image), array(expected.image))
    assert found.captured == expected.captured is not None


def test_transparency_beside_a_bad_chunk_is_kept(photo: Image.Image) -> None:
    palette = photo.quantize(8)
    good = saved(palette, "PNG", transparency=bytes([0] * 8))
    bad = with_chunk(good, chunk(b"tEXt", b"Comment\0hello", wrong=True))
    assert (array(decode(bad, Limits()).image) == 255).all()


# -- PNG: pixels -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "1", "P"])
def test_a_cut_png_shows_its_upper_part(photo: Image.Image, mode: str) -> None:
    data = saved(photo.convert(mode), "PNG")
    whole = truth(data)
    decoded = decode(data[: len(data) * 2 // 3], Limits())
    assert (decoded.width, decoded.height) == photo.size
    (note,) = decoded.notes
    assert note.startswith("partly readable: ")
    found = array(decoded.image)
    rows = int(np.argmin((found == whole).all(axis=(1, 2)))) if mode != "1" else HEIGHT // 8
    assert rows > HEIGHT // 10
    assert np.array_equal(found[:rows], whole[:rows])
    if mode == "RGB":
        assert (found[rows:] == 255).all()


def test_a_wrong_checksum_of_the_pixels_is_no_loss(photo: Image.Image) -> None:
    data = bytearray(saved(photo, "PNG"))
    end = data.rindex(b"IEND") - 4
    data[end - 8 : end - 4] = b"\1\2\3\4"  # Adler-32, at the end of the last IDAT
    assert np.array_equal(array(decode(bytes(data), Limits()).image), array(photo))


@pytest.mark.parametrize(("share", "step"), [(0.2, 4), (0.4, 2), (0.7, 2)])
def test_a_cut_interlaced_png_is_coarse(photo: Image.Image, share: float, step: int) -> None:
    data = interlaced(photo)
    assert np.array_equal(array(decode(data, Limits()).image), array(photo))
    decoded = decode(data[: int(share * len(data))], Limits())
    assert decoded.notes[0].startswith("partly readable: coarse")
    found = array(decoded.image)
    assert np.array_equal(found[::step, ::step], array(photo)[::step, ::step])
    assert np.abs(found - array(photo)).mean() < 16


def test_the_start_of_an_interlaced_png_is_coarse_and_cut(photo: Image.Image) -> None:
    data = interlaced(photo)
    decoded = decode(data[: int(0.01 * len(data))], Limits())
    (note,) = decoded.notes
    assert note.endswith("% is missing")
    found = array(decoded.image)
    known = ~(found == 255).all(axis=(1, 2))
    assert HEIGHT // 4 < known.sum() < HEIGHT
    assert np.array_equal(found[known][::8, ::8], array(photo)[known][::8, ::8])


# -- JPEG --------------------------------------------------------------------------------------


def test_a_jpeg_without_its_end_is_whole(photo: Image.Image) -> None:
    data = saved(photo, "JPEG", quality=90)
    decoded = decode(data[:-2], Limits())
    assert np.array_equal(array(decoded.image), truth(data))
    assert decoded.notes == ()


@pytest.mark.parametrize("at_least", [None, (16, 16)])
def test_a_cut_jpeg_shows_its_upper_part(
    photo: Image.Image, at_least: tuple[int, int] | None
) -> None:
    data = saved(photo, "JPEG", quality=90)
    expected = array(decode(data, Limits(), at_least=at_least).image)
    decoded = decode(data[: len(data) // 2], Limits(), at_least=at_least)
    assert (decoded.width, decoded.height) == photo.size
    assert decoded.notes[0].startswith("partly readable: ")
    found = array(decoded.image)
    quarter = len(found) // 4
    assert np.array_equal(found[:quarter], expected[:quarter])
    assert (found[-quarter:] == 255).all()


def test_a_cut_progressive_jpeg_is_coarse(photo: Image.Image) -> None:
    data = saved(photo, "JPEG", quality=90, progressive=True)
    decoded = decode(data[: len(data) // 2], Limits())
    assert decoded.notes == ("partly readable: its end is missing",)
    assert np.abs(array(decoded.image) - array(photo)).mean() < 12


@pytest.mark.parametrize("damage", ["zeroed", "one percent", "stray marker", "cut segment"])
def test_what_libjpeg_survives_is_indexed(photo: Image.Image, damage: str) -> None:
    data = saved(photo, "JPEG", quality=90)
    cut = int(0.99 * len(data))
    broken = {
        "zeroed": data[:cut] + b"\0" * (len(data) - cut),
        "one percent": data[:cut],
        "stray marker": data[:cut] + b"\xff\xd8\xff" + data[cut + 3 :],
        "cut segment": data[:cut] + b"\xff\xe1\xff\xff",
    }[damage]
    found = array(decode(broken, Limits()).image)
    upper = HEIGHT * 8 // 10
    assert np.array_equal(found[:upper], truth(data)[:upper])


def test_broken_side_segments_do_not_cost_a_jpeg(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = saved(photo, "JPEG", quality=90, exif=exif)
    short = b"\xff\xe0\x00\x07JFIF\0"  # ends before its version
    broken = data[:2] + short + data[2:]
    turned = truth(data)[::-1, ::-1]
    assert np.array_equal(array(decode(broken, Limits()).image), turned)
    worse = data[:2] + short + b"\xff\xe1\x00\x02" + b"\xff\xe2\x00\x10ICC_PROFILE\0\1" + data[2:]
    assert decode(worse, Limits()).width == WIDTH


# -- other formats, and too little -------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "options"), [("GIF", {}), ("GIF", {"interlace": 0}), ("BMP", {}), ("PPM", {})]
)
def test_other_cut_files_show_a_part(
    photo: Image.Image, format_name: str, options: dict[str, int]
) -> None:
    data = saved(photo, format_name, **options)
    decoded = decode(data[: len(data) * 2 // 3], Limits())
    assert decoded.notes[0].startswith("partly readable: ")
    same = np.abs(array(decoded.image) - truth(data)).max(axis=2) <= (24 if options == {} else 0)
    assert same.mean() > 0.5


def test_a_small_cut_gif_is_read_to_its_last_byte() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 20), dtype=np.uint8))
    data = saved(image, "GIF", interlace=0)
    decoded = decode(data[:-60], Limits())  # its only block has 255 bytes
    assert decoded.notes[0].startswith("partly readable: ")
    assert np.array_equal(array(decoded.image)[:6], truth(data)[:6])


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "BMP", "PPM"])
def test_hardly_anything_is_a_failure(photo: Image.Image, format_name: str) -> None:
    data = saved(photo, format_name)
    start = {"JPEG": data.find(b"\xff\xda") + 14, "PNG": 60, "GIF": 800, "BMP": 60, "PPM": 20}
    with pytest.raises(ImageError, match="damaged: "):
        decode(data[: start[format_name]], Limits())


def test_the_limit_holds_for_damaged_files(photo: Image.Image) -> None:
    lie = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    png = SIGNATURE + chunk(b"IHDR", lie) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    with pytest.raises(ImageError, match="--max-pixels"):
        decode(png, Limits())
    with pytest.raises(ImageError, match="--max-pixels"):
        decode(saved(photo, "JPEG")[:-500], Limits(max_pixels=1000))


def test_pillow_stays_as_strict_for_others(photo: Image.Image) -> None:
    data = saved(photo, "JPEG")
    decode(data[:-2], Limits())
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert PngImagePlugin.MAX_TEXT_CHUNK == ImageFile.SAFEBLOCK
    with pytest.raises(OSError, match="truncated"):
        Image.open(BytesIO(data[:-2])).load()
