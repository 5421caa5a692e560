"""HEIC, AVIF, JPEG 2000, PNM and RAW against what Pillow, pi-heif and rawpy make of them."""

import struct
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from indexer.errors import ImageError
from indexer.images.decode import Limits, decode
from indexer.images.formats import HEAD, is_image_name, looks_like_image
from support.images import (
    NAMES,
    WRITERS,
    array,
    dng,
    from_p3,
    heic,
    heif_truth,
    jp2_with_profile,
    jpeg,
    p3_profile,
    pgm16,
    saved,
    with_code_points,
)


@pytest.fixture(scope="module")
def photo(sample_photos: Path) -> Image.Image:
    return Image.open(sample_photos / "coffee.png").convert("RGB").crop((0, 0, 300, 200))


# -- the image itself ------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_each_format_is_what_pillow_makes_of_it(
    photo: Image.Image, format_name: str, mode: str
) -> None:
    data = WRITERS[format_name](photo.convert(mode))
    decoded = decode(data, Limits())
    assert decoded.format == format_name
    assert (decoded.width, decoded.height) == photo.size
    truth = Image.open(BytesIO(data)).convert("RGB")
    assert np.array_equal(array(decoded.image), array(truth))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_heic_is_what_pi_heif_makes_of_it(photo: Image.Image, mode: str) -> None:
    data = heic(photo.convert(mode))
    decoded = decode(data, Limits())
    assert decoded.format == "HEIF"
    assert np.array_equal(array(decoded.image), array(heif_truth(data).convert("RGB")))
    assert np.abs(array(decoded.image) - array(photo.convert(mode).convert("RGB"))).mean() < 3


def test_a_ten_bit_heic_is_the_eight_bit_image(photo: Image.Image) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    wide = (np.asarray(photo).astype("<u2") << 8).tobytes()
    buffer = BytesIO()
    pillow_heif.from_bytes("RGB;16", photo.size, wide).save(buffer, quality=95)
    assert heif_truth(buffer.getvalue()).info["bit_depth"] == 10
    decoded = decode(buffer.getvalue(), Limits()).image
    assert np.abs(array(decoded) - array(photo)).mean() < 3


def test_sixteen_bit_pnm_and_jpeg2000_keep_their_scale(photo: Image.Image) -> None:
    wide = np.asarray(photo).astype(np.uint16) * 257
    assert np.array_equal(array(decode(pgm16(wide), Limits()).image), array(photo))
    grey = wide[:, :, 1]
    for data in (pgm16(grey), saved(Image.fromarray(grey), "JPEG2000")):
        decoded = array(decode(data, Limits()).image)
        assert np.abs(decoded[:, :, 0] - (grey >> 8).astype(np.int16)).max() <= 1


@pytest.mark.parametrize("format_name", ["JPEG2000", "AVIF", "HEIF"])
def test_alpha_is_laid_on_white(photo: Image.Image, format_name: str) -> None:
    image = photo.copy()
    mask = Image.new("L", photo.size, 255)
    mask.paste(0, (0, 0, 150, 200))
    image.putalpha(mask)
    decoded = array(decode(WRITERS[format_name](image), Limits()).image)
    assert (decoded[:, :140] >= 253).all()
    assert np.abs(decoded[:, 160:] - array(photo)[:, 160:]).mean() < 5


def test_a_jpeg2000_in_luma_and_chroma_is_brought_to_rgb(photo: Image.Image) -> None:
    data = saved(photo.convert("YCbCr"), "JPEG2000", mct=0)
    truth = Image.open(BytesIO(data))
    decoded = array(decode(data, Limits()).image)
    assert np.array_equal(decoded, array(truth.convert("RGB")))
    assert np.abs(decoded - array(photo)).mean() < 3


def test_raw_preview_or_development(photo: Image.Image) -> None:
    preview = jpeg(photo.resize((240, 160)))
    decoded = decode(dng(photo), Limits(), name=b"IMG_1.DNG")
    assert (decoded.format, decoded.width, decoded.height) == ("RAW", *photo.size)
    assert np.array_equal(array(decoded.image), array(Image.open(BytesIO(preview))))
    developed = decode(dng(photo, preview=None), Limits(), name=b"IMG_1.DNG").image
    assert developed.size == (150, 100)
    assert np.abs(array(developed) - array(photo.resize((150, 100)))).mean() < 20


def test_a_raw_is_developed_when_its_preview_is_a_stamp(photo: Image.Image) -> None:
    stamp = photo.resize((60, 40))
    data = dng(photo, preview=jpeg(stamp), preview_size=stamp.size)
    assert decode(data, Limits(), at_least=(224, 224), name=b"a.dng").image.size == (150, 100)
    assert decode(data, Limits(), at_least=(32, 32), name=b"a.dng").image.size == (60, 40)


