import errno
import os
from pathlib import Path

import pytest

from indexer import build
from indexer.testing import FakeEncoder
from support.images import make_photo


def test_a_place_that_could_not_be_read_may_be_away_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, drive = tmp_path / "photos", tmp_path / "drive"
    make_photo(photos / "near.png", 1)
    make_photo(drive / "far.png", 2)
    (photos / "usb").symlink_to(drive)

    def index() -> tuple[int, int, int]:
        report = build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
        return report.indexed + report.unchanged, report.removed, report.failed

    assert index() == (2, 0, 0)
    real = os.stat

    def stale(path: object, **options: object) -> os.stat_result:
        if path == os.fsencode(photos / "usb"):
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stale)
        assert index() == (1, 0, 1)
    os.rename(drive, tmp_path / "unplugged")
    assert index() == (1, 0, 1)
