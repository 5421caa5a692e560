"""The finder on real photos that are changed here, with vectors that mean nothing (the fake's), so
that outlines and gray thumbnails alone must do it; and on gray thumbnails made by hand.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from indexer import build
from indexer.images.gray_thumbnail import gray_thumbnail
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.tables.contents import THUMBNAIL_SIDE as SIDE
from indexer.testing import FakeEncoder
from search import Engine
from search.duplicates.groups import TWIN, find_groups
from search.duplicates.pair_similarity import correlations
from support.images import make_photo

NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png", "moon.png")
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "quarter": lambda image: image.resize((image.width // 4, image.height // 4)),
    "squeezed": lambda image: image.resize((image.width // 2, image.height // 3)),
    "grey": lambda image: image.convert("L"),
    "vivid": lambda image: ImageEnhance.Color(image).enhance(1.8),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "cropped": lambda image: image.crop(
        (image.width // 20, 0, image.width, image.height - image.height // 20)
    ),
    "turned": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
}


def found(collection: Path, encoder: FakeEncoder) -> list[list[str]]:
    """The names of each group, the first one first."""
    with Engine.open(collection, encoder=encoder) as engine:
        groups = []
        for group in find_groups(engine):
            contents = engine.catalog.contents([group.first, *group.members])
            groups.append(
                [Path(contents[n].paths[0].decode()).stem for n in (group.first, *group.members)]
            )
        return groups


def test_edited_copies_are_grouped(sample_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        image = Image.open(sample_photos / name).convert("RGB")
        shutil.copy(sample_photos / name, folder / name)
        for change, make in CHANGES.items():
            make(image).save(folder / f"{Path(name).stem}-{change}.jpg", quality=60)
    build([folder], collection=tmp_path / "c", encoder=FakeEncoder())
    groups = {tuple(sorted(names)) for names in found(tmp_path / "c", FakeEncoder())}
    stems = [Path(name).stem for name in NAMES]
    assert groups == {tuple(sorted([stem, *(f"{stem}-{c}" for c in CHANGES)])) for stem in stems}


def test_groups_are_not_chained(sample_photos: Path, tmp_path: Path) -> None:
    """A slow pan: each frame is like the next, the last is not like the first."""
    photo = Image.open(sample_photos / "coffee.png").convert("RGB")
    folder = tmp_path / "pan"
    folder.mkdir()
    for number in range(12):
        left = 22 * number
        frame = photo.crop((left, 0, left + 340, 400))
        frame.resize((340 - number, 400)).save(folder / f"{number:02}.png")
    build([folder], collection=tmp_path / "c", encoder=FakeEncoder())
    groups = found(tmp_path / "c", FakeEncoder())
    assert groups[0][0] == "00"
    assert len(groups) > 1
    assert all("00" not in names or "11" not in names for names in groups)
    with Engine.open(tmp_path / "c", encoder=FakeEncoder()) as engine:
        from search.duplicates.thumbnails import ThumbnailStore

        thumbnails = ThumbnailStore(engine.catalog)
        thumbnails.load()
        for group in find_groups(engine, threshold=0.9):
            near = thumbnails.similarities([(group.first, other) for other in group.members])
            twins = [other for other, one in zip(group.members, near, strict=True) if one >= TWIN]
            for other in group.members:
                firsts = [(first, other) for first in (group.first, *twins) if first != other]
                assert thumbnails.similarities(firsts).max() >= 0.9
            assert list(group.members.values()) == sorted(group.members.values(), reverse=True)


def test_a_group_larger_than_a_first_look_is_found_whole(tmp_path: Path) -> None:
    original = Image.open(make_photo(tmp_path / "base.png", 3, (400, 300)))
    folder = tmp_path / "many"
    for number in range(60):
        make_photo(folder / f"other-{number}.png", 100 + number)
    for number in range(40):
        original.resize((300 - 2 * number, 220 - number)).save(folder / f"copy-{number:02}.png")
    build([folder], collection=tmp_path / "c", encoder=FakeEncoder())
    (group,) = (names for names in found(tmp_path / "c", FakeEncoder()) if "copy-00" in names)
    assert group[0] == "copy-00"
    assert {name for name in group if name.startswith("copy")} == {
        f"copy-{number:02}" for number in range(40)
    }


def test_images_without_detail_have_no_duplicates() -> None:
    blank = np.full((1, SIDE, SIDE), 200, np.uint8)
    noise = np.random.default_rng(0).integers(199, 202, (1, SIDE, SIDE)).astype(np.uint8)
    assert correlations(blank, blank).tolist() == [0]
    assert correlations(noise, noise).tolist() == [0]


def test_a_gray_thumbnail_is_the_mean_of_its_blocks(sample_photos: Path) -> None:
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        photo = Image.open(sample_photos / name).convert("RGB")
        for width, height in ((SIDE, SIDE), (5 * SIDE, 3 * SIDE), (31 * SIDE, 24 * SIDE)):
            image = photo.resize((width, height))
            values = np.asarray(image.convert("L"), float)
            means = values.reshape(SIDE, height // SIDE, SIDE, width // SIDE).mean(axis=(1, 3))
            made = np.frombuffer(gray_thumbnail(image), np.uint8).reshape(SIDE, SIDE)
            error = np.abs(made - means)
            assert error.mean() < 1
            assert error.max() < 12


def test_older_collections_get_thumbnails(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    place = Collection(tmp_path / "c")
    build([photo.parent], collection=place.folder, encoder=FakeEncoder())
    with closing(Catalog.open(place)) as catalog:
        before = catalog.gray_thumbnails()[1]
        with closing(sqlite3.connect(place.catalog)) as connection, connection:
            connection.execute("UPDATE contents SET sketch = NULL")
        assert catalog.count_without_thumbnail() == 1
        build([photo.parent], collection=place.folder, encoder=FakeEncoder())
        assert np.array_equal(catalog.gray_thumbnails()[1], before)
    report = build([photo.parent], collection=place.folder, encoder=FakeEncoder())
    assert report.unchanged == 1
