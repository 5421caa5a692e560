"""Sidecars written beside photos; what is in the way of one does not stop the others."""

import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adaptation.sidecars import SidecarReport, plan, undo, write
from adaptation.sidecars.planning import Change
from adaptation.sidecars.xmp import merge
from indexer.errors import JournalError, TagError
from support.sidecar_samples import DIGIKAM, LIGHTROOM, keywords

Reader = Callable[[bytes], dict[str, Any]]
DOG = [("Animals", "Dog")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a.jpg and b.jpg."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


def paths(found: list[bytes]) -> list[str]:
    return [os.path.basename(os.fsdecode(path)) for path in found]


def reasons(report: SidecarReport) -> dict[str, str]:
    return {os.path.basename(os.fsdecode(s.path)): s.reason for s in report.skipped}


def test_sidecars_are_created_or_merged(photos: Path, journal: Path, exiftool: Reader) -> None:
    (photos / "b.jpg.xmp").write_bytes(DIGIKAM)
    before = {name: os.stat(photos / name) for name in ("a.jpg", "b.jpg")}
    tags = {photos / "a.jpg": DOG, os.fsencode(photos / "b.jpg"): DOG}
    report = write(tags, journal)
    assert (paths(report.created), paths(report.merged)) == (["a.jpg.xmp"], ["b.jpg.xmp"])
    assert keywords(exiftool((photos / "a.jpg.xmp").read_bytes()))[1] == ["Animals|Dog"]
    merged = (photos / "b.jpg.xmp").read_bytes()
    assert keywords(exiftool(merged))[0] == ["Élysée", "Holiday", "Dog"]
    again = write(tags, journal)
    assert paths(again.unchanged) == ["a.jpg.xmp", "b.jpg.xmp"]
    assert not again.created + again.merged + again.skipped
    assert again.to_json() == {"created": 0, "merged": 0, "unchanged": 2, "skipped": []}
    after = {name: os.stat(photos / name) for name in before}
    # Their access times too: they were not read.
    assert after == before
    assert sorted(os.listdir(photos)) == ["a.jpg", "a.jpg.xmp", "b.jpg", "b.jpg.xmp"]
    assert sorted(os.listdir(journal)) == ["000001", "writer.lock"]


def test_a_dry_run_says_the_same_and_writes_nothing(photos: Path, journal: Path) -> None:
    (photos / "b.jpg.xmp").write_bytes(DIGIKAM)
    (photos / "c.jpg.xmp").mkdir()
    (photos / "c.jpg").touch()
    tags = {photos / name: DOG for name in ("a.jpg", "b.jpg", "c.jpg", "gone.jpg")}
    tried = write(tags, journal, dry_run=True)
    assert not journal.exists()
    assert (photos / "b.jpg.xmp").read_bytes() == DIGIKAM
    planned = [change for change in plan(tags) if isinstance(change, Change)]
    assert [paths([c.sidecar])[0] for c in planned] == ["a.jpg.xmp", "b.jpg.xmp"]
    assert write(tags, journal) == tried
    assert [(photos / c.photo.decode()).with_suffix(".jpg.xmp").read_bytes() for c in planned] == [
        c.after for c in planned
    ]


@pytest.mark.parametrize(
    ("naming", "there", "used"),
    [
        ("full", [], "a.jpg.xmp"),
        ("stem", [], "a.xmp"),
        ("full", ["a.xmp"], "a.xmp"),
        ("stem", ["a.jpg.xmp"], "a.jpg.xmp"),
        ("full", ["a.xmp", "a.jpg.xmp"], "a.jpg.xmp"),
        ("stem", ["a.xmp", "a.jpg.xmp"], "a.xmp"),
    ],
)
def test_the_sidecar_that_is_there_is_merged_with(
    naming: Any, there: list[str], used: str, photos: Path, journal: Path
) -> None:
    for name in there:
        (photos / name).write_bytes(LIGHTROOM)
    report = write({photos / "a.jpg": DOG}, journal, naming=naming)
    assert paths(report.merged if there else report.created) == [used]
    assert sorted(paths(list(map(os.fsencode, photos.glob("*.xmp"))))) == sorted({*there, used})


def test_two_photos_of_one_stem_never_share_a_sidecar(photos: Path, journal: Path) -> None:
    (photos / "a.png").touch()
    tags = {photos / "a.jpg": DOG, photos / "b.jpg": DOG}
    report = write(tags, journal, naming="stem")
    assert "another photo's sidecar" in reasons(report)["a.jpg"]
    assert paths(report.created) == ["b.xmp"]
    # Nor one that is there already, whose photo nobody can tell.
    (photos / "a.xmp").write_bytes(LIGHTROOM)
    assert "another photo's" in reasons(write(tags, journal, naming="stem"))["a.jpg"]
    report = write({photos / "a.jpg": DOG, photos / "a.png": DOG}, journal)
    assert paths(report.created) == ["a.jpg.xmp", "a.png.xmp"]
    assert (photos / "a.xmp").read_bytes() == LIGHTROOM


def test_a_photo_name_that_equals_anothers_stem(photos: Path, journal: Path) -> None:
    (photos / "a.jpg.png").touch()
    tags = {photos / "a.jpg.png": [("png",)], photos / "a.jpg": [("jpg",)]}
    report = write(tags, journal)
    assert paths(report.created) == ["a.jpg.png.xmp", "a.jpg.xmp"]
    assert b"<rdf:li>png" not in (photos / "a.jpg.xmp").read_bytes()
    assert paths(write(tags, journal).unchanged) == ["a.jpg.png.xmp", "a.jpg.xmp"]


def test_a_failed_sidecar_does_not_stop_the_rest(
    photos: Path, journal: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.xmp"
    elsewhere.write_bytes(LIGHTROOM)
    names = ["link", "dangling", "folder", "pipe", "damaged", "huge", "gone", "untagged", "fine"]
    for name in names:
        (photos / f"{name}.jpg").touch()
    (photos / "link.jpg.xmp").symlink_to(elsewhere)
    (photos / "dangling.jpg.xmp").symlink_to(tmp_path / "nowhere")
    (photos / "folder.jpg.xmp").mkdir()
    os.mkfifo(photos / "pipe.jpg.xmp")
    (photos / "damaged.jpg.xmp").write_bytes(LIGHTROOM[:100])
    with open(photos / "huge.jpg.xmp", "wb") as file:
        file.truncate(2**24 + 1)
    (photos / "gone.jpg").unlink()
    tags = {photos / f"{name}.jpg": DOG for name in names}
    tags[photos / "untagged.jpg"] = []
    tags[photos] = DOG
    report = write(tags, journal)
    assert paths(report.created) == ["fine.jpg.xmp"]
    assert {name.partition(".")[0]: reason[:15] for name, reason in reasons(report).items()} == {
        "link": "a symbolic link",
        "dangling": "a symbolic link",
        "folder": "a folder or dev",
        "pipe": "a folder or dev",
        "damaged": "not well-formed",
        "huge": "above 16 MiB, w",
        "gone": "the photo is go",
        "untagged": "no tags for it",
        "photos": "not a file",
    }
    assert elsewhere.read_bytes() == LIGHTROOM
    assert not (tmp_path / "nowhere").exists()
    assert "\n" not in str(report.to_json())


def test_a_folder_that_cannot_be_written_is_skipped(
    photos: Path, journal: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (photo := shelf / "c.jpg").touch()
    shelf.chmod(0o555)
    if os.access(shelf, os.W_OK):  # root may write there all the same, but not to a mount like this
        for options in ("bind", "remount,bind,ro"):
            subprocess.run(["mount", "-o", options, shelf, shelf], capture_output=True, check=False)
        if os.access(shelf, os.W_OK):
            pytest.skip("cannot make a folder read-only here")
    try:
        for dry_run in (True, False):
            report = write({photo: DOG, photos / "a.jpg": DOG}, journal, dry_run=dry_run)
            assert reasons(report) == {"c.jpg": f"{str(shelf)!r} is not writable for this user"}
            assert paths(report.created) == ["a.jpg.xmp"]
    finally:
        subprocess.run(["umount", shelf], capture_output=True, check=False)


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), open(folder / "filler", "wb", 0) as file:
        while file.write(bytes(1024)):
            pass


def test_a_full_disk_leaves_every_sidecar_whole(small: Path, photos: Path, journal: Path) -> None:
    (small / "c.jpg").touch()
    (small / "d.jpg").touch()
    (small / "d.jpg.xmp").write_bytes(DIGIKAM)
    fill(small)
    tags = {small / "c.jpg": DOG, small / "d.jpg": DOG, photos / "a.jpg": DOG}
    report = write(tags, journal)
    assert reasons(report) == dict.fromkeys(("c.jpg", "d.jpg"), "No space left on device")
    assert paths(report.created) == ["a.jpg.xmp"]
    assert sorted(os.listdir(small)) == ["c.jpg", "d.jpg", "d.jpg.xmp", "filler"]
    assert (small / "d.jpg.xmp").read_bytes() == DIGIKAM
    assert len(undo(journal).unchanged) == 2


def test_without_room_for_the_journal_nothing_is_written(small: Path, photos: Path) -> None:
    (small / "journal").mkdir()
    fill(small)
    with pytest.raises(JournalError, match="no sidecar is touched"):
        write({photos / "a.jpg": DOG}, small / "journal")
    assert sorted(os.listdir(photos)) == ["a.jpg", "b.jpg"]
    (small / "filler").unlink()
    with pytest.raises(JournalError, match="nothing to undo"):
        undo(small / "journal")


def test_an_invalid_tag_stops_the_run_at_its_start(photos: Path, journal: Path) -> None:
    tags = {photos / "a.jpg": DOG, photos / "b.jpg": [("a\nb",)]}
    for act in (lambda: write(tags, journal), lambda: plan(tags)):
        with pytest.raises(TagError, match="U\\+000A"):
            act()
    assert sorted(os.listdir(photos)) == ["a.jpg", "b.jpg"]
    assert not journal.exists()


def test_undecodable_names(photos: Path, journal: Path) -> None:
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    gone = os.fsencode(photos) + b"/\xff\xfe"
    with open(name, "wb"):
        pass
    report = write({name: DOG, Path(os.fsdecode(gone)): DOG}, journal)
    assert report.created == [name + b".xmp"]
    assert report.skipped[0].path == gone
    assert report.to_json()["skipped"][0]["path"].endswith("��")
    assert undo(journal).removed == [name + b".xmp"]
    assert not os.path.exists(name + b".xmp")


def test_one_photo_by_several_paths_gets_all_its_tags(
    photos: Path, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(photos)
    (photos / "below").mkdir()
    (tmp_path / "deep").symlink_to(photos / "below")
    monkeypatch.chdir(photos)
    report = write(
        {
            photos / "a.jpg": [("one",)],
            b"a.jpg": [("two",)],
            tmp_path / "link/a.jpg": [("one",)],
            tmp_path / "deep/../a.jpg": [("three",)],
        },
        journal,
    )
    assert report.created == [os.fsencode(photos / "a.jpg.xmp")]
    assert (photos / "a.jpg.xmp").read_bytes() == merge(None, [("one",), ("two",), ("three",)])


def test_a_sidecar_keeps_its_permissions_and_attributes(photos: Path, journal: Path) -> None:
    sidecar = photos / "a.jpg.xmp"
    sidecar.write_bytes(DIGIKAM)
    sidecar.chmod(0o640)
    attributes = {"user.xdg.tags": b"holiday"}
    try:
        os.setxattr(sidecar, "user.xdg.tags", attributes["user.xdg.tags"])
    except OSError:
        attributes = {}  # not on this file system
    if os.getuid() == 0:
        os.chown(sidecar, 12345, 54321)
    before = sidecar.stat()
    write({photos / "a.jpg": DOG, photos / "b.jpg": DOG}, journal)
    after = sidecar.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_mtime_ns > before.st_mtime_ns
    assert {name: os.getxattr(sidecar, name) for name in os.listxattr(sidecar)} == attributes
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((photos / "b.jpg.xmp").stat().st_mode) == 0o666 & ~umask


def test_a_sidecar_that_changes_while_a_run_plans_is_left(
    photos: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adaptation.sidecars.journal import Draft

    kept = Draft.keep

    def keep(draft: Draft) -> Any:
        (photos / "a.jpg.xmp").write_bytes(DIGIKAM)
        return kept(draft)

    monkeypatch.setattr(Draft, "keep", keep)
    report = write({photos / "a.jpg": DOG, photos / "b.jpg": DOG}, journal)
    assert reasons(report) == {"a.jpg": "its sidecar was changed meanwhile"}
    assert (photos / "a.jpg.xmp").read_bytes() == DIGIKAM
    assert paths(undo(journal).removed) == ["b.jpg.xmp"]


def test_nothing_is_written_beside_remote_photos(photos: Path, journal: Path) -> None:
    report = write({b"s3://bucket/a.jpg": DOG, photos / "a.jpg": DOG}, journal)
    assert [one.path for one in report.skipped] == [b"s3://bucket/a.jpg"]
    assert reasons(report)["a.jpg"].startswith("not on a drive")
    assert len(report.created) == 1
