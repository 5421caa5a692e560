"""What files say of themselves: of a real camera's kind, of none, and of those that attack."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from indexer.images.metadata.lines import MAX_LENGTH
from serving.images.facts import FileFacts, facts_of

EMPTY = FileFacts()
PLACED = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:p="http://ns.adobe.com/photoshop/1.0/"><rdf:Description p:Country="Austria">
 <p:City>Wien
 &lt;b&gt;</p:City></rdf:Description></rdf:RDF></x:xmpmeta>"""


def exif() -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Canon"
    block[ExifTags.Base.Model] = "Canon EOS 80D"
    inner = block.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.LensModel] = "EF50mm f/1.8 STM"
    inner[ExifTags.Base.ExposureTime] = IFDRational(1, 250)
    inner[ExifTags.Base.FNumber] = IFDRational(28, 10)
    inner[ExifTags.Base.ISOSpeedRatings] = 400
    inner[ExifTags.Base.FocalLength] = IFDRational(50)
    gps = block.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "S", (48.0, 12.0, 30.0)
    gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "E", (16.0, 22.5, 0.0)
    return block


def saved(kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_facts_are_read(kind: str) -> None:
    assert facts_of(saved(kind, exif=exif())) == FileFacts(
        "Canon EOS 80D",
        "EF50mm f/1.8 STM",
        "1/250 s, f/2.8, ISO 400, 50 mm",
        "48.20833° S, 16.37500° E",
    )


def test_names_of_a_place_come_before_its_coordinates() -> None:
    data = saved("JPEG", exif=exif(), xmp=PLACED.encode())
    assert facts_of(data).place == "Wien <b>, Austria"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_files_without_facts(kind: str) -> None:
    assert facts_of(saved(kind)) == EMPTY
    assert facts_of(saved(kind)[:40]) == facts_of(b"") == EMPTY


def test_texts_are_one_short_line() -> None:
    block = Image.Exif()
    block[ExifTags.Base.Model] = "a\x1b[31m\r\n<script>\x00" + "x" * 10_000
    camera = facts_of(saved("JPEG", exif=block)).camera
    assert camera is not None
    assert camera.startswith("a [31m <script> xxx")
    assert len(camera) <= MAX_LENGTH
    assert camera.isprintable()


def test_numbers_that_make_no_sense_are_left_out() -> None:
    block = exif()
    inner = block.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.ExposureTime] = IFDRational(1, 0)
    inner[ExifTags.Base.FNumber] = IFDRational(0)
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (148.0, 0.0, 0.0)
    facts = facts_of(saved("JPEG", exif=block))
    assert facts.exposure == "ISO 400, 50 mm"
    assert facts.place is None


@given(st.data())
def test_damaged_blocks_are_no_error(data: st.DataObject) -> None:
    block = bytearray(exif().tobytes())
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(0, len(block) - 1))
        block[place] = data.draw(st.integers(0, 255))
    for text in vars(facts_of(saved("JPEG", exif=bytes(block)))).values():
        assert text is None or (text.isprintable() and len(text) <= 2 * MAX_LENGTH)
