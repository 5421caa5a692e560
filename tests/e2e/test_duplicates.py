"""`clipdex duplicates` and `--collapse`, through the installed command on real photos."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageOps

from support.command import COMMAND, Run, json_lines
from support.images import make_photo

IMAGE_KEYS = {"id", "path", "paths", "width", "height", "bytes", "similarity"}


@pytest.fixture(scope="module")
def copied(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(photos, collection): four photos; the cat also smaller, grey and cropped, and the smaller
    cat and the cup twice.
    """
    import subprocess

    base = tmp_path_factory.mktemp("copied")
    photos = base / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "moon.png"):
        shutil.copy(sample_photos / name, photos / name)
    with Image.open(sample_photos / "chelsea.png") as image:
        cat = image.convert("RGB")
    cat.resize((200, 133)).save(photos / "cat-small.jpg")
    cat.convert("L").save(photos / "cat-grey.jpg")
    cat.crop((20, 10, cat.width, cat.height)).save(photos / "cat-cropped.jpg")
    shutil.copy(photos / "cat-small.jpg", photos / "cat-small-copy.jpg")
    shutil.copy(photos / "coffee.png", photos / "coffee-copy.png")
    command = [COMMAND, "index", photos, "--collection", base / "c"]
    subprocess.run(command, check=True, capture_output=True)
    return photos, base / "c"


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_duplicates_lists_groups_and_changes_nothing(
    clipdex: Run, copied: tuple[Path, Path]
) -> None:
    photos, collection = copied
    before = hashes(photos)
    near, identical = json_lines(clipdex("duplicates", "--json", "--collection", collection))
    assert set(near) == {"group", "kind", "images"}
    assert (near["group"], near["kind"]) == (1, "near")
    assert (identical["group"], identical["kind"]) == (2, "identical")
    names = [Path(image["path"]).name for image in near["images"]]
    assert names[0] in ("chelsea.png", "cat-grey.jpg")  # the largest, both of one size
    assert set(names) == {"chelsea.png", "cat-grey.jpg", "cat-cropped.jpg", "cat-small-copy.jpg"}
    for image in [*near["images"], *identical["images"]]:
        assert set(image) == IMAGE_KEYS
        assert image["bytes"] == Path(image["path"]).stat().st_size
        with Image.open(image["path"]) as opened:
            assert (image["width"], image["height"]) == opened.size
        assert 0.92 <= image["similarity"] <= 1
    small = near["images"][names.index("cat-small-copy.jpg")]
    assert small["paths"] == [
        str(photos / "cat-small-copy.jpg"),
        str(photos / "cat-small.jpg"),
    ]
    (cup,) = identical["images"]
    assert {Path(path).name for path in cup["paths"]} == {"coffee.png", "coffee-copy.png"}
    told = clipdex("duplicates", "--collection", collection).stdout.decode()
    assert "1. 5 files, alike" in told
    assert "2. 2 files, one content" in told
    for file in [*names, "coffee-copy.png", "cat-small.jpg"]:
        assert told.count(f"/{file}") == 1
    assert hashes(photos) == before


def test_a_stricter_threshold_finds_less(clipdex: Run, copied: tuple[Path, Path]) -> None:
    _, collection = copied
    strict = json_lines(
        clipdex("duplicates", "--threshold", "1", "--json", "--collection", collection)
    )
    assert {row["kind"] for row in strict} == {"identical"}
    assert b"0.5<=x<=1" in clipdex("duplicates", "--threshold", "2", code=2).stderr


