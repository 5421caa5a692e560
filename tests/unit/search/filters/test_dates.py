"""Dates as a user writes them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from indexer.errors import QueryError
from search import Filter
from support.dated_photos import open_collection, write

Days = Callable[..., set[int]]

pytestmark = pytest.mark.usefixtures("this_machine_is_in_berlin")


AGES = {0, 1, 6, 8, 40, 400, 800}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Ask for photos by date, and get how many days ago they were taken."""
    base = tmp_path_factory.mktemp("days")
    now = datetime.now().replace(microsecond=0)
    for ago in AGES:
        write(base / "p" / f"{ago}.jpg", ago, now - timedelta(days=ago), None)
    with open_collection(base / "c", base / "p") as engine:

        def ask(**asked: str) -> set[int]:
            hits = engine.search("x", k=100, filter=Filter(**asked))  # type: ignore[arg-type]
            return {int(hit.file.stem) for hit in hits}

        yield ask


def test_days_ago_are_counted_from_today(days: Days) -> None:
    assert days(since="today") == {0}
    assert days(since="yesterday", until="yesterday") == {1}
    assert days(since="7d") == {0, 1, 6}
    assert days(since="1w ago") == {0, 1, 6}
    assert days(since="2m") == {0, 1, 6, 8, 40}
    assert days(until="1y") == {400, 800}
    assert days(until="2Y") == {800}


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "2024-13", "2024-02-30", "24-07-01", "2024-07-14T25:00", "7x",
             "2024-07-14T12", "0000", "2024-07-14T12:30+99:00", "12024"]
)  # fmt: skip
def test_an_invalid_date_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"is not a date: use 2024, 2024-07, .*yesterday"):
        Filter(until=text)


def test_dates_beyond_all_photos_are_answered(days: Days) -> None:
    for early in ("0001", "1600", "1600-02-03T04:05", "0001-01-01T00:00+14:00", "900y", "99999y",
                  "99999m", "99999w", "99999d"):  # fmt: skip
        assert days(since=early) == AGES, early
        assert days(until=early) == set(), early
    for late in ("2263", "3000", "9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59",
                 "9999-12-31T23:59:59-12:00"):  # fmt: skip
        assert days(until=late) == AGES, late
        assert days(since=late) == set(), late


def test_dates_the_wrong_way_round_are_refused() -> None:
    for since, until in (("2024-08", "2024-07"), ("2024-07-15", "2024-07-14"), ("1y", "2y")):
        with pytest.raises(QueryError, match="the wrong way round"):
            Filter(since=since, until=until)
    Filter(since="2024-07", until="2024-07")
    Filter(since="today", until="today")
