"""What comes from a file or a client: any input gives a value, or the one error of its border."""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from adaptation.sidecars.xmp import merge
from indexer.errors import (
    ClipdexError,
    ExclusionError,
    ImageError,
    QueryError,
    SidecarFormatError,
)
from indexer.images.decode import Limits, decode
from indexer.images.metadata.capture_time import CaptureTime, parse
from indexer.images.metadata.xmp import dates_of
from indexer.scan import exclusions
from indexer.store.collection import Collection
from search.client import WireError, hit_from_wire, hit_to_wire, request_from_wire, request_to_wire
from search.filters import dates
from search.hits import Hit
from search.request import SearchRequest, parse_label_threshold
from serving.services.jobs import Jobs
from serving.settings import Settings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# Close to what is expected, so that it gets past the first look.
DATES = st.from_regex(r"\d{0,5}[-:./ ]?\d{0,3}[-:./ T]?\d{0,3}[dwmy]?[+-]?\d{0,4}Z?") | st.text()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://'
    b'purl.org/dc/elements/1.1/" exif:DateTimeOriginal="2024-05-06T07:08:09+02:00"><dc:subject>'
    b"<rdf:Bag><rdf:li>pear</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def _jpeg(exif: bytes) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "JPEG", exif=exif)
    return file.getvalue()


def _files() -> list[bytes]:
    made = []
    for form in ("PNG", "GIF", "BMP", "WEBP", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (9, 7), "red").save(file, form)
        made.append(file.getvalue())
    exif = Image.Exif()
    exif[0x0132], exif[0x0112] = "2024:05:06 07:08:09", 6
    return [*made, _jpeg(exif.tobytes())]


@st.composite
def mutated(draw: st.DrawFn, *originals: bytes) -> bytes:
    """One of the originals with a few parts replaced, or anything."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        data[start : start + length] = draw(st.binary(max_size=12))
    return bytes(data)


@given(st.text() | st.from_regex(r".{0,5}>-?\d*\.?\d*(e\d+|nan|inf)?"))
def test_labels_with_a_probability(text: str) -> None:
    with suppress(QueryError):
        label, probability = parse_label_threshold(text)
        assert label.strip() == label
        assert label
        assert 0 <= probability <= 1


@given(DATES)
def test_dates_of_a_filter(text: str) -> None:
    for read in (dates.since, dates.until):
        with suppress(QueryError):
            read(text)


@given(st.text() | st.from_regex(r"[!/*\[\]{}\\a-z?.^-]{0,12}"))
def test_exclusions(text: str) -> None:
    with suppress(ExclusionError):
        exclusions.parse(text, [Path("/photos")])


@given(DATES, DATES)
def test_times_of_capture(text: str, zone: str) -> None:
    found = parse(text, zone=zone)
    assert found is None or isinstance(found, CaptureTime)


@given(mutated(XMP) | st.binary())
def test_dates_of_xmp(block: bytes) -> None:
    assert all(isinstance(one, str) for one in dates_of(block))


@given(mutated(XMP) | st.binary())
def test_sidecars(sidecar: bytes) -> None:
    with suppress(SidecarFormatError):
        merged = merge(sidecar, [("pear",)])
        assert b"pear" in merged or "pear".encode("utf-16-le") in merged.replace(b"\0p", b"p\0")


@given(mutated(*_files()) | st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_images(data: bytes) -> None:
    with suppress(ImageError):
        assert decode(data, Limits(max_pixels=10**6)).image.mode == "RGB"


# `decode_here` ignores these, too, but pytest makes errors of them again.
@pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")
@given(st.binary(max_size=300))
@settings(deadline=None)
def test_exif(block: bytes) -> None:
    data = _jpeg(b"Exif\0\0" + block)
    assert decode(data, Limits()).image.size in {(8, 8)}


@given(JSON)
def test_hits_from_a_server(value: Any) -> None:
    with suppress(WireError):
        hit_from_wire(value)


@given(st.dictionaries(st.sampled_from(sorted(Hit.__dataclass_fields__)), JSON, min_size=8))
def test_hits_with_some_right_fields(fields: dict[str, Any]) -> None:
    right = hit_to_wire(Hit(1, 2, (b"/a",), 0.5, 0.5, 3, 4, (5,), 6, 7, None, b"8"))
    assert hit_from_wire(json.loads(json.dumps(right))) == Hit(
        1, 2, (b"/a",), 0.5, 0.5, 3, 4, (5,), 6, 7, None, b"8"
    )
    with suppress(WireError):
        hit_from_wire(right | fields)


@given(JSON, st.dictionaries(st.sampled_from(sorted(request_to_wire(SearchRequest("a")))), JSON))
def test_requests_of_a_command(value: Any, fields: dict[str, Any]) -> None:
    for wire in (value, request_to_wire(SearchRequest("a")) | fields):
        with suppress(WireError, QueryError):
            assert isinstance(request_from_wire(wire), SearchRequest)


@given(st.text(), st.lists(st.text(), max_size=2), st.lists(st.text(), max_size=2))
def test_settings_of_a_server(path: str, keys: list[str], proxies: list[str]) -> None:
    with suppress(ClipdexError):
        made = Settings(root_path=path, api_keys=tuple(keys), trusted_proxies=tuple(proxies))
        assert all(made.api_keys)


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_remembered_jobs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "jobs.json").write_bytes(data)
    assert isinstance(Jobs(Collection(tmp_path), [], Limits()).all(), list)
