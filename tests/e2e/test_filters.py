"""Formats and filters through the installed command."""

import os
import shutil
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from support.command import Run, json_lines
from support.dng import make_dng


@pytest.fixture
def photos(tmp_path: Path, sample_photos: Path) -> Path:
    """Cats of 2023 in Italy and coffee of 2024 in Norway, each in formats of its own."""
    photos = tmp_path / "photos"
    for folder in ("2023/Italy", "2024/Norway"):
        (photos / folder).mkdir(parents=True)
    cat = Image.open(sample_photos / "chelsea.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0132] = "2023:08:20 09:00:00"
    for name in ("cat.jpg", "cat.avif", "cat.webp"):
        cat.save(photos / "2023" / "Italy" / name, exif=exif)
    coffee = Image.open(sample_photos / "coffee.png").convert("RGB")
    for name in ("cup.jp2", "cup.ppm"):
        coffee.save(photos / "2024" / "Norway" / name)
    moment = datetime(2024, 6, 1, 12).timestamp()
    for file in (photos / "2024" / "Norway").iterdir():
        os.utime(file, (moment, moment))
    shutil.copytree(photos / "2023" / "Italy", photos / "copies")
    return photos


def names(done: object) -> list[str]:
    return sorted(Path(line).name for line in os.fsdecode(done.stdout).splitlines())  # type: ignore[attr-defined]


def test_filters_narrow_a_search(clipdex: Run, photos: Path) -> None:
    (report,) = json_lines(clipdex("index", photos, "--json"))
    assert (report["indexed"], report["reused"], report["failed"]) == (5, 3, 0)
    cats, cups = ["cat.avif", "cat.jpg", "cat.webp"], ["cup.jp2", "cup.ppm"]
    search = ("search", "a photo", "--paths")
    assert names(clipdex(*search)) == cats + cups
    assert names(clipdex(*search, "--in", "italy")) == cats
    assert names(clipdex(*search, "--in", photos / "2024")) == cups
    assert names(clipdex(*search, "--in", "italy", "--in", "Norway")) == cats + cups
    assert names(clipdex(*search, "--in", "2024", cwd=photos)) == cups
    assert names(clipdex(*search, "--since", "2024")) == cups
    assert names(clipdex(*search, "--until", "2023")) == cats
    assert names(clipdex(*search, "--since", "2023-08-20", "--until", "2023-08-20")) == cats
    assert names(clipdex(*search, "--exclude", "*.avif", "--exclude", "Norway")) == cats[1:]
    similar = clipdex("similar", photos / "copies/cat.jpg", "--in", "Italy", "--json")
    assert {Path(hit["path"]).name for hit in json_lines(similar)} == {"cat.avif", "cat.webp"}
    (first, *_) = json_lines(clipdex("search", "a cat", "--in", "copies", "--json"))
    assert Path(first["path"]).parent == photos / "copies"
    assert len(first["paths"]) == 2


def test_an_invalid_date_or_folder_is_an_error(clipdex: Run, photos: Path) -> None:
    clipdex("index", photos)
    for option in ("--since", "--until"):
        for wrong in ("someday", "2024-02-30", ""):
            refused = clipdex("search", "x", option, wrong, code=2).stderr.decode()
            assert "is not a date: use 2024, 2024-07, 2024-07-14" in " ".join(refused.split())
    refused = clipdex("search", "x", "--in", "Spain", code=1).stderr.decode()
    assert refused.startswith(
        "error: there is no indexed image in 'Spain': give the path of a folder"
    )
    assert refused.count("\n") == 1
    nothing = clipdex("search", "x", "--since", "2030", "--json")
    assert nothing.stdout == b""


def test_a_raw_and_a_heic_are_found_by_what_they_show(
    clipdex: Run, tmp_path: Path, sample_photos: Path
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("rawpy")
    folder = tmp_path / "camera"
    folder.mkdir()
    cat = Image.open(sample_photos / "chelsea.png").convert("RGB").crop((0, 0, 450, 300))
    cat.save(preview := BytesIO(), "JPEG")
    (folder / "IMG_1.DNG").write_bytes(
        make_dng(cat, preview=preview.getvalue(), preview_size=cat.size, orientation=6)
    )
    coffee = Image.open(sample_photos / "coffee.png").convert("RGB")
    pillow_heif.from_pillow(coffee).save(folder / "IMG_2.HEIC")
    cut = (folder / "IMG_2.HEIC").read_bytes()
    (folder / "IMG_3.HEIC").write_bytes(cut[: len(cut) // 2])
    (folder / "IMG_4.NEF").write_bytes(b"MM\0*" + b"\0" * 500)
    done = clipdex("index", folder, "--json", code=3)
    (report,) = json_lines(done)
    assert (report["indexed"], report["failed"]) == (2, 2)
    messages = done.stderr.decode()
    assert "IMG_3.HEIC: damaged: " in messages
    assert "IMG_4.NEF: a damaged RAW file, or one of a kind that LibRaw does not read" in messages
    (hit, *_) = json_lines(clipdex("search", "a cup of coffee", "--json"))
    assert Path(hit["path"]).name == "IMG_2.HEIC"
    hit = json_lines(clipdex("similar", folder / "IMG_2.HEIC", "--json"))[0]
    assert Path(hit["path"]).name == "IMG_1.DNG"


def test_a_date_in_the_name_comes_before_the_files(
    clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cup = Image.open(sample_photos / "coffee.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0132] = "2019:08:20 09:00:00"
    cup.save(photos / "IMG-20240315-WA0482.jpg")
    cup.rotate(90).save(photos / "IMG-20240316-WA0001.jpg", exif=exif)
    cup.rotate(180).save(photos / "cup.jpg")
    moment = datetime(2022, 6, 1, 12).timestamp()
    for file in photos.iterdir():
        os.utime(file, (moment, moment))
    clipdex("index", photos)
    for month, file in (
        ("2024-03", "IMG-20240315-WA0482.jpg"),
        ("2019-08", "IMG-20240316-WA0001.jpg"),
        ("2022-06", "cup.jpg"),
    ):
        assert names(clipdex("search", "--since", month, "--until", month, "--paths")) == [file]
    newest = json_lines(clipdex("search", "--since", "2000", "--json"))
    assert [hit["taken_at"][:10] for hit in newest] == ["2024-03-15", "2022-06-01", "2019-08-20"]
