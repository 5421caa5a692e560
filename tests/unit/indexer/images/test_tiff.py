"""TIFFs as microscopes and scanners write them, against the values that went in."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from indexer.errors import ImageError
from indexer.images.decode import Decoded, Limits, decode
from indexer.images.metadata.capture_time import CaptureTime
from support.images import array, p3_profile, saved

HEIGHT, WIDTH = 48, 64
DOWN, ACROSS = np.mgrid[0:HEIGHT, 0:WIDTH]
RAMP = (DOWN * WIDTH + ACROSS) / (HEIGHT * WIDTH - 1)  # 0 to 1, brighter downwards
COLORS = np.stack([RAMP, 1 - RAMP, RAMP[:, ::-1]], axis=-1)


def written(values: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(buffer, values, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def lzw(values: np.ndarray) -> bytes:
    """The strip that libtiff makes of values `(h, w)` or `(h, w, n)` of 16 or 8 bits."""
    buffer = BytesIO()
    lines = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    Image.fromarray(lines).save(buffer, "TIFF", compression="tiff_lzw", strip_size=2**30)
    page = tifffile.TiffFile(BytesIO(buffer.getvalue())).pages.first
    assert len(page.dataoffsets) == 1
    at, count = page.dataoffsets[0], page.databytecounts[0]
    return buffer.getvalue()[at : at + count]


def put_together(strips: list[bytes], tags: dict[int, tuple[int, ...]]) -> bytes:
    """A little-endian TIFF of these strips, each one for a plane or all of the image."""
    sizes = tuple(len(strip) for strip in strips)
    tags = {256: (WIDTH,), 257: (HEIGHT,), 273: sizes, 278: (HEIGHT,), 279: sizes, **tags}
    kinds = {tag: "I" if tag in (273, 279) else "H" for tag in tags}
    beyond = 8 + 2 + 12 * len(tags) + 4
    long = {tag: struct.calcsize(f"{len(tags[tag])}{kinds[tag]}") for tag in tags}
    at = beyond + sum(size for size in long.values() if size > 4)
    tags[273] = tuple(at + sum(sizes[:number]) for number in range(len(sizes)))
    entries, values = b"", b""
    for tag in sorted(tags):
        packed = struct.pack(f"<{len(tags[tag])}{kinds[tag]}", *tags[tag])
        if len(packed) > 4:
            values, packed = values + packed, struct.pack("<I", beyond + len(values))
        kind = 4 if kinds[tag] == "I" else 3
        entries += struct.pack("<HHI", tag, kind, len(tags[tag])) + packed.ljust(4, b"\0")
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    return head + entries + b"\0" * 4 + values + b"".join(strips)


def assert_like(decoded: Decoded, expected: np.ndarray, *, within: float = 2) -> None:
    """expected: 0 to 1, gray `(h, w)` or colors `(h, w, 3)`."""
    if expected.ndim == 2:
        expected = expected[..., np.newaxis].repeat(3, axis=2)
    found = array(decoded.image)
    assert found.shape == expected.shape
    assert np.abs(found - 255 * expected).max() <= within


SCALES = [
    (np.uint16, 0, 65535), (np.uint16, 100, 4095), (np.int16, -3000, 2000),
    (np.uint32, 0, 2**32 - 1), (np.uint32, 2**31 - 9000, 2**31 + 9000), (np.int32, -(2**31), 0),
    (np.float32, -3.0, 5.0), (np.float32, 1e20, 1e30), (np.float64, 0.0, 0.001),
    (np.float16, 0, 1000), (np.uint64, 0, 2**64 - 2**40), (np.int8, -128, 127),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "low", "high"), SCALES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_deep_gray_keeps_its_sense_and_is_stretched(
    kind: type, low: float, high: float, order: str, photometric: str
) -> None:
    values = (low + RAMP.astype(np.longdouble) * (high - low)).astype(kind)
    data = written(values, byteorder=order, photometric=photometric)
    decoded = decode(data, Limits())
    assert_like(decoded, RAMP if photometric == "minisblack" else 1 - RAMP, within=4)
    shallow = kind is np.int8
    assert [note.partition(":")[0] for note in decoded.notes] == (
        [] if shallow else ["brightness stretched"]
    )


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_compressed_gray_keeps_its_sense(compression: str, white_is_zero: bool) -> None:
    image = Image.fromarray((65535 * RAMP).astype(np.uint16))
    data = saved(image, "TIFF", compression=compression, tiffinfo={262: 0 if white_is_zero else 1})
    found = array(decode(data, Limits()).image).mean(axis=2)
    assert (np.corrcoef(found.ravel(), RAMP.ravel())[0, 1] > 0) is not white_is_zero


def test_a_few_hot_pixels_do_not_darken_the_rest() -> None:
    values = (1000 * RAMP).astype(np.uint16)
    values[5, 5] = 65535
    found = array(decode(written(values), Limits()).image)
    assert found[-1, -1, 0] > 250
    assert found[HEIGHT // 2, 0, 0] == pytest.approx(127, abs=5)


def test_one_value_all_over_is_no_error() -> None:
    for value, kind in ((0, np.uint16), (65535, np.uint16), (np.nan, np.float32), (3, np.float32)):
        decode(written(np.full((HEIGHT, WIDTH), value, kind)), Limits())
    decode(written(np.full((HEIGHT, WIDTH, 3), np.inf, np.float32), photometric="rgb"), Limits())


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.float32])
def test_colors_keep_their_scale(planar: str, order: str, alpha: bool, kind: type) -> None:
    top = 1.0 if kind is np.float32 else float(np.iinfo(kind).max)
    values, expected = COLORS, COLORS
    options: dict[str, object] = {}
    if alpha:
        opaque = (ACROSS >= WIDTH // 2)[..., np.newaxis].astype(float)
        values = np.concatenate([COLORS, opaque], axis=-1)
        expected = COLORS * opaque + (1 - opaque)
        options["extrasamples"] = ["unassalpha"]
    values = (values * top).astype(kind)
    if planar == "separate":
        values = np.moveaxis(values, -1, 0)
    data = written(values, photometric="rgb", planarconfig=planar, byteorder=order, **options)
    decoded = decode(data, Limits())
    assert_like(decoded, expected)
    assert decoded.notes == ()


def test_nearly_black_colors_are_stretched() -> None:
    data = written((900 * COLORS).astype(np.uint16), photometric="rgb")
    decoded = decode(data, Limits())
    assert_like(decoded, COLORS, within=4)
    assert decoded.notes == ("brightness stretched: 16-bit values",)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_gray_with_alpha_is_laid_on_white(kind: type) -> None:
    opaque = (ACROSS >= WIDTH // 2).astype(float)
    values = (np.stack([RAMP, opaque], axis=-1) * np.iinfo(kind).max).astype(kind)
    data = written(values, planarconfig="contig", extrasamples=["unassalpha"])
    found = array(decode(data, Limits()).image)
    assert (found[:, : WIDTH // 2] == 255).all()
    assert np.abs(found[:, WIDTH // 2 :, 0] - 255 * RAMP[:, WIDTH // 2 :]).max() < 5


def test_cmyk_with_alpha() -> None:
    ink = np.concatenate([1 - COLORS, np.zeros((HEIGHT, WIDTH, 1))], axis=-1)
    opaque = (ACROSS >= WIDTH // 2)[..., np.newaxis].astype(float)
    values = (255 * np.concatenate([ink, opaque], axis=-1)).astype(np.uint8)
    data = written(
        values, photometric="separated", planarconfig="contig", extrasamples=["unassalpha"]
    )
    assert_like(decode(data, Limits()), COLORS * opaque + (1 - opaque), within=3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_bigtiff(order: str) -> None:
    data = written((255 * COLORS).astype(np.uint8), photometric="rgb", bigtiff=True,
                   byteorder=order)  # fmt: skip
    assert_like(decode(data, Limits()), COLORS)


def test_lzw_that_pillow_alone_and_tifffile_alone_cannot_read() -> None:
    planes = [(65535 * COLORS[..., band]).astype("<u2") for band in range(3)]
    tags = {258: (16,) * 3, 259: (5,), 262: (2,), 277: (3,), 284: (2,)}
    data = put_together([lzw(plane) for plane in planes], tags)
    assert_like(decode(data, Limits()), COLORS)
    steps = (65535 * np.stack([RAMP, np.ones_like(RAMP)], axis=-1)).astype("<u2")
    steps[:, 1:] -= steps[:, :-1].copy()  # a predictor, and alpha
    tags = {258: (16,) * 2, 259: (5,), 262: (1,), 277: (2,), 317: (2,), 338: (2,)}
    assert_like(decode(put_together([lzw(steps)], tags), Limits()), RAMP)


def test_floating_point_predictor() -> None:
    values = COLORS.astype(">f4").view(np.uint8).reshape(HEIGHT, WIDTH * 3, 4)
    apart = values.transpose(0, 2, 1).reshape(HEIGHT, -1, 3)
    apart[:, 1:] -= apart[:, :-1].copy()
    tags = {258: (32,) * 3, 259: (8,), 262: (2,), 277: (3,), 317: (3,), 339: (3,) * 3}
    data = put_together([zlib.compress(apart.tobytes())], tags)
    assert_like(decode(data, Limits()), COLORS)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_samples_of_odd_bits(bits: int) -> None:
    values = np.round(COLORS * (2**bits - 1)).astype(np.uint32).reshape(HEIGHT, -1)
    single = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    packed = np.packbits(single.reshape(HEIGHT, -1).astype(np.uint8), axis=1)
    tags = {258: (bits,) * 3, 259: (1,), 262: (2,), 277: (3,)}
    assert_like(decode(put_together([packed.tobytes()], tags), Limits()), COLORS)


def test_orientation_profile_and_date_are_kept() -> None:
    values = np.moveaxis((65535 * COLORS).astype(np.uint16), -1, 0)
    plain = written(values, photometric="rgb", planarconfig="separate")
    data = written(
        values, photometric="rgb", planarconfig="separate", iccprofile=p3_profile(),
        extratags=[(274, 3, 1, 6, True)], datetime="2024:07:14 12:30:05",
    )  # fmt: skip
    decoded = decode(data, Limits())
    assert (decoded.width, decoded.height) == (HEIGHT, WIDTH)
    assert decoded.captured == CaptureTime(1_720_960_205)
    whole = saved(decode(plain, Limits()).image.rotate(-90, expand=True), "PNG",
                  icc_profile=p3_profile())  # fmt: skip
    assert np.abs(array(decoded.image) - array(decode(whole, Limits()).image)).max() <= 2


def test_the_first_page_stands_for_a_stack_and_is_said_to() -> None:
    stack = np.stack([255 * RAMP, 255 - 255 * RAMP]).astype(np.uint8)
    decoded = decode(written(stack), Limits())
    assert_like(decoded, RAMP)
    assert decoded.notes == ("first page of several",)
    deep = decode(written(257 * stack.astype(np.uint16), byteorder=">"), Limits())
    assert_like(deep, RAMP)
    assert "first page of several" in deep.notes


def test_a_smaller_copy_is_not_another_page() -> None:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write((255 * RAMP).astype(np.uint8), metadata=None)
        writer.write((255 * RAMP[::2, ::2]).astype(np.uint8), subfiletype=1, metadata=None)
    assert decode(buffer.getvalue(), Limits()).notes == ()


def test_channels_that_are_not_colors() -> None:
    values = np.stack([RAMP, RAMP.T.reshape(RAMP.shape), 1 - RAMP, 0 * RAMP, RAMP], axis=0)
    decoded = decode(written((65535 * values).astype(np.uint16), planarconfig="separate"), Limits())
    assert_like(decoded, RAMP)
    assert "first channel of several" in decoded.notes


def test_colors_that_share_pixels_are_read_by_libtiff() -> None:
    """YCbCr without compression, 2 x 2 pixels a color: Pillow alone takes it as it lies."""
    photo = Image.fromarray((255 * COLORS).astype(np.uint8)).convert("YCbCr")
    luma, blue, red = (np.asarray(band) for band in photo.split())
    blocks = luma.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    shared = [band[::2, ::2].reshape(-1, 1) for band in (blue, red)]
    packed = np.concatenate([blocks, *shared], axis=1).astype(np.uint8).tobytes()
    tags = {258: (8,) * 3, 259: (1,), 262: (6,), 277: (3,), 530: (2, 2)}
    found = array(decode(put_together([packed], tags), Limits()).image)
    assert np.abs(found - 255 * COLORS).mean() < 6


# -- what is refused ---------------------------------------------------------------------------


def test_an_unknown_compression_is_named() -> None:
    tags = {258: (8,) * 3, 259: (50001,), 262: (2,), 277: (3,)}
    with pytest.raises(ImageError, match="WEBP compression.*convert it"):
        decode(put_together([b"RIFF" * 9], tags), Limits())


def test_limits_come_before_pixels() -> None:
    values = np.moveaxis((65535 * COLORS).astype(np.uint16), -1, 0)
    data = written(values, photometric="rgb", planarconfig="separate")
    with pytest.raises(ImageError, match="--max-pixels"):
        decode(data, Limits(max_pixels=1000))
    many = {258: (16,), 259: (1,), 262: (1,), 277: (60000,)}
    with pytest.raises(ImageError, match=r"60000 channels .*--max-pixels"):
        decode(put_together([b"x"], many), Limits(max_pixels=WIDTH * HEIGHT))


def test_a_strip_cannot_grow_beyond_its_pixels() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000)
    tags = {258: (16,) * 3, 259: (8,), 262: (2,), 277: (3,), 284: (2,)}
    with pytest.raises(ImageError, match="more than its pixels"):
        decode(put_together([bomb] * 3, tags), Limits())


def test_a_cut_tiff_is_partly_readable() -> None:
    values = (65535 * COLORS).astype("<u2")
    planes = [np.ascontiguousarray(values[..., band]).tobytes() for band in range(3)]
    tags = {258: (16,) * 3, 259: (1,), 262: (2,), 277: (3,), 284: (2,)}
    data = put_together(planes, tags)
    decoded = decode(data[: -len(planes[2]) // 2], Limits())
    assert decoded.notes == ("partly readable: 17 % is missing",)
    assert np.abs(array(decoded.image)[..., :2] - 255 * COLORS[..., :2]).max() <= 2
