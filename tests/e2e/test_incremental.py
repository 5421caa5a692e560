"""What a second run does about files that are new, changed, moved, copied or gone."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from support.command import Run, json_lines
from support.images import make_photo
from support.other_user import NOBODY, readable_folder, require_other_user, surroundings


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


def index(clipdex: Run, *arguments: object, code: int = 0) -> dict[str, int]:
    (report,) = json_lines(clipdex("index", *arguments, "--json", code=code))
    counted = ("indexed", "reused", "unchanged", "removed", "failed")
    return {key: report[key] for key in counted if report[key]}


def found(clipdex: Run) -> dict[str, int]:
    """Every path in the collection, with its content's id."""
    hits = json_lines(clipdex("search", "colours", "-k", 1000, "--json"))
    return {path: hit["id"] for hit in hits for path in hit["paths"]}


def test_only_what_changed_is_read(clipdex: Run, photos: Path) -> None:
    assert index(clipdex, photos) == {"indexed": 4}
    before = found(clipdex)
    assert index(clipdex, photos) == {"unchanged": 4}
    make_photo(photos / "1.png", 11)
    make_photo(photos / "new.png", 12)
    os.rename(photos / "2.png", photos / "moved.png")
    shutil.copy(photos / "3.png", photos / "copy.png")
    (photos / "0.png").unlink()
    expected = {"indexed": 2, "reused": 2, "unchanged": 1, "removed": 1}
    assert index(clipdex, photos) == expected
    after = found(clipdex)
    assert {Path(path).name for path in after} == {
        "1.png",
        "3.png",
        "copy.png",
        "moved.png",
        "new.png",
    }
    assert after[str(photos / "moved.png")] == before[str(photos / "2.png")]
    assert after[str(photos / "copy.png")] == before[str(photos / "3.png")]
    assert after[str(photos / "1.png")] not in before.values()