def test_raw_extensions_do_not_decide(photo: Image.Image) -> None:
    assert decode(saved(photo, "TIFF"), Limits(), name=b"scan.tif").format == "TIFF"
    assert decode(jpeg(photo), Limits(), name=b"odd.nef").format == "JPEG"


# -- orientation -------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_as_pillow_turns_it(photo: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo, "AVIF", exif=exif)
    truth = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    decoded = decode(data, Limits())
    assert (decoded.width, decoded.height) == truth.size
    assert np.array_equal(array(decoded.image), array(truth))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(photo: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = heic(photo, exif=exif.tobytes())
    assert b"irot" in data or b"imir" in data or orientation == 1
    assert exif.tobytes()[6:] in data
    decoded = decode(data, Limits())
    stored = photo.copy()
    stored.getexif()[0x0112] = orientation
    truth = ImageOps.exif_transpose(stored)
    assert (decoded.width, decoded.height) == truth.size
    assert np.abs(array(decoded.image) - array(truth)).mean() < 3


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("says_itself", [True, False])
def test_a_raws_preview_is_turned_once(
    photo: Image.Image, orientation: int, says_itself: bool
) -> None:
    exif = Image.Exif()
    if says_itself:
        exif[0x0112] = orientation
    preview = photo.resize((240, 160))
    preview_data = jpeg(preview, exif=exif)
    data = dng(photo, preview=preview_data, orientation=orientation)
    stored = Image.open(BytesIO(preview_data))
    stored.getexif()[0x0112] = orientation
    truth = ImageOps.exif_transpose(stored)
    decoded = decode(data, Limits(), name=b"a.dng")
    assert np.array_equal(array(decoded.image), array(truth))
    assert (decoded.width > decoded.height) == (truth.width > truth.height)
    developed = decode(dng(photo, preview=None, orientation=orientation), Limits(), name=b"a.dng")
    assert (developed.image.width > developed.image.height) == (truth.width > truth.height)


# -- colour ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000"])
def test_a_wide_gamut_profile_is_applied(photo: Image.Image, format_name: str) -> None:
    profile = p3_profile()
    if format_name == "HEIF":
        tagged = photo.copy()
        tagged.info["icc_profile"] = profile
        data = heic(tagged, quality=-1, chroma=444)
        plain = heif_truth(data)
    elif format_name == "JPEG2000":
        data = jp2_with_profile(saved(photo, "JPEG2000"), profile)
        plain = Image.open(BytesIO(data))
    else:
        options = {"lossless": True} if format_name == "WEBP" else {}
        data = saved(photo, format_name, icc_profile=profile, **options)
        plain = Image.open(BytesIO(data))
    decoded = array(decode(data, Limits()).image)
    # lcms interpolates in 8 bits; arithmetic does not.
    assert np.abs(decoded - from_p3(plain)).max() <= 2
    assert np.abs(decoded - array(plain.convert("RGB"))).mean() > 1
    truth = ImageCms.profileToProfile(
        plain.convert("RGB"), BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert truth is not None
    assert np.array_equal(decoded, array(truth))


@pytest.mark.parametrize("format_name", ["AVIF", "HEIF"])
def test_cicp_is_applied_without_a_profile(photo: Image.Image, format_name: str) -> None:
    srgb = saved(photo, "AVIF") if format_name == "AVIF" else heic(photo)
    plain = Image.open(BytesIO(srgb)) if format_name == "AVIF" else heif_truth(srgb)
    assert np.array_equal(array(decode(srgb, Limits()).image), array(plain))
    decoded = array(decode(with_code_points(srgb, 12, 13), Limits()).image)
    assert np.abs(decoded - from_p3(plain)).max() <= 2


def test_a_profile_counts_before_code_points(photo: Image.Image) -> None:
    data = saved(photo, "AVIF", icc_profile=ImageCms.ImageCmsProfile(
        ImageCms.createProfile("sRGB")).tobytes())  # fmt: skip
    changed = with_code_points(data, 12, 13)
    plain = Image.open(BytesIO(changed))
    assert np.array_equal(array(decode(changed, Limits()).image), array(plain))


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.5806888810416109), (18, 0.75)])
def test_high_dynamic_range_is_cut_at_reference_white(transfer: int, white: float) -> None:
    # 203 nits in PQ, and three quarters of HLG, are white in ordinary images (BT.2408).
    for level, expected in ((white, 255), (1.0, 255), (0.0, 0)):
        grey = Image.new("RGB", (8, 8), (round(255 * level),) * 3)
        data = with_code_points(saved(grey, "AVIF", quality=100), 9, transfer)
        assert np.abs(array(decode(data, Limits()).image) - expected).max() <= 3


# -- limits, damage, threads -------------------------------------------------------------------


