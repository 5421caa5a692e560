from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from indexer import build
from indexer.images.capture_time import CaptureTime
from indexer.images.decode import Limits, decode
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from support.dng import make_dng

EPOCH = datetime(1970, 1, 1)
WHEN = datetime(2024, 7, 14, 12, 30, 5)
SECONDS = int((WHEN - EPOCH).total_seconds())
PHOTO = Image.new("RGB", (32, 24), (200, 120, 40))


def exif_of(dates: dict[int, object]) -> Image.Exif:
    """EXIF with these tags; 0x0132 (DateTime) lies in the first directory, all others below."""
    exif = Image.Exif()
    exif[0x010F] = "Test"  # Pillow leaves out a first directory that is empty, and all below it
    inner = exif.get_ifd(0x8769)
    for tag, value in dates.items():
        (exif if tag == 0x0132 else inner)[tag] = value
    return exif


def saved(format_name: str, **options: object) -> bytes:
    buffer = BytesIO()
    PHOTO.save(buffer, format_name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def taken(data: bytes, name: bytes = b"") -> CaptureTime | None:
    return decode(data, Limits(), name=name).captured


ORIGINAL, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132
OFFSET, OFFSET_ORIGINAL, OFFSET_DIGITIZED = 0x9010, 0x9011, 0x9012
GOOD = "2024:07:14 12:30:05"


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_each_format_tells_its_exif_date(format_name: str) -> None:
    data = saved(format_name, exif=exif_of({ORIGINAL: GOOD, OFFSET_ORIGINAL: "+05:30"}))
    assert taken(data) == CaptureTime(SECONDS, 330)
    assert taken(saved(format_name)) is None


def test_a_tiff_tells_its_date() -> None:
    # Pillow writes only the first directory of a TIFF's EXIF.
    assert taken(saved("TIFF", exif=exif_of({CHANGED: GOOD}))) == CaptureTime(SECONDS)


def test_heic_and_raw_tell_theirs() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    tagged = PHOTO.copy()
    tagged.info["exif"] = exif_of({ORIGINAL: GOOD, OFFSET_ORIGINAL: "-07:00"}).tobytes()
    buffer = BytesIO()
    pillow_heif.from_pillow(tagged).save(buffer)
    assert taken(buffer.getvalue()) == CaptureTime(SECONDS, -420)
    pytest.importorskip("rawpy")
    large = PHOTO.resize((320, 240))
    for preview in (None, saved("JPEG")):
        data = make_dng(large, preview=preview, preview_size=PHOTO.size, taken=GOOD)
        assert taken(data, b"a.dng") == CaptureTime(SECONDS)
    undated = make_dng(large, preview=None)
    assert taken(undated, b"a.dng") is None


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({ORIGINAL: GOOD, DIGITIZED: "2025:01:01 00:00:00"}, CaptureTime(SECONDS)),
        ({DIGITIZED: GOOD, CHANGED: "2025:01:01 00:00:00"}, CaptureTime(SECONDS)),
        ({CHANGED: GOOD}, CaptureTime(SECONDS)),
        ({CHANGED: GOOD, OFFSET: "+02:00"}, CaptureTime(SECONDS, 120)),
        ({DIGITIZED: GOOD, OFFSET_DIGITIZED: "-03:30"}, CaptureTime(SECONDS, -210)),
        ({ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: GOOD}, CaptureTime(SECONDS)),
        ({ORIGINAL: GOOD, OFFSET_ORIGINAL: "   :  "}, CaptureTime(SECONDS)),
        ({ORIGINAL: GOOD, OFFSET_ORIGINAL: "+99:00"}, CaptureTime(SECONDS)),
        ({ORIGINAL: "2024-07-14T12:30:05Z"}, CaptureTime(SECONDS, 0)),
        ({ORIGINAL: "2024:07:14 12:30"}, CaptureTime(SECONDS - 5)),
        (
            {ORIGINAL: "1965:05:05 10:00:00"},
            CaptureTime(int((datetime(1965, 5, 5, 10) - EPOCH).total_seconds())),
        ),
    ],
)
def test_the_best_date_that_makes_sense_counts(
    dates: dict[int, object], expected: CaptureTime
) -> None:
    assert taken(saved("JPEG", exif=exif_of(dates))) == expected


@pytest.mark.parametrize(
    "nonsense",
    ["0000:00:00 00:00:00", "0001:01:01 00:00:00", "    :  :     :  :  ", "", "2024:02:30 10:00:00",
     "2024:07:14 25:00:00", b"\xff\xfe\x80garbage", "\u00e9t\u00e9 2024", "1:2:3", GOOD[:10],
     f"{datetime.now() + timedelta(days=3):%Y:%m:%d 12:00:00}"],
)  # fmt: skip
def test_invalid_dates_are_ignored(nonsense: object) -> None:
    if isinstance(nonsense, str) and not nonsense.isascii():
        nonsense = nonsense.encode("latin-1")
    assert taken(saved("JPEG", exif=exif_of({ORIGINAL: nonsense}))) is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")  # Pillow's, shown to no user
def test_broken_exif_is_ignored() -> None:
    assert taken(saved("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nothing")) is None


@pytest.mark.parametrize(
    ("xmp", "expected"),
    [
        ('<a exif:DateTimeOriginal="2024-07-14T12:30:05+02:00"/>', CaptureTime(SECONDS, 120)),
        (
            "<photoshop:DateCreated>2024-07-14T12:30:05.25</photoshop:DateCreated>",
            CaptureTime(SECONDS),
        ),
        ('<a xmp:CreateDate="2024-07-14T12:30:05Z"/>', CaptureTime(SECONDS, 0)),
        ('<a xmp:ModifyDate="2024-07-14T12:30:05Z"/>', None),
        ('<a xmp:CreateDate="0000-00-00T00:00:00"/>', None),
    ],
)
def test_xmp_is_read_without_exif(xmp: str, expected: CaptureTime | None) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    assert taken(saved("PNG", pnginfo=text)) == expected
    assert taken(saved("WEBP", xmp=xmp.encode())) == expected
    both = saved("WEBP", xmp=xmp.encode(), exif=exif_of({ORIGINAL: "2020:01:01 00:00:00"}))
    assert taken(both) == CaptureTime(int((datetime(2020, 1, 1) - EPOCH).total_seconds()))


def test_the_date_is_kept_in_the_catalog(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    exif = exif_of({ORIGINAL: GOOD, OFFSET_ORIGINAL: "+05:30"})
    (photos / "a.jpg").write_bytes(saved("JPEG", exif=exif))
    (photos / "b.jpg").write_bytes(saved("JPEG"))
    build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
    catalog = Catalog.open(Collection(tmp_path / "c"))
    rows = {
        content.paths[0].rsplit(b"/")[-1]: (content.capture_seconds, content.capture_offset)
        for content in catalog.contents([1, 2]).values()
    }
    catalog.close()
    assert rows == {b"a.jpg": (SECONDS, 330), b"b.jpg": (None, None)}