def test_prune_removes_vanished_images(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    index(clipdex, photos)
    before = found(clipdex)
    os.rename(photos / "0.png", tmp_path / "away.png")
    index(clipdex, photos)
    assert str(photos / "0.png") not in found(clipdex)
    os.rename(tmp_path / "away.png", photos / "0.png")
    assert index(clipdex, photos) == {"reused": 1, "unchanged": 3}
    assert found(clipdex) == before
    os.rename(photos / "0.png", tmp_path / "away.png")
    index(clipdex, photos, "--prune")
    os.rename(tmp_path / "away.png", photos / "0.png")
    assert index(clipdex, photos) == {"indexed": 1, "unchanged": 3}
    assert found(clipdex)[str(photos / "0.png")] not in before.values()


def test_an_unplugged_drive_removes_nothing(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    index(clipdex, photos)
    before = found(clipdex)
    os.rename(photos, tmp_path / "unplugged")
    assert b"Nothing was removed" in clipdex("index", photos, code=1).stderr
    photos.mkdir()
    message = clipdex("index", photos, "--prune", code=1).stderr
    assert b"held 4 images and is empty now" in message
    assert found(clipdex) == before
    photos.rmdir()
    os.rename(tmp_path / "unplugged", photos)
    assert index(clipdex, photos) == {"unchanged": 4}


def test_forget_takes_out_files_and_folders(clipdex: Run, photos: Path) -> None:
    make_photo(photos / "sub" / "5.png", 5)
    index(clipdex, photos)
    assert b"1 files forgotten" in clipdex("forget", photos / "0.png").stdout
    assert b"1 files forgotten" in clipdex("forget", photos / "sub").stdout
    assert len(found(clipdex)) == 3
    assert b"holds nothing at" in clipdex("forget", photos / "0.png", code=1).stderr
    shutil.rmtree(photos)
    assert b"3 files forgotten" in clipdex("forget", photos).stdout
    assert found(clipdex) == {}
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["images"], status["contents"], status["roots"]) == (0, 0, [])


def test_nested_roots_become_one(clipdex: Run, photos: Path) -> None:
    make_photo(photos / "sub" / "5.png", 5)
    assert index(clipdex, photos / "sub") == {"indexed": 1}
    assert index(clipdex, photos) == {"indexed": 4, "unchanged": 1}
    assert index(clipdex, photos / "sub") == {"unchanged": 1}
    assert index(clipdex, photos / "sub" / "5.png") == {"unchanged": 1}
    assert index(clipdex, photos, photos / "sub") == {"unchanged": 5}
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["roots"] == [str(photos)]


def test_excluded_images_leave_the_collection(clipdex: Run, photos: Path) -> None:
    make_photo(photos / "thumbs" / "5.png", 5)
    index(clipdex, photos)
    expected = {"unchanged": 4, "removed": 1}
    assert index(clipdex, photos, "--exclude", "thumbs") == expected


def test_a_clipdex_that_reads_more_tries_failed_files_again(
    clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    (photos / "bad.jpg").write_text("hello")
    index(clipdex, photos, code=3)
    assert index(clipdex, photos) == {"unchanged": 5}
    with sqlite3.connect(tmp_path / "collection" / "catalogue.sqlite3") as catalog:
        catalog.execute("DELETE FROM state WHERE key LIKE 'reader%'")  # as an older one left it
    catalog.close()
    assert index(clipdex, photos / "0.png") == {"unchanged": 1}
    assert index(clipdex, photos, code=3) == {"unchanged": 4, "failed": 1}
    assert index(clipdex, photos) == {"unchanged": 5}


def test_changed_content_of_equal_size_and_time_is_found(clipdex: Run, photos: Path) -> None:
    for number in range(4):
        Image.effect_noise((64, 48), 10 + 40 * number).save(photos / f"{number}.bmp")
    index(clipdex, photos)
    before, info = found(clipdex), os.stat(photos / "2.bmp")
    Image.effect_noise((64, 48), 200).save(photos / "2.bmp")
    os.utime(photos / "2.bmp", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert os.stat(photos / "2.bmp").st_size == info.st_size
    assert index(clipdex, photos) == {"unchanged": 8}
    assert index(clipdex, photos, "--rehash") == {"indexed": 1, "unchanged": 7}
    assert index(clipdex, photos, "--verify") == {"unchanged": 8}
    after = found(clipdex)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {str(photos / "2.bmp")}


@pytest.mark.parametrize("year", [1600, 2300])
def test_an_odd_file_time_is_only_an_odd_file_time(clipdex: Run, photos: Path, year: int) -> None:
    seconds = (year - 1970) * 31_556_952
    os.utime(photos / "1.png", (seconds, seconds))
    kept = os.stat(photos / "1.png").st_mtime == seconds  # ext4 knows no year before 1901
    assert index(clipdex, photos) == {"indexed": 4}
    assert index(clipdex, photos) == {"unchanged": 4}
    later = json_lines(clipdex("search", "colours", "--since", "2200", "--json"))
    assert [Path(hit["path"]).name for hit in later] == (["1.png"] if year > 2200 else [])
    earlier = json_lines(clipdex("search", "colours", "--until", "1700", "--json"))
    assert [Path(hit["path"]).name for hit in earlier] == (
        ["1.png"] if year < 1700 and kept else []
    )


def test_failed_files_are_retried(clipdex: Run, photos: Path) -> None:
    bad = photos / "bad.jpg"
    bad.write_text("hello")
    assert index(clipdex, photos, code=3) == {"indexed": 4, "failed": 1}
    assert index(clipdex, photos) == {"unchanged": 5}
    assert index(clipdex, photos, "--retry-failed", code=3) == {"unchanged": 4, "failed": 1}
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["failed"] == 1
    make_photo(photos / "good.png", 9).replace(bad)
    assert index(clipdex, photos) == {"indexed": 1, "unchanged": 4}
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["failed"] == 0


def test_forget_keeps_other_vanished_images(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    index(clipdex, photos)
    before = found(clipdex)
    os.rename(photos / "0.png", tmp_path / "away.png")
    index(clipdex, photos)
    clipdex("forget", photos / "nothing.png", code=1)
    clipdex("forget", photos / "1.png")
    os.rename(tmp_path / "away.png", photos / "0.png")
    assert index(clipdex, photos) == {"reused": 1, "unchanged": 2}
    assert index(clipdex, photos / "1.png") == {"indexed": 1}
    after = found(clipdex)
    assert after[str(photos / "0.png")] == before[str(photos / "0.png")]
    assert after[str(photos / "1.png")] not in before.values()


def test_an_image_that_cannot_be_read_for_a_time_stays(clipdex: Run) -> None:
    require_other_user()
    with readable_folder() as folder:
        photos = folder / "photos"
        for number in range(4):
            make_photo(photos / f"{number}.png", number)
        collection = folder / "nobody" / "collection"
        options = {"prefix": NOBODY, "env": surroundings(folder), "cwd": folder}
        index = ("index", photos, "--json", "--collection", collection)

        def found() -> set[str]:
            done = clipdex("search", "colours", "--json", "--collection", collection, **options)
            return {Path(hit["path"]).name for hit in json_lines(done)}

        (photos / "3.png").chmod(0o600)
        (report,) = json_lines(clipdex(*index, **options, code=3))
        assert (report["indexed"], report["failed"]) == (3, 1)
        # Its size and time are as they were, and nothing asks for failed files.
        (photos / "3.png").chmod(0o644)
        (report,) = json_lines(clipdex(*index, **options))
        assert (report["indexed"], report["unchanged"]) == (1, 3)
        (photos / "0.png").chmod(0o600)
        (report,) = json_lines(clipdex(*index, "--rehash", "--prune", **options, code=3))
        assert (report["unchanged"], report["removed"], report["failed"]) == (3, 0, 1)
        assert found() == {"0.png", "1.png", "2.png", "3.png"}
        (photos / "0.png").chmod(0o644)
        (report,) = json_lines(clipdex(*index, "--rehash", **options))
        assert report["unchanged"] == 4
