from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from indexer import build
from indexer.images.decode import Limits, decode
from indexer.images.metadata.capture_time import CaptureTime
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
     "2024:07:14 25:00:00", b"\xff\xfe\x80garbage", "\u00e9t\u00e9 2024", "1:2:3",
     "2024:07:14 24:00:01", "2024:07:14 10:60:00", "2024:07:14 10", "2024:00:14", "12024:07:14"],
)  # fmt: skip
def test_invalid_dates_are_ignored(nonsense: object) -> None:
    if isinstance(nonsense, str) and not nonsense.isascii():
        nonsense = nonsense.encode("latin-1")
    assert taken(saved("JPEG", exif=exif_of({ORIGINAL: nonsense}))) is None


def seconds(*when: int) -> int:
    return int((datetime(*when) - EPOCH).total_seconds())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1999:07:14", seconds(1999, 7, 14)),
        ("1999:07:14   :  :  ", seconds(1999, 7, 14)),
        ("1999:07:00 00:00:00", seconds(1999, 7, 1)),
        ("1999:00:00 00:00:00", seconds(1999, 1, 1)),
        ("1999:12:31 23:59:60", seconds(2000, 1, 1)),
        ("1999:12:31 24:00:00", seconds(2000, 1, 1)),
        ("1999-12-31T24:00", seconds(2000, 1, 1)),
        ("9999:12:31 23:59:59", seconds(9999, 12, 31, 23, 59, 59)),
        ("9999:12:31 24:00:00", None),
        ("2024-07-14-07:00", seconds(2024, 7, 14)),
    ],
)
def test_incomplete_and_odd_dates_are_understood(text: str, expected: int | None) -> None:
    found = taken(saved("JPEG", exif=exif_of({ORIGINAL: text})))
    assert (None if found is None else found.seconds) == expected


def test_a_future_date_is_kept_as_the_file_says() -> None:
    data = saved("JPEG", exif=exif_of({ORIGINAL: "2424:07:14 12:30:05"}))
    assert taken(data) == CaptureTime(seconds(2424, 7, 14, 12, 30, 5))


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


RDF = (
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>%s</rdf:RDF></x:xmpmeta>"
)
NAMESPACES = (
    "xmlns:a='http://ns.adobe.com/exif/1.0/' xmlns:b='http://ns.adobe.com/photoshop/1.0/' "
    "xmlns:xap='http://ns.adobe.com/xap/1.0/'"
)
DESCRIBED = RDF % f"<rdf:Description {NAMESPACES} rdf:about='' %s</rdf:Description>"


def taken_by_xmp(block: bytes) -> CaptureTime | None:
    return taken(saved("WEBP", xmp=block))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("a:DateTimeOriginal='1965-07-14'>", seconds(1965, 7, 14)),
        ('b:DateCreated="1965-07">', seconds(1965, 7, 1)),
        ("><xap:CreateDate> 1965\n</xap:CreateDate>", seconds(1965, 1, 1)),
        (">\n<a:DateTimeDigitized\n>1965-07-14T24:00:00Z</a:DateTimeDigitized>",
         seconds(1965, 7, 15)),
        ("a:DateTimeOriginal='1965&#45;07&#x2d;14T10:20'>", seconds(1965, 7, 14, 10, 20)),
        ("xap:CreateDate='2020-01-01'><b:DateCreated>1965-07-14</b:DateCreated>",
         seconds(1965, 7, 14)),
        ("a:DateTimeOriginal='unknown' b:DateCreated='1965-07-14'>", seconds(1965, 7, 14)),
        ("><a:DateTimeOriginal><rdf:Seq><rdf:li>1965-07-14</rdf:li></rdf:Seq>"
         "</a:DateTimeOriginal>", seconds(1965, 7, 14)),
        # That of an image which this one was composed of.
        ("><xap:Pantry><rdf:Description xap:CreateDate='2020-01-01'/></xap:Pantry>", None),
        ("a:DateTimeOriginal='1965-07-14'><not closed", seconds(1965, 7, 14)),
        ("><a:Comment>a:DateTimeOriginal='1965-07-14'</a:Comment>", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_xmp_is_parsed_as_xml(properties: str, expected: int | None, encoding: str) -> None:
    found = taken_by_xmp((DESCRIBED % properties).encode(encoding))
    assert (None if found is None else found.seconds) == expected


def test_xmp_with_entities_of_its_own_is_refused() -> None:
    laughs = "".join(
        f"<!ENTITY l{n} '{f'&l{n - 1};' * 10 if n else '1965-07-14'}'>" for n in range(30)
    )
    block = f"<!DOCTYPE x [{laughs}]>" + DESCRIBED % "a:DateTimeOriginal='&l29;'>"
    assert taken_by_xmp(block.encode()) is None


def test_xmp_in_the_wrong_encoding_still_tells_its_date() -> None:
    block = DESCRIBED % "a:Place='caf\u00e9' a:DateTimeOriginal='1965-07-14'>"
    found = taken_by_xmp(block.encode("latin-1"))
    assert found == CaptureTime(seconds(1965, 7, 14))


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
