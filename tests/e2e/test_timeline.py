"""How the images spread over time, as the server counts them."""

import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from support.command import Run
from support.dated_photos import write
from support.servers import Served, serving
from support.years import COUNT, Years


def months_of(answer: Any) -> dict[str, int]:
    return {one["month"]: one["count"] for one in answer["months"]}


def test_months_are_counted_newest_first(years_served: Served, years: Years) -> None:
    answer = years_served.get("/v1/timeline").json()
    assert answer["total"] == COUNT
    months = [one["month"] for one in answer["months"]]
    assert months == sorted(months, reverse=True)
    days: Counter[str] = Counter()
    for one in answer["months"]:
        assert sum(one["days"]) == one["count"]
        assert one["days"][-1] > 0
        days.update({f"{one['month']}-{day:02}": n for day, n in enumerate(one["days"], 1) if n})
    assert days == Counter(moment.date().isoformat() for moment in years.moments.values())


def test_months_are_in_the_order_of_the_search(years_served: Served, years: Years) -> None:
    shown: list[str] = []
    for offset in range(0, COUNT + 60, 60):
        hits = years_served.get("/v1/search", params={"k": 60, "offset": offset}).json()["hits"]
        shown += [Path(hit["path"]).name for hit in hits]
    assert shown == years.newest_first
    at = 0
    for one in years_served.get("/v1/timeline").json()["months"]:
        within = shown[at : at + one["count"]]
        assert {years.moments[name].strftime("%Y-%m") for name in within} == {one["month"]}
        at += one["count"]


def test_the_timeline_has_the_conditions_of_a_search(years_served: Served, years: Years) -> None:
    for given in (
        {"in": "even"},
        {"since": "2010-05", "until": "2019"},
        {"in": "odd", "until": "2012"},
        {"label": "dog>0.001"},
    ):
        total = years_served.get("/v1/search", params=given).json()["total"]
        answer = years_served.get("/v1/timeline", params=given).json()
        assert answer["total"] == total == sum(months_of(answer).values())
    expected = Counter(
        moment.strftime("%Y-%m")
        for name, moment in years.moments.items()
        if int(name[:5]) % 2 == 0 and moment.year >= 2015
    )
    answer = years_served.get("/v1/timeline", params={"in": "even", "since": "2015"}).json()
    assert months_of(answer) == expected


def test_what_is_indexed_meanwhile_counts(years: Years, tmp_path: Path, clipdex: Run) -> None:
    shutil.copytree(years.collection, tmp_path / "collection")
    routes = ("/v1/search?in=even&until=2010", "/v1/timeline?in=even&until=2010")
    with serving(tmp_path / "collection") as server:

        def asked() -> tuple[set[int], set[str]]:
            """The totals below a folder, and the second-newest image, of many requests.

            Each of a server's threads remembers what it has found.
            """
            totals = {server.get(route).json()["total"] for route in routes for _ in range(8)}
            pages = [server.get("/v1/search?k=1&offset=1").json() for _ in range(8)]
            return totals, {Path(page["hits"][0]["path"]).name for page in pages}

        (before,), second = asked()
        assert second == {years.newest_first[1]}
        new = tmp_path / "new" / "even"
        write(new / "old.jpg", COUNT, datetime(2009, 1, 1), None)
        write(new / "newest.jpg", COUNT + 1, datetime(2024, 12, 24), None)
        clipdex("index", tmp_path / "new")
        assert asked() == ({before + 1}, {years.newest_first[0]})


def test_a_timeline_of_nothing(years_served: Served, tmp_path: Path) -> None:
    assert years_served.get("/v1/timeline?since=2100").json() == {"total": 0, "months": []}
    assert years_served.get("/v1/timeline?in=nowhere").status_code == 422
    assert years_served.get("/v1/timeline?q=dog").status_code == 422
    assert years_served.get("/v1/timeline?since=never").status_code == 422
    with serving(tmp_path / "none") as empty:
        assert empty.get("/v1/timeline").json() == {"total": 0, "months": []}
