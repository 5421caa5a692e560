import os
from pathlib import Path

import pytest

from indexer import build
from indexer.testing import FakeEncoder
from search import Engine
from search.hits import Hit
from support.images import make_photo

YEAR_2096 = 3_976_300_800


def test_a_hit_does_not_claim_to_be_from_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    hit = Hit(1, 1, (b"/a.jpg",), 0.0, None, 1, 1, (86_400 * 10**9,), YEAR_2096)
    assert hit.taken_at is not None
    assert hit.taken_at.startswith("1970-01-0")
    monkeypatch.setattr("time.time", lambda: float(YEAR_2096))
    assert hit.taken_at == "2096-01-02T00:00:00"


@pytest.mark.parametrize("year", [1200, 2300, 2446])
def test_times_that_no_catalog_holds_are_cut(tmp_path: Path, year: int) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    try:
        os.utime(photo, ((year - 1970) * 31_556_952,) * 2)
    except (OSError, OverflowError):
        pytest.skip("this file system does not hold it either")
    encoder = FakeEncoder()
    report = build([photo.parent], collection=tmp_path / "c", encoder=encoder)
    assert (report.indexed, report.failed) == (1, 0)
    assert build([photo.parent], collection=tmp_path / "c", encoder=encoder).unchanged == 1
    with Engine.open(tmp_path / "c", encoder=encoder) as engine:
        (hit,) = engine.search("x")
        assert hit.taken_at is not None
