"""Runs taken back, whole ones and ones that were killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adaptation.sidecars import undo, write
from adaptation.sidecars.journal import sole_writer
from indexer.errors import JournalError
from support.sidecar_samples import SAMPLES

REPOSITORY = Path(__file__).parents[4]
Tree = dict[str, tuple[bytes, int, int]]
DOG = [("Animals", "Dog")]


def tree(folder: Path) -> Tree:
    """Each file's bytes, time of change and mode."""
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode)
        for file in folder.iterdir()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos with sidecars of three programs, dated and of several modes, and ones without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (program, sidecar) in enumerate(SAMPLES.items()):
        (folder / f"{program}.jpg").write_bytes(b"photo")
        file = folder / f"{program}.jpg.xmp"
        file.write_bytes(sidecar)
        file.chmod((0o600, 0o644, 0o664)[number])
        os.utime(file, ns=(1, 1_500_000_000_123_456_789 + number))
    for name in ("new.jpg", "caf\udce9.jpg"):
        (folder / name).write_bytes(b"photo")
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def all_of(folder: Path) -> dict[Path | bytes, list[tuple[str, ...]]]:
    return dict.fromkeys(sorted(folder.glob("*.jpg")), DOG)


def test_undo_gives_back_every_byte_and_time_of_change(photos: Path, journal: Path) -> None:
    before = tree(photos)
    report = write(all_of(photos), journal)
    assert (len(report.merged), len(report.created)) == (3, 2)
    undone = undo(journal)
    assert (len(undone.restored), len(undone.removed)) == (3, 2)
    assert not undone.left + undone.failed
    assert tree(photos) == before
    with pytest.raises(JournalError, match="nothing to undo"):
        undo(journal)


def test_undo_twice_undoes_the_run_before_too(photos: Path, journal: Path) -> None:
    states = [tree(photos)]
    for word in ("one", "two"):
        write({photo: [(word,)] for photo in all_of(photos)}, journal)
        states.append(tree(photos))
    undo(journal)
    assert tree(photos) == states[1]
    write(all_of(photos), journal)
    undo(journal)
    assert tree(photos) == states[1]
    undo(journal)
    assert tree(photos) == states[0]


def test_a_run_without_changes_is_not_undone(photos: Path, journal: Path) -> None:
    before = tree(photos)
    write(all_of(photos), journal)
    write(all_of(photos), journal)
    undo(journal)
    assert tree(photos) == before


def test_undo_leaves_later_changes(photos: Path, journal: Path) -> None:
    before = tree(photos)
    write(all_of(photos), journal)
    (photos / "new.jpg.xmp").write_bytes(b"mine")
    (photos / "digiKam.jpg.xmp").write_bytes(b"mine too")
    (photos / "darktable.jpg.xmp").unlink()
    (photos / "darktable.jpg.xmp").symlink_to(photos / "new.jpg")
    (photos / "Lightroom.jpg.xmp").unlink()
    undone = undo(journal)
    assert sorted(os.path.basename(s.path) for s in undone.left) == [
        b"Lightroom.jpg.xmp",
        b"darktable.jpg.xmp",
        b"digiKam.jpg.xmp",
        b"new.jpg.xmp",
    ]
    assert [os.path.basename(path) for path in undone.removed] == [b"caf\xe9.jpg.xmp"]
    assert (photos / "new.jpg.xmp").read_bytes() == b"mine"
    assert (photos / "digiKam.jpg.xmp").read_bytes() == b"mine too"
    assert not (photos / "Lightroom.jpg.xmp").exists()
    assert (photos / "new.jpg").read_bytes() == before["new.jpg"][0]
    # The former bytes stay in the journal, for whoever wants them after all.
    assert len((journal / "000001" / "journal.jsonl").read_bytes().splitlines()) == 6
    with pytest.raises(JournalError, match="nothing to undo"):
        undo(journal)


KILLED = """
import os, signal, sys
from pathlib import Path
from adaptation import sidecars
moment, count = sys.argv[1], int(sys.argv[2])
calls = 0
real = getattr(os, moment)
def stopping(*arguments, **options):
    global calls
    calls += 1
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, moment, stopping)
photos = Path(sys.argv[3])
if sys.argv[5] == "write":
    tags = {photo: [("Animals", "Dog")] for photo in sorted(photos.glob("*.jpg"))}
    sidecars.write(tags, Path(sys.argv[4]))
else:
    sidecars.undo(Path(sys.argv[4]))
"""


def killed(moment: str, count: int, photos: Path, journal: Path, act: str) -> bool:
    """Run `act` in a process that is killed as it calls this function of `os` for the nth time;
    whether it came to that."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, moment, str(count), photos, journal, act],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=photos.parent,
        capture_output=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


# Once for the journal's file and thrice for folders, then twice a sidecar: its file, its folder.
@pytest.mark.parametrize(
    ("moment", "count"),
    [("replace", 1), ("replace", 3), ("replace", 5), ("fsync", 4), ("fsync", 5), ("fsync", 6),
     ("fsync", 9), ("fsync", 14)],
)  # fmt: skip
def test_a_run_that_was_killed_can_be_undone(
    moment: str, count: int, photos: Path, journal: Path
) -> None:
    before = tree(photos)
    assert killed(moment, count, photos, journal, "write")
    undone = undo(journal)
    assert not undone.left + undone.failed
    assert tree(photos) == before


@pytest.mark.parametrize(("moment", "count"), [("fsync", 1), ("rename", 1)])
def test_a_run_killed_while_journaling_changed_nothing(
    moment: str, count: int, photos: Path, journal: Path
) -> None:
    before = tree(photos)
    assert killed(moment, count, photos, journal, "write")
    assert tree(photos) == before
    with pytest.raises(JournalError, match="nothing to undo"):
        undo(journal)
    write(all_of(photos), journal)
    undo(journal)
    assert tree(photos) == before


@pytest.mark.parametrize(
    ("moment", "count"), [("replace", 1), ("replace", 3), ("unlink", 3), ("fsync", 1), ("fsync", 8)]
)
def test_an_undo_that_was_killed_goes_on(
    moment: str, count: int, photos: Path, journal: Path
) -> None:
    before = tree(photos)
    write(all_of(photos), journal)
    assert killed(moment, count, photos, journal, "undo")
    undo(journal)
    assert tree(photos) == before


def test_undo_waits_for_an_absent_folder(photos: Path, journal: Path) -> None:
    before = tree(photos)
    write(all_of(photos), journal)
    away = photos.with_name("unmounted")
    photos.rename(away)
    undone = undo(journal)
    assert len(undone.failed) == 5
    assert undone.to_json()["failed"][0]["reason"] == "No such file or directory"
    away.rename(photos)
    assert not undo(journal).failed
    assert tree(photos) == before


def test_damaged_and_future_journals_are_refused(photos: Path, journal: Path) -> None:
    write(all_of(photos), journal)
    file = journal / "000001" / "journal.jsonl"
    whole = file.read_bytes()
    for damaged, reason in (
        (whole[:-50], "cannot be read"),
        (b"", "cannot be read"),
        (b"[]\n", "cannot be read"),
        (json.dumps({"format": 2, "temporary": "x"}).encode(), "newer clipdex"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(JournalError, match=reason):
            undo(journal)
    file.write_bytes(whole)
    undo(journal)


def test_one_run_at_a_time(photos: Path, journal: Path) -> None:
    with sole_writer(journal):
        for act in (lambda: write(all_of(photos), journal), lambda: undo(journal)):
            with pytest.raises(JournalError, match="another clipdex"):
                act()
    assert write(all_of(photos), journal).created
