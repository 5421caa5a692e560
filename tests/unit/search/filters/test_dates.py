"""Dates as a user writes them."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from indexer.errors import QueryError
from search import Filter
from support.dated_photos import open_collection, write

pytestmark = pytest.mark.usefixtures("this_machine_is_in_berlin")


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
def test_an_invalid_date_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"is not a date: use 2024, 2024-07, .*yesterday"):
        Filter(until=text)
