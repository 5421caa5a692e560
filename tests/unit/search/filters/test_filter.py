"""Filters against the same question asked of each file by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import QueryError
from search import Engine, Filter, Hit
from support.dated_photos import FOLDERS, HERE, DatedPhoto, make, open_collection

pytestmark = pytest.mark.usefixtures("this_machine_is_in_berlin")


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, list[DatedPhoto], Engine]]:
    base = tmp_path_factory.mktemp("world").resolve()
    dated = make(base / "photos", 250)
    with open_collection(base / "c", base / "photos") as engine:
        yield base / "photos", dated, engine


def wall_of(photo: DatedPhoto) -> datetime:
    if photo.taken is not None:
        return photo.taken.replace(tzinfo=None)
    return datetime.fromtimestamp(photo.changed, HERE).replace(tzinfo=None)


def instant_of(photo: DatedPhoto) -> datetime:
    if photo.taken is None:
        return datetime.fromtimestamp(photo.changed, UTC)
    return photo.taken if photo.taken.tzinfo else photo.taken.replace(tzinfo=HERE)


def paths_of(hits: list[Hit]) -> set[Path]:
    return {hit.file for hit in hits}


def check(
    world: tuple[Path, list[DatedPhoto], Engine], asked: Filter, passes: list[DatedPhoto]
) -> None:
    """The hits are exactly the images of these files, each first under a path that passes, and
    in the order that they have without a filter.
    """
    _, dated, engine = world
    everything = engine.search("anything", k=1000)
    wanted = {photo.path for photo in passes}
    expected = [hit.id for hit in everything if wanted & {Path(path) for path in hit.paths}]
    found = engine.search("anything", k=1000, filter=asked)
    assert [hit.id for hit in found] == expected
    assert len(found) == len({photo.image for photo in passes})
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    for hit in found:
        passing = [Path(path) in wanted for path in hit.paths]
        assert passing == sorted(passing, reverse=True)
        assert passing[0]
        assert len(hit.paths) == sum(Path(p) in {f.path for f in dated} for p in hit.paths)


# -- each condition against brute force ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("Italy", ("2023/Italy", "2024/Italy")),
        ("2024/italy", ("2024/Italy",)),
        ("NORWAY", ("2024/Norway", "2024/Norway/raw")),
        ("norway/raw/", ("2024/Norway/raw",)),
        ("2024", ("2024/Italy", "2024/Norway", "2024/Norway/raw")),
        ("italy trip", ("italy trip",)),
        ("photos", FOLDERS),
    ],
)
def test_a_folders_name_finds_what_lies_below_such_folders(
    world: tuple[Path, list[DatedPhoto], Engine], name: str, folders: tuple[str, ...]
) -> None:
    photos, dated, _ = world
    inside = [f for f in dated if f.path.parent in {photos / folder for folder in folders}]
    assert inside
    check(world, Filter(folders=[name]), inside)


def test_a_path_is_taken_as_that_path(
    world: tuple[Path, list[DatedPhoto], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, dated, _ = world
    here = [f for f in dated if f.path.is_relative_to(photos / "2024" / "Norway")]
    check(world, Filter(folders=[photos / "2024" / "Norway"]), here)
    check(world, Filter(folders=[photos.parent]), dated)
    monkeypatch.chdir(photos / "2024")
    italy = [f for f in dated if f.path.parent == photos / "2024" / "Italy"]
    check(world, Filter(folders=["Italy"]), italy)
    monkeypatch.chdir(photos / "2023")
    check(world, Filter(folders=["../2024/Norway"]), here)


def test_folders_add_up_and_one_without_images_is_an_error(
    world: tuple[Path, list[DatedPhoto], Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, dated, engine = world
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # ".." holds none, wherever the tests are run
    both = [f for f in dated if f.path.parent in {photos / "2023/Italy", photos / "italy trip"}]
    check(world, Filter(folders=["2023", "italy trip"]), both)
    for nowhere in ("Spain", tmp_path, "/no/such/folder", photos / "2025", "..", "aly"):
        with pytest.raises(QueryError, match="there is no indexed image in"):
            engine.search("x", filter=Filter(folders=[nowhere]))


@pytest.mark.parametrize(
    ("text", "first", "behind"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2025, 1, 1)),
        ("2024-02", datetime(2024, 2, 1), datetime(2024, 3, 1)),
        ("2023-12", datetime(2023, 12, 1), datetime(2024, 1, 1)),
        ("2024-07-14", datetime(2024, 7, 14), datetime(2024, 7, 15)),
        ("2024-07-14T12:30", datetime(2024, 7, 14, 12, 30), datetime(2024, 7, 14, 12, 31)),
        ("2024-07-14 12:30:05", datetime(2024, 7, 14, 12, 30, 5), datetime(2024, 7, 14, 12, 30, 6)),
    ],
)
def test_a_bare_date_is_local_to_the_photo(
    world: tuple[Path, list[DatedPhoto], Engine], text: str, first: datetime, behind: datetime
) -> None:
    dated = world[1]
    check(world, Filter(since=text), [f for f in dated if wall_of(f) >= first])
    check(world, Filter(until=text), [f for f in dated if wall_of(f) < behind])
    within = [f for f in dated if first <= wall_of(f) < behind]
    check(world, Filter(since=text, until=text), within)


@pytest.mark.parametrize(
    ("text", "first", "length"),
    [
        ("2024-07-14T12:30Z", datetime(2024, 7, 14, 12, 30, tzinfo=UTC), timedelta(minutes=1)),
        (
            "2023-11-02T00:00:00-07:00",
            datetime(2023, 11, 2, tzinfo=timezone(timedelta(hours=-7))),
            timedelta(seconds=1),
        ),
        (
            "2024-03-01+09:00",
            datetime(2024, 3, 1, tzinfo=timezone(timedelta(hours=9))),
            timedelta(days=1),
        ),
    ],
)
def test_a_date_with_a_zone_is_compared_as_an_instant(
    world: tuple[Path, list[DatedPhoto], Engine], text: str, first: datetime, length: timedelta
) -> None:
    dated = world[1]
    check(world, Filter(since=text), [f for f in dated if instant_of(f) >= first])
    check(world, Filter(until=text), [f for f in dated if instant_of(f) < first + length])


def test_globs_exclude_as_they_do_when_indexing(
    world: tuple[Path, list[DatedPhoto], Engine], tmp_path: Path
) -> None:
    photos, dated, _ = world
    for globs in (["copy_*"], ["raw"], ["2024/*"], ["Italy", "IMG_1*"], ["*/Norway"]):

        def hidden(path: Path, globs: list[str] = globs) -> bool:
            relative = path.relative_to(photos)
            steps = [relative, *list(relative.parents)[:-1]]
            return any(fnmatch(s.name, g) or fnmatch(str(s), g) for s in steps for g in globs)

        passes = [f for f in dated if not hidden(f.path)]
        assert 0 < len(passes) < len(dated)
        check(world, Filter(exclude=globs), passes)
        folder = tmp_path / "_".join(globs).replace("/", "_")
        with open_collection(folder, photos, exclude=globs) as excluding:
            indexed = excluding.catalog.counts()[0]
        assert indexed == len(passes)


def test_one_file_passes_all_conditions(
    world: tuple[Path, list[DatedPhoto], Engine],
) -> None:
    _, dated, engine = world
    asked = Filter(["Italy"], since="2024", until="2024-09", exclude=["copy_*"])
    passes = [
        f
        for f in dated
        if f.path.parent.name == "Italy"
        and datetime(2024, 1, 1) <= wall_of(f) < datetime(2024, 10, 1)
        and not f.path.name.startswith("copy_")
    ]
    check(world, asked, passes)
    whole = engine.search("anything", k=1000, filter=asked)
    assert len(whole) > 6
    pages = [
        hit
        for offset in range(0, len(whole) + 3, 3)
        for hit in engine.search("anything", k=3, offset=offset, filter=asked)
    ]
    assert pages == whole


def test_more_conditions_can_be_given_as_ids(world: tuple[Path, list[DatedPhoto], Engine]) -> None:
    engine = world[2]
    in_italy = [hit.id for hit in engine.search("x", k=1000, filter=Filter(["Italy"]))]
    chosen = np.array(sorted(in_italy)[::2])
    hits = engine.search("x", k=1000, filter=Filter(["Italy"], among=[chosen, chosen[:5]]))
    assert {hit.id for hit in hits} == set(chosen[:5].tolist())


def test_similar_images_are_filtered_too(world: tuple[Path, list[DatedPhoto], Engine]) -> None:
    photos, dated, engine = world
    one = engine.search("x", k=1)[0]
    found = engine.similar(one.id, k=1000, filter=Filter(["Norway"]))
    norway = {f.image for f in dated if f.path.is_relative_to(photos / "2024" / "Norway")}
    own = {f.image for f in dated if f.path == one.file}
    assert len(found) == len(norway - own)
    assert all("Norway" in hit.path for hit in found)


# -- files that come and go, odd names, links ---------------------------------------------------


def test_a_hit_says_when_it_was_taken(world: tuple[Path, list[DatedPhoto], Engine]) -> None:
    _, dated, engine = world
    by_path = {photo.path: photo for photo in dated}
    for hit in engine.search("x", k=1000):
        photo = by_path[hit.file]
        expected = photo.taken or datetime.fromtimestamp(photo.changed, HERE)
        assert hit.taken_at == expected.isoformat()
