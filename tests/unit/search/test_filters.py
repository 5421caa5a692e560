"""Filters against the same question asked of each file by itself."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatch
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from indexer import build
from indexer.errors import QueryError
from indexer.testing import FakeEncoder
from indexer.vectors import VectorIndex
from search import Engine, Filter, Hit

HERE = ZoneInfo("Europe/Berlin")
FOLDERS = ("2023/Italy", "2024/Italy", "2024/Norway", "2024/Norway/raw", "", "italy trip")
ZONES = (None, "+02:00", "-07:00", "+05:30", "Z")


@pytest.fixture(scope="module", autouse=True)
def this_machine_is_in_berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@dataclass(frozen=True)
class Fact:
    """What the test knows of a file that it made."""

    path: Path
    taken: datetime | None  # aware where the file names a zone
    changed: int  # seconds since 1970 UTC
    picture: int  # files of one picture hold the same bytes


def write(
    path: Path, seed: int, taken: datetime | None, zone: str | None, changed: int | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    if taken is not None:
        inner[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
        if zone is not None:
            inner[0x9011] = zone
    pixels = random.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, exif=exif)
    if changed is not None:
        os.utime(path, (changed, changed))


def make(folder: Path, count: int) -> list[Fact]:
    """Files in folders, of dates around 2024 with and without a zone; a fifth are copies."""
    random = np.random.default_rng(7)
    facts: list[Fact] = []
    for number in range(count):
        place = folder / FOLDERS[random.integers(len(FOLDERS))]
        path = place / f"{'IMG' if random.random() < 0.7 else 'copy'}_{number}.jpg"
        changed = int(random.integers(1_672_000_000, 1_735_000_000))
        if facts and random.random() < 0.2:
            twin = facts[random.integers(len(facts))]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(twin.path, path)
            os.utime(path, (changed, changed))
            facts.append(Fact(path, twin.taken, changed, twin.picture))
            continue
        wall, zone = None, None
        if random.random() < 0.7:
            wall = datetime(2023, 1, 1) + timedelta(seconds=int(random.integers(63_000_000)))
            zone = ZONES[random.integers(len(ZONES))]
        write(path, number, wall, zone, changed)
        taken = wall
        if wall is not None and zone is not None:
            taken = wall.replace(tzinfo=datetime.fromisoformat(f"2024-01-01T00:00{zone}").tzinfo)
        facts.append(Fact(path, taken, changed, number))
    return facts


def open_collection(folder: Path, photos: Path, **options: object) -> Engine:
    build([photos], collection=folder, encoder=FakeEncoder(), **options)  # type: ignore[arg-type]
    return Engine.open(folder, encoder=FakeEncoder())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Fact], Engine]]:
    base = tmp_path_factory.mktemp("world").resolve()
    facts = make(base / "photos", 250)
    with open_collection(base / "c", base / "photos") as engine:
        yield base / "photos", facts, engine


def wall_of(fact: Fact) -> datetime:
    if fact.taken is not None:
        return fact.taken.replace(tzinfo=None)
    return datetime.fromtimestamp(fact.changed, HERE).replace(tzinfo=None)


def instant_of(fact: Fact) -> datetime:
    if fact.taken is None:
        return datetime.fromtimestamp(fact.changed, UTC)
    return fact.taken if fact.taken.tzinfo else fact.taken.replace(tzinfo=HERE)


def paths_of(hits: list[Hit]) -> set[Path]:
    return {hit.file for hit in hits}


def check(world: tuple[Path, list[Fact], Engine], asked: Filter, passes: list[Fact]) -> None:
    """The hits are exactly the pictures of these files, each first under a path that passes, and
    in the order that they have without a filter.
    """
    _, facts, engine = world
    everything = engine.search("anything", k=1000)
    wanted = {fact.path for fact in passes}
    expected = [hit.id for hit in everything if wanted & {Path(path) for path in hit.paths}]
    found = engine.search("anything", k=1000, filter=asked)
    assert [hit.id for hit in found] == expected
    assert len(found) == len({fact.picture for fact in passes})
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    for hit in found:
        passing = [Path(path) in wanted for path in hit.paths]
        assert passing == sorted(passing, reverse=True)
        assert passing[0]
        assert len(hit.paths) == sum(Path(p) in {f.path for f in facts} for p in hit.paths)


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
    world: tuple[Path, list[Fact], Engine], name: str, folders: tuple[str, ...]
) -> None:
    photos, facts, _ = world
    inside = [f for f in facts if f.path.parent in {photos / folder for folder in folders}]
    assert inside
    check(world, Filter(folders=[name]), inside)


def test_a_path_is_taken_as_that_path(
    world: tuple[Path, list[Fact], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, facts, _ = world
    here = [f for f in facts if f.path.is_relative_to(photos / "2024" / "Norway")]
    check(world, Filter(folders=[photos / "2024" / "Norway"]), here)
    check(world, Filter(folders=[photos.parent]), facts)
    monkeypatch.chdir(photos / "2024")
    italy = [f for f in facts if f.path.parent == photos / "2024" / "Italy"]
    check(world, Filter(folders=["Italy"]), italy)
    monkeypatch.chdir(photos / "2023")
    check(world, Filter(folders=["../2024/Norway"]), here)


def test_folders_add_up_and_one_without_pictures_is_an_error(
    world: tuple[Path, list[Fact], Engine], tmp_path: Path
) -> None:
    photos, facts, engine = world
    both = [f for f in facts if f.path.parent in {photos / "2023/Italy", photos / "italy trip"}]
    check(world, Filter(folders=["2023", "italy trip"]), both)
    for nowhere in ("Spain", tmp_path, "/no/such/folder", photos / "2025", "..", "aly"):
        with pytest.raises(QueryError, match="no indexed picture lies in"):
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
def test_a_bare_date_is_compared_with_the_wall_clock_of_the_photo(
    world: tuple[Path, list[Fact], Engine], text: str, first: datetime, behind: datetime
) -> None:
    facts = world[1]
    check(world, Filter(since=text), [f for f in facts if wall_of(f) >= first])
    check(world, Filter(until=text), [f for f in facts if wall_of(f) < behind])
    within = [f for f in facts if first <= wall_of(f) < behind]
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
    world: tuple[Path, list[Fact], Engine], text: str, first: datetime, length: timedelta
) -> None:
    facts = world[1]
    check(world, Filter(since=text), [f for f in facts if instant_of(f) >= first])
    check(world, Filter(until=text), [f for f in facts if instant_of(f) < first + length])


def test_globs_exclude_as_they_do_when_indexing(
    world: tuple[Path, list[Fact], Engine], tmp_path: Path
) -> None:
    photos, facts, _ = world
    for globs in (["copy_*"], ["raw"], ["2024/*"], ["Italy", "IMG_1*"], ["*/Norway"]):

        def hidden(path: Path, globs: list[str] = globs) -> bool:
            relative = path.relative_to(photos)
            steps = [relative, *list(relative.parents)[:-1]]
            return any(fnmatch(s.name, g) or fnmatch(str(s), g) for s in steps for g in globs)

        passes = [f for f in facts if not hidden(f.path)]
        assert 0 < len(passes) < len(facts)
        check(world, Filter(exclude=globs), passes)
        folder = tmp_path / "_".join(globs).replace("/", "_")
        with open_collection(folder, photos, exclude=globs) as excluding:
            indexed = excluding.catalogue.counts()[0]
        assert indexed == len(passes)


def test_one_file_must_pass_all_conditions_and_pages_follow(
    world: tuple[Path, list[Fact], Engine],
) -> None:
    _, facts, engine = world
    asked = Filter(["Italy"], since="2024", until="2024-09", exclude=["copy_*"])
    passes = [
        f
        for f in facts
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


def test_more_conditions_can_be_given_as_ids(world: tuple[Path, list[Fact], Engine]) -> None:
    engine = world[2]
    in_italy = [hit.id for hit in engine.search("x", k=1000, filter=Filter(["Italy"]))]
    chosen = np.array(sorted(in_italy)[::2])
    hits = engine.search("x", k=1000, filter=Filter(["Italy"], among=[chosen, chosen[:5]]))
    assert {hit.id for hit in hits} == set(chosen[:5].tolist())


def test_similar_pictures_are_filtered_too(world: tuple[Path, list[Fact], Engine]) -> None:
    photos, facts, engine = world
    one = engine.search("x", k=1)[0]
    found = engine.similar(one.id, k=1000, filter=Filter(["Norway"]))
    norway = {f.picture for f in facts if f.path.is_relative_to(photos / "2024" / "Norway")}
    own = {f.picture for f in facts if f.path == one.file}
    assert len(found) == len(norway - own)
    assert all("Norway" in hit.path for hit in found)


# -- files that come and go, odd names, links ---------------------------------------------------


def test_a_hit_says_when_it_was_taken(world: tuple[Path, list[Fact], Engine]) -> None:
    _, facts, engine = world
    by_path = {fact.path: fact for fact in facts}
    for hit in engine.search("x", k=1000):
        fact = by_path[hit.file]
        expected = fact.taken or datetime.fromtimestamp(fact.changed, HERE)
        assert hit.taken_at == expected.isoformat()


def test_a_copy_passes_by_its_own_folder_and_a_deleted_one_no_longer(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos / "a" / "x.jpg", 1, None, None)
    write(photos / "b" / "y.jpg", 1, None, None)
    write(photos / "b" / "z.jpg", 2, None, None)
    assert (photos / "a/x.jpg").read_bytes() == (photos / "b/y.jpg").read_bytes()
    with open_collection(tmp_path / "c", photos) as engine:
        (hit,) = engine.search("x", filter=Filter(["b"], exclude=["z*"]))
        assert [Path(path).name for path in hit.paths] == ["y.jpg", "x.jpg"]
        (photos / "b" / "y.jpg").unlink()
        build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
        assert [hit.file.name for hit in engine.search("x", filter=Filter(["b"]))] == ["z.jpg"]
        (photos / "b" / "z.jpg").unlink()
        build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
        with pytest.raises(QueryError, match="no indexed picture"):
            engine.search("x", filter=Filter(["b"]))


def test_names_that_are_no_text_pass_and_are_named(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"photos", b"caf\xe9")
    write(tmp_path / "plain.jpg", 1, None, None)
    os.makedirs(folder)
    shutil.copy(tmp_path / "plain.jpg", os.path.join(folder, b"\xff.jpg"))
    with open_collection(tmp_path / "c", tmp_path / "photos") as engine:
        for name in (os.fsdecode(folder), os.fsdecode(b"caf\xe9"), os.fsdecode(b"CAF\xe9")):
            (hit,) = engine.search("x", filter=Filter([name]))
            assert hit.raw_paths == (os.path.join(folder, b"\xff.jpg"),)
        assert not engine.search("x", filter=Filter(exclude=[os.fsdecode(b"\xff*")]))


def test_links_in_a_path_lead_to_the_same_pictures(tmp_path: Path) -> None:
    write(tmp_path / "real" / "sub" / "a.jpg", 1, None, None)
    write(tmp_path / "elsewhere" / "b.jpg", 2, None, None)
    (tmp_path / "real" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "door").symlink_to(tmp_path / "real")
    with open_collection(tmp_path / "c", tmp_path / "real") as engine:

        def names(folder: Path | str) -> set[str]:
            return {hit.file.name for hit in engine.search("x", filter=Filter([folder]))}

        assert names(tmp_path / "door") == {"a.jpg", "b.jpg"}
        assert names(tmp_path / "door" / "sub") == {"a.jpg"}
        assert names(tmp_path / "real" / "link") == {"b.jpg"}
        assert names(tmp_path / "door" / "link") == {"b.jpg"}
        assert names("link") == {"b.jpg"}


def test_many_folders_of_one_name_are_no_limit(tmp_path: Path) -> None:
    for number in range(250):
        write(tmp_path / "photos" / f"{number:03}" / "raw" / "a.jpg", number, None, None)
        write(tmp_path / "photos" / f"{number:03}" / "b.jpg", 1000 + number, None, None)
    with open_collection(tmp_path / "c", tmp_path / "photos") as engine:
        hits = engine.search("x", k=1000, filter=Filter(["raw"], since="2000"))
        assert len(hits) == 250
        assert all(hit.file.name == "a.jpg" for hit in hits)


def test_a_search_without_filters_loads_none_of_this() -> None:
    code = "import sys, search; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "search.engine" in loaded
    assert not {"search.filters", "search.folders", "search.dates", "PIL"} & set(loaded)


# -- dates ---------------------------------------------------------------------------------------


def test_days_ago_are_counted_from_today(tmp_path: Path) -> None:
    now = datetime.now().replace(microsecond=0)
    for days in (0, 1, 6, 8, 40, 400, 800):
        write(tmp_path / "p" / f"{days}.jpg", days, now - timedelta(days=days), None)
    with open_collection(tmp_path / "c", tmp_path / "p") as engine:

        def days(**asked: str) -> set[int]:
            hits = engine.search("x", k=100, filter=Filter(**asked))  # type: ignore[arg-type]
            return {int(hit.file.stem) for hit in hits}

        assert days(since="today") == {0}
        assert days(since="yesterday", until="yesterday") == {1}
        assert days(since="7d") == {0, 1, 6}
        assert days(since="1w ago") == {0, 1, 6}
        assert days(since="2m") == {0, 1, 6, 8, 40}
        assert days(until="1y") == {400, 800}
        assert days(until="2Y") == {800}


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "2024-13", "2024-02-30", "24-07-01", "2024-07-14T25:00", "7x",
             "2024-07-14T12", "0000", "2024-07-14T12:30+99:00", "99999y", "9999"]
)  # fmt: skip
def test_what_is_no_date_is_refused_saying_what_is(text: str) -> None:
    with pytest.raises(QueryError, match=r"is no date: write 2024, 2024-07, .*yesterday"):
        Filter(until=text)


# -- the vector search below ---------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.0])
@pytest.mark.parametrize("order", ["rising", "mixed"])
def test_a_search_among_ids_is_brute_force(share: float, order: str) -> None:
    import faiss

    random = np.random.default_rng(3)
    vectors = random.standard_normal((4000, 16)).astype(np.float32)
    ids = np.arange(10, 4010)
    if order == "mixed":
        random.shuffle(ids)
    parts = []
    for part in (slice(0, 3000), slice(3000, 4000)):
        index = faiss.IndexIDMap(faiss.IndexFlatIP(16))
        index.add_with_ids(vectors[part], ids[part])
        parts.append(index)
    removed, without = ids[:50], ids[50:90]
    searched = VectorIndex(parts, removed.tolist(), 1)
    among = np.sort(random.choice(np.arange(0, 5000), int(share * 4000), replace=False))
    for query in random.standard_normal((5, 16)).astype(np.float32):
        keep = np.isin(ids, among) & ~np.isin(ids, np.concatenate([removed, without]))
        truth = (vectors @ query)[keep]
        best = np.lexsort((ids[keep], -truth))[:30]
        scores, found = searched.search(query, 30, without=without.tolist(), among=among)
        assert np.allclose(scores, truth[best], atol=1e-5)
        assert found.tolist() == ids[keep][best].tolist()