@pytest.mark.parametrize("format_name", WRITERS)
def test_pixel_limit_of_each_format(
    photo: Image.Image, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = WRITERS[format_name](photo)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("indexer.images.decode_here.to_srgb", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"300 x 200 pixels .*--max-pixels"):
        decode(data, Limits(max_pixels=1000), name=NAMES.get(format_name, b""))


@pytest.mark.parametrize(
    ("format_name", "box"),
    [("JPEG2000", b"ihdr"), ("HEIF", b"ispe\0\0\0\0"), ("AVIF", b"ispe\0\0\0\0")],
)
def test_pixel_limit_with_a_false_header(photo: Image.Image, format_name: str, box: bytes) -> None:
    data = WRITERS[format_name](photo.resize((1500, 1000)))
    at = data.index(box) + len(box)
    lie = data[:at] + struct.pack(">II", 10, 10) + data[at + 8 :]
    try:
        decoded = decode(lie, Limits(max_pixels=1000))
    except ImageError:
        return
    assert decoded.image.size == (10, 10)


@pytest.mark.parametrize("format_name", sorted(set(WRITERS) - {"PPM"}))
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_cut_file_is_refused_with_a_reason(
    photo: Image.Image, format_name: str, share: float
) -> None:
    data = WRITERS[format_name](photo)
    with pytest.raises(ImageError, match=r"damaged: \S|not an image|a damaged RAW"):
        decode(data[: int(share * len(data))], Limits(), name=NAMES.get(format_name, b""))


@pytest.mark.parametrize("format_name", WRITERS)
def test_damaged_files_are_errors_or_images(photo: Image.Image, format_name: str) -> None:
    data = WRITERS[format_name](photo.resize((120, 80)))
    random = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(data)
        for at in random.integers(0, min(len(data), 2000), size=6):
            broken[at] = random.integers(0, 256)
        try:
            decoded = decode(bytes(broken), Limits(max_pixels=10**6), name=b"x.dng")
        except ImageError:
            continue
        assert decoded.image.mode == "RGB"


@pytest.mark.parametrize("format_name", WRITERS)
def test_threads_decode_the_same_image(photo: Image.Image, format_name: str) -> None:
    files = [WRITERS[format_name](photo.rotate(angle)) for angle in range(0, 360, 45)]
    name = NAMES.get(format_name, b"")
    alone = [array(decode(data, Limits(), name=name).image) for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: decode(data, Limits(), name=name), files * 6))
    for number, decoded in enumerate(together):
        assert np.array_equal(array(decoded.image), alone[number % len(files)])


# -- what the first bytes say ------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *WRITERS])
def test_each_format_is_recognized_by_its_first_bytes(format_name: str) -> None:
    image = Image.new("RGB", (300, 200), "orange")
    data = WRITERS[format_name](image) if format_name in WRITERS else saved(image, format_name)
    assert looks_like_image(data[:HEAD])


@pytest.mark.parametrize(
    "head",
    [
        b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0", b"MM\0*\0\0\0\x08", b"\xff\x4f\xff\x51\0",
        b"P1\n# made by hand\n3 2\n", b"P6 640 480 255\n", b"P5\r\n12 7\n255\n", b"Pf\n3 2\n-1.0\n",
        b"BM" + b"\0" * 12 + b"\x7c\0\0\0", b"II\x1a\0\0\0HEAPCCDR", b"FUJIFILMCCD-RAW 0201",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif",
    ],
)  # fmt: skip
def test_rarer_beginnings_are_recognized(head: bytes) -> None:
    assert looks_like_image(head)


@pytest.mark.parametrize(
    "head",
    [
        b"", b"B", b"P", b"BMW and other cars, a list of prices", b"P1 is the first of the parts",
        b"P2 4 you", b"Pf", b"PK\3\4zip", b"%PDF-1.7", b"RIFF\0\0\0\0WAVEfmt ", b"#!/bin/sh\n",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42", b"8BPS\0\1", b"<svg xmlns=", b"II and III",
        b"GIF for short", b"MM\0",
    ],
)  # fmt: skip
def test_other_files_are_not_taken_for_images(head: bytes) -> None:
    assert not looks_like_image(head)


def test_names_that_browsers_and_sites_give_count() -> None:
    for name in (b"a.jpg_large", b"B.PJPEG", b"c.jfif", b"d.jpe", b"e.btf", b"f.jpg_orig"):
        assert is_image_name(name)


@pytest.mark.parametrize("name", [b"", b"IMG_1", b"a.tif", b"a.jpg"])
def test_a_raw_is_read_as_one_whatever_its_name(photo: Image.Image, name: bytes) -> None:
    data = dng(photo.resize((300, 200)))
    assert decode(data, Limits(), name=name).format == "RAW"
    assert decode(saved(photo, "TIFF"), Limits(), name=name).format == "TIFF"
