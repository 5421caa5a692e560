"""Capture times from headers."""

from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from adaptation.data.capture_times import DAY, capture_times
from support.dated_photos import write

NOON = datetime(2024, 5, 1, 12, 0, 7)


def dated(tag: int = 0x9003, value: str = "2024:05:01 12:00:07") -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    exif.get_ifd(0x8769)[tag] = value
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_time_is_read_without_a_pixel(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"image.{suffix}"
    before_pixels = PngImagePlugin.PngInfo()  # Pillow itself writes EXIF behind them
    before_pixels.add(b"eXIf", dated().tobytes()[6:])
    Image.new("RGB", (64, 64)).save(path, exif=dated().tobytes(), pnginfo=before_pixels)
    Image.init()  # one of Pillow's plugins loads an image while it is imported
    with monkeypatch.context() as patched:
        for kind in (Image.Image, PngImagePlugin.PngImageFile):
            patched.setattr(kind, "load", lambda *_: pytest.fail("decoded"))
        (found,) = capture_times([bytes(path)])
    assert found is not None
    assert found % DAY == 12 * 3600 + 7


def test_a_png_is_not_decoded_to_look_for_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (64, 64)).save(path)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: 1 / 0)
    read: list[str] = []
    original = Image.Image.getexif
    monkeypatch.setattr(
        PngImagePlugin.PngImageFile, "getexif", lambda self: read.append("") or original(self)
    )
    assert capture_times([bytes(path)]) == [None]
    assert read == []


def test_only_when_it_was_photographed_counts(tmp_path: Path) -> None:
    # A scanner's, a program's, a date alone, and midnight, which clocks that were not set say.
    values = [
        (0x9004, "2024:05:01 12:00:07"),
        (0x0132, "2024:05:01 12:00:07"),
        (0x9003, "2024:05:01"),
        (0x9003, "2024:05:01 00:00:00"),
        (0x9003, "yesterday"),
    ]
    paths = [tmp_path / f"{number}.jpg" for number in range(len(values))]
    for path, (tag, value) in zip(paths, values, strict=True):
        Image.new("RGB", (8, 8)).save(path, exif=dated(tag, value))
    assert capture_times([bytes(path) for path in paths]) == [None] * len(values)


def test_files_that_cannot_be_read_have_no_time(tmp_path: Path) -> None:
    whole, cut, text = tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg"
    write(whole, 0, NOON, None)
    cut.write_bytes(whole.read_bytes()[:20])
    text.write_text("not an image")
    paths = [bytes(path) for path in (whole, cut, text, tmp_path / "none.jpg", tmp_path)]
    found, *others = capture_times(paths)
    assert found is not None
    assert others == [None] * 4