def test_a_message_when_nothing_is_duplicated(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    _, collection = photos_indexed
    done = clipdex("duplicates", "--collection", collection)
    assert (done.stdout, done.stderr) == (b"", b"no duplicates\n")
    assert clipdex("duplicates", "--json", "--collection", collection).stdout == b""


def test_collapse_shows_near_duplicates_once(clipdex: Run, copied: tuple[Path, Path]) -> None:
    photos, collection = copied
    ask = ("search", "a cat", "--json", "--collection", collection)
    every = json_lines(clipdex(*ask))
    assert len(every) == 7
    assert "collapsed" not in every[0]
    hits = json_lines(clipdex(*ask, "--collapse"))
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert hits[0]["id"] == every[0]["id"]
    cats = {Path(hit["path"]).name for hit in (hits[0], *hits[0]["collapsed"])}
    assert cats == {"chelsea.png", "cat-grey.jpg", "cat-cropped.jpg", "cat-small-copy.jpg"}
    assert [hit["collapsed"] for hit in hits[1:]] == [[], [], []]
    assert set(hits[0]["collapsed"][0]) == {"id", "path", "paths"}
    pages = [
        json_lines(clipdex(*ask, "--collapse", "-k", "1", "--offset", str(number)))[0]
        for number in range(4)
    ]
    assert [(hit["rank"], hit["id"]) for hit in pages] == [(hit["rank"], hit["id"]) for hit in hits]
    similar = json_lines(
        clipdex("similar", photos / "moon.png", "--collapse", "--json", "--collection", collection)
    )
    assert len(similar) == 3
    assert sum(1 + len(hit["collapsed"]) for hit in similar) == 6


def test_collapse_with_filters_and_min_relevance(clipdex: Run, copied: tuple[Path, Path]) -> None:
    options = ("a cat", "--collapse", "--json", "--collection", copied[1])
    grey = json_lines(clipdex("search", *options, "--exclude", "chelsea*", "--exclude", "*small*"))
    assert {Path(hit["path"]).name for hit in grey[0]["collapsed"]} | {
        Path(grey[0]["path"]).name
    } == {"cat-grey.jpg", "cat-cropped.jpg"}
    assert len(grey) == 4
    (only,) = json_lines(clipdex("search", *options, "--min-relevance", 0.5))
    assert len(only["collapsed"]) == 3
    assert all("cat" in name or "chelsea" in name for name in map(str, only["paths"]))


def between_bars(photo: Image.Image) -> Image.Image:
    """The photo as a phone shows it: over the whole width, with a clock and a battery on top."""
    screen = Image.new("RGB", (540, 1170))
    shown = photo.resize((540, round(540 * photo.height / photo.width)))
    screen.paste(shown, (0, (screen.height - shown.height) // 2))
    draw = ImageDraw.Draw(screen)
    draw.text((36, 14), "12:45", fill="white")
    draw.rectangle((450, 18, 495, 32), fill="white")
    return screen


def in_a_frame(photo: Image.Image) -> Image.Image:
    return ImageOps.expand(photo, 24, "white")


def groups_of(clipdex: Run, photos: Path, collection: Path) -> list[set[str]]:
    clipdex("index", photos, "--collection", collection)
    rows = json_lines(clipdex("duplicates", "--json", "--collection", collection))
    return [{Path(image["path"]).stem for image in row["images"]} for row in rows]


@pytest.mark.parametrize(
    "change",
    [ImageOps.mirror, lambda photo: photo.rotate(90, expand=True), in_a_frame, between_bars],
    ids=["mirrored", "turned", "framed", "screenshot"],
)
def test_changed_views_are_found(
    clipdex: Run,
    sample_photos: Path,
    tmp_path: Path,
    change: Callable[[Image.Image], Image.Image],
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
    for name in names:
        shutil.copy(sample_photos / name, photos / name)
        with Image.open(sample_photos / name) as photo:
            change(photo.convert("RGB")).save(photos / f"{Path(name).stem}-changed.jpg", quality=85)
    groups = groups_of(clipdex, photos, tmp_path / "c")
    stems = [Path(name).stem for name in names]
    assert sorted(map(sorted, groups)) == sorted([stem, f"{stem}-changed"] for stem in stems)


@pytest.mark.parametrize("border", [in_a_frame, between_bars])
def test_equal_borders_are_not_alike(
    clipdex: Run,
    sample_photos: Path,
    tmp_path: Path,
    border: Callable[[Image.Image], Image.Image],
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "moon.png"):
        with Image.open(sample_photos / name) as photo:
            # Of one size, so that the borders end at the same place.
            border(photo.convert("RGB").resize((400, 300))).save(photos / name)
    for seed in range(20):
        with Image.open(make_photo(tmp_path / "made.png", seed, (400, 300))) as photo:
            border(photo).save(photos / f"{seed}.png")
    assert groups_of(clipdex, photos, tmp_path / "c") == []
